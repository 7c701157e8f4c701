"""Splits, against their definition: windows walked back from the newest known label."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.spec.workflow import Split
from lakeloop.training.splits import Window, assign_split

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
NEWEST = datetime(2013, 1, 31, 12)


def assign(moments: Sequence[datetime], labelled: Sequence[bool], split: Split) -> tuple[list[str], dict[str, Window]]:
    names, windows = assign_split(np.array(moments, "datetime64[us]"), np.array(labelled, bool), split)
    return names.tolist(), windows


def by_definition(
    moments: Sequence[datetime], labelled: Sequence[bool], split: Split
) -> tuple[list[str], dict[str, tuple[datetime, datetime]]]:
    """Each row by itself: how long before the end of the test window is it?"""
    end = max(at for at, known in zip(moments, labelled, strict=True) if known) + TICK
    lengths = {"test": split.test, "validation": split.validation, "train": split.train}
    edges, reached = {}, timedelta()
    for name, length in lengths.items():
        if name == "validation" and not length:
            continue
        edges[name] = (reached, reached + length)
        reached += length + split.gap
    names = []
    for at, known in zip(moments, labelled, strict=True):
        before_end = end - at
        inside = [name for name, (near, far) in edges.items() if near < before_end <= far]
        if before_end <= timedelta():
            names.append("after")
        elif not known:
            names.append("unlabelled")
        elif inside:
            names.append(inside[0])
        else:
            names.append("before" if before_end > edges["train"][1] else "gap")
    return names, {name: (end - far, end - near) for name, (near, far) in edges.items()}


offsets = st.one_of(
    st.integers(-2, 20).map(lambda n: n * DAY), st.tuples(st.integers(0, 20), st.integers(-2, 2)).map(lambda p: p[0] * DAY + p[1] * TICK)
)
rows = st.lists(st.tuples(offsets.map(lambda back: NEWEST - back), st.booleans()), min_size=3, max_size=40)
lengths = st.sampled_from([TICK, DAY, 2 * DAY, 3 * DAY + TICK, 8 * DAY])
splits = st.builds(
    Split, train=lengths, test=lengths, validation=st.one_of(st.just(timedelta()), lengths), gap=st.sampled_from([timedelta(), TICK, DAY])
)


@given(rows, splits)
def test_each_row_is_in_the_window_that_its_distance_from_the_newest_label_says(rows, split: Split) -> None:
    moments, labelled = [at for at, _ in rows], [known for _, known in rows]
    assume(any(labelled))
    expected, edges = by_definition(moments, labelled, split)
    if all(name in expected for name in edges):
        names, windows = assign(moments, labelled, split)
        assert names == expected
        assert {name: (window.start, window.end) for name, window in windows.items()} == {
            name: (start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)) for name, (start, end) in edges.items()
        }
    else:
        empty = next(name for name in edges if name not in expected)
        with pytest.raises(DataError, match=f"^the {empty} window has no labelled row"):
            assign(moments, labelled, split)


def test_windows_meet_at_a_microsecond_and_belong_to_their_start() -> None:
    split = Split(train="2d", validation="1d", test="1d", gap="1d")
    back = [
        timedelta(),
        DAY - TICK,
        DAY,
        2 * DAY - TICK,
        2 * DAY,
        3 * DAY - TICK,
        3 * DAY,
        4 * DAY - TICK,
        4 * DAY,
        6 * DAY - TICK,
        6 * DAY,
    ]
    names, windows = assign([NEWEST - b for b in back], [True] * len(back), split)
    assert names == ["test", "test", "gap", "gap", "validation", "validation", "gap", "gap", "train", "train", "before"]
    assert list(windows) == ["train", "validation", "test"]
    end = NEWEST.replace(tzinfo=UTC) + TICK
    assert windows == {
        "train": Window(end - 6 * DAY, end - 4 * DAY), "validation": Window(end - 3 * DAY, end - 2 * DAY), "test": Window(end - DAY, end),
    }  # fmt: skip


def test_without_validation_and_gap_the_training_window_ends_where_the_test_window_starts() -> None:
    names, windows = assign([NEWEST, NEWEST - DAY], [True, True], Split(train="1d", test="1d"))
    assert names == ["test", "train"]
    assert windows["train"].end == windows["test"].start and list(windows) == ["train", "test"]


def test_rows_after_the_newest_label_are_after_and_those_without_a_label_before_it_unlabelled() -> None:
    moments = [NEWEST + DAY, NEWEST + TICK, NEWEST, NEWEST, NEWEST - DAY, NEWEST - DAY, NEWEST - 9 * DAY, NEWEST - 9 * DAY]
    names, _ = assign(moments, [False, False, False, True, True, False, False, True], Split(train="1d", test="1d"))
    assert names == ["after", "after", "unlabelled", "test", "train", "unlabelled", "unlabelled", "before"]


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
def test_times_in_another_unit_are_split_as_in_microseconds(unit: str) -> None:
    days = np.arange("2013-01-01", "2013-01-06", dtype="datetime64[D]")
    split = Split(train="2d", test="1d", gap="1d")
    names, windows = assign_split(days.astype(f"datetime64[{unit}]"), np.ones(5, bool), split)
    again, same = assign_split(days.astype("datetime64[us]"), np.ones(5, bool), split)
    assert names.tolist() == again.tolist() == ["before", "train", "train", "gap", "test"]
    assert windows == same


@pytest.mark.parametrize("count", [0, 3])
def test_without_any_label_there_is_nothing_to_split(count: int) -> None:
    with pytest.raises(DataError, match=f"^no row of {count} has a label: nothing to split$"):
        assign([NEWEST] * count, [False] * count, Split(train="1d", test="1d"))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            Split(train="5d", test="2d"),
            "the train window has no labelled row: wanted a history of 1w (train 5d, test 2d), found labels from 2013-01-30T12:00:00.000000 "
            "to 2013-01-31T12:00:00.000001",
        ),
        (
            Split(train="5d", test="2d", gap="12h"),
            "the train window has no labelled row: wanted a history of 180h (train 5d, test 2d), found labels from 2013-01-30T12:00:00.000000 "
            "to 2013-01-31T12:00:00.000001",
        ),
        (
            Split(train="5d", test="2d", validation="3d", gap="1d"),
            "the validation window has no labelled row: wanted a history of 12d (train 5d, test 2d), found labels from "
            "2013-01-30T12:00:00.000000 to 2013-01-31T12:00:00.000001",
        ),
    ],
)  # fmt: skip
def test_a_history_that_is_too_short_is_told_with_the_length_that_it_takes(split: Split, message: str) -> None:
    with pytest.raises(DataError) as refused:
        assign([NEWEST - 9 * DAY, NEWEST, NEWEST - DAY, NEWEST + DAY], [False, True, True, False], split)
    assert str(refused.value) == message
