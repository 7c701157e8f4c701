"""The aggregates themselves: what each gives for every frame, with Spark's types, nulls and non-finite numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import DataError
from lakeloop.windows.folds import Array, add, fold, merge_comoments, merge_moments, take_least
from lakeloop.windows.frame import Order, WindowCall
from lakeloop.windows.layout import Layout, frame_bounds, lay_out, rank_values

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT = Context(prec=76, rounding=ROUND_HALF_UP)
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Frames:
    """The frames of all rows of one call, in the order of its layout.

    Attributes:
        low: first place of each frame.
        high: the place after its last.
        counted: at which places a row counts: no argument is null, and the call's condition holds.
        call: the call.
    """

    low: Array
    high: Array
    counted: Array
    call: WindowCall

    @property
    def sizes(self) -> Array:
        """How many rows count in each frame."""
        return self.total(self.counted.astype(np.int64))

    def total(self, numbers: Array) -> Array:
        """Sums of integers, which are exact (modulo 2**64)."""
        before = np.concatenate(([0], np.cumsum(numbers, dtype=numbers.dtype)))
        return np.asarray(before[self.high] - before[self.low])


def compute_windows(table: pa.Table, calls: Sequence[WindowCall]) -> list[pa.Array]:
    """Compute window calls over a table.

    Returns:
        An array for each call, in the order of the table's rows.

    Raises:
        DataError: an integer sum is beyond 64 bits, or a type doesn't fit a function or frame.
    """
    import pyarrow as pa

    table = table.combine_chunks()
    layouts: dict[tuple[tuple[str, ...], tuple[Order, ...]], tuple[Layout, Array]] = {}
    frames: dict[Any, tuple[Array, Array]] = {}
    results = []
    for call in calls:
        key = call.partition, call.order
        if key not in layouts:
            layout = lay_out(table, *key)
            places = np.empty(len(layout.rows), np.int64)
            places[layout.rows] = np.arange(len(layout.rows))
            layouts[key] = layout, places
        layout, places = layouts[key]
        if (key, call.frame) not in frames:
            frames[key, call.frame] = frame_bounds(layout, call.frame)
        rows = pa.array(layout.rows)
        columns = [table[name].take(rows) for name in call.arguments]
        condition = table[call.condition].take(rows) if call.condition else None
        values = FUNCTIONS[call.function](Frames(*frames[key, call.frame], _counted(columns, condition, call, len(rows)), call), columns)
        results.append(values.take(pa.array(places)))
    return results


def _counted(columns: Sequence[pa.ChunkedArray], condition: pa.ChunkedArray | None, call: WindowCall, count: int) -> Array:
    counted = np.ones(count, bool)
    if call.function not in POSITIONAL or call.ignores_nulls:
        for column in columns:
            counted &= np.asarray(column.is_valid(), bool)
    if condition is not None:
        counted &= np.asarray(condition.fill_null(False), bool)
    return counted


def _doubles(column: pa.ChunkedArray, counted: Array, function: str) -> Array:
    """A column as doubles, 0 where a row doesn't count."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type) or not (_is_number(column.type) or pa.types.is_null(column.type)):
        raise DataError(f"{function} over a moving frame: wanted numbers, found {column.type}; CAST them")
    values = column.cast(pa.float64(), safe=False)
    return np.where(counted, np.asarray(values.fill_null(0.0) if values.null_count else values), 0.0)


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _with_nulls(values: Array, valid: Array, kind: Any = None) -> pa.Array:
    import pyarrow as pa

    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values)  # the processor gives infinity minus infinity a sign
    return pa.array(values, type=kind, mask=~valid, from_pandas=False)


