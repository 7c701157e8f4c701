"""From the influence of each row on a statistic to its standard error, its interval, and a one-sided test.

A row's influence is n times the derivative of the statistic by the row's weight (Hampel 1974): sums of influences give the standard error of
any smooth statistic, of a difference on the same rows, and of rows that come in clusters, all by one formula and without resampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lakeloop.metrics.clusters import ClusterVariance, cluster_variance

Array = np.ndarray
LEVEL = 0.95
_LEAST_DEGREES = 4.0
"""With fewer, Student's t has no kurtosis, and tells less than the rows do."""
LEAST_EFFECTIVE = 5.0
"""With fewer effective clusters, of sizes that differ, there is no interval: a quarter of the rows or more hang on one draw."""
_ALIKE = 0.9
"""Effective clusters over clusters of hardly differing sizes: these have an interval however few they are, if a wide one."""
_LEAST_LEFT = 0.05
"""Of the spread of the clusters' sums, what the interval leaves unexplained: with less, the sums of a few large clusters tell nothing."""
Scale = Literal["plain", "logit", "share", "squared"]
"""How an interval is computed: `plain` and `squared` (the statistic is a root) corrected for skewness (Hall 1992), `logit` for an area between
0 and 1, `share` for a proportion (Wilson 1927)."""


@dataclass(frozen=True)
class Spread:
    """The variation of a statistic: its standard error, degrees of freedom, and the skewness of its terms over the root of their number.

    The degrees of freedom measure how well the standard error is known (Satterthwaite 1946): long tails leave few, and so do clusters of
    unequal size.

    Attributes:
        error: the standard error.
        degrees: its degrees of freedom.
        skew: the skewness of the statistic.
        groups: rows, or clusters of rows, that count as independent.
        clusters: how the clusters vary; None for independent rows.
        limit: of the degrees of freedom, if the statistic has fewer than its rows.
    """

    error: float
    degrees: float
    skew: float
    groups: int
    clusters: ClusterVariance | None = None
    limit: float = math.inf


def spread(influence: Array, clusters: Array | None = None, degrees: float | None = None) -> Spread:
    """Standard error of a statistic from its influences.

    Args:
        influence: one per row, mean zero.
        clusters: code (0, 1, …) of the group of each row; rows of one group may depend on each other, groups may not. Or the day or week of
            each row (`datetime64`), whose neighbours may. Without it rows count as independent.
        degrees: the degrees of freedom of the statistic, if they are fewer than groups less one.
    """
    n, most = len(influence), math.inf if degrees is None else degrees
    if clusters is not None:
        return _clustered(cluster_variance(influence, clusters), n, most)
    if n < 2:
        return Spread(math.nan, 0.0, 0.0, n)
    centred = influence - influence.mean()
    deviation = math.sqrt(float((centred**2).sum()) / (n - 1))
    standard = centred / deviation if deviation > 0 else centred
    square = standard * standard
    skew, kurtosis = float((square * standard).mean()), float((square * square).mean())
    # The variance of an estimated variance is (kurtosis - 1) / n of its square; a chi-square's with these degrees of freedom is the same.
    estimated_degrees = max(2 * n / max(kurtosis - 1, 1e-9), _LEAST_DEGREES)
    return Spread(deviation * math.sqrt(n) / n, min(estimated_degrees, n - 1, most), skew / math.sqrt(n), n)


def _clustered(varied: ClusterVariance, n: int, most: float) -> Spread:
    """The spread over clusters: effective ones, where sizes differ, count as so many of one size."""
    if varied.clusters < 2:
        return Spread(math.nan, 0.0, 0.0, varied.clusters, varied)
    effective = varied.effective
    error = math.sqrt(varied.variance * effective / (effective - 1)) / n * varied.widened
    estimated_degrees = max(varied.estimated_degrees * effective / varied.clusters, min(_LEAST_DEGREES, effective - 1))
    return Spread(error, min(estimated_degrees, effective - 1, varied.slow, most), varied.skew, varied.clusters, varied, most)


