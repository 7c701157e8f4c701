"""Local times without a zone: those that came twice are told apart by the order of the rows, or go to quarantine with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lakeloop.rows.conform import Conformed, conform
from lakeloop.rows.local_times import NEVER, TWICE
from lakeloop.spec.tables import TableSpec

ZONES = ["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"]
"""Hours that come twice in autumn, half hours that do, midnights that are skipped, and no changes at all."""


def table(zone: str | None, keys: Sequence[str] = ("meter", "at"), **columns: dict[str, object]) -> TableSpec:
    return TableSpec.model_validate(
        {
            "name": "loads",
            "description": "Loads.",
            "source": {"files": "*.csv"},
            "timezone": zone,
            "keys": list(keys),
            "event_time": "at",
            "columns": {"meter": {"type": "string"}, "at": {"type": "timestamp"}, "load": {"type": "double"}, **columns},
        }
    )


def conformed(spec: TableSpec, rows: Sequence[tuple[str, str, float]]) -> Conformed:
    n = len(rows)
    landed = pa.table(
        {
            "meter": [meter for meter, _, _ in rows],
            "at": [at for _, at, _ in rows],
            "load": [str(load) for _, _, load in rows],
            "_file": ["a.csv"] * n,
            "_landing": ["1"] * n,
            "_landed_order": pa.array([1] * n, pa.int64()),
            "_row": pa.array(range(1, n + 1), pa.int64()),
            "ingested_at": pa.array([datetime(2025, 1, 1, tzinfo=UTC)] * n, pa.timestamp("us", tz="UTC")),
        }
    )
    return conform([landed], spec)


def moments(result: Conformed) -> dict[tuple[str, float], datetime]:
    return {(row["meter"], row["load"]): row["at"] for row in result.valid.to_pylist()}


def local(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("order", ["by meter", "by time", "newest first"])
def test_a_year_of_half_hours_in_order_is_read_as_it_was(zone: str, order: str) -> None:
    times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * step) for step in range(366 * 48)]
    rows = [(meter, moment) for meter in ("a", "b") for moment in times]
    if order != "by meter":
        rows.sort(key=lambda row: row[1], reverse=order == "newest first")
    numbered = [(meter, local(moment, zone), float(number)) for number, (meter, moment) in enumerate(rows)]
    result = conformed(table(zone), numbered)
    assert result.quarantined.num_rows == 0
    assert moments(result) == {(meter, float(number)): moment for number, (meter, moment) in enumerate(rows)}


@given(
    st.sampled_from(ZONES),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300)), max_size=60, unique=True),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_no_time_is_read_as_another_moment_whatever_is_missing(
    zone: str, picked: list[tuple[str, int]], random: object, in_order: bool
) -> None:
    # Around the changes of 2024 in all these zones, a row in three or so missing.
    starts = [datetime(2024, month, day, tzinfo=UTC) for month, day in ((3, 30), (4, 6), (9, 7), (10, 5), (10, 26), (11, 2))]
    rows = [(meter, starts[step % len(starts)] + timedelta(minutes=10 * step)) for meter, step in picked]
    if in_order:
        rows.sort(key=lambda row: row[1])
    result = conformed(table(zone), [(meter, local(moment, zone), float(number)) for number, (meter, moment) in enumerate(rows)])
    if in_order:
        read = moments(result)
        assert all(rows[int(number)][1] == moment for (_, number), moment in read.items())
    for row in result.quarantined.to_pylist():
        assert row["reason"].endswith(TWICE)
    assert result.valid.num_rows + result.quarantined.num_rows + result.duplicates == len(rows)


def test_orders_of_a_log_are_told_apart_by_the_order_of_the_file() -> None:
    times = ["01:50", "02:10", "02:40", "02:05", "02:50", "03:10"]
    rows = [(f"order {n}", f"2024-10-27 {time}", float(n)) for n, time in enumerate(times)]
    read = moments(conformed(table("Europe/Zurich", keys=["meter"]), rows))
    assert [f"{read[f'order {n}', float(n)]:%H:%M}" for n in range(6)] == ["23:50", "00:10", "00:40", "01:05", "01:50", "02:10"]


@pytest.mark.parametrize(
    "times",
    [
        ["01:00", "02:00", "03:00"],  # one of both is missing
        ["02:00", "02:30", "02:00", "02:30"],  # nothing beside them says which way time goes
        ["03:00", "02:00", "02:00", "03:00"],  # neither way
        ["01:00", "02:30", "02:00", "02:30", "02:00", "03:00"],  # falls twice
    ],
)
def test_a_time_that_came_twice_is_quarantined_where_the_order_does_not_tell(times: list[str]) -> None:
    rows = [("a", f"2024-10-27 {time}", float(n)) for n, time in enumerate(times)]
    result = conformed(table("Europe/Zurich"), rows)
    twice = sum(time.startswith("02") for time in times)
    assert result.quarantined["reason"].to_pylist() == [
        f"at: wanted a timestamp as ISO 8601 that is one moment in Europe/Zurich, found {at}: {TWICE}" for _, at, _ in rows if " 02" in at
    ]
    assert result.quarantined.num_rows == twice


def test_a_time_that_never_was_is_quarantined_and_a_skipped_midnight_begins_its_day() -> None:
    result = conformed(table("America/Santiago"), [("a", f"2024-09-08 {time}", 1.0) for time in ("00:00", "00:30", "01:30")])
    assert [
        f"{at:%d %H:%M}" for at in sorted(moments(conformed(table("America/Santiago"), [("a", "2024-09-08 00:00", 1.0)])).values())
    ] == ["08 04:00"]
    assert result.valid["at"].to_pylist() == [datetime(2024, 9, 8, 4, tzinfo=UTC), datetime(2024, 9, 8, 4, 30, tzinfo=UTC)]
    assert [reason.rpartition(": ")[2] for reason in result.quarantined["reason"].to_pylist()] == [NEVER]


def test_a_zone_of_a_column_alone_guesses_nothing() -> None:
    spec = table(None, at={"type": "timestamp", "timezone": "Europe/Zurich"})
    result = conformed(spec, [("a", f"2024-10-27 {time}", float(n)) for n, time in enumerate(["01:00", "02:00", "02:00", "03:00"])])
    assert (result.valid.num_rows, result.quarantined.num_rows) == (2, 2)


def test_times_that_name_their_zone_or_count_seconds_stay_what_they_are() -> None:
    spec = table("Europe/Zurich", seen={"type": "timestamp", "format": "epoch_s"}, utc={"type": "timestamp", "timezone": "UTC"})
    assert [spec.columns[name].timezone for name in ("meter", "at", "seen", "utc")] == [None, "Europe/Zurich", None, "UTC"]
    result = conformed(table("Europe/Zurich"), [("a", "2024-10-27T02:30:00+01:00", 1.0), ("b", "2024-07-01 00:00", 1.0)])
    assert sorted(result.valid["at"].to_pylist()) == [datetime(2024, 6, 30, 22, tzinfo=UTC), datetime(2024, 10, 27, 1, 30, tzinfo=UTC)]


def test_a_table_without_a_zone_is_stored_as_before() -> None:
    assert "timezone" not in table(None).model_dump()
    assert table("Asia/Kolkata").model_dump()["timezone"] == "Asia/Kolkata"
    assert TableSpec.model_validate(table("Asia/Kolkata").model_dump(mode="json")) == table("Asia/Kolkata")


def test_a_zone_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"wanted the name of a time zone .*found 'Europe/Zürich'; did you mean Europe/Zurich"):
        table("Europe/Zürich")
