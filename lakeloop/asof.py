"""Point-in-time joins: for each row of a spine, the feature values as they were known at its time.

One rule everywhere: among the rows of the same entity with event time <= t and known time <= t, the one with the greatest (event time,
known time, row order) counts; if it is older than `max_age`, there is no value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lakeloop.entity_codes import entity_codes
from lakeloop.errors import DataError, nearest
from lakeloop.personal import masked

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray
One = TypeVar("One")
Other = TypeVar("Other")
NEVER = np.iinfo(np.int64).min
"""Stands for a null time; numpy's NaT has the same bits."""
_ROWS_PER_THREAD = 50_000
"""Fewer rows are looked up faster than a thread starts."""


@dataclass(frozen=True)
class FeatureRows:
    """The rows of one view or table.

    Attributes:
        name: for messages.
        rows: the rows; a retracted value is a row of nulls.
        keys: entity keys, columns of `rows` and of the spine, of the same types.
        columns: column of `rows` -> its name in the result.
        event_time: UTC timestamp column; None for a static table, which has one row per key.
        known_at: UTC timestamp column; None means known at event time.
        max_age: a value whose event time is longer ago than this is null; exactly this old is alive.
        personal: keys whose values are masked in messages.
    """

    name: str
    rows: pa.Table
    keys: tuple[str, ...]
    columns: Mapping[str, str]
    event_time: str | None = None
    known_at: str | None = None
    max_age: timedelta | None = None
    personal: Collection[str] = ()


