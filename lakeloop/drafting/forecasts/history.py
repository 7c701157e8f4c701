"""The history of series in a table, as a forecast needs it: step, season and gaps, and how often forecasts are made.

Refuses what can't be forecast: two values at one time, times without a regular step, a history that is too short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.label_profile import moments_of
from lakeloop.drafting.local_days import guess_of_days
from lakeloop.errors import DataError, nearest
from lakeloop.rows.series_grid import off_grid
from lakeloop.spec.steps import SEASONS, Step, guess_step
from lakeloop.spec.tables import TableSpec, is_number_type
from lakeloop.spec.zones import check_zone

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 300_000
"""The most rows of the spine. For more, not every row of the table is an origin, since neighbouring origins differ little."""
_ROUND = ("1m", "5m", "10m", "15m", "20m", "30m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "1d", "1w")
"""The steps that times are likely to be meant at."""
_JITTER, _REGULAR, _LEAST_DISTANCES = 0.1, 0.95, 10
"""How far distances may be from such a step, as a share of it; the share of whole steps that is a rule; and the fewest distances that tell."""
LEAST_STEPS = 20
"""Steps of history that a forecast needs beyond its horizon."""


@dataclass(frozen=True)
class History:
    """The history of series.

    Attributes:
        time: the column of the time.
        series: the columns that identify a series.
        every: the step.
        season: in steps.
        horizon: in steps.
        moments: the time of each row with a value, in any order.
        codes: the series of each of these rows.
        values: the value of each of these rows.
        notes: on gaps and short series.
    """

    time: str
    series: tuple[str, ...]
    every: Step
    season: int
    horizon: int
    moments: np.ndarray
    codes: np.ndarray
    values: np.ndarray
    notes: list[str] = field(default_factory=list)

    @property
    def steps(self) -> np.ndarray:
        """The number of each row's step, counted from a time that is the same for all series."""
        return self.every.numbers(self.moments)


