"""Point-in-time joins: for each row of a spine, the feature values as they were known at its time.

One rule everywhere: among the rows of the same entity with event time <= t and known time <= t, the one with the greatest (event time,
known time, row order) counts; if it is older than `max_age`, there is no value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lakeloop.errors import DataError, nearest
from lakeloop.masking import masked
from lakeloop.rows.entity_codes import entity_codes, one_array

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray
Times = list[tuple[Array, Array]]
"""Event and known time in microseconds, in blocks that the cache holds: a year's rows as one array would be copied for it."""
One = TypeVar("One")
Other = TypeVar("Other")
NEVER = np.iinfo(np.int64).min
"""Stands for a null time; numpy's NaT has the same bits."""
_ROWS_PER_THREAD = 50_000
"""Fewer rows are looked up faster than a thread starts."""
_BLOCK = 1 << 16
"""Rows compared at once: what is made of them stays in the cache."""


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


def point_in_time_join(spine: pa.Table, features: Iterable[FeatureRows], *, at: str) -> pa.Table:
    """Add feature columns to a spine.

    Rows with a null key or a null time match nothing. The spine's rows come back in their order and number, whatever the features.

    Args:
        spine: rows with the entity keys and the time asked about; duplicates are kept.
        features: what to look up; taken one after the other, and let go.
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
        del source, position, indices, looked_up
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
    return pa.table({output: one_array(rows[column]).take(indices) for column, output in columns.items()})


def _looked_up(rows: pa.Table, indices: pa.Array, name: str) -> pa.ChunkedArray:
    return rows[name].take(indices)


def _match(spine: pa.Table, moments: np.ndarray, source: FeatureRows) -> np.ndarray:
    """For each row of the spine the position of its feature row, or -1."""
    count = source.rows.num_rows
    if count == 0 or spine.num_rows == 0:
        return np.full(spine.num_rows, -1, np.int64)
    left, right = entity_codes(spine, source.rows, source.keys, source.name)
    if source.event_time is None:
        return _static(left, right, source)
    times = _times(source)
    # Almost always every row is usable; then nothing is copied.
    rows = None
    if int(right.min()) < 0 or any(NEVER in (int(event.min()), int(known.min())) for event, known in times):
        event, known = _whole(times)
        rows = np.flatnonzero((right >= 0) & (event != NEVER) & (known != NEVER))
        if not len(rows):
            return np.full(spine.num_rows, -1, np.int64)
        right, times = right[rows], _blocks(event[rows], known[rows])

    packed, asked, span = _packed(right, times, left, moments)
    if not _is_sorted(packed):
        order = np.argsort(packed, kind="stable")
        rows = order if rows is None else rows[order]
        event, known = _whole(times)
        packed, times = packed[order], _blocks(event[order], known[order])
    # What counts at t is the greatest (event, known, row) among the rows usable from t on back: a running maximum in order of that time.
    best = _running_best(packed, span, times, rows)

    starts = np.searchsorted(packed, np.arange(int(packed[-1]) // span + 1) * span)
    chosen = _last_not_after(packed, asked)
    matched = (left >= 0) & (left < len(starts)) & (moments != NEVER)
    matched &= chosen >= starts[np.where(matched, left, 0)]
    chosen[~matched] = 0
    if best is not None:
        chosen = best[chosen]
    if rows is not None:
        chosen = rows[chosen]
    if source.max_age is not None:
        event = _micros(source.rows.select([source.event_time]).take(chosen), source.event_time, source.name)
        matched &= is_alive(event, moments, source.max_age)
    chosen[~matched] = -1
    return chosen


def _times(source: FeatureRows) -> Times:
    """Event and known time of the rows."""
    assert source.event_time is not None
    names = [source.event_time, source.known_at or source.event_time]
    batches = source.rows.select(list(dict.fromkeys(names))).to_batches(max_chunksize=_BLOCK)
    return [
        (_as_micros(batch[0], names[0], source.name), _as_micros(batch[-1], names[1], source.name)) for batch in batches if batch.num_rows
    ]


def _blocks(event: Array, known: Array) -> Times:
    return [(event[n : n + _BLOCK], known[n : n + _BLOCK]) for n in range(0, len(event), _BLOCK)]


def _whole(times: Times) -> tuple[Array, Array]:
    return np.concatenate([event for event, _ in times]), np.concatenate([known for _, known in times])


def _packed(entity: Array, times: Times, code: Array, moments: Array) -> tuple[Array, Array, int]:
    """Entity and time of use as one number that rises with both, for the rows and for what is asked.

    A row counts from when it has happened and is known. `entity` is overwritten, so that no other array of its length is needed.

    Returns:
        The rows' numbers, those asked for, and by how much the number rises from an entity to the next. A moment before all of the rows'
        has the number just below its entity's first.
    """
    from_ = [known if bool((known >= event).all()) else np.maximum(event, known) for event, known in times]
    low, high = min(int(block.min()) for block in from_), max(int(block.max()) for block in from_)
    span = high - low + 1
    if (max(int(entity.max()), int(code.max())) + 2) * span < np.iinfo(np.int64).max:
        asked = np.clip(moments, low - 1, high)
        asked -= low
    else:
        all_ = np.concatenate(from_)
        ranked = np.unique(all_)
        from_, low, span = [np.searchsorted(ranked, all_)], 0, len(ranked)
        asked = np.searchsorted(ranked, moments, side="right") - 1
    entity *= span
    entity -= low
    start = 0
    for block in from_:
        entity[start : start + len(block)] += block
        start += len(block)
    asked += code * span
    return entity, asked, span


def _is_sorted(values: Array) -> bool:
    before, after = values[:-1], values[1:]
    return all(bool((before[n : n + _BLOCK] <= after[n : n + _BLOCK]).all()) for n in range(0, len(after), _BLOCK))


def _running_best(packed: Array, span: int, times: Times, rows: Array | None) -> Array | None:
    """Position of the greatest (event, known, row) so far, within each entity; None where that is each row itself.

    Inputs are sorted by entity and time of use; without `rows` a row's number is its position.
    """
    if not any(_falls(packed, span, times, rows)):
        return None
    count, (event, known) = len(packed), _whole(times)
    rank = np.empty(count, np.int64)
    rank[np.lexsort((np.arange(count) if rows is None else rows, known, event, packed // span))] = np.arange(count)
    # Ranks rise with the entity, so the maximum can't reach back into the one before.
    where = np.empty(count, np.int64)
    where[rank] = np.arange(count)
    return where[np.maximum.accumulate(rank)]


def _falls(packed: Array, span: int, times: Times, rows: Array | None) -> Iterator[bool]:
    """For each block whether some row's (event, known, row) is smaller than that of the row before it, of the same entity."""
    start, last = 0, (NEVER, NEVER)
    for event, known in times:
        before = np.concatenate(([last[0]], event[:-1]))
        later = np.flatnonzero(event <= before)
        position = start + later
        same = packed[position] // span == packed[position - 1] // span
        later, position = later[same], position[same]
        if len(later):
            even = event[later] == before[later]
            known_before = np.concatenate(([last[1]], known[:-1]))[later]
            row_falls = False if rows is None else rows[position] < rows[position - 1]
            yield bool((~even | (known[later] < known_before) | ((known[later] == known_before) & row_falls)).any())
        start, last = start + len(event), (event[-1], known[-1])


