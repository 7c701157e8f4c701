"""The history of series in a table, as a forecast sees it: their step, season and gaps, and how often it may be asked.

Refuses what can't be forecast: two values at one time, times without a step, a history that is too short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.label_profile import moments_of
from lakeloop.errors import DataError, nearest
from lakeloop.spec.steps import SEASONS, Step, guess_step
from lakeloop.spec.tables import TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 300_000
"""Rows of the spine; beyond it not every row of the table is an origin: neighbouring origins say nearly the same."""
LEAST_STEPS = 20


@dataclass(frozen=True)
class History:
    """What was found of the series.

    Attributes:
        time: the column of the time.
        series: the columns that name a series.
        every: the step.
        season: in steps.
        horizon: in steps.
        moments: per row with a value, in no order.
        codes: the series of each of them.
        values: the value of each of them.
        notes: what to tell of gaps and short series.
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
        """The number of each row's step, counted from a moment that is the same for all series."""
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
) -> History:
    """The history of a table's series; the columns are checked first, then the rows.

    Args:
        table: the table that holds a row per series and time.
        rows: its rows, in declared types and any order; those without a time or a value are left out.
        label: the column to forecast.
        time: the column of the time; the table's event time without it.
        series: the columns that name a series; the table's keys without the time unless given.
        every: the step, such as 1d; the most frequent one in the data unless given.
        season: steps after which a series is alike again; by the step unless given.
        horizon: steps ahead at most; a season unless given.

    Raises:
        DataError: a column isn't there or doesn't fit, rows share series and time, the step isn't regular, or the history is too short.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    when = time or table.event_time
    if when is None:
        raise DataError(f"time: {table.name} has no event time; a forecast needs one, name its column with --time")
    if when not in table.columns:
        raise DataError(f"time: no column {when!r}; {nearest(when, table.columns)}")
    if table.columns[when].type not in ("date", "timestamp"):
        raise DataError(f"time: wanted a timestamp or date, {when} is a {table.columns[when].type}")
    if label not in table.columns:
        raise DataError(f"label: no column {label!r}; {nearest(label, table.columns)}")
    if table.columns[label].type not in ("integer", "double"):
        raise DataError(f"label: wanted a number to forecast, {label} is a {table.columns[label].type}")
    by = (
        list(series)
        if series is not None
        else [key for key in table.keys if key != when and "_row" not in (table.columns[key].source or [])]
    )
    for column in by:
        if column not in table.columns:
            raise DataError(f"series: no column {column!r}; {nearest(column, table.columns)}")
        if column in (when, label):
            raise DataError(f"series: {column} is what is forecast, or when; wanted the columns that tell series apart")
        if table.columns[column].type == "double":
            raise DataError(f"series: {column} is a double; wanted a text or an integer, which are equal or not")
    if horizon is not None and horizon < 1:
        raise DataError(f"horizon: wanted a number of steps from 1 on, found {horizon}")
    if season is not None and season < 1:
        raise DataError(f"season: wanted a number of steps from 1 on (1 for no season), found {season}")

    rows = rows.filter(pc.and_(pc.is_valid(rows[label]), pc.is_valid(rows[when])))
    moments = moments_of(rows, when)
    values = np.asarray(rows[label].cast(pa.float64()).to_numpy(zero_copy_only=False))
    codes = np.zeros(len(rows), np.int64)
    for column in by:
        found = rows[column].combine_chunks().dictionary_encode()
        codes = codes * (len(found.dictionary) + 1) + np.asarray(pc.fill_null(found.indices, len(found.dictionary))).astype(np.int64)
    codes = np.unique(codes, return_inverse=True)[1]
    try:
        step = Step.parse(every) if every is not None else guess_step(moments)
    except ValueError as error:
        raise DataError(f"every: {error}") from error
    named = f"({', '.join([*by, when])})"
    _refuse_duplicates(codes, step.numbers(moments), moments, named, by, step)
    _refuse_irregular(codes, moments, step, when)
    notes: list[str] = []
    chosen = season if season is not None else SEASONS.get(str(step), 1)
    history = int(np.ptp(step.numbers(moments))) + 1 if len(moments) else 0
    ahead = horizon if horizon is not None else max(chosen, 1)
    if history < LEAST_STEPS + ahead:
        raise DataError(
            f"{table.name} has {history} steps of {step} with a value of {label}; wanted {LEAST_STEPS + ahead} at least to forecast {ahead} ahead"
        )
    if season is None and 2 * chosen + ahead > history:
        notes.append(f"no season: the history of {history} steps is shorter than two seasons of {chosen}; --season says another")
        chosen = 1
    if 2 * chosen + ahead > history:
        raise DataError(
            f"season: two seasons of {chosen} steps and {ahead} ahead are longer than the history of {history} steps of {step}; "
            f"at most {(history - ahead) // 2} would do, 1 is for none"
        )
    found_history = History(when, tuple(by), step, chosen, ahead, moments, codes, values, notes)
    notes += _gaps(found_history) + _short(found_history)
    return found_history


def _refuse_duplicates(codes: np.ndarray, numbers: np.ndarray, moments: np.ndarray, named: str, by: Sequence[str], step: Step) -> None:
    """Rows of one series and one time can't be told apart."""
    pairs, counts = np.unique(np.stack([codes, numbers]), axis=1, return_counts=True)
    if len(counts) and counts.max() > 1:
        code, number = pairs[:, int(counts.argmax())]
        example = str(moments[(codes == code) & (numbers == number)][0])[:16].replace("T", " ")
        same = len(np.unique(np.stack([codes, moments.astype(np.int64)]), axis=1)[0]) < len(codes)
        doubled = int(counts[counts > 1].sum())
        why = (
            f"name the columns that tell series apart with --series (now: {', '.join(by) or 'none'}), or sum them up in a view first"
            if same
            else f"their steps are shorter than {step}: name the step with --every, or sum them up in a view first"
        )
        raise DataError(
            f"series: {doubled:,} of {len(codes):,} rows share {named} by steps of {step} with another ({int(counts.max())} of {example}); {why}"
        )