def read_history(
    table: TableSpec,
    rows: pa.Table,
    label: str,
    time: str | None,
    series: Sequence[str] | None,
    every: str | None,
    season: int | None,
    horizon: int | None,
    timezone: str | None = None,
) -> History:
    """Read the history of a table's series; the columns are checked first, then the rows.

    Args:
        table: the table that holds a row per series and time.
        rows: its rows, in declared types and any order; those without a time or a value are left out.
        label: the column to forecast.
        time: the column of the time; the table's event time by default.
        series: the columns that identify a series; by default the table's keys without the time.
        every: the step, such as 1d; by default the most frequent one in the data.
        season: the number of steps after which a series repeats; by default it follows from the step.
        horizon: steps ahead at most; a season by default.
        timezone: in which days, weeks and months are counted; by default the table's, or that of the time's column.

    Raises:
        DataError: a column doesn't exist or doesn't fit, rows share series and time, the step isn't regular, or the history is too short.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    when, by = _check_columns(table, label, time, series)
    if horizon is not None and horizon < 1:
        raise DataError(f"horizon: wanted at least 1 step, found {horizon}")
    if season is not None and season < 1:
        raise DataError(f"season: wanted at least 1 step (1 for no season), found {season}")

    rows = rows.filter(pc.and_(pc.is_valid(rows[label]), pc.is_valid(rows[when])))
    moments = moments_of(rows, when)
    values = np.asarray(rows[label].cast(pa.float64()).to_numpy(zero_copy_only=False))
    codes = _series_codes(rows, by)
    zone, notes = _choose_zone(table, when, moments, timezone)
    jitter = describe_jitter(codes, moments, when)
    if jitter and every is None:
        raise DataError(f"every: {jitter}")
    try:
        step = Step.parse(every, zone) if every is not None else guess_step(moments, zone)
    except ValueError as error:
        raise DataError(f"every: {error}") from error
    step = step.anchored(moments)
    _refuse_duplicates(codes, moments, step, when, by)
    _refuse_irregular(codes, moments, step, when, jitter)
    length = int(np.ptp(step.numbers(moments))) + 1 if len(moments) else 0
    usual = SEASONS.get(str(step), 1)
    ahead = horizon if horizon is not None else max(season if season is not None else usual, 1)
    if length < LEAST_STEPS + ahead:
        raise DataError(
            f"{table.name} has {length} steps of {step} with a value of {label}; wanted at least {LEAST_STEPS + ahead} to forecast {ahead} ahead"
        )
    season, season_notes = _choose_season(season, usual, length, ahead, step)
    notes += season_notes
    history = History(when, tuple(by), step, season, ahead, moments, codes, values, notes)
    notes += _gaps(history) + _short(history)
    return history


def _check_columns(table: TableSpec, label: str, time: str | None, series: Sequence[str] | None) -> tuple[str, list[str]]:
    """The column of the time and those that identify a series."""
    when = time or table.event_time
    if when is None:
        raise DataError(f"time: {table.name} has no event time; a forecast needs one, name its column with --time")
    if when not in table.columns:
        raise DataError(f"time: no column {when!r}; {nearest(when, table.columns)}")
    if table.columns[when].type not in ("date", "timestamp"):
        raise DataError(f"time: wanted a timestamp or date, {when} is a {table.columns[when].type}")
    if label not in table.columns:
        raise DataError(f"label: no column {label!r}; {nearest(label, table.columns)}")
    if not is_number_type(table.columns[label].type):
        raise DataError(f"label: wanted a number to forecast, {label} is a {table.columns[label].type}")
    keys = [key for key in table.keys if key != when and "_row" not in (table.columns[key].source or [])]
    by = keys if series is None else list(series)
    for column in by:
        if column not in table.columns:
            raise DataError(f"series: no column {column!r}; {nearest(column, table.columns)}")
        if column in (when, label):
            raise DataError(f"series: {column} is the label or the time; wanted the columns that identify a series")
        if table.columns[column].type == "double":
            raise DataError(f"series: {column} is a double; wanted a text or an integer, which are equal or not")
    return when, by


def _choose_zone(table: TableSpec, when: str, moments: np.ndarray, requested: str | None) -> tuple[str | None, list[str]]:
    """The zone in which days are counted, None for UTC, and notes on it."""
    column = table.columns[when]
    if column.type == "date":
        if requested not in (None, "UTC"):
            raise DataError(f"timezone: {when} is a date, whose days are the same in every zone; leave the zone out")
        return None, []
    if requested is not None:
        try:
            return check_zone(requested), []
        except ValueError as error:
            raise DataError(f"timezone: {error}") from error
    stated = table.zone_of(when)
    guess = None if stated or table.timezone else guess_of_days(moments)
    if guess is None:
        return stated, []
    if guess.is_certain:
        return guess.zones[0], [
            f"days begin in {guess.zones[0]}: {guess.reason}{guess.others}. Declare `timezone: {guess.zones[0]}` in {table.name}, or draft again "
            "with --timezone and another"
        ]
    return None, [
        f"a doubt: {guess.reason}{guess.others}, and steps are counted in UTC. If days begin there, the targets miss them once the clocks are changed: "
        f"declare `timezone: {guess.zones[0]}` in {table.name} and draft again, or name another with --timezone"
    ]


def _series_codes(rows: pa.Table, by: Sequence[str]) -> np.ndarray:
    """The number of each row's series."""
    import pyarrow.compute as pc

    codes = np.zeros(len(rows), np.int64)
    for column in by:
        encoded = rows[column].combine_chunks().dictionary_encode()
        codes = codes * (len(encoded.dictionary) + 1) + np.asarray(pc.fill_null(encoded.indices, len(encoded.dictionary))).astype(np.int64)
    return np.unique(codes, return_inverse=True)[1]


def _choose_season(requested: int | None, usual: int, length: int, ahead: int, step: Step) -> tuple[int, list[str]]:
    """The season in steps, and notes on it: the requested one, or the usual one of the step if the history is long enough for it."""
    notes: list[str] = []
    season = usual if requested is None else requested
    if requested is None and 2 * season + ahead > length:
        notes.append(f"no season: the history of {length} steps is shorter than two seasons of {season}; --season sets another")
        season = 1
    if 2 * season + ahead > length:
        raise DataError(
            f"season: two seasons of {season} steps and {ahead} ahead are longer than the history of {length} steps of {step}; "
            f"at most {(length - ahead) // 2} is possible, 1 means no season"
        )
    return season, notes


def _refuse_duplicates(codes: np.ndarray, moments: np.ndarray, step: Step, when: str, by: Sequence[str]) -> None:
    """Refuse rows that share series and step, since a forecast needs one value for each."""
    numbers = step.numbers(moments)
    pairs, counts = np.unique(np.stack([codes, numbers]), axis=1, return_counts=True)
    if len(counts) and counts.max() > 1:
        code, number = pairs[:, int(counts.argmax())]
        example = str(moments[(codes == code) & (numbers == number)][0])[:16].replace("T", " ")
        have_same_time = len(np.unique(np.stack([codes, moments.astype(np.int64)]), axis=1)[0]) < len(codes)
        duplicates = int(counts[counts > 1].sum())
        remedy = (
            f"name the columns that identify a series with --series (now: {', '.join(by) or 'none'}), or sum them up in a view first"
            if have_same_time
            else f"their steps are shorter than {step}: name the step with --every, or sum them up in a view first"
        )
        raise DataError(
            f"series: {duplicates:,} of {len(codes):,} rows share ({', '.join([*by, when])}) by steps of {step} with another ({int(counts.max())} of {example}); {remedy}"
        )


