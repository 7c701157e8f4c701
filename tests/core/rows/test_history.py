"""Feature history, against its definition read row by row: what was known stays, and what changed is known from its landing on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.rows.history import LANDED, RELATIVE_TOLERANCE, RETRACTED, Merged, merge_history

MOMENT = pa.timestamp("us", tz="UTC")
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
NOON = datetime(2013, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2013, 3, 11, tzinfo=UTC)
LANDING = datetime(2013, 3, 20, tzinfo=UTC)
COLUMNS = ["amount", "note"]
SCHEMA = pa.schema(
    [("note", pa.string()), ("k", pa.string()), ("at", MOMENT), ("amount", pa.float64()), ("known_at", MOMENT), ("_partition", pa.string())]
)

Identity = tuple[str | None, datetime]
Values = tuple[float | None, str | None]
Row = dict[str, Any]


def computed(values: Mapping[Identity, Values], delay: timedelta = timedelta()) -> pa.Table:
    """Rows as a view gives them: known some time after their event time."""
    rows = [
        {"k": k, "at": at, "amount": amount, "note": note, "known_at": at + delay, "_partition": "whole"}
        for (k, at), (amount, note) in values.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def merge(old: pa.Table | None, new: pa.Table, landed: datetime | None = None) -> Merged:
    return merge_history(old, new, keys=["k"], event_time="at", columns=COLUMNS, landed=landed)


# The definition, row by row.


def latest(*moments: datetime | None) -> datetime | None:
    """The latest of the moments that are known."""
    return max((moment for moment in moments if moment is not None), default=None)


def equal(one: Any, other: Any) -> bool:
    if not (isinstance(one, float) and isinstance(other, float)):
        return one == other
    return one == other or (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE)


def by_definition(old: list[Row], new: list[Row], landed: datetime | None) -> tuple[list[Row], tuple[int, int, int]]:
    """The rows afterwards, and how many were added, corrected, retracted."""
    old = without_unused(old, new, landed)
    last = latest_of(old)
    added, corrected, retracted = [], [], []
    for row in new:
        previous = last.get((row["k"], row["at"]))
        if previous is None:
            added.append({**row, "known_at": latest(row["known_at"], landed), LANDED: landed, RETRACTED: False})
        elif has_changed(row, previous):
            known = latest(row["known_at"], landed, previous["known_at"] + TICK)
            corrected.append({**row, "known_at": known, LANDED: landed, RETRACTED: False})
    identities = {(row["k"], row["at"]) for row in new}
    for identity, previous in last.items():
        if identity not in identities and not previous[RETRACTED]:
            known = latest(previous["known_at"] + TICK, landed)
            retracted.append({**previous, **dict.fromkeys(COLUMNS), "known_at": known, LANDED: landed, RETRACTED: True})
    rows = sorted([*old, *added, *corrected, *retracted], key=lambda row: (row["k"] or "", row["at"], row["known_at"]))
    return rows, (len(added), len(corrected), len(retracted))


def latest_of(rows: list[Row]) -> dict[Identity, Row]:
    """The version of each row that is known last."""
    return {(row["k"], row["at"]): row for row in sorted(rows, key=lambda row: row["known_at"])}


def has_changed(row: Row, previous: Row) -> bool:
    """Whether computed values aren't those of a version."""
    return previous[RETRACTED] or not all(equal(row[column], previous[column]) for column in COLUMNS)


def without_unused(old: list[Row], new: list[Row], landed: datetime | None) -> list[Row]:
    """The versions without those of changed rows that weren't known yet when the change landed."""
    if landed is None:
        return old
    computed_now = {(row["k"], row["at"]): row for row in new}
    changed = {
        identity
        for identity, previous in latest_of(old).items()
        if (has_changed(computed_now[identity], previous) if identity in computed_now else not previous[RETRACTED])
    }
    return [row for row in old if (row["k"], row["at"]) not in changed or row["known_at"] <= landed]


