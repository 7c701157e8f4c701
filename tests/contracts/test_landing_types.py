"""Each Arrow type as it lands in Delta, is drafted, and is read back; and values that can't land, refused by a sentence."""

from __future__ import annotations

import re
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakeloop.drafting.profile import profile_table
from lakeloop.errors import DataError
from lakeloop.rows.conform import parse_column
from lakeloop.rows.landing_types import land_columns, landing_of
from lakeloop.rows.types import cast_exactly, schema_of
from lakeloop.spec.tables import Column, Files
from resources.lake.writes import require_readable
from resources.sources.files import read_file, resolve_files

NAN, INF = float("nan"), float("inf")
ONE = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
DAY, UTC = datetime(2024, 2, 29, 9, 30), ZoneInfo("UTC")
LONG = 10**37 + 1

CASES: list[tuple[pa.Array, pa.DataType, str, list[Any]]] = [
    (pa.array([True, None]), pa.bool_(), "boolean", [True, None]),
    (pa.array([None, None], pa.bool_()), pa.bool_(), "boolean", [None, None]),
    (pa.array([-128, 127], pa.int8()), pa.int8(), "integer", [-128, 127]),
    (pa.array([255, None], pa.uint8()), pa.int64(), "integer", [255, None]),
    (pa.array([65_535], pa.uint16()), pa.int64(), "integer", [65_535]),
    (pa.array([2**32 - 1], pa.uint32()), pa.int64(), "integer", [2**32 - 1]),
    (pa.array([2**63 - 1], pa.uint64()), pa.decimal128(20, 0), "integer", [2**63 - 1]),
    (pa.array([2**64 - 1, None], pa.uint64()), pa.decimal128(20, 0), "decimal(20,0)", [Decimal(2**64 - 1), None]),
    (pa.array([2**53 + 1, 2**53 + 2]), pa.int64(), "integer", [2**53 + 1, 2**53 + 2]),
    (pa.array([1.5, None], pa.float16()), pa.float64(), "double", [1.5, None]),
    (pa.array([1.5, None], pa.float32()), pa.float32(), "double", [1.5, None]),
    (pa.array([NAN, INF, -INF, None, 0.5]), pa.float64(), "double", [NAN, INF, -INF, None, 0.5]),
    (pa.array([Decimal("1.10")], pa.decimal32(5, 2)), pa.decimal128(5, 2), "double", [1.1]),
    (pa.array([Decimal("12345678901234567.89")], pa.decimal128(20, 2)), pa.decimal128(20, 2), "decimal(20,2)", [Decimal("12345678901234567.89")]),
    (pa.array([Decimal(2**53 + 1), Decimal(2**53)], pa.decimal128(20, 0)), pa.decimal128(20, 0), "integer", [2**53 + 1, 2**53]),
    (pa.array([Decimal(LONG), None], pa.decimal128(38, 0)), pa.decimal128(38, 0), "decimal(38,0)", [Decimal(LONG), None]),
    (pa.array([Decimal("1.5")], pa.decimal256(50, 2)), pa.string(), "double", [1.5]),
    (pa.array([Decimal(10**45)], pa.decimal256(50, 0)), pa.string(), "string", [str(10**45)]),
    (pa.array(["é", "", None]), pa.string(), "string", ["é", "", None]),
    (pa.array(["a", None], pa.large_string()), pa.string(), "string", ["a", None]),
    (pa.array(["a", None], pa.string_view()), pa.string(), "string", ["a", None]),
    (pa.array(["a", None, "a"]).dictionary_encode(), pa.string(), "string", ["a", None, "a"]),
    (pa.array([b"text", None]), pa.binary(), "string", ["text", None]),
    (pa.array([b"\xff\x00", b"ab", None]), pa.binary(), "string", ["ff00", "6162", None]),
    (pa.array([b"\xff\x00"], pa.binary(2)), pa.binary(), "string", ["ff00"]),
    (pa.array([b"\xff\x00"], pa.large_binary()), pa.binary(), "string", ["ff00"]),
    (pa.array([ONE.bytes, None], pa.uuid()), pa.string(), "string", [str(ONE), None]),
    (pa.array([date(1, 1, 1), date(9999, 12, 31)]), pa.date32(), "date", [date(1, 1, 1), date(9999, 12, 31)]),
    (pa.array([date(2024, 2, 29)], pa.date64()), pa.date32(), "date", [date(2024, 2, 29)]),
    (pa.array([DAY], pa.timestamp("s")), pa.timestamp("us"), "timestamp", [DAY.replace(tzinfo=UTC)]),
    (pa.array([DAY], pa.timestamp("ns", tz="UTC")), pa.timestamp("us", tz="UTC"), "timestamp", [DAY.replace(tzinfo=UTC)]),
    (pa.array([time(9, 30), None], pa.time32("s")), pa.string(), "string", ["09:30:00", None]),
    (pa.array([time(9, 30, 0, 250_000), time(0)], pa.time64("us")), pa.string(), "string", ["09:30:00.250000", "00:00:00"]),
    (pa.array([1], pa.time64("ns")), pa.string(), "string", ["00:00:00.000000001"]),
    (pa.array([timedelta(days=1, hours=2, microseconds=500_000), None]), pa.string(), "string", ["P1DT2H0.5S", None]),
    (pa.array([[1, 2], [], None]), pa.string(), "string", ["[1, 2]", "[]", None]),
    (pa.array([[255]], pa.list_(pa.uint8())), pa.string(), "string", ["[255]"]),
    (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), pa.string(), "integer", [1, None]),
    (pa.array([{}, None], pa.struct([])), pa.string(), "string", ["{}", None]),
    (pa.nulls(2), pa.null(), "string", [None, None]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "lands", "declared", "expected"), CASES, ids=[f"{i}-{case[0].type}" for i, case in enumerate(CASES)])
