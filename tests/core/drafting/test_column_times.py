"""Texts that are times: the one format that reads them all, or why they stay text."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakeloop.drafting.column_times import UNDECIDED, declare_time


def declared(*values: str, timezone: str = "UTC", digits: bool = False) -> tuple[tuple[str | None, ...] | None, str]:
    column, note = declare_time(pa.array(values), timezone, digits=digits)
    return (column and (column.type, column.format, column.timezone)), note


@pytest.mark.parametrize(
    ("values", "actual"),
    [
        (["2024-01-31", "2024-02-29"], ("date", None, None)),
        (["31.01.2024"], ("date", "%d.%m.%Y", None)),
        (["31/01/2024", "01/02/2024"], ("date", "%d/%m/%Y", None)),
        (["01/31/2024", "02/01/2024"], ("date", "%m/%d/%Y", None)),
        (["Jan 31 2024"], ("date", "%b %d %Y", None)),
        (["2024-01-31T10:00:00+02:00"], ("timestamp", None, None)),
        (["2024-01-31 10:00:00"], ("timestamp", None, "UTC")),
        (["31.01.2024 10:00"], ("timestamp", "%d.%m.%Y %H:%M", "UTC")),
        (["31/Jan/2024:10:00:00 +0200"], ("timestamp", "%d/%b/%Y:%H:%M:%S %z", None)),
        (["2024-01-31", "2023-02-29"], None),
        (["2024-01-31", "soon"], None),
        (["hello"], None),
        (["12:30"], None),
    ],
)
def test_one_format_reads_every_value_or_none_is_declared(values: list[str], actual: tuple[str | None, ...] | None) -> None:
    assert declared(*values)[0] == actual


@pytest.mark.parametrize("values", [["01/02/2024", "11/12/2024"], ["01-02-2024 10:00"], ["1/2/24"]])
def test_where_day_and_month_could_change_places_it_stays_text_with_both_ways(values: list[str]) -> None:
    actual, note = declared(*values)
    assert actual is None and note.startswith(UNDECIDED) and note.count("{type: ") == 2


def test_eight_digits_are_a_date_only_where_they_may_be() -> None:
    assert declared("20240131", digits=True)[0] == ("date", "%Y%m%d", None)
    assert declared("20240131")[0] is None and declared("20241331", digits=True)[0] is None


def test_times_without_a_zone_say_which_is_assumed_and_which_rows_it_costs() -> None:
    actual, note = declared("2024-01-31 10:00:00", timezone="Europe/Berlin")
    assert actual == ("timestamp", None, "Europe/Berlin") and note.startswith("the data have no time zone: Europe/Berlin is assumed")
    _, note = declared("2024-03-31 02:30:00", timezone="Europe/Berlin")
    assert note.startswith("the data have no time zone, and some times came twice or never in Europe/Berlin")