def interval(value: float, variation: Spread, scale: Scale, n: int, level: float = LEVEL) -> tuple[float, float]:
    """A two-sided interval for a statistic; NaN where its spread isn't known, or there is none because all rows say the same."""
    if not (math.isfinite(value) and math.isfinite(variation.error)) or variation.degrees < 1:
        return math.nan, math.nan
    if scale == "share":  # its error follows from its value
        return _wilson(value, variation, 1 - (1 - level) / 2)
    if variation.error == 0:
        return math.nan, math.nan
    left, right = standard_errors(variation, 1 - (1 - level) / 2)
    if scale == "logit" and 0 < value < 1:
        centre, unit = math.log(value / (1 - value)), variation.error / (value * (1 - value))
        return _expit(centre - left * unit), _expit(centre + right * unit)
    if scale == "squared" and value > 0:
        low, high = interval(value**2, replace(variation, error=2 * value * variation.error), "plain", n, level)
        return math.sqrt(max(low, 0.0)), math.sqrt(high)
    return value - variation.error * _unskew(left, variation.skew), value - variation.error * _unskew(-right, variation.skew)


def standard_errors(variation: Spread, probability: float, *, is_share: bool = False) -> tuple[float, float]:
    """How many standard errors an interval reaches to the left and to the right.

    Over clusters of unequal size the values that aren't contradicted are those at which the sum over clusters, each less what it would be, is
    within its critical value (a score test): a large cluster's own residual is too small, since it pulls the statistic towards itself, and the
    standard error with it. The critical value is that of the sum of the same terms with random signs, whose kurtosis follows from the terms (Cornish
    and Fisher 1938; Bell and McCaffrey 2002 and Canay, Santos and Shaikh 2021 on why few large clusters need one). For clusters of one size this is
    Student's t.
    """
    varied = variation.clusters
    if varied is None:
        t = student_quantile(probability, variation.degrees)
        return t, t
    groups, effective = varied.clusters, varied.effective
    # The error of a share follows from its value, so that tails leave it its degrees of freedom.
    estimated_degrees = math.inf if is_share else max(varied.estimated_degrees, min(_LEAST_DEGREES, groups - 1))
    t = student_quantile(probability, min(estimated_degrees, groups - 1, varied.slow, variation.limit))
    z = student_quantile(probability, math.inf)
    critical = t * math.sqrt(groups / (groups - 1 + t * t)) - (z**3 - 3 * z) / 12 * (varied.peak - varied.kurtosis / groups)
    left_over = 1 - critical**2 / effective
    if left_over <= _LEAST_LEFT or effective < min(LEAST_EFFECTIVE, _ALIKE * groups):
        return math.nan, math.nan
    shift = critical**2 * varied.pull / (math.sqrt(effective) * left_over)
    half = math.sqrt(shift**2 + critical**2 / left_over)
    unit = math.sqrt((effective - 1) / effective)  # `Spread.error` has this factor already
    return (half + shift) * unit, (half - shift) * unit


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


def _wilson(share: float, variation: Spread, probability: float) -> tuple[float, float]:
    """Wilson's score interval on the number of independent rows that would have this standard error; where all rows agree, on the groups."""
    varied, error = variation.clusters, variation.error
    t = student_quantile(probability, variation.groups - 1)
    left, right = (t, t) if varied is None else standard_errors(variation, probability, is_share=True)
    size = share * (1 - share) / error**2 if error > 0 else variation.groups if varied is None else varied.effective
    return max(_wilson_end(share, size, -left), 0.0), min(_wilson_end(share, size, right), 1.0)


def _wilson_end(share: float, size: float, t: float) -> float:
    """One end, `t` standard errors away: below the share if that is negative."""
    middle = (share + t**2 / (2 * size)) / (1 + t**2 / size)
    return middle + t / (1 + t**2 / size) * math.sqrt(share * (1 - share) / size + t**2 / (4 * size**2))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
