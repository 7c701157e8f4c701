"""The landings at which a view's values are looked at: which of many, when each costs a computation. Rows aren't read here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

TOGETHER = timedelta(minutes=10)
"""Landings of one run of the platform follow each other: those within this time count as one, at the last of them."""
MOST = 32
"""Landings at which a batch is computed; of more, evenly spread ones. A change is known from the first of them that has it."""


def choose_landings(
    landings: Iterable[datetime], *, start: datetime | None = None, together: timedelta = TOGETHER, most: int = MOST
) -> list[datetime]:
    """Choose the landings as of which a batch of rows is computed, the newest always among them.

    Args:
        landings: when input rows landed.
        start: the least event time of the batch; its rows aren't known before, so that of the landings up to then only the last one counts.
        together: how close landings count as one.
        most: how many are chosen at most.

    Returns:
        Some of the landings in order. Each that isn't chosen is followed by one that is.

    >>> days = [datetime(2024, 1, day) for day in (1, 2, 3, 4, 5)]
    >>> [moment.day for moment in choose_landings(days, start=datetime(2024, 1, 2, 12))]
    [2, 3, 4, 5]
    >>> [moment.day for moment in choose_landings(days, together=timedelta(days=1))]
    [2, 4, 5]
    >>> [moment.day for moment in choose_landings(days, most=2)]
    [3, 5]
    """
    groups: list[list[datetime]] = []
    for moment in sorted(set(landings)):
        is_early = start is not None and moment <= start
        if groups and (is_early or moment - groups[-1][0] <= together):
            groups[-1].append(moment)
        else:
            groups.append([moment])
    chosen = [group[-1] for group in groups]
    if len(chosen) <= most:
        return chosen
    # Counted from the end, so that the newest is one of them.
    return [chosen[len(chosen) - 1 - (most - 1 - place) * len(chosen) // most] for place in range(most)]
