"""Names shortened to fit beside a picture, and still distinct."""

from __future__ import annotations

from collections.abc import Sequence

HEAD, BEFORE = 0.4, 4
"""The share of a short name that is its beginning, and how many letters are shown before the first that differs."""


def shorten(names: Sequence[str], most: int = 42) -> list[str]:
    """Shorten names to at most `most` letters each, by the middle, or so that the part is shown in which a name differs from similar ones.

    >>> shorten(["mean_departure_delay_3h_min", "mean_departure_delay_24h_min", "seats"], 20)
    ['mean_dep…elay_3h_min', 'mean_dep…lay_24h_min', 'seats']
    >>> shorten(["orders_of_a_customer_in_2023_per_country_and_month", "orders_of_a_customer_in_2024_per_country_and_month"], 20)
    ['orders_o…_2023_per_…', 'orders_o…_2024_per_…']
    """
    cut = [_cut(name, most) for name in names]
    short = list(cut)
    for index, name in enumerate(names):
        same = [other for other, text in zip(names, cut, strict=True) if text == cut[index] and other != name]
        if same:
            short[index] = _cut_around(name, max(_common_letters(name, other) for other in same), most)
    return short


def _cut(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    head = int(most * HEAD)
    return f"{name[:head]}…{name[len(name) - (most - head - 1) :]}"


def _cut_around(name: str, differs: int, most: int) -> str:
    """The beginning, and the part in which the name differs from others."""
    head = int(most * HEAD)
    start = max(differs - BEFORE, head)
    end = start + most - head - 2
    return f"{name[:head]}…{name[start:end]}{'…' if end < len(name) else ''}"


def _common_letters(name: str, other: str) -> int:
    """The number of letters that both names begin with."""
    return next((index for index, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), min(len(name), len(other)))
