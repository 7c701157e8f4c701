"""The variance of a sum of rows that come in clusters: clusters of unequal size, and periods whose neighbours depend on each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

Array = np.ndarray
LEAST_PERIODS = 10
"""With fewer days or weeks their dependence isn't measured: its slow part would have three observations or fewer."""
_EVIDENCE = 0.6
"""Neighbours count as dependent where independent ones would have less slow variation with this probability. A higher one would miss a weak
dependence (autocorrelation 0.3), a lower one widens intervals of independent days for nothing."""


@dataclass(frozen=True)
class ClusterVariance:
    """How sums over clusters vary.

    Attributes:
        variance: the sum of the squared sums over clusters.
        clusters: how many clusters there are.
        effective: how many clusters of one size would tell as much: (sum of sizes)² over the sum of squared sizes (Kish 1965).
        pull: the correlation of the clusters' sums with their sizes; a large cluster pulls the statistic towards itself.
        skew: the skewness of the clusters' means, each in its own standard deviations, over the root of their number.
        kurtosis: of the clusters' means, each in its own standard deviations.
        peak: the sum of the fourth powers over the square of the sum of squares; with clusters of one size the kurtosis over their number.
        widened: how many times as wide the dependence of neighbouring periods makes the standard error; 1 where there is none.
        slow: degrees of freedom of that; infinite where there is none.
    """

    variance: float
    clusters: int
    effective: float
    pull: float = 0.0
    skew: float = 0.0
    kurtosis: float = 3.0
    peak: float = 0.0
    widened: float = 1.0
    slow: float = math.inf

    @property
    def estimated_degrees(self) -> float:
        """Degrees of freedom of the variance, were all clusters of one size: long tails leave few (Satterthwaite 1946)."""
        return 2 * self.clusters / max(self.kurtosis - 1, 1e-9)


def cluster_numbers(clusters: Array) -> Array:
    """Numbers from 0 for clusters: codes as they are; days and weeks (`datetime64`) count from the first one, so that neighbours are known."""
    if clusters.dtype.kind != "M":
        return clusters
    numbers = clusters.astype(np.int64)
    return numbers - numbers.min() if len(numbers) else numbers


def cluster_variance(influence: Array, clusters: Array) -> ClusterVariance:
    """How the sum of influences varies, from the sums over clusters.

    Args:
        influence: one per row, mean zero.
        clusters: codes (0, 1, …), whose order means nothing; or days or weeks as `datetime64`, whose neighbours may depend on each other.
    """
    numbers = cluster_numbers(clusters)
    counts = np.bincount(numbers)
    all_sums, present = np.bincount(numbers, influence, len(counts)), counts > 0
    sums, sizes = all_sums[present], counts[present].astype(float)
    squares, groups = float((sizes**2).sum()), len(sums)
    effective, variance = (float(sizes.sum() ** 2 / squares) if groups else 0.0), float((sums**2).sum())
    if groups < 2 or variance <= 0:
        return ClusterVariance(variance, groups, effective, peak=3.0 / max(groups, 1))
    deviations = _working_deviations(influence, sums, sizes)
    standard = sums / deviations
    standard = standard / math.sqrt(float((standard**2).mean()))
    varied = ClusterVariance(
        variance,
        groups,
        effective,
        pull=float(sums @ sizes) / math.sqrt(variance * squares),
        # As if sizes were equal: the largest clusters' own weight would make chance of a few values a skewness.
        skew=float((standard**3).mean()) / math.sqrt(groups),
        kurtosis=float((standard**4).mean()),
        peak=float((sums**4).sum()) / variance**2,
    )
    return _with_neighbours(varied, all_sums) if clusters.dtype.kind == "M" else varied


def _working_deviations(influence: Array, sums: Array, sizes: Array) -> Array:
    """The standard deviations of the clusters' sums, but for a factor, were there an effect in common and rows that vary by themselves.

    The two parts are those of an analysis of variance. They only say which clusters are alike, so that skewness and kurtosis are those of all
    clusters, and not of the largest few.
    """
    rows, groups = float(sizes.sum()), len(sizes)
    between = float((sums**2 / sizes).sum())
    within = float(influence @ influence) - between
    if rows <= groups or within <= 1e-12 * between:
        return sizes
    row_variance = within / (rows - groups)
    typical = (rows - float((sizes**2).sum()) / rows) / (groups - 1)
    effect = max((between / (groups - 1) - row_variance) / typical, 0.0)
    return np.asarray(np.sqrt(effect * sizes**2 + row_variance * sizes))


def _with_neighbours(varied: ClusterVariance, sums: Array) -> ClusterVariance:
    """The same, wider where neighbouring periods are alike.

    The long-run variance is measured in two ways, and the wider one is taken: by the slow part alone, the mean of the squares of the first 0.5
    T^(2/3) cosine transforms of the sums of T periods (Müller 2004; Lazarus, Lewis, Stock and Watson 2018, with 0.4), which needs no model but
    sees too little of a strong dependence in a short window; and as that of an autoregression of order one, its coefficient corrected for bias
    (Kendall 1954), which sees that, so that more terms do: with 0.4, 60 independent days are 21% wider, with 0.5 they are 17%.
    """
    from scipy.special import fdtri, stdtrit

    periods = len(sums)
    if varied.clusters < LEAST_PERIODS:
        return varied
    independent = varied.variance / periods
    terms = max(round(0.5 * periods ** (2 / 3)), 4)
    angles = np.pi / periods * np.arange(1, terms + 1)[:, None] * (np.arange(periods) + 0.5)
    slow = float(((math.sqrt(2 / periods) * np.cos(angles) @ sums) ** 2).mean()) / independent
    if slow <= fdtri(terms, varied.clusters - 1, _EVIDENCE):
        return varied
    following = float(sums[1:] @ sums[:-1]) / varied.variance
    following = min(max(following + (1 + 3 * following) / periods, 0.0), 0.97)
    modelled, odds = (1 + following) / (1 - following), 1 + 2 * (1 + following) / (1 - following)
    ways = [(slow, float(terms)), (modelled, max(periods / odds, 2.0))]
    ratio, degrees = max(ways, key=lambda way: stdtrit(way[1], 0.975) ** 2 * way[0])
    return replace(varied, widened=max(math.sqrt(ratio), 1.0), slow=degrees)