def test_a_column_of_any_type_lands_is_drafted_and_read_back(
    tmp_path: Path, values: pa.Array, lands: pa.DataType, declared: str, expected: list[Any]
) -> None:
    rows = land_columns(pa.table({"id": range(len(values)), "v": values}), "here")
    assert rows.schema.field("v").type == lands
    if not pa.types.is_null(lands):
        deltalake.write_deltalake(str(tmp_path), rows)
        back = deltalake.DeltaTable(str(tmp_path)).to_pyarrow_table()
        assert back.select(["v"]).equals(rows.select(["v"])) or str(back["v"].to_pylist()) == str(rows["v"].to_pylist())
    profile = profile_table(rows, text=False)
    column = profile.columns[-1]
    assert column.column.type == declared
    parsed = parse_column(rows, column.name, column.column)
    assert str(parsed.to_pylist()) == str(expected)  # by text, as NaN equals nothing


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (pa.array([1], pa.timestamp("ns")), "column v: wanted times in microseconds, found finer ones"),
        (pa.array([2**62], pa.timestamp("s")), "column v: wanted times that microseconds since 1970 can hold"),
        (pa.array([1000], pa.date64()), "column v: wanted dates, found one with a time of day"),
    ],
)
def test_values_that_delta_cannot_store_are_refused_by_column(values: pa.Array, told: str) -> None:
    with pytest.raises(DataError, match=f"here: {told}"):
        land_columns(pa.table({"v": values}), "here")


def test_pandas_periods_are_refused() -> None:
    import pandas as pd

    rows = pa.Table.from_pandas(pd.DataFrame({"v": pd.period_range("2024-01", periods=2, freq="M")}))
    with pytest.raises(DataError, match="pandas' periods"):
        land_columns(rows, "here")


def test_nested_values_stay_as_they_landed_under_earlier_releases() -> None:
    rows = pa.table({"v": pa.array([{"a": 1}])})
    assert land_columns(rows, "here", {"v": rows["v"].type})["v"].to_pylist() == [{"a": 1}]
    assert land_columns(rows, "here")["v"].to_pylist() == ['{"a": 1}']
    assert parse_column(rows, "a", Column(type="integer", source=["v"], path=["a"])).to_pylist() == [1]


@pytest.mark.parametrize("kind", [pa.int32(), pa.dense_union([pa.field("a", pa.int64())]), pa.month_day_nano_interval()])
def test_every_type_has_a_rule(kind: pa.DataType) -> None:
    assert landing_of(kind).lands


