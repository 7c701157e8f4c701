"""Partitions: every moment lies in exactly one, names sort as their times do, and what is no partition always counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.spec.partitions import (
    FORMATS,
    is_of_grain,
    is_partition,
    name_span,
    partition_keys,
    partition_window,
    select_overlapping,
    split_into_batches,
)
from lakeloop.spec.tables import Partitions

GRAINS = st.sampled_from(["month", "day"])
DAYS = st.dates(date(1999, 12, 1), date(2030, 2, 1))


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@given(GRAINS, DAYS, st.integers(0, 100))
def test_partitions_lie_end_to_end_from_start_to_end_and_their_names_sort(grain: str, start: date, days: int) -> None:
    start = start.replace(day=1) if grain == "month" else start
    keys = partition_keys(Partitions(grain=grain, start=start), at(start) + timedelta(days=days))  # type: ignore[arg-type]
    windows = [partition_window(key, grain) for key in keys]
    assert keys == sorted(keys)
    assert all(a[1] == b[0] for a, b in pairwise(windows))
    assert not windows or (windows[0][0] == at(start) and windows[-1][0] < at(start) + timedelta(days=days) <= windows[-1][1])


@given(GRAINS, DAYS)
def test_a_moment_lies_in_the_partition_that_its_time_is_written_as(grain: str, day: date) -> None:
    low, high = partition_window(at(day).strftime(FORMATS[grain]), grain)
    assert low <= at(day) < at(day) + timedelta(days=1) <= high


def test_an_end_is_no_partition_and_without_one_the_partition_of_now_is_the_last() -> None:
    closed = Partitions(start=date(2024, 1, 1), end=date(2024, 3, 1))
    assert partition_keys(closed, datetime(2030, 1, 1, tzinfo=UTC)) == ["2024-01", "2024-02"]
    assert [is_partition(closed, key) for key in ("2023-12", "2024-02", "2024-03")] == [False, True, False]
    open_ended = Partitions(start=date(2024, 1, 1))
    assert partition_keys(open_ended, datetime(2024, 3, 1, tzinfo=UTC)) == ["2024-01", "2024-02"]
    assert partition_keys(open_ended, datetime(2024, 3, 1, 0, 0, 1, tzinfo=UTC))[-1] == "2024-03"
    assert is_partition(open_ended, "2099-01")


@pytest.mark.parametrize(
    ("key", "grain", "fits"),
    [
        ("2024-02", "month", True),
        ("2024-13", "month", False),
        ("2024-02-29", "day", True),
        ("2023-02-29", "day", False),
        ("2024-02", "day", False),
        ("undated", "month", False),
        ("whole", "day", False),
    ],
)
def test_a_name_is_of_its_grain_or_refused_with_an_example(key: str, grain: str, fits: bool) -> None:
    assert is_of_grain(key, grain) == fits
    if not fits:
        with pytest.raises(DataError, match=rf"wanted a {grain} such as 2013-04.*, found '{key}'"):
            partition_window(key, grain)


def test_only_partitions_that_share_an_instant_are_reached_and_other_names_always() -> None:
    keys = ["2024-01", "2024-02", "2024-03", "undated"]
    low, high = datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
    assert select_overlapping(keys, "month", low, high) == ["2024-02", "undated"]
    assert select_overlapping(keys, "month", low - timedelta(microseconds=1), high) == ["2024-01", "2024-02", "undated"]
    assert select_overlapping(keys, "month", low, high + timedelta(microseconds=1)) == ["2024-02", "2024-03", "undated"]


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 20)), st.integers(1, 30))
def test_batches_keep_the_order_and_none_is_larger_than_one_partition_makes_it(rows: dict[str, int], most: int) -> None:
    batches = split_into_batches(rows, most)
    assert [name for batch in batches for name in batch] == list(rows)
    assert all(len(batch) == 1 or sum(rows[name] for name in batch) <= most for batch in batches)
    # Nothing is put off that would still fit.
    assert all(sum(rows[name] for name in a) + rows[b[0]] > most for a, b in pairwise(batches))


def test_a_span_is_named_by_its_ends() -> None:
    assert (name_span(["2024-01"]), name_span(["2024-01", "2024-02"])) == ("2024-01", "2024-01…2024-02")
