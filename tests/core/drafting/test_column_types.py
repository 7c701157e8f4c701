"""Columns of text: dates and times by their format, what can't be decided, and numbers as people write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.drafting.column_names import unit_of
from lakeloop.drafting.column_profile import ColumnProfile
from lakeloop.drafting.profile import profile_table
from lakeloop.errors import DataError
from lakeloop.rows.conform import parse_column


def seen(*values: str, name: str = "v", text: bool = True, **options: Any) -> ColumnProfile:
    return profile_table(pa.table({name: values}), text=text, **options).columns[-1]


@pytest.mark.parametrize(
    ("values", "form", "first"),
    [
        (("01.02.1946", "03.04.1947"), "%d.%m.%Y", date(1946, 2, 1)),
        (("01/15/2020", "02/03/2020"), "%m/%d/%Y", date(2020, 1, 15)),
        (("01/02/2020", "15/02/2020"), "%d/%m/%Y", date(2020, 2, 1)),
        (("01-12-2020", "01-13-2020"), "%m-%d-%Y", date(2020, 1, 12)),
        (("05 Jan 2020", "06 Feb 2020"), "%d %b %Y", date(2020, 1, 5)),
        (("05 January 2020", "06 May 2020"), "%d %B %Y", date(2020, 1, 5)),
        (("01/15/20", "02/03/20"), "%m/%d/%y", date(2020, 1, 15)),
        (("01/15/2020 10:00", "01/16/2020 11:30"), "%m/%d/%Y %H:%M", datetime(2020, 1, 15, 10, tzinfo=UTC)),
        (("04/01/2010 09:51 AM", "04/13/2010 09:51 PM"), "%m/%d/%Y %I:%M %p", datetime(2010, 4, 1, 9, 51, tzinfo=UTC)),
        (("01.02.2020 10:00:05", "03.02.2020 10:00:05"), "%d.%m.%Y %H:%M:%S", datetime(2020, 2, 1, 10, 0, 5, tzinfo=UTC)),
    ],
)
def test_dates_that_begin_with_a_zero_are_dates(values: tuple[str, ...], form: str, first: date) -> None:
    column = seen(*values).column
    assert (column.type, column.format) == ("timestamp" if isinstance(first, datetime) else "date", form)
    assert parse_column(pa.table({"v": values}), "v", column)[0].as_py() == first


@pytest.mark.parametrize(
    ("values", "has_format", "read"),
    [
        (("1.5", "Inf", "-inf"), False, [1.5, float("inf"), float("-inf")]),
        (("1e-5", "+Infinity"), False, [1e-5, float("inf")]),
        (("1,5", "-Inf", "2,25"), True, [1.5, float("-inf"), 2.25]),
    ],
)
def test_infinity_beside_numbers_is_a_number_however_it_is_spelled(values: tuple[str, ...], has_format: bool, read: list[float]) -> None:
    column = seen(*values).column
    assert (column.type, column.non_finite, bool(column.format)) == ("double", "keep", has_format)
    assert parse_column(pa.table({"v": values}), "v", column).to_pylist() == read


def test_more_digits_than_a_double_has_stay_text_beside_nan() -> None:
    drafted = seen("12345678901234567890.123456789", "Infinity")
    assert drafted.column.type == "string" and drafted.note.startswith(
        "a double doesn't give all its digits back, and no decimal holds NaN"
    )


@pytest.mark.parametrize("values", [("inf", "nan"), ("Nan", "Ann"), ("Infinity", "x")])
def test_words_that_read_as_infinity_are_words(values: tuple[str, ...]) -> None:
    assert seen(*values).column.type == "string"


@pytest.mark.parametrize("values", [("007", "012"), ("00.5", "01.5"), ("01e5", "02e5"), ("+01", "3")])
def test_digits_with_leading_zeros_stay_text(values: tuple[str, ...]) -> None:
    drafted = seen(*values)
    assert drafted.column.type == "string" and drafted.note.startswith("leading zeros")


@pytest.mark.parametrize(
    ("values", "ways"),
    [
        (("01/02/2020", "3/4/2021"), ("%d/%m/%Y", "%m/%d/%Y")),
        (("01-02-2020", "03-04-2021"), ("%d-%m-%Y", "%m-%d-%Y")),
        (("01/02/20", "03/04/21"), ("%d/%m/%y", "%m/%d/%y")),
        (("01/02/2020 10:00", "03/04/2021 11:00"), ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")),
    ],
)
def test_where_no_value_tells_day_from_month_both_ways_are_named_and_none_is_taken(values: tuple[str, ...], ways: tuple[str, str]) -> None:
    drafted = profile_table(pa.table({"day": values}), text=True)
    column = drafted.column("day")
    assert column.column.type == "string" and column.note.startswith("day or month first? No value tells")
    assert all(f"format: '{way}'" in column.note for way in ways)
    assert drafted.event_time is None and column.note in drafted.time_reason
    with pytest.raises(DataError, match=re.escape(ways[0]) + ".*Draft without --event-time, give the column its type and format:"):
        profile_table(pa.table({"day": values}), text=True, event_time="day")


def test_text_of_a_source_that_has_types_is_a_time_where_it_reads_as_one_and_never_a_number() -> None:
    assert seen("2024-01-31 10:00:00", "2024-02-01 10:00:00.5", text=False).column.type == "timestamp"
    assert seen("2024-01-31", "2024-02-01", text=False).column.type == "date"
    for values in (("1", "2"), ("20240131", "20240201"), ("true", "false"), ("2024-01-31", "soon")):
        assert seen(*values, text=False).column.type == "string"


WRITTEN: list[tuple[tuple[str, ...], str, str, str | None, list[float]]] = [
    (("700,0", "1,25", "-3"), "double", "1.234,5", None, [700.0, 1.25, -3.0]),
    (("1.700,0", "1,25"), "double", "1.234,5", None, [1700.0, 1.25]),
    (("1.234.567", "-12"), "integer", "1.234,5", None, [1234567, -12]),
    (("1,234", "900.5"), "double", "1,234.5", None, [1234.0, 900.5]),
    (("1 234,5", "12"), "double", "1 234,5", None, [1234.5, 12.0]),
    (("1\u202f234,5", "12"), "double", "1\u202f234,5", None, [1234.5, 12.0]),
    (("1'234.5", "1'234'567"), "double", "1'234.5", None, [1234.5, 1234567.0]),
    (("1 234 567", "12"), "integer", "1 234.5", None, [1234567, 12]),
    (("12 %", "7.5%"), "double", "1,234.5 %", "%", [12.0, 7.5]),
    (("$1,200.50", "-$7", "$-8"), "double", "$1,234.5", "$", [1200.5, -7.0, -8.0]),
    (("1.200,50 €", "7 €"), "double", "1.234,5 €", "EUR", [1200.5, 7.0]),
    (("CHF 1'200.50", "CHF 7"), "double", "CHF 1'234.5", "CHF", [1200.5, 7.0]),
]


@pytest.mark.parametrize(("values", "kind", "form", "unit", "numbers"), WRITTEN)
def test_numbers_as_people_write_them_are_read_in_a_format(
    values: tuple[str, ...], kind: str, form: str, unit: str | None, numbers: list[float]
) -> None:
    drafted = seen(*values)
    assert (drafted.column.type, drafted.column.format, drafted.column.unit) == (kind, form, unit)
    assert parse_column(pa.table({"v": values}), "v", drafted.column).to_pylist() == numbers


@pytest.mark.parametrize(
    ("values", "ways"),
    [
        (("1,234", "900"), ("{type: integer, format: '1,234.5'}", "{type: double, format: '1.234,5'}")),
        (("$1.234", "$900"), ("{type: double, format: '$1,234.5'}", "{type: integer, format: '$1.234,5'}")),
    ],
)
def test_where_no_value_tells_thousands_from_decimals_both_ways_are_named(values: tuple[str, ...], ways: tuple[str, str]) -> None:
    drafted = seen(*values)
    assert drafted.column.type == "string" and drafted.note.startswith("thousands or decimals? No value tells")
    assert all(way in drafted.note for way in ways)


@pytest.mark.parametrize(
    "values",
    [
        ("079 123 456", "012 345 678"),
        ("123 456 789", "987 654 321"),
        ("1,2,3", "4,5,6"),
        ("12,5", "a"),
        ("1.2.3", "4.5.6"),
        ("$5", "€7"),
        ("5 EUR", "6 USD"),
    ],
)
def test_codes_versions_and_mixed_currencies_are_no_numbers(values: tuple[str, ...]) -> None:
    assert seen(*values).column.type == "string"


def test_yes_and_no_are_pointed_out() -> None:
    assert "v = 'Yes' is a boolean" in seen("Yes", "No", "Yes").note


def test_numbers_that_a_source_with_types_holds_as_text_are_pointed_out() -> None:
    assert seen("22.59", "0", "-3", text=False).note == "numbers held as text: type: double would read them"
    assert seen("Yes", "No", text=False).note.endswith("is a boolean")
    for values, name in ((("007", "8"), "v"), (("7", "8"), "order_id")):
        assert seen(*values, text=False, name=name).note == ""


def test_words_with_commas_are_no_numbers() -> None:
    assert seen("a, b", "12,c").note == ""


@pytest.mark.parametrize("name", ["PriceMM", "DiscMM", "SpecialMM", "PriceCH"])
def test_capitals_at_the_end_of_a_name_are_initials(name: str) -> None:
    assert unit_of(name) is None


@pytest.mark.parametrize(
    ("columns", "nulls", "types"),
    [
        ({"temp": ["1.5", "NA"], "country": ["NA", "DE"]}, {"temp": ["NA"]}, ("double", "string")),
        ({"mg": ["5", "-"], "rhesus": ["+", "-"]}, {"mg": ["-"]}, ("integer", "string")),
        ({"n": ["1", ""], "note": ["", "a"]}, {"n": [""]}, ("integer", "string")),
        (
            {"n": ["1", " NA ", "NA"], "day": ["2024-01-31", "None", "2024-02-29"]},
            {"n": [" NA ", "NA"], "day": ["None"]},
            ("integer", "date"),
        ),
        ({"ok": ["true", "null"], "answer": ["yes", "?"]}, {"ok": ["null"], "answer": ["?"]}, ("boolean", "string")),
    ],
)
def test_what_stands_for_null_is_of_a_column(columns: dict[str, list[str]], nulls: dict[str, list[str]], types: tuple[str, ...]) -> None:
    rows = pa.table(columns)
    profiled = [c for c in profile_table(rows, text=True).columns if c.source]
    assert {c.name: c.column.null_values for c in profiled if c.column.null_values} == nulls
    assert tuple(c.column.type for c in profiled) == types
    for c in profiled:
        absent = sum(value in (c.column.null_values or ()) for value in columns[c.source])
        assert parse_column(rows, c.source, c.column).null_count == absent


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        (("10E1", "1E2", "100"), "string", "codes rather than numbers"),
        (("12e3", "7"), "string", "codes rather than numbers"),
        (("1e-05", "2.5e4", "3"), "double", ""),
        (("1e+20", "3"), "double", ""),
        (("+4915112345678", "+4915187654321"), "string", "telephone numbers"),
        (("+1", "-2", "3"), "integer", ""),
        (("1.204", "12.530"), "double", "assumed: the point of"),
        (("1.204", "12.53"), "double", ""),
        (("0.204", "12.530"), "double", ""),
        (("1.204", "1204"), "double", ""),
    ],
)
def test_numbers_are_only_what_gives_its_text_back_or_what_was_assumed_is_said(values: tuple[str, ...], kind: str, told: str) -> None:
    drafted = seen(*values)
    assert drafted.column.type == kind
    assert told in drafted.note and bool(told) == bool(drafted.note)