def describe_jitter(codes: np.ndarray, moments: np.ndarray, when: str) -> str:
    """About how far apart the times of a series are that keep to no grid, and what to do; empty where they keep to one.

    >>> hours = np.arange("2024-01-01", "2024-01-03", dtype="datetime64[h]").astype("datetime64[us]")
    >>> jitter = np.random.default_rng(0).integers(-20, 20, 48).astype("timedelta64[s]")
    >>> describe_jitter(np.zeros(48), hours + jitter, "at").split(";")[0]
    'the times of a series lie about 1h apart (3,566 to 3,631 seconds), by at'
    >>> describe_jitter(np.zeros(48), hours, "at")
    ''
    """
    order = np.lexsort((moments, codes))
    lengths = np.diff(moments[order]).astype(np.int64)[np.diff(codes[order]) == 0] / 1e6
    lengths = lengths[lengths > 0]
    if len(lengths) < _LEAST_DISTANCES:
        return ""
    usual = float(np.median(lengths))
    text = min(_ROUND, key=lambda each: abs(usual / (Step.parse(each).seconds or 1) - 1))
    seconds = Step.parse(text).seconds or 1
    distances, counts = np.unique(lengths, return_counts=True)
    is_regular = (lengths % distances[counts.argmax()] == 0).mean() > _REGULAR
    near = lengths[np.abs(lengths / seconds - 1) <= _JITTER]
    if is_regular or abs(usual / seconds - 1) > _JITTER / 2 or len(near) < len(lengths) / 2 or len(np.unique(near)) < _LEAST_DISTANCES:
        return ""
    return (
        f"the times of a series lie about {text} apart ({near.min():,.0f} to {near.max():,.0f} seconds), by {when}; align them first, such as by "
        f"timestamp_seconds(CAST(round(unix_timestamp({when}) / {seconds}) AS BIGINT) * {seconds}) AS {when} in a view or the source's query"
    )


def _refuse_irregular(codes: np.ndarray, moments: np.ndarray, step: Step, when: str, jitter: str) -> None:
    """Refuse times that aren't whole steps apart, since no row would be the target of another."""
    irregular = int(off_grid(codes, moments, step).sum())
    if irregular and jitter:
        raise DataError(f"every: {jitter}")
    if irregular:
        raise DataError(
            f"every: {irregular:,} of {len(moments):,} rows aren't whole steps of {step} from the others of their series, by {when}; "
            f"name the step with --every, or align the times to a grid in a view first"
        )


def _gaps(history: History) -> list[str]:
    missing = series_with_gaps = 0
    for code in range(int(history.codes.max()) + 1):
        steps = history.steps[history.codes == code]
        absent = int(np.ptp(steps)) + 1 - len(steps)
        missing, series_with_gaps = missing + absent, series_with_gaps + bool(absent)
    if not missing:
        return []
    count = int(history.codes.max()) + 1
    return [
        f"missing in {series_with_gaps} of {count} series: {missing:,} {'step' if missing == 1 else 'steps'} of {history.every}; averages are over the values "
        "that exist, missing targets are used neither for training nor for evaluation"
    ]


def _short(history: History) -> list[str]:
    counts = np.bincount(history.codes)
    required = 2 * history.season + history.horizon
    short = int((counts < required).sum())
    if not short:
        return []
    return [
        f"{short} of {len(counts)} series have fewer than {required} values (two seasons and the horizon): the model learns about them from the others"
    ]


def choose_stride(history: History, origin_every: str | None) -> int:
    """Choose the number of steps between origins: as requested, or so that the spine has about `MOST_ROWS` rows at most.

    Raises:
        DataError: the requested interval is no step, or no multiple of the history's.
    """
    if origin_every is not None:
        try:
            step = Step.parse(origin_every, history.every.timezone)
        except ValueError as error:
            raise DataError(f"origin_every: {error}") from error
        if history.every.seconds and step.seconds and step.seconds % history.every.seconds == 0:
            return step.seconds // history.every.seconds
        if step.unit == history.every.unit == "mo" and step.count % history.every.count == 0:
            return step.count // history.every.count
        raise DataError(f"origin_every: wanted a multiple of the step of {history.every}, found {origin_every}")
    return max(math.ceil(len(history.moments) * history.horizon / MOST_ROWS), 1)
