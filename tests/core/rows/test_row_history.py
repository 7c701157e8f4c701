"""The versions of the rows of a key, against going through the landings one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakeloop.rows.row_history import closing_rows, row_versions, take_versions
from lakeloop.spec.tables import Column, DatabaseSource, TableSpec

DAY = timedelta(days=1)
LANDED = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")


def table(kind: str | None = "timestamp", **options: Any) -> TableSpec:
    """A table by `k`; its event time is a moment, a day, or there is none."""
    columns: dict[str, Column] = {"k": Column(type="string"), "v": Column(type="integer")}
    if kind:
        columns["at"] = Column(type=kind, timezone="UTC" if kind == "timestamp" else None)
    return TableSpec(
        name="t", description="t", source={"files": "x.csv"}, keys=["k"], columns=columns, event_time="at" if kind else None, **options
    )


@dataclass(frozen=True)
class Row:
    """A row as it landed: key, value and event time; the number of its landing, and whether that is the current one of its file."""

    k: str | None
    v: int | None
    hour: int
    landing: int
    is_current: bool
    file: str = "x"


def event(hour: int) -> datetime:
    return datetime(2023, 12, 1, tzinfo=UTC) + timedelta(hours=hour)


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows in the order in which they stand in their landings."""
    return pl.DataFrame(
        {
            "k": [row.k for row in rows],
            "v": [row.v for row in rows],
            "at": [event(row.hour) for row in rows],
            "_landed_order": [row.landing for row in rows],
            "_row": range(len(rows)),
            "ingested_at": [LANDED + row.landing * DAY for row in rows],
            "_current": [row.is_current for row in rows],
            "_file": [row.file for row in rows],
            "_partition": ["2023-12"] * len(rows),
        },
        schema={
            "k": pl.String, "v": pl.Int64, "at": MOMENT, "_landed_order": pl.Int64, "_row": pl.Int64, "ingested_at": MOMENT,
            "_current": pl.Boolean, "_file": pl.Categorical, "_partition": pl.Categorical,
        },
    )  # fmt: skip


Version = tuple[str | None, int | None, int, int, bool, bool]


def following_landing(rows: Sequence[Row], landing: int) -> int | None:
    """The landing after one, of those that have a row."""
    return min((row.landing for row in rows if row.landing > landing), default=None)


def streaks_of(rows: Sequence[Row], key: str | None) -> list[list[Row]]:
    """The rows of a key in streaks of equal content, which end where the landing that follows doesn't have the key."""
    last = {}  # the last row of each landing counts
    for row in sorted((row for row in rows if row.k == key), key=lambda row: row.landing):
        last[row.landing] = row
    streaks: list[list[Row]] = []
    for row in last.values():
        before = streaks[-1][-1] if streaks else None
        if before and (before.v, before.hour) == (row.v, row.hour) and following_landing(rows, before.landing) == row.landing:
            streaks[-1].append(row)
        else:
            streaks.append([row])
    return streaks


def versions_by_definition(rows: Sequence[Row]) -> list[Version]:
    """Per key and streak of equal content: the content, the landing of its beginning, whether it stays, whether another was before."""
    versions: list[Version] = []
    for key in dict.fromkeys(row.k for row in rows):
        streaks = streaks_of(rows, key)
        stays = max((row.landing for streak in streaks for row in streak if row.is_current), default=None)
        for number, streak in enumerate(streaks):
            kept = any(row.landing == stays for row in streak)
            versions.append((key, streak[0].v, streak[0].hour, streak[0].landing, kept, number > 0))
    return versions


keys = st.sampled_from(["a", "b", None])
landings = st.lists(
    st.tuples(st.booleans(), st.lists(st.tuples(keys, st.sampled_from([1, 2, None]), st.integers(0, 1)), max_size=4)),
    min_size=1,
    max_size=5,
)
Landings = list[tuple[bool, list[tuple[str | None, int | None, int]]]]


def rows_of(parts: Landings) -> list[Row]:
    return [Row(*values, number, is_current) for number, (is_current, part) in enumerate(parts) for values in part]


@given(landings, st.randoms(use_true_random=False))
@example([(False, [("a", 1, 0)]), (False, [("a", 1, 0)]), (True, [("a", 1, 0)])], None)
@example([(False, [("a", 1, 0)]), (True, [("a", 2, 0)]), (False, [("a", 1, 0)])], None)
@example([(True, [("a", 1, 0), ("a", 2, 0)])], None)
@example([(False, [(None, None, 0)]), (True, [(None, 1, 0)])], None)
def test_a_version_is_a_streak_of_equal_content_known_since_it_first_landed(parts: Landings, chance: Any) -> None:
    rows = rows_of(parts)
    landed = frame(rows)
    if chance and rows:
        landed = landed[chance.sample(range(len(rows)), len(rows))]
    history = row_versions(landed, table())
    versions = [
        (
            landed["k"][at], landed["v"][at], (landed["at"][at] - event(0)) // timedelta(hours=1),
            (since - LANDED) // DAY, kept, corrects,
        )
        for at, since, kept, corrects in history.select("_at", "ingested_at", "_kept", "_corrects").iter_rows()
    ]  # fmt: skip
    assert sorted(versions, key=str) == sorted(versions_by_definition(rows), key=str)
    kept = history.filter("_kept")
    assert kept["_at"].to_list() == kept.sort("_landed_order", "_row")["_at"].to_list()


