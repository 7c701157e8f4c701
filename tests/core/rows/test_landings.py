"""Which landings a batch of rows is computed at: the newest always, none without a later one that is, and not more than may be."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.rows.landings import choose_landings

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
FIRST = datetime(2024, 1, 1)
moments = st.lists(st.integers(0, 10_000).map(lambda minutes: FIRST + minutes * MINUTE), max_size=60)


@given(moments, st.integers(1, 8), st.integers(0, 10_000))
def test_every_landing_is_followed_by_a_chosen_one_and_the_newest_is_chosen(landings: list[datetime], most: int, start: int) -> None:
    chosen = choose_landings(landings, start=FIRST + start * MINUTE, most=most)
    assert chosen == sorted(set(chosen)) and set(chosen) <= set(landings) and len(chosen) <= most
    assert chosen[-1:] == sorted(landings)[-1:]


@given(moments, st.integers(0, 10_000))
def test_what_is_left_out_lies_before_the_start_or_close_before_a_chosen_one(landings: list[datetime], start: int) -> None:
    begin = FIRST + start * MINUTE
    chosen = choose_landings(landings, start=begin, together=10 * MINUTE, most=100)
    for landing in set(landings) - set(chosen):
        following = min(each for each in chosen if each > landing)
        assert following <= begin or following - landing <= 10 * MINUTE or landing <= begin


@pytest.mark.parametrize(
    ("hours", "start", "together", "most", "wanted"),
    [
        ([], None, 0, 5, []),
        ([3, 1, 2, 2], None, 0, 5, [1, 2, 3]),
        ([1, 2, 3], 2, 0, 5, [2, 3]),
        ([1, 2, 3], 0, 0, 5, [1, 2, 3]),
        ([1, 2, 3], 9, 0, 5, [3]),
        ([0, 1, 2, 3, 4], None, 2, 5, [2, 4]),  # from the first of those that count as one
        ([0, 1, 2, 3, 4, 5], None, 0, 3, [1, 3, 5]),
        ([0, 1, 2, 3, 4, 5, 6], None, 0, 3, [2, 4, 6]),
        ([0, 1, 2, 3], None, 0, 1, [3]),
    ],
)  # fmt: skip
def test_close_and_early_landings_count_as_their_last_and_many_are_spread(
    hours: list[int], start: int | None, together: int, most: int, wanted: list[int]
) -> None:
    hour = timedelta(hours=1)
    chosen = choose_landings(
        [FIRST + each * hour for each in hours],
        start=None if start is None else FIRST + start * hour,
        together=together * hour,
        most=most,
    )
    assert [(each - FIRST) // hour for each in chosen] == wanted