def plain(rows: list[Row]) -> list[str]:
    """Rows as text, in which NaN is NaN and a moment is the same in every class of time zone."""
    return [" ".join(f"{name}={value!s}" for name, value in sorted(row.items())) for row in rows]


identities = st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from([NOON, MIDNIGHT - TICK, MIDNIGHT, MIDNIGHT + timedelta(hours=3)]))
values = st.tuples(
    st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, 1.0, 1.0 + 1e-12, 1.0 + 1e-6, -1.0, 1e300]), st.sampled_from([None, "", "x"])
)
moments = st.sampled_from([NOON - DAY, NOON, NOON + TICK, LANDING, LANDING + TICK, LANDING + DAY])
recomputations = st.lists(
    st.tuples(
        st.dictionaries(identities, values, max_size=6),
        st.one_of(st.none(), moments),
        st.sampled_from([timedelta(), TICK, DAY]),
    ),
    min_size=1,
    max_size=4,
)


@given(recomputations, st.randoms(use_true_random=False))
def test_each_recomputation_gives_what_the_definition_says_whatever_the_order_of_rows(steps, chance) -> None:
    published: pa.Table | None = None
    for contents, landed, delay in steps:
        new = computed(contents, delay)
        merged = merge(published, new, landed)
        rows, counts = by_definition(published.to_pylist() if published else [], new.to_pylist(), landed)
        assert plain(merged.rows.to_pylist()) == plain(rows)
        assert (merged.added, merged.corrected, merged.retracted) == counts
        order = chance.sample(range(merged.rows.num_rows), merged.rows.num_rows)
        published = merged.rows.take(pa.array(order, pa.int64()))


@given(recomputations)
def test_what_was_known_stays_and_the_newest_version_is_what_was_computed_last(steps) -> None:
    published: pa.Table | None = None
    for contents, landed, delay in steps:
        merged = merge(published, computed(contents, delay), landed)
        rows = merged.rows.to_pylist()
        known = [row for row in (published.to_pylist() if published else []) if landed is None or row["known_at"] <= landed]
        assert not set(plain(known)) - set(plain(rows))
        assert len({(row["k"], row["at"], row["known_at"]) for row in rows}) == len(rows)
        newest = {(row["k"], row["at"]): row for row in rows}
        assert {identity for identity, row in newest.items() if not row[RETRACTED]} == set(contents)
        for identity, (amount, note) in contents.items():
            assert equal(newest[identity]["amount"], amount) and newest[identity]["note"] == note
        again = merge(merged.rows, computed(contents, delay), landed)
        assert plain(again.rows.to_pylist()) == plain(rows) and (again.added, again.corrected, again.retracted) == (0, 0, 0)
        published = merged.rows


A = ("a", NOON)
FIRST = merge(None, computed({A: (1.0, "x")})).rows


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (1.0, 1.0, True),
        (1e9, 1e9 - 1, True),  # just the tolerance, which is a share of the greater
        (1e9 - 1, 1e9, True),
        (-1e9, 1 - 1e9, True),
        (1 - 1e9, -1e9, True),
        (1e9, 1e9 - 1.001, False),
        (1e9 - 1.001, 1e9, False),
        (-1e9, 1e9, False),
        (0.0, 1e-300, False),
        (0.0, -0.0, True),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.inf, math.inf, True),
        (math.inf, 1.0, False),
        (1.0, -math.inf, False),
        (-math.inf, math.inf, False),
        (None, None, True),
        (None, 0.0, False),
        (0.0, None, False),
        (None, math.nan, False),
    ],
)  # fmt: skip
def test_a_double_is_corrected_when_it_differs_by_more_than_the_order_of_a_sum(before, after, same: bool) -> None:
    published = merge(None, computed({A: (before, "x")})).rows
    merged = merge(published, computed({A: (after, "x")}))
    assert (merged.added, merged.corrected, merged.retracted) == (0, 0 if same else 1, 0)
    assert merged.rows.num_rows == (1 if same else 2)


