"""Names short enough to stand beside a picture, and still told apart."""

from __future__ import annotations

from collections.abc import Sequence

HEAD, BEFORE = 0.4, 4
"""The share of a short name that is its beginning, and how many letters before the first different one are shown."""


def shortened(names: Sequence[str], most: int = 42) -> list[str]:
    """The names with at most so many letters each, cut in the middle, or around where a name differs from those that would look like it.

    >>> shortened(["mean_departure_delay_3h_min", "mean_departure_delay_24h_min", "seats"], 20)
    ['mean_dep…elay_3h_min', 'mean_dep…lay_24h_min', 'seats']
    >>> shortened(["orders_of_a_customer_in_2023_per_country_and_month", "orders_of_a_customer_in_2024_per_country_and_month"], 20)
    ['orders_o…_2023_per_…', 'orders_o…_2024_per_…']
    """
    cut = [_cut(name, most) for name in names]
    short = list(cut)
    for place, name in enumerate(names):
        alike = [other for other, text in zip(names, cut, strict=True) if text == cut[place] and other != name]
        if alike:
            short[place] = _around(name, max(_same(name, other) for other in alike), most)
    return short


def _cut(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    head = int(most * HEAD)
    return f"{name[:head]}…{name[len(name) - (most - head - 1) :]}"


def _around(name: str, differs: int, most: int) -> str:
    """The beginning, and what stands where the name differs from others."""
    head = int(most * HEAD)
    start = max(differs - BEFORE, head)
    end = start + most - head - 2
    return f"{name[:head]}…{name[start:end]}{'…' if end < len(name) else ''}"


def _same(name: str, other: str) -> int:
    """How many letters both begin with."""
    return next((place for place, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), min(len(name), len(other)))
