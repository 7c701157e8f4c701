"""The null of drift: how far the reference is from itself, and the distance that it exceeds as rarely as the alarm budget allows.

An alarm in 5% of months over 50 features is a probability of 1 in 30,000 for each feature and day, and a reference of a year has 365 days: the tail is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EXCEEDED = 0.2
"""The share of the reference's windows that the tail is fitted to."""
MOST_SHAPE = 0.5
"""Of the tail: beyond it, squares of distances would have no variance."""


@dataclass(frozen=True)
class Tail:
    """Squares of distances beyond a level, as a generalised Pareto distribution (Pickands 1975).

    Squares, since the tail of Kolmogorov's distribution is exponential in the square (shape 0), and so is that of normal effects of days.

    Attributes:
        level: the square that is exceeded by `rate` of the windows.
        rate: share of windows that exceed it.
        scale: of the excess.
        shape: 0 is exponential; larger is heavier.
    """

    level: float
    rate: float
    scale: float
    shape: float

    def distance(self, probability: float) -> float:
        """The distance that a window exceeds with this probability; not below the level's."""
        if self.rate <= probability or self.scale == 0:
            return math.sqrt(self.level)
        odds = math.log(self.rate / probability)
        excess = odds if self.shape == 0 else math.expm1(self.shape * odds) / self.shape
        return math.sqrt(self.level + self.scale * excess)


def fit_tails(nulls: Sequence[np.ndarray]) -> list[Tail]:
    """Fit the tail of each feature's distances of the reference from itself.

    The shape is that of all features together, by probability-weighted moments (Hosking and Wallis 1987), at least 0: a feature alone has too few windows to
    tell it. The scale is the feature's own. Runs of windows that exceed the level count as one, and the shape is larger by one over the number of runs: an
    exponential distribution whose scale was estimated from m values predicts `(1 + x/m)^-m`, not `e^-x`.

    Args:
        nulls: per feature, one distance per window of the reference in the order of days; NaN where a window has no rows.
    """
    squares = [np.square(null[~np.isnan(null)]) for null in nulls]
    levels = [float(np.quantile(square, 1 - EXCEEDED)) if len(square) else 0.0 for square in squares]
    excesses = [square[square > level] - level for square, level in zip(squares, levels, strict=True)]
    shape = pooled_shape([excess / excess.mean() for excess in excesses if len(excess)])
    tails = []
    for square, level, excess in zip(squares, levels, excesses, strict=True):
        if not len(excess):
            tails.append(Tail(level, 0.0, 0.0, 0.0))
            continue
        runs = int(np.count_nonzero(np.diff(np.concatenate([[0], (square > level).astype(int)])) == 1))
        tails.append(Tail(level, len(excess) / len(square), float(excess.mean()) * (1 - shape), shape + 1 / runs))
    return tails


def pooled_shape(excesses: Sequence[np.ndarray]) -> float:
    """The shape of a generalised Pareto distribution by probability-weighted moments, between 0 and `MOST_SHAPE`."""
    if not excesses:
        return 0.0
    ordered = np.sort(np.concatenate(list(excesses)))
    n = len(ordered)
    if n < 2:
        return 0.0
    mean = float(ordered.mean())
    weighted = float((ordered * (n - 1 - np.arange(n)) / (n - 1)).mean())
    return min(max(2 - mean / (mean - 2 * weighted), 0.0), MOST_SHAPE) if mean > 2 * weighted else MOST_SHAPE