# When a row is known.

FIRST = LANDED + 2 * DAY


@pytest.mark.parametrize(
    ("kind", "options", "first", "since", "corrects", "live", "known"),
    [
        # No event time: live is what corrects.
        (None, {}, None, LANDED, False, False, None),
        (None, {}, None, LANDED, True, True, None),
        # Known when it landed, or due, whichever is later.
        ("timestamp", {}, None, LANDED, False, True, LANDED),
        ("timestamp", {}, None, event(0) - DAY, False, True, event(0)),
        ("timestamp", {"known_delay": "40d"}, None, LANDED, False, True, event(0) + 40 * DAY),
        ("date", {"known_delay": "1h"}, None, event(0) - DAY, False, True, event(1)),
        # Loaded as history: known when it was due.
        ("timestamp", {}, LANDED, LANDED, False, False, event(0)),
        ("timestamp", {"known_delay": "2h"}, LANDED, LANDED, False, False, event(2)),
        ("timestamp", {}, LANDED, LANDED, True, True, LANDED),  # but not its correction
        ("timestamp", {}, LANDED, LANDED + timedelta(microseconds=1), False, True, LANDED + timedelta(microseconds=1)),
        ("timestamp", {}, event(0), event(0), False, True, event(0)),  # happened when it was loaded
        ("timestamp", {}, event(0) + timedelta(microseconds=1), event(0), False, False, event(0)),
        # The definition says until when: it takes precedence, for rows of any landing.
        ("timestamp", {"bulk_loaded_until": datetime(2024, 6, 1, tzinfo=UTC)}, event(0) - DAY, LANDED + 90 * DAY, False, False, event(0)),
        ("timestamp", {"bulk_loaded_until": event(0)}, LANDED + 9 * DAY, LANDED, False, True, LANDED),
        ("date", {"bulk_loaded_until": event(1)}, None, LANDED, False, False, event(0)),
    ],
)  # fmt: skip
def test_a_row_is_known_when_it_landed_unless_it_was_loaded_as_history(
    kind: str | None, options: dict[str, Any], first: datetime | None, since: datetime, corrects: bool, live: bool, known: datetime | None
) -> None:
    spec = table(kind, **options)
    rows = frame([Row("b", 2, 5, 0, True), Row("a", 1, 0, 0, True)])
    if kind == "date":
        rows = rows.with_columns(pl.lit(date(2023, 12, 1)).alias("at"))
    history = pl.DataFrame({"_at": [1], "ingested_at": [since], "_corrects": [corrects]}, schema_overrides={"ingested_at": MOMENT})
    taken = take_versions(rows, history, spec, first)
    assert taken.column_names == [*spec.columns, *(["known_at"] if kind else []), "ingested_at", "_live", "_partition"]
    (row,) = taken.to_pylist()
    assert (row["k"], row["v"], row["_partition"]) == ("a", 1, "2023-12")
    assert (row["ingested_at"], row["_live"], row.get("known_at")) == (since, live, known)


# How a history ends.

Ending = tuple[str | None, int, datetime]


def endings_by_definition(rows: Sequence[Row], vanished: dict[tuple[str, str], datetime], last: datetime | None) -> list[Ending]:
    """For each row that vanished or moved to another event time: its key, its former time, and since when it isn't there any more."""
    endings: list[Ending] = []
    versions = versions_by_definition(rows)
    for key in dict.fromkeys(row.k for row in rows):
        own = sorted((version for version in versions if version[0] == key), key=lambda version: version[3])
        for before, after in pairwise(streaks_of(rows, key)):
            gone_with = following_landing(rows, before[-1].landing)
            if before[0].hour != after[0].hour or gone_with != after[0].landing:
                endings.append((key, before[0].hour, LANDED + gone_with * DAY))
        if not any(version[4] for version in own):
            seen = max(row.landing for row in rows if row.k == key)
            following = [LANDED + row.landing * DAY for row in rows if row.landing > seen]
            current = [LANDED + row.landing * DAY for row in rows if row.is_current]
            gone = (
                min(following, default=None)
                or max(current, default=None)
                or vanished.get(("x", "2023-12"))
                or last
                or LANDED + max(row.landing for row in rows) * DAY
            )
            endings.append((key, own[-1][2], gone))
    return endings


