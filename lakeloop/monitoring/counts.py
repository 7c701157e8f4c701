"""Rows as counts by day: all that drift needs to know of a feature, small enough to keep for years, and without anybody's values in it.

A scale is made once, from the reference; later days are counted by the same scale. The distances of a scale are in `lakeloop.monitoring.distance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["number", "category"]
MOST_CELLS = 64
"""Cells of a number, each with a like share of the reference: the largest difference of two distributions is missed by at most 1/64 of the rows, and by
0.001 for normal ones that differ by 0.2 standard deviations."""
MOST_CATEGORIES = 60
NULL = 0
"""The cell of values that aren't there: below every number, so that more nulls are a shift like any other."""


@dataclass(frozen=True)
class Scale:
    """What values are counted by.

    Attributes:
        kind: numbers have an order, categories don't.
        cuts: for numbers, the upper ends of all cells but the last, ascending. Cell 0 is null.
        categories: the categories with a cell of their own. Behind them come a cell of the reference's rare ones and one of those that it hasn't.
        rare: the reference's other categories.
    """

    kind: Kind
    cuts: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    rare: frozenset[str] = frozenset()

    @property
    def cells(self) -> int:
        """How many cells it has."""
        return len(self.cuts) + 2 if self.kind == "number" else len(self.categories) + 3

    def cells_of(self, values: Sequence[Any] | np.ndarray) -> np.ndarray:
        """The cell of each value."""
        if self.kind == "number":
            numbers = np.asarray(values, dtype=np.float64)
            cells = np.searchsorted(np.asarray(self.cuts), numbers, side="left") + 1
            return np.where(np.isnan(numbers), NULL, cells)
        places = {name: place + 1 for place, name in enumerate(self.categories)}
        places.update(dict.fromkeys(self.rare, len(self.categories) + 1))
        unseen = len(self.categories) + 2
        return np.array([NULL if value is None else places.get(str(value), unseen) for value in values], dtype=np.int64)


def scale_of_numbers(values: Sequence[float] | np.ndarray) -> Scale:
    """A scale of the reference's quantiles; where it has few values, each has a cell of its own.

    Args:
        values: of the reference, NaN where there is none.

    Example:
        >>> scale_of_numbers([3.0, 1.0, float("nan"), 2.0, 1.0]).cuts
        (1.0, 2.0)
    """
    numbers = np.asarray(values, dtype=np.float64)
    distinct = np.unique(numbers[~np.isnan(numbers)])
    if len(distinct) > MOST_CELLS:
        shares = np.arange(1, MOST_CELLS) / MOST_CELLS
        distinct = np.unique(np.quantile(numbers[~np.isnan(numbers)], shares, method="inverted_cdf"))
    else:
        distinct = distinct[:-1]
    return Scale("number", cuts=tuple(distinct.tolist()))


def scale_of_categories(values: Sequence[str | None]) -> Scale:
    """A scale of the reference's categories: the most frequent ones each, the others together.

    Args:
        values: of the reference, None where there is none.
    """
    names, counts = np.unique([str(value) for value in values if value is not None], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    ranked = [str(names[place]) for place in order]
    return Scale("category", categories=tuple(ranked[:MOST_CATEGORIES]), rare=frozenset(ranked[MOST_CATEGORIES:]))


@dataclass(frozen=True)
class DayCounts:
    """Rows by day and cell.

    Attributes:
        kind: of the scale.
        days: `datetime64[D]`, ascending, without gaps; a day without rows has zeros.
        counts: `(days, cells)`.
    """

    kind: Kind
    days: np.ndarray
    counts: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Rows of each day."""
        return np.asarray(self.counts.sum(axis=1))


def count_days(values: Sequence[Any] | np.ndarray, days: np.ndarray, scale: Scale) -> DayCounts:
    """Count rows by day and cell.

    Args:
        values: one per row.
        days: the UTC day of each row, `datetime64`; in any order.
        scale: made from the reference.
    """
    days = np.asarray(days, dtype="datetime64[D]")
    if not len(days):
        return DayCounts(scale.kind, days, np.zeros((0, scale.cells), np.int64))
    calendar = np.arange(days.min(), days.max() + 1)
    places = (days - calendar[0]).astype(np.int64) * scale.cells + scale.cells_of(values)
    counts = np.bincount(places, minlength=len(calendar) * scale.cells)
    return DayCounts(scale.kind, calendar, counts.reshape(len(calendar), scale.cells))


def thin(counted: DayCounts, rows: int, rng: np.random.Generator) -> DayCounts:
    """The same days with at most so many rows each, drawn without replacement."""
    thinned = counted.counts.copy()
    for place in np.flatnonzero(counted.rows > rows):
        thinned[place] = rng.multivariate_hypergeometric(counted.counts[place], rows)
    return DayCounts(counted.kind, counted.days, thinned)