@pytest.mark.parametrize(
    ("value", "column", "expected"),
    [
        ("1.10", Column(type="decimal(5,2)"), Decimal("1.10")),
        (" +1.1000 ", Column(type="decimal(5,2)"), Decimal("1.10")),
        ("1.105", Column(type="decimal(5,2)"), None),
        ("1234.5", Column(type="decimal(5,2)"), None),
        ("1e2", Column(type="decimal(5,2)"), None),
        (0.1, Column(type="decimal(5,2)"), Decimal("0.10")),
        (0.125, Column(type="decimal(5,2)"), None),
        (7, Column(type="decimal(5,2)"), Decimal("7.00")),
        (Decimal("1.10"), Column(type="decimal(5,1)"), Decimal("1.1")),
        (Decimal("1.15"), Column(type="decimal(5,1)"), None),
        (Decimal(2**53 + 1), Column(type="double"), None),
        (Decimal("0.1"), Column(type="double"), 0.1),
        (NAN, Column(type="double"), None),
        (INF, Column(type="double", non_finite="keep"), INF),
        ("-inf", Column(type="double", non_finite="keep"), -INF),
        ("1e999", Column(type="double", non_finite="keep"), None),
        (b"\xff", Column(type="string"), None),
        (b"\xff", Column(type="string", format="base64"), "/w=="),
        ("01/02/20", Column(type="date", format="%d/%m/%Y"), None),
        ("01/02/2020", Column(type="date", format="%d/%m/%Y"), date(2020, 2, 1)),
    ],
)
def test_a_value_is_read_exactly_or_not_at_all(value: Any, column: Column, expected: Any) -> None:
    (parsed,) = parse_column(pa.table({"v": [value]}), "v", column).to_pylist()
    assert parsed == expected


def test_non_finite_values_are_null_where_a_column_says_so_and_break_no_rule() -> None:
    from lakeloop.rows.column_parsing import column_expressions, frame_of

    frame = frame_of(pa.table({"v": [NAN, 1.0, None]}))
    value, problem = column_expressions(frame, "v", Column(type="double", non_finite="null"), frozenset())
    assert frame.select(value.alias("v"))["v"].to_list() == [None, 1.0, None]
    assert frame.select(problem.alias("p"))["p"].null_count() == 3


def test_old_times_of_parquet_beyond_2262_are_read_and_finer_ones_refused(tmp_path: Path) -> None:
    far = pa.table({"v": pa.array([datetime(2500, 1, 1), datetime(1600, 1, 1), None], pa.timestamp("us"))})
    pq.write_table(far, tmp_path / "far.parquet", use_deprecated_int96_timestamps=True)
    pq.write_table(pa.table({"v": pa.array([1], pa.timestamp("ns"))}), tmp_path / "fine.parquet", use_deprecated_int96_timestamps=True)
    spec = Files(files=["*.parquet"])
    good, fine = resolve_files(spec, tmp_path)
    assert read_file(good, spec, {})["v"].to_pylist() == far["v"].to_pylist()
    with pytest.raises(DataError, match=r"fine\.parquet: column v: wanted times in microseconds"):
        read_file(fine, spec, {})


def test_a_decimal_type_is_declared_in_one_spelling_and_fits_the_lake() -> None:
    column = Column.model_validate({"type": "decimal(10, 2)"})
    assert column.type == "decimal(10,2)"
    rows = cast_exactly(pa.table({"v": [1.5, None]}), schema_of({"v": column}), "t")
    assert rows["v"].to_pylist() == [Decimal("1.50"), None]
    for kind in ("decimal(39,2)", "decimal(2,5)"):
        with pytest.raises(ValueError, match=rf"wanted decimal\(p,s\) of 1 to 38 digits, .*found '{re.escape(kind)}'"):
            Column.model_validate({"type": kind})
    with pytest.raises(ValueError, match=r"found 'decimal'; did you mean 'decimal\(p,s\)'\?"):
        Column.model_validate({"type": "decimal"})
    with pytest.raises(ValueError, match=r"found 'number'.* boolean, date, decimal\(p,s\), double"):
        Column.model_validate({"type": "number"})


def test_fields_that_earlier_releases_lack_are_in_no_fingerprint() -> None:
    assert set(Column(type="string").model_dump(mode="json")) == {
        "type", "description", "unit", "nullable", "personal", "source", "format", "timezone",
    }  # fmt: skip
    assert Column(type="string", null_values=["NA"]).model_dump(mode="json")["null_values"] == ["NA"]


@pytest.mark.parametrize(
    "values", [pa.array([ONE.bytes], pa.uuid()), pa.array([time(1)]), pa.array([200], pa.uint8()), pa.array([{}], pa.struct([]))]
)
def test_what_cannot_be_read_again_is_refused_before_it_lands(values: pa.Array) -> None:
    with pytest.raises(DataError, match="here: column v of type .* can't be written and read again"):
        require_readable(pa.table({"id": [1], "v": values}), "here")


def test_what_lands_is_read_again_as_it_is() -> None:
    for values, *_ in CASES:
        rows = land_columns(pa.table({"id": range(len(values)), "v": values}), "here")
        if not pa.types.is_null(rows["v"].type):
            require_readable(pa.concat_tables([rows] * 60), "here")
