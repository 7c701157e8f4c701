"""Drafts of series in local time: the zones that fit are named, steps are those of the calendar, and every doubt is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from lakeloop.drafting.forecasts.draft import draft_forecast
from lakeloop.drafting.forecasts.history import History, read_history
from lakeloop.drafting.profile import TableProfile, profile_table
from lakeloop.drafting.table import draft_table
from lakeloop.drafting.workflow import draft_workflow
from lakeloop.errors import DataError
from lakeloop.spec.tables import TableSpec

FIRST = date(2024, 1, 1)


def midnights(zone: str, days: int) -> list[datetime]:
    return [
        datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for day in (FIRST + timedelta(days=n) for n in range(days))
    ]


def sales(**attributes: Any) -> TableSpec:
    columns = {"at": {"type": "timestamp", "description": "When."}, "sold": {"type": "double", "description": "Sold."}}
    return TableSpec.model_validate(
        {
            "name": "sales",
            "description": "Sales.",
            "source": {"files": "x.csv"},
            "keys": ["at"],
            "event_time": "at",
            "columns": columns,
            **attributes,
        }
    )


def rows_of(moments: Sequence[datetime]) -> pa.Table:
    return pa.table({"at": pa.array(moments, pa.timestamp("us", tz="UTC")), "sold": [float(n % 7) for n in range(len(moments))]})


def history(moments: Sequence[datetime], table: TableSpec | None = None, **options: Any) -> History:
    given: dict[str, Any] = dict.fromkeys(("time", "series", "every", "season", "horizon", "timezone")) | options
    return read_history(table or sales(), rows_of(moments), "sold", **given)


def pick(moments: Sequence[datetime], zone: str, chosen: Callable[[date], bool]) -> list[datetime]:
    return [moment for moment in moments if chosen(moment.astimezone(ZoneInfo(zone)).date())]


LONG = 365 * 30


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Santiago"])
@pytest.mark.parametrize(
    ("step", "days", "chosen"),
    [
        ("1d", 366, lambda day: True),
        ("1w", 800, lambda day: day.weekday() == 0),
        ("1mo", 1200, lambda day: day.day == 1),
        ("1mo", 1200, lambda day: (day + timedelta(days=1)).day == 1),
        ("3mo", 3000, lambda day: day.day == 1 and day.month % 3 == 1),
        ("12mo", LONG, lambda day: (day.month, day.day) == (7, 1)),
    ],
)
def test_steps_of_local_midnights_are_recognised_with_and_without_the_zone(
    zone: str, step: str, days: int, chosen: Callable[[date], bool]
) -> None:
    moments = pick(midnights(zone, days), zone, chosen)
    declared = history(moments, sales(timezone=zone), horizon=2)
    assert (str(declared.every), declared.every.timezone, declared.notes[1:]) == (step, zone, []) or declared.notes[0].startswith(
        "no season"
    )
    if step in ("1d", "1w", "1mo"):
        drafted = history(moments, horizon=2)
        assert (str(drafted.every), drafted.every.timezone) == (step, zone)
        assert drafted.notes[0].startswith(
            f"days begin in {zone}: the times are midnights of {zone}, on both sides of a change of its clocks"
        )
        assert f"Declare `timezone: {zone}` in sales" in drafted.notes[0]


def test_a_sample_of_one_winter_is_a_doubt_that_is_told() -> None:
    drafted = history(midnights("Europe/Berlin", 60))
    assert (str(drafted.every), drafted.every.timezone) == ("1d", None)
    assert drafted.notes[0].startswith(
        "a doubt: the times are 23:00 UTC, a midnight of Europe/Berlin; so it is in Europe/Paris, Europe/Zurich"
    )
    assert "declare `timezone: Europe/Berlin` in sales" in drafted.notes[0]
    assert history(midnights("Europe/Berlin", 60), timezone="Europe/Zurich").every.timezone == "Europe/Zurich"


def test_days_of_utc_readings_at_noon_and_hours_raise_no_doubt() -> None:
    for start, step in (
        (datetime(2024, 1, 1, tzinfo=UTC), 24),
        (datetime(2024, 1, 1, 12, tzinfo=UTC), 24),
        (datetime(2024, 1, 1, tzinfo=UTC), 1),
    ):
        drafted = history([start + timedelta(hours=step * n) for n in range(200)])
        assert drafted.notes == [] and drafted.every.timezone is None


def test_a_zone_for_dates_and_one_that_is_none_are_refused() -> None:
    with pytest.raises(DataError, match=r"timezone: wanted the name of a time zone .*did you mean Europe/Zurich"):
        history(midnights("Europe/Berlin", 60), timezone="Europe/Zürich")
    table = sales(columns={"at": {"type": "date", "description": "Day."}, "sold": {"type": "double", "description": "Sold."}})
    rows = pa.table({"at": [FIRST + timedelta(days=n) for n in range(60)], "sold": [1.0] * 60})
    options: dict[str, Any] = dict.fromkeys(("time", "series", "every", "season", "horizon"))
    assert read_history(table, rows, "sold", **options).every.timezone is None
    with pytest.raises(DataError, match="timezone: at is a date, whose days are the same in every zone"):
        read_history(table, rows, "sold", **options, timezone="Europe/Zurich")


def test_times_about_an_hour_apart_are_told_as_that_with_what_to_do() -> None:
    moments = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=3606 * n + (n * n * 7919) % 41) for n in range(200)]
    for every in (None, "1h"):
        with pytest.raises(DataError) as error:
            history(moments, every=every)
        assert str(error.value).startswith("every: the times of a series lie about 1h apart (3,")
        assert "timestamp_seconds(CAST(round(unix_timestamp(at) / 3600) AS BIGINT) * 3600) AS at" in str(error.value)
    exact = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=3606 * n) for n in range(200)]
    assert str(history(exact).every) == "3606s"


def test_what_is_drafted_of_a_zone_is_local_throughout() -> None:
    moments = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(24 * 600)]
    draft = draft_forecast(
        sales(timezone="Asia/Kolkata"), rows_of(moments), table_domain="shop", name="f", label="sold", horizon=3, origin_every="1d"
    )
    files = draft.files
    local = "from_utc_timestamp(target_at, 'Asia/Kolkata')"
    assert f"CAST(hour({local}) AS STRING) AS hour_of_day" in files["f_calendar/view.sql"]
    assert f"CAST(dayofweek({local}) AS STRING) AS weekday" in files["f_calendar/view.sql"]
    assert f"CAST(month({local}) AS STRING) AS month_of_year" in files["f_calendar/view.sql"]
    assert "at + steps_ahead * INTERVAL 1 HOUR AS target_at" in files["f/spine.sql"]
    ahead = "unix_timestamp(from_utc_timestamp(at + steps_ahead * INTERVAL 1 HOUR, 'Asia/Kolkata')) DIV 3600 % 24 AS season_phase"
    assert ahead in files["f/spine.sql"]
    assert "clock_step % 24 AS season_phase" in files["f_season/view.sql"]
    assert "timezone: Asia/Kolkata" in files["f/defs.yaml"]
    assert "UTC" not in files["f_calendar/defs.yaml"]


@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
def test_a_history_that_begins_before_1970_is_counted_downwards_too(zone: str | None) -> None:
    moments = [datetime(1968, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(1500)]
    table = sales(timezone=zone) if zone else sales()
    files = draft_forecast(table, rows_of(moments), table_domain="shop", name="f", label="sold", horizon=3, origin_every="3d").files
    queries = "".join(text for file, text in files.items() if file.endswith(".sql"))
    assert " DIV " not in queries and " % " not in queries  # both count towards zero
    assert queries.count("CAST(floor(unix_timestamp(") == 4 and "pmod(step, 7) AS season_phase" in queries


def profile(times: Sequence[str], **options: Any) -> TableProfile:
    rows = pa.table({"at": pa.array(times, pa.string()), "load": pa.array([f"{n % 13}.5" for n in range(len(times))], pa.string())})
    return profile_table(rows, text=True, **options)


def drafted(profiled: TableProfile) -> str:
    return draft_table(profiled, name="loads", source={"files": "loads.csv"}, shown="loads.csv", today=date(2025, 1, 1))


def hours(zone: str, count: int = 366 * 24) -> list[str]:
    first = datetime(2024, 1, 1, tzinfo=UTC)
    return [(first + timedelta(hours=n)).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S") for n in range(count)]


def test_a_year_of_local_hours_names_its_zone_and_keeps_its_time_and_key() -> None:
    profiled = profile(hours("Europe/Berlin"))
    assert (profiled.event_time, profiled.keys, profiled.timezone) == ("at", ("at",), "Europe/Berlin")
    text = drafted(profiled)
    assert "  timezone: Europe/Berlin  # the data have no time zone, and no time lies between 2024-03-31 01:00 and 2024-03-31 03:00" in text
    assert "at: {type: timestamp, nullable: false" in text and "timezone: UTC" not in text
    assert "2 times that came twice in Europe/Berlin are told by the order of the rows" in text


def test_a_few_times_that_are_no_moment_are_counted_and_leave_the_table_its_time() -> None:
    times = [time for time in hours("Europe/Berlin") if time != "2024-10-27 02:00:00"] + ["2024-10-27 02:00:00"]
    profiled = profile(times, timezone="Europe/Berlin")
    assert (profiled.event_time, profiled.keys, profiled.timezone) == ("at", ("at",), "Europe/Berlin")
    assert "1 times came twice or never in Europe/Berlin: their rows go to quarantine" in drafted(profiled)
    assert profiled.column("at").missing == 0
    # Many of them are another matter: the zone is hardly right.
    assert profile(["2024-03-31 02:30:00", "2024-03-31 03:30:00"] * 30, timezone="Europe/Berlin").event_time is None


def test_zoned_midnights_name_the_zone_of_the_table_or_a_doubt() -> None:
    profiled = profile([moment.isoformat() for moment in midnights("America/New_York", 366)])
    assert profiled.timezone == "America/New_York"
    assert "  timezone: America/New_York  # the times are midnights of America/New_York" in drafted(profiled)
    doubt = profile([moment.isoformat() for moment in midnights("America/New_York", 50)])
    assert doubt.timezone is None and "  # timezone: none: the times are 05:00 UTC, a midnight of America/New_York" in drafted(doubt)


def test_times_without_a_zone_that_tell_nothing_are_assumed_to_be_of_utc() -> None:
    profiled = profile(hours("UTC"))
    assert (profiled.timezone, profiled.zone_reason) == ("UTC", "the data have no time zone: UTC is assumed, set the right one")
    utc = profile([f"{time} UTC" for time in hours("UTC", 100)], timezone="Europe/Berlin")
    assert utc.column("at").column.timezone in (None, "UTC")


def test_the_calendar_of_a_drafted_workflow_is_local() -> None:
    moments = [datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=7 * n) for n in range(2000)]
    rows = pa.table({"at": pa.array(moments, pa.timestamp("us", tz="UTC")), "sold": [float(n % 97) for n in range(2000)]})
    for zone, said in (("America/New_York", "America/New_York"), (None, "UTC")):
        draft = draft_workflow(sales(timezone=zone), rows, table_domain="shop", name="w", label="sold", time="at")
        text, view = draft.files["w_inputs/view.sql"], draft.files["w_inputs/defs.yaml"]
        at = f"from_utc_timestamp(at, '{zone}')" if zone else "at"
        assert all(f"{part}({at}) AS at_{name}" in text for part, name in (("hour", "hour"), ("dayofweek", "weekday"), ("month", "month")))
        assert f"Hour of the day, {said}." in view


def test_a_zone_that_is_asked_for_is_the_tables_and_one_that_is_none_is_refused() -> None:
    profiled = profile(hours("Europe/Berlin", 100), timezone="Asia/Kolkata")
    assert (profiled.timezone, profiled.zone_reason) == ("Asia/Kolkata", "as requested")
    with pytest.raises(DataError, match=r"timezone: wanted the name of a time zone .*did you mean Europe/Zurich"):
        profile(hours("Europe/Berlin", 100), timezone="Europe/Zürich")
