"""What is found of one column of rows that nobody has described yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lakeloop.spec.tables import Column

MOST_UNREAD = 0.01
"""The share of local times that may have come twice or never; their rows go to quarantine."""


@dataclass(frozen=True)
class ColumnProfile:
    """One landed column, its proposed declaration and its values.

    Attributes:
        name: in the lake.
        source: as landed.
        column: the proposed declaration.
        nulls, distinct: the numbers of rows without a value and of distinct values.
        low, high: the range of a number or time; None for others and for personal columns.
        values: the distinct values of a text with few of them, most frequent first; never of a personal column.
        note: what isn't obvious about the declaration, for a comment.
        unread: the number of rows, of those without a value, whose local time isn't one moment.
    """

    name: str
    source: str
    column: Column
    nulls: int
    distinct: int
    low: Any = None
    high: Any = None
    values: tuple[str, ...] = ()
    note: str = ""
    unread: int = 0

    @property
    def missing(self) -> int:
        """The number of rows in which there is nothing to read."""
        return self.nulls - self.unread

    @property
    def is_complete(self) -> bool:
        """Whether every row has a value, a few apart that go to quarantine."""
        return not self.missing and self.unread <= MOST_UNREAD * (self.nulls + self.distinct)
