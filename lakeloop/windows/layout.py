"""Rows by partition and order, and where the frame of each row begins and ends among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import DataError
from lakeloop.windows.frame import Frame, Offset, Order

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray
DAY_US = 86_400_000_000
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Layout:
    """The rows of a table in the order of a window.

    Attributes:
        rows: the table's row at each place.
        group: the partition of each place, from 0 without gaps.
        peer: the rank of each place's order values; equal ones are peers.
        scale: of a single order column.
    """

    rows: Array
    group: Array
    peer: Array
    scale: Scale | None

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """For each place the first place of its partition, and the one after its last."""
        return _runs([self.group])

    @cached_property
    def peers(self) -> tuple[Array, Array]:
        """For each place the first place of its peers, and the one after the last."""
        return _runs([self.group, self.peer])


@dataclass(frozen=True)
class Scale:
    """The values of an order column, on which offsets are measured.

    Attributes:
        order: the column.
        kind: its Arrow type.
        values: of each place, as numbers; 0 for null, None if they aren't numbers or times.
        missing: at which places the value is null.
        distinct: the values that occur, rising.
        ordinal: the number of each place's value in the window's order, nulls before or after the others.
    """

    order: Order
    kind: Any
    values: Array | None
    missing: Array
    distinct: Array
    ordinal: Array


def lay_out(table: pa.Table, partition: Sequence[str], order: Sequence[Order]) -> Layout:
    """Sort the rows of a table for windows.

    Equal keys are as in Spark: null equals null, NaN equals NaN and stands after every number, -0.0 equals 0.0.
    """
    count = table.num_rows
    group = np.zeros(count, np.int64)
    for name in partition:
        codes, distinct = rank_values(table[name])
        group = _dense(group * (len(distinct) + 1) + codes + 1)
    ordinals, distinct = [], np.zeros(0)
    for each in order:
        codes, distinct = rank_values(table[each.column])
        size = len(distinct)
        ordinals.append(np.where(codes < 0, -1 if each.nulls_first else size, size - 1 - codes if each.descending else codes))
    peer = np.zeros(count, np.int64)
    for ordinal in ordinals:
        combined = peer * (int(ordinal.max(initial=0)) + 2) + ordinal + 1
        peer = combined if ordinal is ordinals[0] else _dense(combined)
    rows = np.argsort(group * (int(peer.max(initial=0)) + 1) + peer, kind="stable")
    scale = None
    if len(order) == 1:
        column = table[order[0].column]
        values = to_numbers(column)
        missing = np.asarray(column.is_null(), bool)[rows]
        scale = Scale(order[0], column.type, None if values is None else values[rows], missing, distinct, ordinals[0][rows])
    return Layout(rows, group[rows], peer[rows], scale)


def frame_bounds(layout: Layout, frame: Frame) -> tuple[Array, Array]:
    """For each place the first place of its frame, and the one after the last; equal for an empty frame.

    Raises:
        DataError: the order's type doesn't fit the offsets.
    """
    first, last = layout.bounds
    if frame.unit == "rows":
        place = np.arange(len(layout.rows))
        low = first if frame.start is None else np.clip(place + int(frame.start.number), first, last)
        high = last if frame.end is None else np.clip(place + int(frame.end.number) + 1, first, last)
    else:
        low = first if frame.start is None else _range_bound(layout, frame.start, is_start=True)
        high = last if frame.end is None else _range_bound(layout, frame.end, is_start=False)
    return low, np.maximum(low, high)


def _range_bound(layout: Layout, offset: Offset, *, is_start: bool) -> Array:
    """The places where the values begin, or have ended, that lie at an offset from each row's own. Nulls are a frame of their own."""
    peers = layout.peers[0 if is_start else 1]
    if offset.is_current:
        return peers
    scale = layout.scale
    if scale is None or scale.values is None:
        raise DataError(
            "a RANGE frame at an offset: wanted ORDER BY one column of numbers or times, found "
            + ("another number of columns" if scale is None else str(scale.kind))
        )
    size = len(scale.distinct)
    if scale.order.descending:
        wanted = _shift(scale.values, Offset(-offset.number, -offset.months, offset.is_interval), scale.kind)
        ordinal = size - np.searchsorted(scale.distinct, wanted, side="right" if is_start else "left")
    else:
        wanted = _shift(scale.values, offset, scale.kind)
        ordinal = np.searchsorted(scale.distinct, wanted, side="left" if is_start else "right")
    # One rising key of partition and value.
    stride = size + 2
    positions = np.searchsorted(layout.group * stride + scale.ordinal, layout.group * stride + ordinal)
    return np.where(scale.missing, peers, positions)


