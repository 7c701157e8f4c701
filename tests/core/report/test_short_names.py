"""Names beside a picture: never longer than told, and told apart as far as letters allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.report.short_names import shorten


@given(st.lists(st.text("abc_", min_size=1, max_size=60), max_size=8), st.integers(12, 42))
def test_no_name_is_longer_than_told_and_one_that_fits_stays(names: list[str], most: int) -> None:
    short = shorten(names, most)
    assert len(short) == len(names) and all(len(text) <= most for text in short)
    assert all(text == name for name, text in zip(names, short, strict=True) if len(name) <= most)


@pytest.mark.parametrize("place", [0, 3, 17, 30, 41, 55])
def test_two_long_names_that_differ_anywhere_are_told_apart(place: int) -> None:
    name = "abcdefghij" * 6
    other = name[:place] + "X" + name[place + 1 :]
    one, two = shorten([name, other])
    assert one != two and "…" in one and "…" in two


def test_the_same_name_twice_stays_the_same() -> None:
    one, two = shorten(["a" * 60, "a" * 60])
    assert one == two