def _count(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    import pyarrow as pa

    return pa.array(frames.sizes, pa.int64())


def _count_if(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    import pyarrow as pa

    return pa.array(frames.total((np.asarray(columns[0].fill_null(False), bool) & frames.counted).astype(np.int64)), pa.int64())


def _sum(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    import pyarrow as pa

    (column,) = columns
    has_rows = frames.sizes > 0
    if pa.types.is_decimal(column.type):
        kind = pa.decimal128(min(column.type.precision + 10, 38), column.type.scale)
        return _decimals(_unscaled_sums(frames, column), has_rows, kind)
    if pa.types.is_integer(column.type):
        return _integer_sums(frames, column, has_rows)
    (total,) = fold(frames.low, frames.high, (_doubles(column, frames.counted, "sum"),), add, (0.0,))
    return _with_nulls(total, has_rows)


def _integer_sums(frames: Frames, column: pa.ChunkedArray, has_rows: Array) -> pa.Array:
    import pyarrow as pa

    values = np.where(frames.counted, np.asarray(column.cast(pa.int64()).fill_null(0)), 0)
    longest = int((frames.high - frames.low).max(initial=0))
    if longest * max(int(values.max(initial=0)), -int(values.min(initial=0))) > _LARGEST:
        exact = frames.total(values.astype(object))
        if any(abs(number) > _LARGEST for number in exact):
            raise DataError("sum over a moving frame: an integer sum is beyond 64 bits; sum CAST(… AS DOUBLE) or CAST(… AS DECIMAL(38, 0))")
    return _with_nulls(frames.total(values), has_rows)


def _unscaled_sums(frames: Frames, column: pa.ChunkedArray) -> Array:
    scale = column.type.scale
    values = [0 if value is None else int(value.scaleb(scale, _EXACT)) for value in column.to_pylist()]
    return frames.total(np.where(frames.counted, np.array(values, object), 0))


def _decimals(unscaled: Array, valid: Array, kind: pa.DataType) -> pa.Array:
    """Decimals of unscaled integers; one with too many digits is an error, as in Spark."""
    import pyarrow as pa

    largest = 10**kind.precision
    if any(abs(number) >= largest for number, is_valid in zip(unscaled, valid, strict=True) if is_valid):
        raise DataError(f"a sum or mean over a moving frame has more digits than {kind}; CAST the values to DOUBLE")
    numbers = zip(unscaled, valid, strict=True)
    return pa.array([Decimal(int(number)).scaleb(-kind.scale, _EXACT) if is_valid else None for number, is_valid in numbers], kind)


def _mean(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    import pyarrow as pa

    (column,) = columns
    sizes = frames.sizes
    if pa.types.is_decimal(column.type):
        kind = pa.decimal128(min(column.type.precision + 4, 38), min(column.type.scale + 4, 38))
        shift = 10 ** (kind.scale - column.type.scale)
        totals = _unscaled_sums(frames, column)
        means = [_round_half_up(int(total) * shift, int(size)) if size else 0 for total, size in zip(totals, sizes, strict=True)]
        return _decimals(np.array(means, object), sizes > 0, kind)
    (total,) = fold(frames.low, frames.high, (_doubles(column, frames.counted, "avg"),), add, (0.0,))
    with np.errstate(all="ignore"):
        return _with_nulls(total / np.maximum(sizes, 1), sizes > 0)


def _round_half_up(number: int, by: int) -> int:
    quotient, rest = divmod(abs(number), by)
    return (quotient + (2 * rest >= by)) * (1 if number >= 0 else -1)


def _spread(*, is_sample: bool, is_root: bool) -> Callable[[Frames, Sequence[pa.ChunkedArray]], pa.Array]:
    def compute(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
        values = _doubles(columns[0], frames.counted, frames.call.function)
        leaves = frames.counted.astype(float), values, np.where(np.isfinite(values), 0.0, np.nan)
        count, _, deviations = fold(frames.low, frames.high, leaves, merge_moments, (0.0, 0.0, 0.0))
        with np.errstate(all="ignore"):
            variance = deviations / np.maximum(count - is_sample, 1)
            return _with_nulls(np.sqrt(variance) if is_root else variance, count > is_sample)

    return compute


def _pairs(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> tuple[Array, ...]:
    x, y = (_doubles(column, frames.counted, frames.call.function) for column in columns)
    spoilt = np.where(np.isfinite(x) & np.isfinite(y), 0.0, np.nan)
    leaves = frames.counted.astype(float), x, y, *(np.where(np.isfinite(each), 0.0, np.nan) for each in (x, y)), spoilt
    return fold(frames.low, frames.high, leaves, merge_comoments, (0.0,) * 6)


def _covariance(*, is_sample: bool) -> Callable[[Frames, Sequence[pa.ChunkedArray]], pa.Array]:
    def compute(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
        count, *_, products = _pairs(frames, columns)
        return _with_nulls(products / np.maximum(count - is_sample, 1), count > is_sample)

    return compute


def _correlation(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    count, _, _, spread_x, spread_y, products = _pairs(frames, columns)
    with np.errstate(all="ignore"):
        return _with_nulls(products / np.sqrt(spread_x * spread_y), count > 1)


def _extreme(*, is_least: bool) -> Callable[[Frames, Sequence[pa.ChunkedArray]], pa.Array]:
    def compute(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
        codes, distinct = rank_values(columns[0])
        size = len(distinct)
        codes = np.where(frames.counted, codes if is_least else size - 1 - codes, size)
        (best,) = fold(frames.low, frames.high, (codes,), take_least, (size,))
        # The first row that has a code stands for its value.
        places = np.full(size + 1, -1, np.int64)
        places[codes[::-1]] = np.arange(len(codes))[::-1]
        return _take(columns[0], np.where(best < size, places[best], -1))

    return compute


def _take(column: pa.ChunkedArray, places: Array) -> pa.Array:
    """The values at some places, null at -1."""
    import pyarrow as pa

    return column.combine_chunks().take(_with_nulls(places, places >= 0, pa.int64()))


def _nth(place_of: Callable[[Array, Array, int], Array]) -> Callable[[Frames, Sequence[pa.ChunkedArray]], pa.Array]:
    """A function that takes one row of each frame: which, of the numbers of the first one and of the one after the last."""

    def compute(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
        counted = np.flatnonzero(frames.counted)
        before = np.concatenate(([0], np.cumsum(frames.counted)))
        first, after = before[frames.low], before[frames.high]
        wanted = place_of(first, after, frames.call.number)
        is_there = (wanted >= first) & (wanted < after)
        return _take(columns[0], np.where(is_there, np.append(counted, -1)[np.where(is_there, wanted, -1)], -1))

    return compute


def _collect(frames: Frames, columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """Lists of what counts in each frame, in its order."""
    import pyarrow as pa

    counted = np.flatnonzero(frames.counted)
    before = np.concatenate(([0], np.cumsum(frames.counted)))
    first, sizes = before[frames.low], before[frames.high] - before[frames.low]
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    numbers = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - first, sizes)
    values = columns[0].combine_chunks().take(pa.array(counted[numbers], pa.int64()))
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values).cast(pa.list_(values.type))


FUNCTIONS: Mapping[str, Callable[[Frames, Sequence[Any]], Any]] = {
    "count": _count,
    "count_if": _count_if,
    "sum": _sum,
    "avg": _mean,
    "mean": _mean,
    "min": _extreme(is_least=True),
    "max": _extreme(is_least=False),
    "bool_and": _extreme(is_least=True),
    "every": _extreme(is_least=True),
    "bool_or": _extreme(is_least=False),
    "some": _extreme(is_least=False),
    "any": _extreme(is_least=False),
    "stddev": _spread(is_sample=True, is_root=True),
    "std": _spread(is_sample=True, is_root=True),
    "stddev_samp": _spread(is_sample=True, is_root=True),
    "stddev_pop": _spread(is_sample=False, is_root=True),
    "variance": _spread(is_sample=True, is_root=False),
    "var_samp": _spread(is_sample=True, is_root=False),
    "var_pop": _spread(is_sample=False, is_root=False),
    "covar_samp": _covariance(is_sample=True),
    "covar_pop": _covariance(is_sample=False),
    "corr": _correlation,
    "first": _nth(lambda first, after, number: first),
    "first_value": _nth(lambda first, after, number: first),
    "any_value": _nth(lambda first, after, number: first),
    "last": _nth(lambda first, after, number: after - 1),
    "last_value": _nth(lambda first, after, number: after - 1),
    "nth_value": _nth(lambda first, after, number: first + number - 1),
    "collect_list": _collect,
    "array_agg": _collect,
}
"""What can be computed over a moving frame, by its name in Spark."""
POSITIONAL = {"first", "first_value", "any_value", "last", "last_value", "nth_value"}
"""Functions that take a row as it is, null too."""
