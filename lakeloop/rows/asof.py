"""Point-in-time joins: for each row of a spine, the feature values as they were known at its time.

One rule everywhere: among the rows of the same entity with event time <= t and known time <= t, the one with the greatest (event time,
known time, row order) counts; if it is older than `max_age`, there is no value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lakeloop.errors import DataError, nearest
from lakeloop.masking import mask_row
from lakeloop.rows.entity_codes import entity_codes, to_one_array

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray
Times = list[tuple[Array, Array]]
"""Event and known time in microseconds, in blocks that fit the cache; a year's rows as one array would have to be copied."""
Part = TypeVar("Part")
Result = TypeVar("Result")
NEVER = np.iinfo(np.int64).min
"""Stands for a null time; numpy's NaT has the same bits."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_PER_THREAD = 50_000
"""Looking up fewer rows takes less time than starting a thread."""
_BLOCK = 1 << 16
"""Rows compared at once, so that intermediate arrays stay in the cache."""


@dataclass(frozen=True)
class FeatureRows:
    """The rows of one view or table.

    Attributes:
        name: the view or table, for messages.
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


def is_alive(event_time: Array, at: Array, max_age: timedelta | None) -> Array:
    """Whether values are recent enough to count: by age alone, at one time per value (all times as int64 microseconds).

    >>> is_alive(np.array([0, 0]), np.array([60_000_000, 60_000_001]), timedelta(minutes=1)).tolist()
    [True, False]
    """
    if max_age is None:
        return np.ones(len(at), bool)
    return np.asarray(at - event_time <= max_age // timedelta(microseconds=1))


def point_in_time_join(spine: pa.Table, features: Iterable[FeatureRows], *, at: str) -> pa.Table:
    """Add feature columns to a spine.

    Rows with a null key or a null time match nothing. The result has the spine's rows, in their order, whatever the features.

    Args:
        spine: rows with the entity keys and the time at which to look up; duplicates are kept.
        features: what to look up; consumed one at a time, and released.
        at: the spine's UTC timestamp column.

    Returns:
        The spine's columns, then the features', each in its own Arrow type.

    Raises:
        DataError: a column is missing, key types differ, a time has no zone, a static table has a key twice, or a name is taken.
    """
    _require_columns(spine, [at], "the spine")
    moments = _column_as_micros(spine, at, "the spine")
    names = set(spine.column_names)
    result = spine
    for source in features:
        needed = [*source.keys, *source.columns, *filter(None, (source.event_time, source.known_at))]
        _require_columns(source.rows, needed, source.name)
        _require_columns(spine, source.keys, "the spine")
        for output in source.columns.values():
            if output in names:
                raise DataError(f"{source.name}: the name {output!r} is already taken in the result")
            names.add(output)
        positions = _match(spine, moments, source)
        indices = _take_indices(positions)
        columns = _map_in_threads(partial(_take_column, source.rows, indices), source.columns, len(positions))
        for output, values in zip(source.columns.values(), columns, strict=True):
            result = result.append_column(output, values)
        del source, positions, indices, columns
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
    """Look up labels by equal keys; where a key has several versions, the one known last.

    Args:
        spine: rows with the keys.
        rows: what to look up.
        on: the keys.
        columns: column of `rows` -> its name in the result.
        known_at: UTC timestamp column of `rows`; None where every key has one row.
        known_by: versions known later are ignored; a time with a zone.
        personal: keys whose values are masked in messages.

    Returns:
        Only the looked-up columns, aligned with the spine's rows.

    Raises:
        DataError: as for `point_in_time_join`.
    """
    import pyarrow as pa

    _require_columns(rows, [*on, *columns, *([known_at] if known_at else [])], "the label")
    _require_columns(spine, on, "the spine")
    source = FeatureRows("the label", rows, tuple(on), columns, event_time=known_at, known_at=known_at, personal=personal)
    limit = np.iinfo(np.int64).max if known_by is None else (known_by - _EPOCH) // timedelta(microseconds=1)
    indices = _take_indices(_match(spine, np.full(spine.num_rows, limit, np.int64), source))
    return pa.table({output: to_one_array(rows[column]).take(indices) for column, output in columns.items()})


def _take_column(rows: pa.Table, indices: pa.Array, name: str) -> pa.ChunkedArray:
    return rows[name].take(indices)


def _match(spine: pa.Table, moments: Array, source: FeatureRows) -> Array:
    """For each row of the spine the position of its feature row, or -1."""
    count = source.rows.num_rows
    if count == 0 or spine.num_rows == 0:
        return np.full(spine.num_rows, -1, np.int64)
    spine_codes, row_codes = entity_codes(spine, source.rows, source.keys, source.name)
    if source.event_time is None:
        return _match_static(spine_codes, row_codes, source)
    times = _read_times(source)
    # Almost always every row is usable; then nothing is copied.
    rows = None
    if int(row_codes.min()) < 0 or any(NEVER in (int(event.min()), int(known.min())) for event, known in times):
        event, known = _join_blocks(times)
        rows = np.flatnonzero((row_codes >= 0) & (event != NEVER) & (known != NEVER))
        if not len(rows):
            return np.full(spine.num_rows, -1, np.int64)
        row_codes, times = row_codes[rows], _split_blocks(event[rows], known[rows])

    packed, queries, span = _pack(row_codes, times, spine_codes, moments)
    if not _is_sorted(packed):
        order = np.argsort(packed, kind="stable")
        rows = order if rows is None else rows[order]
        event, known = _join_blocks(times)
        packed, times = packed[order], _split_blocks(event[order], known[order])
    # What counts at t is the greatest (event, known, row) among the rows usable by t: a running maximum in order of the time of use.
    best = _find_running_best(packed, span, times)

    starts = np.searchsorted(packed, np.arange(int(packed[-1]) // span + 1) * span)
    positions = _find_last_not_after(packed, queries)
    # An entity may have no usable row. A null key and a null moment have numbers below all rows and all rows of the entity.
    is_match = spine_codes < len(starts)
    is_match &= positions >= starts[np.where(is_match, spine_codes, 0)]
    positions[~is_match] = 0
    if best is not None:
        positions = best[positions]
    if rows is not None:
        positions = rows[positions]
    if source.max_age is not None:
        event = _column_as_micros(source.rows.select([source.event_time]).take(positions), source.event_time, source.name)
        is_match &= is_alive(event, moments, source.max_age)
    positions[~is_match] = -1
    return positions


def _read_times(source: FeatureRows) -> Times:
    """Event and known time of the rows."""
    assert source.event_time is not None
    names = [source.event_time, source.known_at or source.event_time]
    batches = source.rows.select(list(dict.fromkeys(names))).to_batches(max_chunksize=_BLOCK)
    return [(_to_micros(batch[0], names[0], source.name), _to_micros(batch[-1], names[1], source.name)) for batch in batches]


def _split_blocks(event: Array, known: Array) -> Times:
    return [(event[n : n + _BLOCK], known[n : n + _BLOCK]) for n in range(0, len(event), _BLOCK)]


def _join_blocks(times: Times) -> tuple[Array, Array]:
    return np.concatenate([event for event, _ in times]), np.concatenate([known for _, known in times])


def _pack(row_codes: Array, times: Times, spine_codes: Array, moments: Array) -> tuple[Array, Array, int]:
    """Pack entity and time of use into one number that rises with both, for the feature rows and for the spine's.

    A row is usable once it has happened and is known. `row_codes` is overwritten, so that no other array of its length is needed.

    Returns:
        The numbers of the feature rows, those of the spine's rows, and the distance from an entity to the next. A moment before all rows
        has the number just below its entity's first.
    """
    usable_from = [known if bool((known >= event).all()) else np.maximum(event, known) for event, known in times]
    low, high = min(int(block.min()) for block in usable_from), max(int(block.max()) for block in usable_from)
    span = high - low + 1
    if (max(int(row_codes.max()), int(spine_codes.max())) + 1) * span <= np.iinfo(np.int64).max:
        queries = np.clip(moments, low - 1, high)
        queries -= low
    else:
        whole = np.concatenate(usable_from)
        ranked = np.unique(whole)
        usable_from, low, span = [np.searchsorted(ranked, whole)], 0, len(ranked)
        queries = np.searchsorted(ranked, moments, side="right") - 1
    row_codes *= span
    row_codes -= low
    start = 0
    for block in usable_from:
        row_codes[start : start + len(block)] += block
        start += len(block)
    queries += spine_codes * span
    return row_codes, queries, span


def _is_sorted(values: Array) -> bool:
    before, after = values[:-1], values[1:]
    return all(bool((before[n : n + _BLOCK] <= after[n : n + _BLOCK]).all()) for n in range(0, len(after), _BLOCK))


def _find_running_best(packed: Array, span: int, times: Times) -> Array | None:
    """Find the position of the greatest (event, known, row) so far, within each entity; None where that is always the row itself.

    Inputs are sorted by entity, time of use and row, so that of rows with the same times a later one stands later.
    """
    if not any(_find_descents(packed, span, times)):
        return None
    count, (event, known) = len(packed), _join_blocks(times)
    rank = np.empty(count, np.int64)
    rank[np.lexsort((known, event, packed // span))] = np.arange(count)
    # Ranks rise with the entity, so the maximum can't reach back into the one before.
    position_of_rank = np.empty(count, np.int64)
    position_of_rank[rank] = np.arange(count)
    return position_of_rank[np.maximum.accumulate(rank)]


def _find_descents(packed: Array, span: int, times: Times) -> Iterator[bool]:
    """Whether a row's (event, known) is smaller than that of the row before it of the same entity, for each block with candidates."""
    start, last = 0, (NEVER, NEVER)
    for event, known in times:
        before = np.concatenate(([last[0]], event[:-1]))
        candidates = np.flatnonzero(event <= before)
        positions = start + candidates
        is_same_entity = packed[positions] // span == packed[positions - 1] // span
        candidates, positions = candidates[is_same_entity], positions[is_same_entity]
        if len(candidates):
            is_tie = event[candidates] == before[candidates]
            known_after, known_before = known[candidates], np.concatenate(([last[1]], known[:-1]))[candidates]
            yield bool((~is_tie | (known_after < known_before)).any())
        start, last = start + len(event), (event[-1], known[-1])


def _find_last_not_after(packed: Array, queries: Array) -> Array:
    """Find the last position whose number is not above each query's, -1 where there is none.

    Queries are searched for in rising order, so that neighbours share the cache.
    """
    positions = np.empty(len(queries), np.int64)

    def search(part: tuple[Array, Array]) -> None:
        queries, positions = part
        order = np.argsort(queries)
        positions[order] = np.searchsorted(packed, queries[order], side="right")

    # No more parts than threads: each part reads all of `packed` once.
    parts = _count_threads(len(queries))
    _map_in_threads(search, zip(np.array_split(queries, parts), np.array_split(positions, parts), strict=True), len(queries))
    positions -= 1
    return positions


def _map_in_threads(work: Callable[[Part], Result], parts: Iterable[Part], rows: int) -> list[Result]:
    """Apply a function to each part, in several threads if there are rows enough; NumPy and Arrow release the interpreter lock."""
    return [work(part) for part in parts] if _count_threads(rows) == 1 else list(_thread_pool(os.getpid()).map(work, parts))


@cache
def _thread_pool(process: int) -> ThreadPoolExecutor:
    """The process's one pool: the C library keeps freed memory for the thread that freed it, so new threads would need new memory."""
    import pyarrow as pa

    return ThreadPoolExecutor(pa.cpu_count(), thread_name_prefix="join")


def _count_threads(rows: int) -> int:
    import pyarrow as pa

    return int(min(pa.cpu_count(), max(rows // _ROWS_PER_THREAD, 1)))


def _match_static(spine_codes: Array, row_codes: Array, source: FeatureRows) -> Array:
    """For each row of the spine the position of the one row of its key, or -1."""
    present = np.flatnonzero(row_codes >= 0)
    codes = row_codes[present]
    counts = np.bincount(codes)
    if (counts > 1).any():
        row = int(np.argmax(row_codes == counts.argmax()))
        key = mask_row({name: source.rows[name][row].as_py() for name in source.keys}, source.personal)
        raise DataError(f"{source.name}: wanted one row per key in a table without event time, found {int(counts.max())} for {key}")
    # A dictionary may have more keys than the rows; the last place, where a null key points, stays empty.
    positions = np.full(max(int(row_codes.max()), int(spine_codes.max())) + 2, -1, np.int64)
    positions[codes] = present
    return np.asarray(positions[spine_codes])


def _column_as_micros(table: pa.Table, name: str, where: str) -> Array:
    """A UTC time column as int64 microseconds, `NEVER` for null."""
    return _to_micros(to_one_array(table[name]), name, where)


def _to_micros(values: pa.Array, name: str, where: str) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = pa.timestamp("us", tz="UTC")
    if pa.types.is_date(values.type):
        values = values.cast(moment)
    if not pa.types.is_timestamp(values.type) or values.type.tz is None:
        raise DataError(f"{where}: wanted {name} to be a timestamp with a time zone, found {values.type}")
    try:
        values = values.cast(moment)
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: {name} is finer than a microsecond", detail=error) from error
    micros = values.cast(pa.int64())
    return np.asarray(pc.fill_null(micros, NEVER) if micros.null_count else micros)


def _take_indices(positions: Array) -> pa.Array:
    import pyarrow as pa

    return pa.array(positions, mask=positions < 0)


def _require_columns(table: pa.Table, names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in table.column_names:
            raise DataError(f"{where}: no column {name!r}; {nearest(name, table.column_names)}")
