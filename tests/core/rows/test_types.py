"""Casts that change no value, and what counts as one type."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from lakeloop.rows.types import EXACT_INTEGERS, arrow_type, cast_exactly, is_same_type, plain_type, schema_of
from lakeloop.spec.tables import Column

MOMENT = pa.timestamp("us", tz="UTC")


def cast(values: pa.Array, kind: pa.DataType, personal: tuple[str, ...] = ()) -> list[Any]:
    return cast_exactly(pa.table({"v": values}), pa.schema([("v", kind)]), "here", personal)["v"].to_pylist()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, None, -3]), pa.float64(), [1.0, None, -3.0]),
        (pa.array([EXACT_INTEGERS, -EXACT_INTEGERS]), pa.float64(), [2.0**53, -(2.0**53)]),
        (pa.array([1.0, None, -0.0]), pa.int64(), [1, None, 0]),
        (pa.array([float("nan"), 0.5]), pa.float32(), [pytest.approx(float("nan"), nan_ok=True), 0.5]),
        (pa.array([Decimal("2.50"), None]), pa.float64(), [2.5, None]),
        (pa.array([7, 8], pa.int64()), pa.int8(), [7, 8]),
        (pa.nulls(2), pa.string(), [None, None]),
        (pa.array(["a", None], pa.large_string()), pa.string(), ["a", None]),
        (pa.array([date(2024, 2, 29)]), MOMENT, [datetime(2024, 2, 29, tzinfo=UTC)]),
        (pa.array([datetime(2024, 3, 31, 1, tzinfo=UTC)], pa.timestamp("ms", tz="Europe/Berlin")), MOMENT, [datetime(2024, 3, 31, 1, tzinfo=UTC)]),
    ],
)  # fmt: skip
def test_a_value_that_another_type_holds_is_cast(values: pa.Array, kind: pa.DataType, expected: list[Any]) -> None:
    assert cast(values, kind) == expected


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (pa.array([1.0, 9.5]), pa.int64(), "here: column v: 9.5 (row 1) would change as int64; nothing was written"),
        (pa.array([1, EXACT_INTEGERS + 1]), pa.float64(), f"{EXACT_INTEGERS + 1} (row 1) would change as double"),
        (pa.array([float("nan")]), pa.int64(), "nan (row 0) would change as int64"),
        (pa.array([300]), pa.int8(), "300 (row 0) would change as int8"),
        (pa.array([0.1]), pa.float32(), "0.1 (row 0) would change as float"),
        (pa.array([1_000_000_001], pa.timestamp("ns", tz="UTC")), MOMENT, "(row 0) would change as timestamp[us, tz=UTC]"),
        (pa.array(["1"]), pa.int64(), "wanted int64, found string, which is no number"),
        (pa.array([1]), pa.string(), "wanted string, found int64, which is no text"),
        (pa.array(["2024-01-01"]), MOMENT, "which is no time"),
        (pa.array([datetime(2024, 1, 1)]), MOMENT, "which has no time zone"),
    ],
)  # fmt: skip
def test_a_value_that_would_change_is_refused_with_its_column_type_and_row(values: pa.Array, kind: pa.DataType, message: str) -> None:
    with pytest.raises(DataError) as error:
        cast(values, kind)
    assert message in str(error.value)


def test_a_personal_value_is_masked_in_the_refusal() -> None:
    with pytest.raises(DataError, match=r"column v: \*\*\* \(row 0\)"):
        cast(pa.array([9.5]), pa.int64(), ("v",))


def test_every_declared_type_has_one_arrow_type_and_times_are_utc() -> None:
    columns = {kind: Column(type=kind) for kind in ("string", "integer", "double", "boolean", "date", "timestamp")}  # type: ignore[arg-type]
    kinds = [pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), MOMENT]
    assert schema_of(columns) == pa.schema(list(zip(columns, kinds, strict=True)))
    assert [arrow_type(column.type) for column in columns.values()] == kinds


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (pa.string(), pa.large_string(), True),
        (pa.string(), pa.string_view(), True),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string(), True),
        (pa.timestamp("s", tz="UTC"), pa.timestamp("us", tz="Europe/Berlin"), True),
        (pa.timestamp("us"), MOMENT, False),
        (pa.int32(), pa.int64(), False),
        (pa.date32(), pa.timestamp("us"), False),
    ],
)
def test_a_zone_counts_and_a_unit_or_an_encoding_do_not(a: pa.DataType, b: pa.DataType, same: bool) -> None:
    assert is_same_type(a, b) == is_same_type(b, a) == same
    assert plain_type(plain_type(a)) == plain_type(a)