def is_alive(event_time: np.ndarray, at: np.ndarray, max_age: timedelta | None) -> np.ndarray:
    """Whether values of some event times (int64 microseconds) count at some times, by age alone.

    >>> is_alive(np.array([0, 0]), np.array([60_000_000, 60_000_001]), timedelta(minutes=1)).tolist()
    [True, False]
    """
    if max_age is None:
        return np.ones(len(at), bool)
    return np.asarray(at - event_time <= max_age // timedelta(microseconds=1))


def point_in_time_join(spine: pa.Table, features: Sequence[FeatureRows], *, at: str) -> pa.Table:
    """Add feature columns to a spine.

    Rows with a null key or a null time match nothing. The spine's rows come back in their order and number, whatever the features.

    Args:
        spine: rows with the entity keys and the time asked about; duplicates are kept.
        features: what to look up.
        at: the spine's UTC timestamp column.

    Returns:
        The spine's columns, then the features', each in its own Arrow type.

    Raises:
        DataError: a column is missing, key types differ, a time has no zone, a static table has a key twice, or a name is taken.
    """
    _need(spine, [at], "the spine")
    moments = _micros(spine, at, "the spine")
    taken = set(spine.column_names)
    result = spine
    for source in features:
        needed = [*source.keys, *source.columns, *filter(None, (source.event_time, source.known_at))]
        _need(source.rows, needed, source.name)
        _need(spine, source.keys, "the spine")
        for output in source.columns.values():
            if output in taken:
                raise DataError(f"{source.name}: the name {output!r} is already taken in the result")
            taken.add(output)
        position = _match(spine, moments, source)
        indices = _indices(position)
        looked_up = _in_threads(partial(_looked_up, source.rows, indices), source.columns, len(position))
        for output, values in zip(source.columns.values(), looked_up, strict=True):
            result = result.append_column(output, values)
    return result


def join_exact(
    spine: pa.Table,
    rows: pa.Table,
    *,
    on: Sequence[str],
    columns: Mapping[str, str],
    known_at: str | None,
    known_by: datetime | None = None,
    personal: Collection[str] = (),
) -> pa.Table:
    """Look up rows by equal keys, the version known last where there are several; for labels.

    Args:
        spine: rows with the keys.
        rows: what to look up.
        on: the keys.
        columns: column of `rows` -> its name in the result.
        known_at: UTC timestamp column of `rows`; None where every key has one row.
        known_by: versions known later don't count.
        personal: keys whose values are masked in messages.

    Returns:
        Only the looked-up columns, aligned with the spine's rows.

    Raises:
        DataError: as for `point_in_time_join`.
    """
    import pyarrow as pa

    _need(rows, [*on, *columns, *([known_at] if known_at else [])], "the label")
    _need(spine, on, "the spine")
    source = FeatureRows("the label", rows, tuple(on), columns, event_time=known_at, known_at=known_at, personal=personal)
    limit = np.iinfo(np.int64).max if known_by is None else int(known_by.timestamp()) * 10**6 + known_by.microsecond
    position = _match(spine, np.full(spine.num_rows, limit, np.int64), source)
    indices = _indices(position)
    return pa.table({output: rows[column].combine_chunks().take(indices) for column, output in columns.items()})


def _looked_up(rows: pa.Table, indices: pa.Array, name: str) -> pa.Array:
    return rows[name].combine_chunks().take(indices)


def _match(spine: pa.Table, moments: np.ndarray, source: FeatureRows) -> np.ndarray:
    """For each row of the spine the position of its feature row, or -1."""
    count = source.rows.num_rows
    if count == 0 or spine.num_rows == 0:
        return np.full(spine.num_rows, -1, np.int64)
    left, right = entity_codes(spine, source.rows, source.keys, source.name)
    if source.event_time is None:
        return _static(left, right, source)
    event = _micros(source.rows, source.event_time, source.name)
    known = _micros(source.rows, source.known_at, source.name) if source.known_at and source.known_at != source.event_time else event
    # Almost always every row is usable; then nothing is copied.
    rows = None
    if int(right.min()) < 0 or int(event.min()) == NEVER or int(known.min()) == NEVER:
        rows = np.flatnonzero((right >= 0) & (event != NEVER) & (known != NEVER))
        if not len(rows):
            return np.full(spine.num_rows, -1, np.int64)
        right, event, known = right[rows], event[rows], known[rows]
    # A row counts from when it has happened and is known; the first almost never comes last.
    entity, from_ = right, known if known is event or bool((known >= event).all()) else np.maximum(event, known)

    order = _order((entity, from_))
    if order is not None:
        rows = order if rows is None else rows[order]
        entity, event, known, from_ = entity[order], event[order], known[order], from_[order]
    # What counts at t is the greatest (event, known, row) among the rows usable from t on back: a running maximum in order of `from_`.
    best = _running_best(entity, event, known, rows)

    starts = np.searchsorted(entity, np.arange(entity[-1] + 2))
    matchable = (left >= 0) & (left <= entity[-1]) & (moments != NEVER)
    code = np.where(matchable, left, 0)
    found = _last_not_after(entity, from_, code, moments, starts)
    matchable &= found >= starts[code]
    chosen = np.where(matchable, found, 0)
    if best is not None:
        chosen = best[chosen]
    if source.max_age is not None:
        matchable &= is_alive(event[chosen], moments, source.max_age)
    return np.where(matchable, chosen if rows is None else rows[chosen], -1)


def _running_best(entity: np.ndarray, event: np.ndarray, known: np.ndarray, rows: np.ndarray | None) -> np.ndarray | None:
    """Position of the greatest (event, known, row) so far, within each entity; None where that is each row itself.

    Inputs are sorted by entity and time of use; without `rows` a row's number is its position.
    """
    count = len(entity)
    doubtful = np.flatnonzero((event[1:] <= event[:-1]) & (entity[1:] == entity[:-1])) + 1
    if len(doubtful):
        before = doubtful - 1
        later = (rows[doubtful] > rows[before]) if rows is not None else True
        even = (known[doubtful] > known[before]) | ((known[doubtful] == known[before]) & later)
        doubtful = doubtful[(event[doubtful] < event[before]) | ~even]
    if not len(doubtful):
        return None
    rank = np.empty(count, np.int64)
    rank[np.lexsort((np.arange(count) if rows is None else rows, known, event, entity))] = np.arange(count)
    # Ranks rise with the entity, so the maximum can't reach back into the one before.
    where = np.empty(count, np.int64)
    where[rank] = np.arange(count)
    return where[np.maximum.accumulate(rank)]


def _last_not_after(entity: np.ndarray, from_: np.ndarray, code: np.ndarray, moments: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Last position of each entity whose time is not after the moment; its start less one when there is none.

    One binary search over all rows: entity and time are packed into one rising integer where they fit, else each is ranked.
    """
    low = min(int(from_.min()), int(moments[moments != NEVER].min(initial=np.iinfo(np.int64).max)))
    high = int(from_.max())
    span = high - low + 2
    entities = int(entity[-1]) + 1
    clipped = np.minimum(moments, high)
    if span > 0 and entities * span < np.iinfo(np.int64).max:
        packed = entity * span
        packed += from_
        packed -= low
        asked = code * span + np.maximum(clipped - low, 0)
        asked = np.where(clipped < low, code * span - 1, asked)
        return _search(packed, asked)
    times = np.unique(from_)
    packed = entity * (len(times) + 1) + np.searchsorted(times, from_) + 1
    asked = code * (len(times) + 1) + np.searchsorted(times, moments, side="right")
    return _search(packed, asked)


def _search(packed: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Last position not after each value; asked in rising order, so that neighbours share what the cache holds."""

    def search(part: Array) -> Array:
        order = np.argsort(part)
        found = np.empty(len(part), np.int64)
        found[order] = np.searchsorted(packed, part[order], side="right") - 1
        return found

    # As few parts as there are cores: each walks through all of `packed` once.
    return np.concatenate(_in_threads(search, np.array_split(asked, _cores(len(asked))), len(asked)))


def _in_threads(work: Callable[[One], Other], parts: Iterable[One], rows: int) -> list[Other]:
    """Work on each part, on all cores where there is enough of it; NumPy's and Arrow's loops run side by side."""
    if _cores(rows) == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(_cores(rows)) as threads:
        return list(threads.map(work, parts))


def _cores(rows: int) -> int:
    import pyarrow as pa

    return int(min(pa.cpu_count(), max(rows // _ROWS_PER_THREAD, 1)))


def _order(columns: tuple[np.ndarray, np.ndarray]) -> np.ndarray | None:
    """The stable order by (entity, time); None when the rows already are in it."""
    entity, time = columns
    if bool(np.all((entity[1:] > entity[:-1]) | ((entity[1:] == entity[:-1]) & (time[1:] >= time[:-1])))):
        return None
    low, span = int(time.min()), int(time.max()) - int(time.min()) + 1
    if (int(entity.max()) + 1) * span < np.iinfo(np.int64).max:
        return np.argsort(entity * span + (time - low), kind="stable")
    return np.lexsort((time, entity))


def _static(left: np.ndarray, right: np.ndarray, source: FeatureRows) -> np.ndarray:
    present = np.flatnonzero(right >= 0)
    codes = right[present]
    counted = np.bincount(codes, minlength=int(max(left.max(initial=0), codes.max(initial=0))) + 1)
    if counted.max(initial=0) > 1:
        row = int(present[np.flatnonzero(codes == int(counted.argmax()))[1]])
        key = masked({name: source.rows[name][row].as_py() for name in source.keys}, source.personal)
        raise DataError(f"{source.name}: wanted one row per key in a table without event time, found {int(counted.max())} for {key}")
    position = np.full(len(counted), -1, np.int64)
    position[codes] = present
    return np.where(left >= 0, position[np.maximum(left, 0)], -1)


def _micros(table: pa.Table, name: str, where: str) -> np.ndarray:
    """A UTC time column as int64 microseconds, `NEVER` for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = table[name].combine_chunks()
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    if not pa.types.is_timestamp(values.type) or values.type.tz is None:
        raise DataError(f"{where}: wanted {name} to be a timestamp with a time zone, found {values.type}")
    try:
        values = values.cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: {name} is finer than a microsecond: {error}") from error
    micros = values.cast(pa.int64())
    return np.asarray(pc.fill_null(micros, NEVER) if micros.null_count else micros)


def _indices(position: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(position, mask=position < 0)


def _need(table: pa.Table, names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in table.column_names:
            raise DataError(f"{where}: no column {name!r}; {nearest(name, table.column_names)}")
