"""From the influence of each row on a statistic to its standard error, its interval, and a one-sided test.

A row's influence is n times the derivative of the statistic by the row's weight (Hampel 1974): sums of influences give the standard error of
any smooth statistic, of a difference on the same rows, and of rows that come in clusters, all by one formula and without resampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray
LEVEL = 0.95
_LEAST_DEGREES = 4.0
"""With fewer, Student's t has no kurtosis, and tells less than the rows do."""
Scale = Literal["plain", "logit", "share", "squared"]
"""How an interval is computed: `plain` and `squared` (the statistic is a root) corrected for skewness (Hall 1992), `logit` for an area between
0 and 1, `share` for a proportion (Wilson 1927)."""


@dataclass(frozen=True)
class Spread:
    """The variation of a statistic: its standard error, degrees of freedom, and the skewness of its terms over the root of their number.

    The degrees of freedom measure how well the standard error is known (Satterthwaite 1946): long tails leave few.
    """

    error: float
    degrees: float
    skew: float
    groups: int


def spread(influence: Array, clusters: Array | None = None, degrees: float | None = None) -> Spread:
    """Standard error of a statistic from its influences.

    Args:
        influence: one per row, mean zero.
        clusters: code (0, 1, …) of the group of each row; rows of one group may depend on each other, groups may not. Without it rows count
            as independent.
        degrees: the degrees of freedom of the statistic, if they are fewer than groups less one.
    """
    n = len(influence)
    sums = influence if clusters is None else np.bincount(clusters, influence)[np.bincount(clusters) > 0]
    groups = len(sums)
    if groups < 2:
        return Spread(math.nan, 0.0, 0.0, groups)
    centred = sums - sums.mean()
    deviation = math.sqrt(float((centred**2).sum()) / (groups - 1))
    standard = centred / deviation if deviation > 0 else centred
    square = standard * standard
    skew, kurtosis = float((square * standard).mean()), float((square * square).mean())
    # The variance of an estimated variance is (kurtosis - 1) / n of its square; a chi-square's with these degrees of freedom is the same.
    estimated_degrees = max(2 * groups / max(kurtosis - 1, 1e-9), _LEAST_DEGREES)
    limited_degrees = min(estimated_degrees, groups - 1, math.inf if degrees is None else degrees)
    return Spread(deviation * math.sqrt(groups) / n, limited_degrees, skew / math.sqrt(groups), groups)


def interval(value: float, variation: Spread, scale: Scale, n: int, level: float = LEVEL) -> tuple[float, float]:
    """A two-sided interval for a statistic; NaN where its spread isn't known."""
    if not (math.isfinite(value) and math.isfinite(variation.error)) or variation.degrees < 1:
        return math.nan, math.nan
    if scale == "share":  # its error follows from its value
        return _wilson(value, variation.error, variation.groups, student_quantile(1 - (1 - level) / 2, variation.groups - 1))
    t = student_quantile(1 - (1 - level) / 2, variation.degrees)
    if variation.error == 0:
        return value, value
    if scale == "logit" and 0 < value < 1:
        centre, width = math.log(value / (1 - value)), t * variation.error / (value * (1 - value))
        return _expit(centre - width), _expit(centre + width)
    if scale == "squared" and value > 0:
        low, high = interval(
            value**2, Spread(2 * value * variation.error, variation.degrees, variation.skew, variation.groups), "plain", n, level
        )
        return math.sqrt(max(low, 0.0)), math.sqrt(high)
    return value - variation.error * _unskew(t, variation.skew), value - variation.error * _unskew(-t, variation.skew)


def share_of(hit: Array, among: Array | None = None, clusters: Array | None = None) -> tuple[float, float, float]:
    """The share of rows that are hits, with its interval; NaN without rows.

    Args:
        hit: whether each row is one (or 0 and 1).
        among: the rows that count; all without it.
        clusters: as for `spread`.
    """
    inside = (hit if among is None else hit[among]).astype(float)
    if not len(inside):
        return (math.nan,) * 3
    share = float(inside.mean())
    variation = spread(inside - share, clusters if clusters is None or among is None else clusters[among])
    return (share, *interval(share, variation, "share", len(inside)))


def one_sided_p(difference: float, error: float, degrees: float, margin: float = 0.0) -> float:
    """Probability of a difference this large, were the true one `-margin`: small means that it is greater than `-margin` (Student's t)."""
    from scipy.special import stdtr

    if not (math.isfinite(difference) and math.isfinite(error)) or degrees < 1:
        return 1.0
    if error == 0:
        return 0.0 if difference > -margin else 1.0
    return float(stdtr(degrees, -(difference + margin) / error))


def student_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if degrees > 1e6 else stdtrit(degrees, probability))


def group_codes(values: Array) -> Array:
    """Group codes (0, 1, …) of any values."""
    return np.unique(values, return_inverse=True)[1]


def _unskew(t: float, a: float) -> float:
    """Hall's monotone transformation, inverted: the quantile of a studentised mean of skewed values."""
    if abs(a) < 1e-9:
        return t
    return float(3 / a * (np.cbrt(1 + a * (t - a / 6)) - 1))


def _wilson(share: float, error: float, groups: int, t: float) -> tuple[float, float]:
    """Wilson's score interval on the number of independent rows that would have this standard error; where all rows agree, on the groups."""
    size = share * (1 - share) / error**2 if error > 0 else groups
    middle = (share + t**2 / (2 * size)) / (1 + t**2 / size)
    half = t / (1 + t**2 / size) * math.sqrt(share * (1 - share) / size + t**2 / (4 * size**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
