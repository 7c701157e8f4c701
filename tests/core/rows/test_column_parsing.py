"""Landed values as declared types, from text and from every type that a file or a database may deliver."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.masking import MASK
from lakeloop.rows.column_parsing import column_expressions, frame_of
from lakeloop.spec.tables import Column

BIG = 2**53


def parse(values: pa.Array, column: Column, *, hidden: frozenset[str] = frozenset()) -> tuple[list[Any], list[str | None]]:
    """The values of a column `c`, and why each can't be read."""
    frame = frame_of(pa.table({"c": values}))
    value, problem = column_expressions(frame, "c", column, hidden)
    parsed = frame.select(value.alias("value"), problem.alias("problem"))
    return parsed["value"].to_list(), parsed["problem"].to_list()


@pytest.mark.parametrize(
    ("landed", "kind", "wanted"),
    [
        # Text: with spaces around it, and integers with zero decimals.
        (pa.array([" 7 ", "+7", "-7", "007", "7.", "7.00", "-0.0"]), "integer", [7, 7, -7, 7, 7, 7, 0]),
        (pa.array(["7.1", "7e0", "0x7", "", " ", "7 7", "1_000", "1,000", "٣", "--7", "+-7"]), "integer", [None] * 11),
        (pa.array([str(2**63 - 1), str(-(2**63)), str(2**63), str(-(2**63) - 1)]), "integer", [2**63 - 1, -(2**63), None, None]),
        (pa.array([" 1.5", "+1.5", "-1e-3", ".5", "5.", "1E5"]), "double", [1.5, 1.5, -0.001, 0.5, 5.0, 1e5]),
        (pa.array(["nan", "inf", "-inf", "1e999", "", "1,5", "x"]), "double", [None] * 7),
        (pa.array([str(BIG), str(-BIG), f"+{BIG}", str(BIG + 1), str(-BIG - 1), str(-(2**63)), "9" * 30]), "double", [BIG, -BIG, BIG] + [None] * 4),
        (pa.array(["true", "T", " TRUE ", "1", "false", "f", "0"]), "boolean", [True] * 4 + [False] * 3),
        (pa.array(["yes", "no", "2", "", "truee"]), "boolean", [None] * 5),
        (pa.array([" x ", "", "ü"]), "string", [" x ", "", "ü"]),
        # Numbers.
        (pa.array([1, -1], pa.int8()), "integer", [1, -1]),
        (pa.array([2**63 - 1, 2**63], pa.uint64()), "integer", [2**63 - 1, None]),
        (pa.array([1.0, 1.5, -0.0, math.nan, math.inf, BIG, BIG + 2.0]), "integer", [1, None, 0, None, None, BIG, None]),
        (pa.array([Decimal("2.00"), Decimal("2.01")]), "integer", [2, None]),
        (pa.array([True, False]), "integer", [None, None]),
        (pa.array([1, BIG, -BIG, BIG + 1, -BIG - 1, -(2**63)]), "double", [1.0, BIG, -BIG, None, None, None]),
        (pa.array([BIG, 2**63, 2**64 - 1], pa.uint64()), "double", [BIG, None, None]),
        (pa.array([0.5, 1.5], pa.float32()), "double", [0.5, 1.5]),
        (pa.array([0.1, math.nan, math.inf, -math.inf]), "double", [0.1, None, None, None]),
        (pa.array([Decimal("2.50"), Decimal("-0.01")]), "double", [2.5, -0.01]),
        (pa.array([True]), "double", [None]),
        (pa.array([date(2013, 1, 1)]), "double", [None]),
        (pa.array([1, 0, 2]), "boolean", [True, False, None]),
        (pa.array([True, False]), "boolean", [True, False]),
        (pa.array([1, 2]), "string", ["1", "2"]),
        (pa.array([True, False]), "string", ["true", "false"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "string", ["a", "b", "a"]),
        # Days.
        (pa.array([" 2024-02-29 ", "2023-02-29", "2024-2-9", "01.02.2024", "2024-01-01T00:00"]), "date", [date(2024, 2, 29), None, date(2024, 2, 9), None, None]),
        (pa.array([date(2024, 1, 1)]), "date", [date(2024, 1, 1)]),
        (pa.array([datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 0, 1)]), "date", [date(2024, 1, 1), None]),
        (pa.array([20240101]), "date", [None]),
    ],
)  # fmt: skip
def test_a_value_is_read_if_the_declared_type_holds_it_exactly(landed: pa.Array, kind: str, wanted: list[Any]) -> None:
    values, problems = parse(landed, Column(type=kind))
    assert values == wanted
    assert [problem is not None for problem in problems] == [value is None for value in wanted]