def _shift(values: Array, offset: Offset, kind: Any) -> Array:
    """The values of an order, moved by an offset."""
    import pyarrow as pa

    is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if offset.is_interval != is_time and not (pa.types.is_date(kind) and isinstance(offset.number, int)):
        raise DataError(f"a RANGE frame over {kind}: wanted {'an interval' if is_time else 'a number'}, found another offset")
    if not offset.is_interval:
        if values.dtype.kind == "O":
            return np.asarray(values + _unscaled(offset.number, kind.scale), object)
        return values + offset.number if values.dtype.kind == "f" else _add_saturating(values, int(offset.number))
    if pa.types.is_date(kind):
        if offset.number % DAY_US:
            raise DataError("a RANGE frame over a date: wanted whole days, found a part of one; order by CAST(… AS TIMESTAMP)")
        return _add_months(values, offset.months) + int(offset.number) // DAY_US
    days, rest = np.divmod(values, DAY_US)
    return _add_months(days, offset.months) * DAY_US + rest + int(offset.number)


def _add_saturating(values: Array, number: int) -> Array:
    if number >= 0:
        return np.where(values > _INT64.max - number, _INT64.max, values + number)
    return np.where(values < _INT64.min - number, _INT64.min, values + number)


def _add_months(days: Array, months: int) -> Array:
    """Days since 1970 moved by months; the 31st becomes the last day of a shorter month, as in Spark."""
    if not months:
        return days
    dates = days.astype("datetime64[D]")
    begin = dates.astype("datetime64[M]")
    target = begin + months
    length = (target + 1).astype("datetime64[D]") - target.astype("datetime64[D]")
    moved: Array = target.astype("datetime64[D]") + np.minimum(dates - begin.astype("datetime64[D]"), length - 1)
    return moved.astype(np.int64)


def _unscaled(number: Any, scale: int) -> int:
    return int(Decimal(number).scaleb(scale))


def to_numbers(column: pa.ChunkedArray) -> Array | None:
    """A column's values as numbers that compare and add as its own: days, microseconds, unscaled decimals as Python's integers. Null is 0."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind):
        return np.array([0 if value is None else _unscaled(value, kind.scale) for value in column.to_pylist()], object)
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    elif pa.types.is_date(kind):
        column = column.cast(pa.int32()).cast(pa.int64())
    elif pa.types.is_integer(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_floating(kind):
        column = column.cast(pa.float64())
    else:
        return None
    return np.asarray(column.fill_null(0) if column.null_count else column)


def rank_values(column: pa.ChunkedArray) -> tuple[Array, Array]:
    """The rank of each value among those that occur in a column, -1 for null, and these values, as numbers that stand for them."""
    values = to_numbers(column)
    missing = np.asarray(column.is_null(), bool)
    if values is None:
        values = _ranked(column)
    if values.dtype.kind == "f":
        values = values + 0.0  # -0.0 is 0.0
    order = np.argsort(values[~missing], kind="stable")
    rising = values[~missing][order]
    is_new = np.ones(len(rising), bool)
    is_new[1:] = rising[1:] != rising[:-1]
    if values.dtype.kind == "f":
        is_new[1:] &= ~np.isnan(rising[:-1])
    codes = np.full(len(values), -1, np.int64)
    codes[np.flatnonzero(~missing)[order]] = np.cumsum(is_new) - 1
    return codes, rising[is_new]


def _ranked(column: pa.ChunkedArray) -> Array:
    """For values that aren't numbers: integers in their order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_boolean(column.type):
        return np.asarray(column.fill_null(False).cast(pa.int8()))
    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
        column = pa.chunked_array([pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())])
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())  # by bytes, as Spark compares
    encoded = column.combine_chunks().dictionary_encode()
    order = np.asarray(pc.sort_indices(encoded.dictionary))
    ranks = np.zeros(len(order) + 1, np.int64)
    ranks[order] = np.arange(len(order))
    return np.asarray(ranks[np.asarray(encoded.indices.fill_null(len(order)))])


def _dense(codes: Array) -> Array:
    """The same order of codes, numbered from 0 without gaps, so that more columns never overflow."""
    order = np.argsort(codes, kind="stable")
    rising = codes[order]
    dense = np.empty(len(codes), np.int64)
    dense[order] = np.cumsum(np.concatenate(([False], rising[1:] != rising[:-1]))) if len(codes) else 0
    return dense


def _runs(columns: Sequence[Array]) -> tuple[Array, Array]:
    """For each place where its run of equal values begins, and where the next one does."""
    count = len(columns[0])
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    changes = np.zeros(count - 1, bool)
    for column in columns:
        changes |= column[1:] != column[:-1]
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    lengths = np.diff(starts, append=count)
    return np.repeat(starts, lengths), np.repeat(starts + lengths, lengths)