def _last_not_after(packed: Array, asked: Array) -> Array:
    """Last position not after each value, -1 where there is none; asked in rising order, so that neighbours share what the cache holds."""
    found = np.empty(len(asked), np.int64)

    def search(part: tuple[Array, Array]) -> None:
        asked, found = part
        order = np.argsort(asked)
        found[order] = np.searchsorted(packed, asked[order], side="right")

    # As few parts as there are cores: each walks through all of `packed` once.
    parts = _cores(len(asked))
    _in_threads(search, zip(np.array_split(asked, parts), np.array_split(found, parts), strict=True), len(asked))
    found -= 1
    return found


def _in_threads(work: Callable[[One], Other], parts: Iterable[One], rows: int) -> list[Other]:
    """Work on each part, on all cores where there is enough of it; NumPy's and Arrow's loops run side by side."""
    return [work(part) for part in parts] if _cores(rows) == 1 else list(_threads(os.getpid()).map(work, parts))


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """A process's threads, always the same ones: what a thread has freed the C library keeps for it, so that new ones cost new memory."""
    import pyarrow as pa

    return ThreadPoolExecutor(pa.cpu_count(), thread_name_prefix="join")


def _cores(rows: int) -> int:
    import pyarrow as pa

    return int(min(pa.cpu_count(), max(rows // _ROWS_PER_THREAD, 1)))


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
    return _as_micros(one_array(table[name]), name, where)


def _as_micros(values: pa.Array, name: str, where: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    if not pa.types.is_timestamp(values.type) or values.type.tz is None:
        raise DataError(f"{where}: wanted {name} to be a timestamp with a time zone, found {values.type}")
    try:
        values = values.cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: {name} is finer than a microsecond", told=error) from error
    micros = values.cast(pa.int64())
    return np.asarray(pc.fill_null(micros, NEVER) if micros.null_count else micros)


def _indices(position: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(position, mask=position < 0)


def _need(table: pa.Table, names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in table.column_names:
            raise DataError(f"{where}: no column {name!r}; {nearest(name, table.column_names)}")