def moments(zone: str | None = None, form: str | None = None, *texts: str) -> tuple[list[Any], list[str | None]]:
    return parse(pa.array(texts), Column(type="timestamp", timezone=zone, format=form))


SIX = datetime(2024, 6, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2024-06-01T06:00:00Z", "2024-06-01 06:00:00+00:00", " 2024-06-01t08:00+0200 ", "2024-06-01T01:30:00.000-04:30", "2024-06-01 06:00z"],
)
@pytest.mark.parametrize("zone", [None, "Europe/Zurich"])
def test_a_moment_with_an_offset_is_what_it_says_whatever_the_zone(text: str, zone: str | None) -> None:
    assert moments(zone, None, text) == ([SIX], [None])


@pytest.mark.parametrize(
    ("text", "micros"),
    [("06:00:00.5", 500_000), ("06:00:00.000001", 1), ("06:00:00.0000010", 1), ("06:00:00.123456", 123_456), ("06:00:00.0000001", None), ("06:00:00.1234567", None)],
)  # fmt: skip
def test_a_moment_finer_than_a_microsecond_is_not_cut(text: str, micros: int | None) -> None:
    wanted = None if micros is None else SIX + timedelta(microseconds=micros)
    for written in (f"2024-06-01T{text}Z", f"2024-06-01 {text}"):
        assert moments("UTC", None, written)[0] == [wanted]


@pytest.mark.parametrize("text", ["", "soon", "2024-06-31T06:00:00", "2024-06-01T25:00", "01.06.2024", "2024-06-01T06:00:00+25:00"])
def test_what_is_no_moment_is_not_read(text: str) -> None:
    values, (problem,) = moments("UTC", None, text)
    assert values == [None] and problem == f"wanted a timestamp as ISO 8601 that is one moment in UTC, found {text}"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(microsecond=0, fold=0)))
def test_a_local_time_is_the_one_moment_that_the_clock_showed_it(local: datetime) -> None:
    zone = ZoneInfo("Europe/Zurich")
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    shown = first == second and first.astimezone(zone).replace(tzinfo=None) == local
    wanted = first if shown else None
    texts = [f"{local:%Y-%m-%d %H:%M:%S}", f"{local:%Y-%m-%dT%H:%M:%S}"]
    assert moments("Europe/Zurich", None, *texts)[0] == [wanted] * 2
    assert moments("Europe/Zurich", "%d.%m.%Y %H.%M.%S", f"{local:%d.%m.%Y %H.%M.%S}")[0] == [wanted]
    assert parse(pa.array([local]), Column(type="timestamp", timezone="Europe/Zurich"))[0] == [wanted]


@pytest.mark.parametrize(
    ("landed", "column", "wanted"),
    [
        (pa.array(["2024-06-01", "2024-06-01 06:00", "2024-06-01T06:00:00"]), {"timezone": "UTC"}, [SIX.replace(hour=0), SIX, SIX]),
        (pa.array(["2024-06-01 06:00"]), {}, [None]),  # no zone, and none declared
        (pa.array(["1.6.2024 8:00 +0200"]), {"format": "%d.%m.%Y %H:%M %z"}, [SIX]),
        (pa.array(["1.6.2024 8:00 +02:00", "x"]), {"format": "%d.%m.%Y %H:%M %:z"}, [SIX, None]),
        (pa.array([SIX], pa.timestamp("s", "America/New_York")), {}, [SIX]),
        (pa.array([SIX], pa.timestamp("ms", "UTC")), {"timezone": "Europe/Zurich"}, [SIX]),
        (pa.array([1, 1_000], pa.timestamp("ns", "UTC")), {}, [None, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]),
        (pa.array([datetime(2024, 6, 1, 8)], pa.timestamp("ms")), {"timezone": "Europe/Zurich"}, [SIX]),
        (pa.array([datetime(2024, 6, 1, 8)]), {}, [None]),
        (pa.array([date(2024, 6, 1)]), {"timezone": "Europe/Zurich"}, [datetime(2024, 5, 31, 22, tzinfo=UTC)]),
        (pa.array([1717221600]), {"timezone": "UTC"}, [None]),
    ],
)  # fmt: skip
def test_a_moment_has_a_zone_of_its_own_or_the_declared_one(landed: pa.Array, column: dict[str, str], wanted: list[Any]) -> None:
    values, problems = parse(landed, Column(type="timestamp", **column))
    assert values == wanted and [problem is None for problem in problems] == [value is not None for value in wanted]


