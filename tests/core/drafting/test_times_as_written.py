"""Times as people write them: read by a stated rule, or told with what to declare; and what the drafted declaration then reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.drafting.column_times import ASSUMED, UNDECIDED, UNREAD
from lakeloop.drafting.column_types import declare
from lakeloop.drafting.profile import profile_table
from lakeloop.rows.conform import parse_column
from lakeloop.spec.tables import Column

NOON = datetime(2024, 11, 5, 12, 30, tzinfo=UTC)
CASES: dict[str, tuple[list[Any], str | None, str | None, datetime, str]] = {
    "hours of the zone": (["2024-11-05 14:30:00+02", "2024-11-05 12:30:00+00"], None, None, NOON, ""),
    "a name of the zone": (["2024-11-05 12:30:00 UTC", "2024-11-06 12:30:00 UTC"], None, None, NOON, ""),
    "GMT": (["2024-11-05T12:30:00 GMT"], None, None, NOON, ""),
    "a space before the offset": (["2024-11-05 14:30:00 +0200"], None, None, NOON, ""),
    "a comma before the fraction": (["2024-11-05 12:30:00,250"], None, "UTC", NOON.replace(microsecond=250_000), "the data have no"),
    "the end of the day": (["2024-11-04 24:00", "2024-11-05 01:00"], None, "UTC", datetime(2024, 11, 5, tzinfo=UTC), "the data have no"),
    "the end of the day with seconds": (["2024-12-31T24:00:00Z"], None, None, datetime(2025, 1, 1, tzinfo=UTC), ""),
    "the end of the day by dots": (["31.12.2023 24:00"], "%d.%m.%Y %H:%M", "UTC", datetime(2024, 1, 1, tzinfo=UTC), "the data have no"),
    "a comma by dots": (
        ["05.11.2024 12:30:00,25"], "%d.%m.%Y %H:%M:%S%.f", "UTC", NOON.replace(microsecond=250_000), "the data have no",
    ),
    "mail with an offset": (["Tue, 05 Nov 2024 14:30:00 +0200"], "%a, %d %b %Y %H:%M:%S %z", None, NOON, ""),
    "HTTP": (["Tue, 05 Nov 2024 12:30:00 GMT"], "%a, %d %b %Y %H:%M:%S GMT", "UTC", NOON, ""),
    "the C library": (["Tue Nov 5 12:30:00 2024"], "%a %b %d %H:%M:%S %Y", "UTC", NOON, "the data have no"),
    "a log": (["05/Nov/2024:14:30:00 +0200"], "%d/%b/%Y:%H:%M:%S %z", None, NOON, ""),
    "no separators": (["20241105T123000"], "%Y%m%dT%H%M%S", "UTC", NOON, "the data have no"),
    "UTC by slashes": (["13/11/2024 12:30 UTC", "05/11/2024 12:30 UTC"], "%d/%m/%Y %H:%M UTC", "UTC", NOON.replace(day=13), ""),
    "two digits of the year": (["31.12.24 12:30"], "%d.%m.%y %H:%M", "UTC", NOON.replace(month=12, day=31), f"{ASSUMED} years of two"),
    "69 is of the last century": (["31/12/69 12:30"], "%d/%m/%y %H:%M", "UTC", datetime(1969, 12, 31, 12, 30, tzinfo=UTC), ASSUMED),
    "69 with seconds and a half of the day": (
        ["31/12/69 12:30:00 PM"], "%d/%m/%y %I:%M:%S %p", "UTC", datetime(1969, 12, 31, 12, 30, tzinfo=UTC), ASSUMED,
    ),
    "seconds since 1970": (["1730809800", "1730809801"], "epoch_s", None, NOON, ASSUMED),
    "milliseconds since 1970": (["1730809800000"], "epoch_ms", None, NOON, ASSUMED),
    "whole numbers": ([1730809800, 1730809801], "epoch_s", None, NOON, ASSUMED),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_time_is_read_by_a_stated_rule(name: str) -> None:
    values, form, zone, first, note = CASES[name]
    column, told = declare(pa.chunked_array([values]), "created_at", text=isinstance(values[0], str), timezone="UTC")
    assert column is not None
    assert (column.type, column.format, column.timezone) == ("timestamp", form, zone) and told.startswith(note) and bool(told) == bool(note)
    assert parse_column(pa.table({"v": values}), "v", column)[0].as_py() == first


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["01/02/24", "03/04/24"], UNDECIDED),
        (["24-01-02"], UNDECIDED),
        (["2024-01-02 10:00:00", "2024-01-03 10:00:00", "2024-01-04 10:00:00", "2024-01-05 10:00:00", "later"], UNREAD),
        (["05.11.2024 12:30 Uhr", "06.11.2024 12:30 Uhr"], UNREAD),
        (["2024-11-05 25:00"], UNREAD),
        (["05/11/2024 12:30 CET"], UNREAD),
        (["1/13/2024", "2024-01-14", "13.1.2024", "2024-01-15"], UNREAD),
    ],
)
def test_what_is_not_understood_is_asked_and_said_where_the_table_stays_static(values: list[str], note: str) -> None:
    rows = pa.table({"id": [str(n) for n in range(len(values))], "created_at": values})
    profile = profile_table(rows, text=True)
    assert profile.column("created_at").note.startswith(note) and profile.event_time is None
    assert note in profile.time_reason and "{type: " in profile.time_reason


@pytest.mark.parametrize(
    ("name", "values"),
    [("views", [1_730_809_800]), ("created_at", [1_730_809_800, 5]), ("created_at", [5, 6]), ("time", [-1_730_809_800])],
)
def test_other_numbers_stay_numbers(name: str, values: list[int]) -> None:
    column, _ = declare(pa.chunked_array([values]), name, text=False, timezone="UTC")
    assert column is not None and column.type == "integer"


@pytest.mark.parametrize(
    ("form", "value", "moment"),
    [
        ("epoch_s", "1730809800.25", NOON.replace(microsecond=250_000)),
        ("epoch_s", 1730809800.5, NOON.replace(microsecond=500_000)),
        ("epoch_s", "-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("epoch_ms", 1730809800001, NOON.replace(microsecond=1_000)),
        ("epoch_us", 1730809800000001, NOON.replace(microsecond=1)),
        ("epoch_s", "1730809800.1234567", None),
        ("epoch_us", "0.5", None),
        ("epoch_s", "9999999999999", None),
        ("epoch_s", "soon", None),
    ],
)
def test_numbers_since_1970_are_moments_of_at_most_microseconds(form: str, value: Any, moment: datetime | None) -> None:
    column = Column(type="timestamp", format=form)
    assert parse_column(pa.table({"v": [value]}), "v", column)[0].as_py() == moment


@pytest.mark.parametrize("more", [{"type": "date"}, {"type": "timestamp", "timezone": "UTC"}])
def test_numbers_since_1970_are_timestamps_in_utc(more: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="epoch_s is of a timestamp in UTC"):
        Column.model_validate({"format": "epoch_s", **more})


@pytest.mark.parametrize(("name", "values"), [("version", ["9.10.11", "1.2.12"]), ("number", ["2.2.2", "9.10.1"])])
def test_numbers_with_dots_that_are_no_dates_stay_text(name: str, values: list[str]) -> None:
    column, _ = declare(pa.chunked_array([values]), name, text=True, timezone="UTC")
    assert column is not None and column.type == "string"


def test_numbers_since_1970_may_have_spaces_around_them() -> None:
    column, _ = declare(pa.chunked_array([[" 1730809800", "1730809801 "]]), "time", text=True, timezone="UTC")
    assert column is not None and column.format == "epoch_s"
