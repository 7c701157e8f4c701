"""Aggregates over moving frames against their definitions: each frame by itself, row by row, in plain Python."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from lakeloop.windows.frame import Frame, Offset, Order, WindowCall
from lakeloop.windows.functions import FUNCTIONS, compute_windows

DAY_US = 86_400_000_000
NAN, INF = float("nan"), float("inf")


def over(values: Sequence[Any], function: str, frame: Frame, kind: pa.DataType | None = None, **more: Any) -> list[Any]:
    """A function over one partition whose rows stand in their order."""
    table = pa.table({"x": pa.array(values, kind), "o": pa.array(range(len(values)), pa.int64())})
    call = WindowCall(function, ("x",), (), (Order("o"),), frame, **more)
    (computed,) = compute_windows(table, [call])
    return list(computed.to_pylist())


LAST_TWO = Frame("rows", Offset(-1), Offset(0))


@pytest.mark.parametrize("poison", [NAN, INF, -INF, 1e17, 9.97e36])
@pytest.mark.parametrize("function", ["sum", "avg", "stddev", "variance"])
def test_what_has_left_a_frame_leaves_no_trace(poison: float, function: str) -> None:
    values = [1.0, 2.0, poison, 3.0, 4.0, 6.0]
    assert over(values, function, LAST_TWO)[4:] == over([3.0, 4.0, 6.0], function, LAST_TWO)[1:]


def test_equal_values_have_no_deviation() -> None:
    assert over([0.1, 1e9, 0.1, 0.1, 0.1], "stddev", LAST_TWO)[3:] == [0.0, 0.0]


def test_sums_over_infinities_are_as_added_up() -> None:
    sums = over([INF, 1.0, -INF, INF, 1e308, 1e308], "sum", LAST_TWO)
    assert [sums[0], sums[1], sums[2], sums[5]] == [INF, INF, -INF, INF] and math.isnan(sums[3])


def _spread(values: list[float], *, sample: bool) -> float | None:
    if len(values) <= sample:
        return None
    if not all(map(math.isfinite, values)):
        return NAN
    return statistics.variance(values) if sample else statistics.pvariance(values)


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


def _key(value: Any) -> tuple[bool, Any]:
    is_nan = isinstance(value, float) and math.isnan(value)
    return is_nan, 0 if is_nan else value


DEFINITIONS: dict[str, Callable[[list[Any]], Any]] = {
    "count": lambda values: len([v for v in values if v is not None]),
    "sum": lambda values: sum(kept, start=0.0) if (kept := [v for v in values if v is not None]) else None,
    "avg": lambda values: sum(kept) / len(kept) if (kept := [v for v in values if v is not None]) else None,
    "min": lambda values: min((v for v in values if v is not None), key=_key, default=None),
    "max": lambda values: max((v for v in values if v is not None), key=_key, default=None),
    "var_samp": lambda values: _spread([v for v in values if v is not None], sample=True),
    "var_pop": lambda values: _spread([v for v in values if v is not None], sample=False),
    "stddev_samp": lambda values: _root(_spread([v for v in values if v is not None], sample=True)),
    "first": lambda values: values[0] if values else None,
    "last_value": lambda values: values[-1] if values else None,
    "collect_list": lambda values: [repr(v) for v in values if v is not None],
}


def shift(value: Any, offset: Offset) -> Any:
    """A value of an order moved by an offset, by the calendar of Python."""
    if isinstance(value, (date, datetime)):
        month = value.year * 12 + value.month - 1 + offset.months
        year, index = divmod(month, 12)
        following = date(year + (index == 11), index % 12 + 2 if index < 11 else 1, 1)
        moved = (
            value.replace(year=year, month=index + 1, day=min(value.day, (following - timedelta(days=1)).day)) if offset.months else value
        )
        return moved + timedelta(microseconds=int(offset.number))
    return value + offset.number


def members(rows: list[dict[str, Any]], row: int, call: WindowCall) -> list[int]:
    """The rows of a frame by its definition."""
    own, frame = rows[row], call.frame
    same = [n for n, other in enumerate(rows) if all(repr(other[k]) == repr(own[k]) for k in call.partition)]
    order = call.order[0]

    def position(n: int) -> tuple[bool, Any]:
        value = rows[n][order.column]
        return (value is None) != order.nulls_first, 0 if value is None else value

    nulls = [n for n in same if rows[n][order.column] is None]
    others = sorted((n for n in same if rows[n][order.column] is not None), key=position, reverse=order.descending)
    if order.descending:  # the order of equal values stays that of the table
        others = [n for v in dict.fromkeys(rows[n][order.column] for n in others) for n in same if rows[n][order.column] == v]
    ordered = [*nulls, *others] if order.nulls_first else [*others, *nulls]
    here = ordered.index(row)
    if frame.unit == "rows":
        start = 0 if frame.start is None else max(0, here + int(frame.start.number))
        end = len(ordered) if frame.end is None else here + int(frame.end.number) + 1
        return ordered[start : max(start, end)]

    def inside(n: int) -> bool:
        value, mine = rows[n][order.column], own[order.column]
        place = ordered.index(n)
        for offset, sign in ((frame.start, 1), (frame.end, -1)):
            if offset is None:
                continue
            if mine is None or value is None:
                if (mine is None) != (value is None) and (place - here) * sign < 0:
                    return False
                continue
            bound = shift(mine, Offset(-offset.number, -offset.months, offset.is_interval) if order.descending else offset)
            if (value < bound) if sign * (-1 if order.descending else 1) > 0 else (value > bound):
                return False
        return True

    return [n for n in ordered if inside(n)]


def random_rows(draw: random.Random) -> list[dict[str, Any]]:
    def maybe(value: Any) -> Any:
        return None if draw.random() < 0.15 else value

    start = date(2024, 1, 25)
    return [
        {
            "k": draw.choice(["a", "b", None]),
            "o": n,
            "i": maybe(draw.randrange(-3, 9)),
            "d": maybe(start + timedelta(days=draw.randrange(40))),
            "t": maybe(datetime(1969, 12, 25, tzinfo=UTC) + timedelta(hours=draw.randrange(300))),
            "x": maybe(draw.choice([float(draw.randrange(-9, 10)), NAN, 1e17, INF, 0.5])),
        }
        for n in range(40)
    ]


KINDS = {"k": pa.string(), "o": pa.int64(), "i": pa.int32(), "d": pa.date32(), "t": pa.timestamp("us", "UTC"), "x": pa.float64()}


def random_call(draw: random.Random, function: str) -> WindowCall:
    column = draw.choice(["o", "i", "d", "t"]) if function not in ("first", "last_value", "collect_list") else "o"
    unit = draw.choice(["rows", "range"])
    step = {"d": DAY_US, "t": DAY_US // 4}.get(column, 1) if unit == "range" else 1
    numbers = sorted(draw.randrange(-4, 5) for _ in range(2))
    months = draw.choice([0, 0, 1]) if unit == "range" and column in ("d", "t") else 0
    is_time = unit == "range" and column in ("d", "t")
    start, end = (Offset(number * step, sign * months, is_time) for number, sign in zip(numbers, (-1, 1), strict=True))
    frame = Frame(unit, draw.choice([start, start, None]), draw.choice([end, end, None]))
    return WindowCall(function, ("x",), draw.choice([(), ("k",)]), (Order(column, draw.random() < 0.5, draw.random() < 0.5),), frame)


@pytest.mark.parametrize("function", DEFINITIONS)
@pytest.mark.parametrize("seed", range(12))
def test_each_frame_is_computed_as_if_it_stood_alone(function: str, seed: int) -> None:
    draw = random.Random(f"{function} {seed}")
    rows, call = random_rows(draw), random_call(draw, function)
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in KINDS.items()})
    (computed,) = compute_windows(table, [call])
    for number, value in enumerate(computed.to_pylist()):
        value = [repr(each) for each in value] if isinstance(value, list) else value
        wanted = DEFINITIONS[function]([rows[n]["x"] for n in members(rows, number, call)])
        assert value == (pytest.approx(wanted, rel=1e-9, nan_ok=True) if isinstance(wanted, (float, int)) else wanted), (number, call)


def test_pairs_correlate_by_the_rows_that_have_both() -> None:
    table = pa.table({"x": [1.0, 2.0, None, 4.0, 5.0], "y": [2.0, 1.0, 9.0, None, 7.0], "o": range(5)})
    frame = Frame("rows", Offset(-9), Offset(0))
    computed = compute_windows(
        table, [WindowCall(name, ("x", "y"), (), (Order("o"),), frame) for name in ("corr", "covar_samp", "covar_pop")]
    )
    pairs = [(1.0, 2.0), (2.0, 1.0), (5.0, 7.0)]
    xs, ys = zip(*pairs, strict=True)
    assert computed[0][4].as_py() == pytest.approx(statistics.correlation(xs, ys))
    assert computed[1][4].as_py() == pytest.approx(statistics.covariance(xs, ys))
    assert computed[2][4].as_py() == pytest.approx(statistics.covariance(xs, ys) * 2 / 3)
    assert [each[0].as_py() for each in computed] == [None, None, 0.0]


def test_decimals_stay_exact_and_their_means_are_rounded_half_up() -> None:
    values = [Decimal("0.01"), Decimal("0.01"), None, Decimal("99999999.99")]
    frame = Frame("rows", Offset(-2), Offset(0))
    assert over(values, "sum", frame, pa.decimal128(10, 2))[3] == Decimal("100000000.00")
    assert over([Decimal("0.01"), Decimal("0.01"), Decimal("0.03")], "avg", frame, pa.decimal128(10, 2))[2] == Decimal("0.016667")


def test_an_integer_sum_beyond_64_bits_is_refused() -> None:
    assert over([2**62, 2**62 - 1, 5], "sum", LAST_TWO) == [2**62, 2**63 - 1, 2**62 + 4]
    with pytest.raises(DataError, match="beyond 64 bits"):
        over([2**62, 2**62, 5], "sum", LAST_TWO)


def test_a_condition_and_ignored_nulls_choose_the_rows_that_count() -> None:
    table = pa.table({"x": [1.0, None, 3.0, 4.0], "b": [True, True, None, False], "o": range(4)})
    frame = Frame("rows", Offset(-1), Offset(0))
    filtered, last, second = compute_windows(
        table,
        [
            WindowCall("sum", ("x",), (), (Order("o"),), frame, condition="b"),
            WindowCall("last_value", ("x",), (), (Order("o"),), frame, ignores_nulls=True),
            WindowCall("nth_value", ("x",), (), (Order("o"),), frame, number=2),
        ],
    )
    assert filtered.to_pylist() == [1.0, 1.0, None, None]
    assert last.to_pylist() == [1.0, 1.0, 3.0, 4.0]
    assert second.to_pylist() == [None, None, 3.0, 4.0]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_empty_table_has_empty_windows(function: str) -> None:
    kind = pa.bool_() if function in ("count_if", "bool_and", "every", "bool_or", "some", "any") else pa.float64()
    table = pa.table({"x": pa.array([], kind), "o": pa.array([], pa.int64())})
    arguments = ("x", "x") if function.startswith(("corr", "covar")) else ("x",)
    (computed,) = compute_windows(table, [WindowCall(function, arguments, (), (Order("o"),), LAST_TWO)])
    assert len(computed) == 0


def test_partitions_by_equal_keys_are_those_of_spark() -> None:
    table = pa.table({"k": [0.0, -0.0, NAN, NAN, None, None], "o": range(6)})
    (computed,) = compute_windows(table, [WindowCall("count", (), ("k",), (Order("o"),), Frame("rows", Offset(-9), Offset(9)))])
    assert computed.to_pylist() == [2] * 6


@pytest.mark.parametrize(
    ("kind", "offset", "told"),
    [
        (pa.string(), Offset(-1), "wanted ORDER BY one column of numbers or times, found string"),
        (pa.timestamp("us", "UTC"), Offset(-1), "wanted an interval"),
        (pa.int64(), Offset(-1, is_interval=True), "wanted a number"),
        (pa.date32(), Offset(-5, is_interval=True), "wanted whole days"),
    ],
)
def test_an_order_that_offsets_do_not_fit_is_refused(kind: pa.DataType, offset: Offset, told: str) -> None:
    table = pa.table({"o": pa.array([None], kind)})
    with pytest.raises(DataError, match=told):
        compute_windows(table, [WindowCall("count", (), (), (Order("o"),), Frame("range", offset, Offset(0)))])