@pytest.mark.parametrize(
    ("landed", "column", "problem"),
    [
        (pa.array(["x"]), {"type": "integer"}, "wanted an integer, found x"),
        (pa.array([True]), {"type": "integer"}, "wanted an integer, not a Boolean, found true"),
        (pa.array(["x"]), {"type": "double"}, "wanted a finite number, found x"),
        (pa.array([math.inf]), {"type": "double"}, "wanted a finite number, found inf"),
        (pa.array([BIG + 1]), {"type": "double"}, f"wanted a number that a double holds, found {BIG + 1}"),
        (pa.array([True]), {"type": "double"}, "wanted a finite number, not a Boolean, found true"),
        (pa.array(["x"]), {"type": "boolean"}, "wanted true or false (also t, f, 1, 0), found x"),
        (pa.array(["x"]), {"type": "date"}, "wanted a date as %Y-%m-%d, found x"),
        (pa.array(["2024-01-01"]), {"type": "date", "format": "%d.%m.%Y"}, "wanted a date as %d.%m.%Y, found 2024-01-01"),
        (pa.array([datetime(2024, 1, 1, 1)]), {"type": "date"}, "wanted a date without a time, found 2024-01-01 01:00:00.000000"),
        (pa.array([1]), {"type": "date"}, "wanted a date, not a Int64, found 1"),
        (pa.array([1]), {"type": "timestamp"}, "wanted a timestamp, not a Int64, found 1"),
        (pa.array(["x"]), {"type": "timestamp"}, "wanted a timestamp as ISO 8601 with a time zone (or declare timezone:), found x"),
        (pa.array(["x"]), {"type": "timestamp", "format": "%d %z"}, "wanted a timestamp as %d %z, found x"),
        (pa.array(["x"]), {"type": "timestamp", "format": "%d", "timezone": "UTC"}, "wanted a timestamp as %d that is one moment in UTC, found x"),
        (pa.array([1], pa.timestamp("ns", "UTC")), {"type": "timestamp"}, "wanted a timestamp in microseconds, found 1970-01-01 00:00:00.000000001+00:00"),
    ],
)  # fmt: skip
def test_what_was_wanted_and_found_is_told_unless_it_is_hidden(landed: pa.Array, column: dict[str, str], problem: str) -> None:
    declared = Column(**column)
    assert parse(landed, declared)[1] == [problem]
    assert parse(landed, declared, hidden=frozenset("c"))[1] == [problem.rpartition(", found ")[0] + f", found {MASK}"]
    assert parse(landed, declared, hidden=frozenset("d"))[1] == [problem]


@pytest.mark.parametrize("kind", ["string", "integer", "double", "boolean", "date", "timestamp"])
@pytest.mark.parametrize("landed", [pa.nulls(2), pa.nulls(2, pa.string()), pa.nulls(2, pa.int64()), pa.nulls(2, pa.timestamp("us", "UTC"))])
def test_a_null_is_a_null_of_the_declared_type_and_no_problem(kind: str, landed: pa.Array) -> None:
    assert parse(landed, Column(type=kind)) == ([None, None], [None, None])
    frame = frame_of(pa.table({"c": pa.nulls(1)}))
    dtypes: dict[str, pl.DataType | type[pl.DataType]] = {
        "string": pl.String, "integer": pl.Int64, "double": pl.Float64, "boolean": pl.Boolean, "date": pl.Date, "timestamp": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    assert frame.select(column_expressions(frame, "c", Column(type=kind), frozenset())[0]).dtypes == [dtypes[kind]]


@pytest.mark.parametrize(
    ("sources", "values", "problem"),
    [
        (["y", "m", "d"], [date(2024, 2, 9), None], None),
        (["y", "m"], [None, None], "wanted a date as %Y-%m-%d, found 2024-2"),
        (["d"], [None, None], "wanted a date, not a Int64, found 9"),
    ],
)
def test_a_column_of_several_sources_is_read_from_their_texts_joined_and_null_if_one_is(
    sources: Sequence[str], values: list[Any], problem: str | None
) -> None:
    frame = frame_of(pa.table({"y": [2024, 2024], "m": ["2", "3"], "d": [9, None]}))
    column = Column(type="date", source=list(sources), format=None)
    value, why = column_expressions(frame, "at", column, frozenset())
    parsed = frame.select(value.alias("value"), why.alias("problem"))
    assert parsed["value"].to_list() == values and parsed["problem"].to_list()[0] == problem
    hidden = frame.select(column_expressions(frame, "at", column, frozenset({"d", "m"}))[1].alias("problem"))["problem"].to_list()[0]
    assert hidden == (problem and problem.rpartition(", found ")[0] + f", found {MASK}")