def _refuse_irregular(codes: np.ndarray, moments: np.ndarray, step: Step, when: str) -> None:
    """Times must lie whole steps apart, or no row would be the target of another."""
    if step.unit == "mo":
        offsets = (moments - moments.astype("datetime64[M]").astype("datetime64[us]")).astype(np.int64)
    else:
        offsets = moments.astype(np.int64) % (int(step.seconds or 1) * 1_000_000)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    off = 0
    for part in np.split(offsets[order], starts[1:]):
        _, counts = np.unique(part, return_counts=True)
        off += len(part) - int(counts.max(initial=0))
    if off:
        raise DataError(
            f"every: {off:,} of {len(moments):,} rows don't lie whole steps of {step} from the others of their series, by {when}; "
            f"name the step with --every, or bring the times to a grid in a view first"
        )


def _gaps(history: History) -> list[str]:
    missing = gappy = 0
    for code in range(int(history.codes.max()) + 1):
        steps = history.steps[history.codes == code]
        lost = int(np.ptp(steps)) + 1 - len(steps)
        missing, gappy = missing + lost, gappy + bool(lost)
    if not missing:
        return []
    many = int(history.codes.max()) + 1
    return [
        f"missing in {gappy} of {many} series: {missing:,} {'step' if missing == 1 else 'steps'} of {history.every}; averages are over the values that are "
        "there, a missing target is never trained on or judged by"
    ]


def _short(history: History) -> list[str]:
    counts = np.bincount(history.codes)
    wanted = 2 * history.season + history.horizon
    short = int((counts < wanted).sum())
    if not short:
        return []
    return [
        f"{short} of {len(counts)} series have fewer than {wanted} values (two seasons and the horizon): the model knows them by what others do"
    ]


def stride_of(history: History, asked: str | None) -> int:
    """Every how many steps a forecast is asked for: as was said, else so often that the spine has about `MOST_ROWS` rows at most.

    Raises:
        DataError: what was said is no step, or no multiple of the history's.
    """
    if asked is not None:
        try:
            step = Step.parse(asked)
        except ValueError as error:
            raise DataError(f"origin_every: {error}") from error
        if history.every.seconds and step.seconds and step.seconds % history.every.seconds == 0:
            return step.seconds // history.every.seconds
        if step.unit == history.every.unit == "mo" and step.count % history.every.count == 0:
            return step.count // history.every.count
        raise DataError(f"origin_every: wanted a multiple of the step of {history.every}, found {asked}")
    return max(math.ceil(len(history.moments) * history.horizon / MOST_ROWS), 1)