@given(landings, st.booleans(), st.booleans())
@example([(False, [("a", 1, 0), ("b", 1, 0)]), (False, [("a", 1, 1)]), (True, [("b", 1, 0)])], False, False)
@example([(False, [("a", 1, 0)]), (False, [("a", 2, 1)])], True, True)
@example([(False, [(None, 1, 0)]), (True, [(None, 1, 1)])], True, False)
@example([(False, [("a", 1, 0)]), (False, [("b", 1, 0)]), (True, [("a", 1, 0)])], False, False)
@example([(True, [("a", 2, 0)]), (False, [("a", 2, 0)]), (False, [("b", 1, 0)]), (False, [("a", 1, 0)])], False, False)
def test_a_row_that_vanished_or_moved_ends_at_its_former_time(parts: Landings, is_told: bool, has_last: bool) -> None:
    rows, spec = rows_of(parts), table()
    landed = frame(rows)
    history = row_versions(landed, table())
    vanished = {("x", "2023-12"): LANDED + 20 * DAY, ("y", "2023-12"): LANDED + 30 * DAY} if is_told else {}
    last = LANDED + 10 * DAY if has_last else None
    endings = [row for part in closing_rows(landed, history, spec, vanished, last) for row in part.to_pylist()]
    wanted = endings_by_definition(rows, vanished, last)
    assert sorted(((row["k"], (row["at"] - event(0)) // timedelta(hours=1), row["known_at"]) for row in endings), key=str) == sorted(
        wanted, key=str
    )
    for row in endings:
        assert row["v"] is None and row["_live"] and row["known_at"] == row["ingested_at"] and row["_partition"] == "2023-12"


def test_a_row_of_a_table_without_times_ends_as_its_key_alone() -> None:
    rows = [Row("a", 1, 0, 0, False), Row("b", 1, 0, 0, False), Row("b", 2, 0, 1, True)]
    landed = frame(rows).drop("at")
    history = row_versions(landed, table(None))
    (ended,) = closing_rows(landed, history, table(None), {}, None)
    assert ended.to_pylist() == [{"k": "a", "v": None, "ingested_at": LANDED + DAY, "_live": True, "_partition": "2023-12"}]
    assert closing_rows(landed[2:], row_versions(landed[2:], table(None)), table(None), {}, None) == []


def test_a_row_vanished_when_its_own_file_lost_it() -> None:
    rows = [Row("a", 1, 0, 0, False, "a"), Row("b", 1, 0, 0, False, "b"), Row("c", 1, 0, 0, False, "c"), Row("d", 1, 0, 3, True, "c")]
    landed = frame(rows)
    vanished = {("a", "2023-12"): LANDED + 5 * DAY, ("c", "2023-12"): LANDED + 6 * DAY, ("b", "2024-01"): LANDED + 7 * DAY}
    (ended,) = closing_rows(landed, row_versions(landed, table()), table(), vanished, LANDED + 9 * DAY)
    assert {row["k"]: (row["known_at"] - LANDED).days for row in ended.to_pylist()} == {"a": 5, "b": 9, "c": 3}


def test_a_row_vanished_with_the_first_landing_that_lacks_it_unless_landings_add_to_each_other() -> None:
    rows = [Row("a", 1, 0, 0, False), Row("b", 1, 0, 1, False), Row("b", 2, 0, 2, False), Row("c", 2, 0, 3, True)]
    landed = frame(rows)
    history = row_versions(landed, table())
    onward = table().model_copy(update={"source": DatabaseSource(database="SHOP", table="orders", cursor="number")})
    for spec, days in ((table(), {"a": 1, "b": 3}), (onward, {"a": 3, "b": 3})):
        (ended,) = closing_rows(landed, history, spec, {}, None)
        assert {row["k"]: (row["known_at"] - LANDED).days for row in ended.to_pylist()} == days


def test_a_row_that_vanished_with_all_of_its_file_and_came_back_was_gone_in_between() -> None:
    landed = frame([Row("a", 1, 0, 0, False), Row("a", 1, 0, 4, True)])
    emptied = {("x", "2023-12"): [(2, LANDED + 2 * DAY)]}
    history = row_versions(landed, table(), emptied)
    assert sorted((since - LANDED) // DAY for since in history["ingested_at"]) == [0, 4]
    (ended,) = closing_rows(landed, history, table(), {}, None, emptied)
    assert [(row["k"], (row["known_at"] - LANDED).days) for row in ended.to_pylist()] == [("a", 2)]
    onward = table().model_copy(update={"source": DatabaseSource(database="SHOP", table="orders", cursor="number")})
    assert row_versions(landed, onward, emptied)["ingested_at"].to_list() == [LANDED]


def test_a_row_that_moved_to_another_file_was_never_gone() -> None:
    rows = [Row("a", 1, 0, 0, False, "x"), Row("b", 1, 0, 2, True, "x"), Row("a", 1, 0, 1, True, "y")]
    history = row_versions(frame(rows), table())
    assert sorted(((since - LANDED) // DAY) for since in history.filter(pl.col("_at") != 1)["ingested_at"]) == [0]