@pytest.mark.parametrize(
    ("before", "after", "same"), [("x", "x", True), (None, None, True), ("x", "y", False), ("x", None, False), (None, "", False)]
)
def test_a_text_is_corrected_when_it_differs(before: str | None, after: str | None, same: bool) -> None:
    published = merge(None, computed({A: (1.0, before)})).rows
    assert merge(published, computed({A: (1.0, after)})).corrected == (0 if same else 1)


def test_the_columns_are_the_identity_what_comes_along_the_features_and_the_two_of_history_in_the_types_of_the_view() -> None:
    moment = pa.field(LANDED, MOMENT)
    wanted = [SCHEMA.field(name) for name in ("k", "at", "known_at", "_partition", "amount", "note")]
    schema = pa.schema([*wanted, moment, pa.field(RETRACTED, pa.bool_())])
    assert FIRST.schema == schema
    shuffled = merge(FIRST.select(FIRST.column_names[::-1]), computed({}), LANDING)
    assert shuffled.rows.schema == schema


def test_rows_come_in_order_of_keys_event_time_and_known_time() -> None:
    mixed = {("b", NOON): (1.0, "x"), ("a", MIDNIGHT): (1.0, "x"), ("a", NOON): (1.0, "x")}
    merged = merge(merge(None, computed(mixed)).rows, computed({**mixed, A: (2.0, "x")}))
    expected = [("a", NOON), ("a", NOON), ("a", MIDNIGHT), ("b", NOON)]
    assert [(row["k"], row["at"]) for row in merged.rows.to_pylist()] == expected
    assert merged.rows["amount"].to_pylist() == [1.0, 2.0, 1.0, 1.0]
    first = merge(None, computed(mixed)).rows.to_pylist()
    assert [(row["k"], row["at"]) for row in first] == [("a", NOON), ("a", MIDNIGHT), ("b", NOON)]


def test_a_correction_is_known_a_microsecond_later_where_nothing_else_tells_when() -> None:
    merged = merge(FIRST, computed({A: (2.0, "x")}))
    assert merged.rows["known_at"].to_pylist() == [NOON, NOON + TICK]
    assert merged.rows[LANDED].to_pylist() == [None, None]


@pytest.mark.parametrize("extra", ["k", "at", "known_at"])
def test_a_key_or_a_time_that_is_a_feature_too_stays_what_it_is(extra: str) -> None:
    def recompute(old: pa.Table | None, contents: Mapping[Identity, Values]) -> Merged:
        return merge_history(old, computed(contents), keys=["k"], event_time="at", columns=["amount", extra, "note"], landed=LANDING)

    first = recompute(None, {A: (1.0, "x"), ("b", NOON): (2.0, "x")})
    merged = recompute(first.rows, {A: (3.0, "x")})
    assert (merged.added, merged.corrected, merged.retracted) == (0, 1, 1)
    assert merged.rows.select(["k", "at", "known_at", "amount", "note"]).to_pylist() == [
        {"k": "a", "at": NOON, "known_at": LANDING, "amount": 1.0, "note": "x"},
        {"k": "a", "at": NOON, "known_at": LANDING + TICK, "amount": 3.0, "note": "x"},
        {"k": "b", "at": NOON, "known_at": LANDING, "amount": 2.0, "note": "x"},
        {"k": "b", "at": NOON, "known_at": LANDING + TICK, "amount": None, "note": None},
    ]
    again = recompute(merged.rows, {A: (3.0, "x")})
    assert (again.added, again.corrected, again.retracted) == (0, 0, 0) and again.rows.equals(merged.rows)


def test_a_view_whose_only_feature_is_a_key_never_corrects_and_retracts_all_the_same() -> None:
    first = merge_history(None, computed({A: (1.0, "x")}), keys=["k"], event_time="at", columns=["k"], landed=None)
    for contents, counts in (({A: (2.0, "y")}, (0, 0, 0)), ({}, (0, 0, 1))):
        merged = merge_history(first.rows, computed(contents), keys=["k"], event_time="at", columns=["k"], landed=None)
        assert (merged.added, merged.corrected, merged.retracted) == counts


