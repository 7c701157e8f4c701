"""How far a window of days is from what the reference had on such days, and which days are such: same weekday, same season.

Both distances are shares of rows: 0.08 says that 8% more (or fewer) of the rows lie below some value than did, or that 8% have moved to another category.
"""

from __future__ import annotations

import numpy as np

from lakeloop.monitoring.counts import DayCounts, Kind

YEAR = 365.2425
SEASON = 21
"""A season is so many days before and after a day of the year: three weeks of the same weekday to either side. A yearly wave of one standard deviation has an
error of 0.03 at its crests then; five weeks would have 0.07."""
LEAST_ALIKE = 3
"""With fewer days of the same weekday and season the reference doesn't know the season."""


def distances(kind: Kind, differences: np.ndarray) -> np.ndarray:
    """Distances from differences of shares by cell.

    Args:
        kind: of the scale.
        differences: `(…, cells)`: share in the window less share in the reference.

    Returns:
        For numbers the largest difference of the cumulative shares (the statistic of Kolmogorov and Smirnov on cells), for categories half the sum of
        absolute differences (total variation).

    Example:
        >>> distances("number", np.array([0.0, 0.25, -0.125, -0.125])).item()
        0.25
        >>> distances("category", np.array([0.0, 0.25, -0.125, -0.125])).item()
        0.25
    """
    if kind == "number":
        return np.asarray(np.abs(np.cumsum(differences, axis=-1)).max(axis=-1))
    return np.asarray(np.abs(differences).sum(axis=-1) / 2)


def are_alike(days: np.ndarray, reference: np.ndarray, *, seasonal: bool = True) -> np.ndarray:
    """Which days of the reference each day is compared with.

    Args:
        days: `datetime64[D]`.
        reference: `datetime64[D]`.
        seasonal: whether they must be of the same season, of any year; else the same weekday is enough.

    Returns:
        `(days, reference)`; a day is never compared with itself.
    """
    apart = (np.asarray(days)[:, None] - np.asarray(reference)[None, :]).astype(np.int64)
    alike = (apart % 7 == 0) & (apart != 0)
    if seasonal:
        within_year = np.abs(apart) % YEAR
        alike &= np.minimum(within_year, YEAR - within_year) <= SEASON + 0.5
    return np.asarray(alike)


def window_distances(counted: DayCounts, reference: DayCounts, alike: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each window that ends with one of the days, and its rows.

    Each day is compared with the days like it, and has the weight of its rows: a window with few rows at the weekend is held against such a one. Where all days
    have as many rows this is the distance of the rows together.

    Args:
        counted: the days.
        reference: of the same scale.
        alike: `(days, reference days)`, see `are_alike`.
        window: days of a window; the first windows are shorter.

    Returns:
        Distances, NaN where the window has no rows; rows. Days of which the reference has none like them count as days without rows.
    """
    known = alike.astype(np.float64) @ reference.counts.astype(np.float64)
    known_rows = known.sum(axis=1, keepdims=True)
    rows = np.where(known_rows[:, 0] > 0, counted.rows, 0).astype(np.float64)
    expected = rows[:, None] * known / np.where(known_rows > 0, known_rows, 1.0)
    excess = np.where(known_rows > 0, counted.counts, 0) - expected
    summed, total = _over_windows(excess, window), _over_windows(rows, window)
    shares = summed / np.where(total > 0, total, 1.0)[:, None]
    return np.where(total > 0, distances(counted.kind, shares), np.nan), total


def _over_windows(values: np.ndarray, window: int) -> np.ndarray:
    """Sums over the last days; added up one by one, since differences of running totals lose digits."""
    summed = values.copy()
    for lag in range(1, min(window, len(values))):
        summed[lag:] += values[:-lag]
    return summed