def test_a_row_is_not_known_before_what_it_was_computed_from_landed() -> None:
    assert merge(None, computed({A: (1.0, "x")}), LANDING).rows["known_at"].to_pylist() == [LANDING]
    changed = merge(FIRST, computed({A: (2.0, "x")}), LANDING).rows
    assert (changed["known_at"].to_pylist(), changed[LANDED].to_pylist()) == ([NOON, LANDING], [None, LANDING])
    late_rule = merge(FIRST, computed({A: (2.0, "x")}, delay=timedelta(days=30)), LANDING).rows
    assert late_rule["known_at"].to_pylist() == [NOON, NOON + timedelta(days=30)]


def test_a_row_that_disappeared_is_nulls_from_the_landing_on_and_never_before_it_was_known() -> None:
    for landed, known in ((LANDING, LANDING), (NOON, NOON + TICK), (None, NOON + TICK)):
        gone = merge(FIRST, computed({}), landed).rows.to_pylist()
        last = {**FIRST.to_pylist()[0], "amount": None, "note": None, "known_at": known, LANDED: landed, RETRACTED: True}
        assert gone == [FIRST.to_pylist()[0], last]


def test_a_version_that_changed_before_it_was_known_never_was() -> None:
    assert merge(FIRST, computed({}), NOON - DAY).rows.num_rows == 0
    changed = merge(FIRST, computed({A: (2.0, "x")}), NOON - DAY).rows
    assert (changed["amount"].to_pylist(), changed["known_at"].to_pylist()) == ([2.0], [NOON])
    same = merge(FIRST, computed({A: (1.0, "x")}), NOON - DAY).rows
    assert same.equals(FIRST)


def test_a_row_that_is_back_is_a_correction_and_one_that_stays_away_nothing_new() -> None:
    gone = merge(FIRST, computed({}), LANDING)
    assert (gone.added, gone.corrected, gone.retracted) == (0, 0, 1)
    still = merge(gone.rows, computed({}), LANDING)
    assert (still.added, still.corrected, still.retracted) == (0, 0, 0) and still.rows.equals(gone.rows)
    back = merge(gone.rows, computed({A: (1.0, "x")}), LANDING)
    assert (back.added, back.corrected, back.retracted) == (0, 1, 0)
    assert back.rows[RETRACTED].to_pylist() == [False, True, False]
    assert back.rows["known_at"].to_pylist() == [NOON, LANDING, LANDING + TICK]


def test_the_first_computation_adds_every_row_whether_there_was_no_table_or_an_empty_one() -> None:
    new = computed({A: (1.0, "x"), ("b", NOON): (2.0, None)})
    for old in (None, FIRST.slice(0, 0)):
        merged = merge(old, new, LANDING)
        assert (merged.added, merged.corrected, merged.retracted) == (2, 0, 0)
        assert merged.rows["known_at"].to_pylist() == [LANDING, LANDING]
    assert merge(FIRST, new).rows.num_rows == 2


def test_an_event_time_that_is_a_key_too_identifies_a_row_as_it_would_alone() -> None:
    """So it is in the outcomes of a drafted forecast, which are looked up by their target time."""
    first, second = computed({("a", NOON): (1.0, None)}), computed({("a", NOON): (2.0, None), ("a", MIDNIGHT): (3.0, None)})
    both = ["k", "at"]
    old = merge_history(None, first, keys=both, event_time="at", columns=COLUMNS, landed=None).rows
    actual = merge_history(old, second, keys=both, event_time="at", columns=COLUMNS, landed=LANDING)
    assert actual.rows.equals(merge(merge(None, first).rows, second, LANDING).rows)
    assert (actual.added, actual.corrected, actual.retracted) == (1, 1, 0)
