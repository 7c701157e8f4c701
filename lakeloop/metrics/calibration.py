"""Calibration: mean predictions against mean outcomes in bins of equal size, and the error that this leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from lakeloop.metrics.clusters import cluster_numbers
from lakeloop.metrics.intervals import LEVEL, Scale, interval, spread

Array = np.ndarray
CALIBRATION_BINS = 10
CALIBRATION_WORDS = "the root mean square over ten bins of equally many rows, less what chance adds to it"
"""What the calibration error is, wherever it is printed."""
LEAST_NOISE = 0.01
"""The least variance of a bin, as a share of that of the noisiest one."""


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of similar scores: their mean score, and their mean outcome with its interval; `output` names the output where there are several."""

    predicted: float
    observed: float
    low: float
    high: float
    n: int
    output: str = ""


def calibration_curve(
    y: Array, score: Array, *, scale: Scale = "share", clusters: Array | None = None, output: str = ""
) -> list[CalibrationBin]:
    """Mean score and mean outcome per bin of equal size, lowest scores first.

    Args:
        y: outcomes.
        score: the predictions.
        scale: the scale of the intervals: `share` for outcomes of 0 and 1, `plain` for values.
        clusters: code of the cluster of each row; rows of one cluster may depend on each other.
        output: the name of the output.
    """
    bins = equal_mass_bins(score)
    curve = []
    for index in range(CALIBRATION_BINS):
        mask = bins == index
        if mask.any():
            mean, n = float(y[mask].mean()), int(mask.sum())
            low, high = interval(mean, spread(y[mask] - mean, None if clusters is None else clusters[mask]), scale, n, LEVEL)
            curve.append(CalibrationBin(float(score[mask].mean()), mean, low, high, n, output))
    return curve


def calibration_error(y: Array, score: Array) -> float:
    """Root mean square distance of mean score and observed rate over ten bins of equal mass, without what chance adds (Kumar et al. 2019)."""
    if not len(y):
        return math.nan
    share, gap, noise = _gaps(y, score)
    return math.sqrt(max(float(share @ gap**2 - share @ np.diag(noise)), 0.0))


def binned_error(y: Array, score: Array) -> float:
    """Root mean square distance of mean score and observed rate over ten bins of equal mass, with what chance adds: above zero for any model."""
    if not len(y):
        return math.nan
    share, gap, _ = _gaps(y, score)
    return math.sqrt(float(share @ gap**2))


def calibration_influence(y: Array, score: Array) -> Array:
    """The influence of each row on the root mean square distance over the bins (the derivative by its weight), without the part of chance."""
    bins = equal_mass_bins(score)
    share, gap, _ = _gaps(y, score)
    total = float(share @ gap**2)
    return np.asarray((2 * gap[bins] * (score - y) - gap[bins] ** 2 - total) / (2 * math.sqrt(total))) if total else np.zeros(len(y))


def calibration_bounds(y: Array, score: Array, clusters: Array | None, level: float) -> tuple[float, float]:
    """Bounds of the calibration error: the errors under which the observed gaps are neither too small nor too large.

    A sum of squares can't fall below zero, so even a perfect model shows an error, and no interval around an estimate is right near zero.
    Therefore the gaps are scaled up and down, noisy ones more than the others (these are the likeliest gaps of an error, given the observed
    ones), until the observed sum of their squares lies at a quantile of its distribution under such gaps, with the bins' noise added; for
    outcomes of 0 and 1, the noise of the rates that the gaps imply. Sums are compared in standard errors, as each sample would estimate them:
    a sample with too small a gap in a noisy bin also shows too little noise. Where the error is within its noise, only too large a sum
    contradicts it, so the lower tail gains its share as the error grows (as in the unified intervals of Feldman and Cousins 1998).

    Scores that nearly separate the outcomes leave bins without any noise, from which no scale follows; there the largest error that the rates of
    the bins allow is the bound (see `_most`). So outcomes of 0 and 1 have bounds within 0 and 1.
    """
    if clusters is not None and len(np.unique(clusters)) < 2:
        return math.nan, math.nan
    share, gap, covariance = _gaps(y, score, clusters)
    if not np.any(gap):
        return 0.0, 0.0
    points = _normal_points(len(share))
    binary = clusters is None and not np.any((y != 0) & (y != 1))
    noise_model: _Binomial | _Normal = _Binomial.of(y, score, points) if binary else _Normal.of(covariance, points)
    values, vectors = np.linalg.eigh(noise_model.covariance)
    components = gap @ vectors
    # Many rows determine how noisy each direction is, clusters hardly do: with clusters all gaps are scaled alike.
    noisiness = np.maximum(values / max(float(values.max()), 1e-300), LEAST_NOISE) if clusters is None else np.ones(len(values))

    def gaps_at(scale: float) -> Array:
        """The likeliest gaps if that of the noisiest bin were `scale` times as large."""
        return vectors @ (components / (1 + (1 / scale - 1) * noisiness)) if scale else np.zeros(len(gap))

    def bound(upper: bool) -> float:
        def reaches(scale: float) -> bool:
            supposed = gaps_at(scale)
            error, square = noise_model.draw_errors(supposed), float(share @ supposed**2)
            expected = float((error**2 @ share).mean())
            tail = (1 - level) / 2 * min(1.0, square / expected if expected else 1.0)
            draws = noise_model.standardize(supposed + error, share, square)
            return bool(np.quantile(draws, tail + level if upper else tail) >= noise_model.standardize(gap, share, square))

        low, high = 0.0, 1.0
        if reaches(low):
            return 0.0
        while not reaches(high) and high < 2**40:
            low, high = high, high * 2
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (low, middle) if reaches(middle) else (middle, high)
        return math.sqrt(float(share @ gaps_at(high) ** 2))

    most = _most(y, score, clusters, level)
    return min(bound(upper=True), most), min(bound(upper=False), most)


def _most(y: Array, score: Array, clusters: Array | None, level: float) -> float:
    """The largest calibration error that outcomes of 0 and 1 allow; infinite for other outcomes.

    Each bin's rate is within the exact limits of a share (Clopper and Pearson 1934), which share the error rate (Bonferroni); rates of clustered
    rows are only within 0 and 1.
    """
    from scipy.special import betaincinv

    if np.any((y != 0) & (y != 1)):
        return math.inf
    bins = equal_mass_bins(score)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    bins_used = counts > 0
    n, hits = counts[bins_used], np.bincount(bins, y, CALIBRATION_BINS)[bins_used]
    mean, tail = np.bincount(bins, score, CALIBRATION_BINS)[bins_used] / n, (1 - level) / 2 / len(n)
    low, high = np.zeros(len(n)), np.ones(len(n))
    if clusters is None:
        low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), n - hits + 1, tail), 0.0)
        high = np.where(hits < n, betaincinv(hits + 1, np.maximum(n - hits, 1), 1 - tail), 1.0)
    return math.sqrt(float(n / len(y) @ np.maximum(np.abs(mean - low), np.abs(high - mean)) ** 2))


@dataclass(frozen=True)
class _Normal:
    """The noise of the gaps, with a known covariance."""

    covariance: Array
    drawn: Array

    @classmethod
    def of(cls, covariance: Array, points: Array) -> _Normal:
        values, vectors = np.linalg.eigh(covariance)
        return cls(covariance, points @ (vectors * np.sqrt(np.maximum(values, 0))).T)

    def draw_errors(self, supposed: Array) -> Array:
        """Draws of the noise of supposed gaps."""
        return self.drawn

    def standardize(self, gaps: Array, share: Array, square: float) -> Array:
        """The distance of sums of squared gaps, less their noise, from a supposed one, in standard errors."""
        weighted = self.covariance * share
        variance = 4 * np.einsum("...i,ij,...j->...", gaps * share, self.covariance, gaps * share) + 2 * np.sum(weighted * weighted.T)
        return _ratio(gaps**2 @ share - np.trace(weighted) - square, variance)


@dataclass(frozen=True)
class _Binomial:
    """The noise of the gaps where outcomes are 0 or 1: it follows from the rates."""

    mean: Array
    within: Array
    """The part of a bin's variance that comes from the scores within it."""
    counts: Array
    points: Array

    @classmethod
    def of(cls, y: Array, score: Array, points: Array) -> _Binomial:
        bins = equal_mass_bins(score)
        counts = np.maximum(np.bincount(bins, minlength=CALIBRATION_BINS), 1)
        mean = np.bincount(bins, score, CALIBRATION_BINS) / counts
        within = score - mean[bins]
        # Within a bin the rates rise with the scores: as steeply where the scores are right, less where they are overconfident.
        squares = float(within @ within)
        slope = float(within @ y) / squares if squares > 0 else 1.0
        return cls(mean, np.bincount(bins, within**2, CALIBRATION_BINS) / counts * (1 - 2 * slope), counts, points)

    @property
    def covariance(self) -> Array:
        """The covariance of the gaps of a calibrated model."""
        return np.diag(self._variance(np.zeros(len(self.mean))))

    def draw_errors(self, supposed: Array) -> Array:
        """Draws of the noise of supposed gaps."""
        rate = np.clip(self.mean - supposed, 0, 1)
        # Few positives are skewed: the second term of Cornish and Fisher's expansion (1938).
        skewed = (1 - 2 * rate) / (6 * self.counts) * (self.points**2 - 1)
        return np.asarray(self.points * np.sqrt(self._variance(supposed)) - skewed)

    def standardize(self, gaps: Array, share: Array, square: float) -> Array:
        """The distance of sums of squared gaps, less their noise, from a supposed one, in standard errors."""
        variance = self._variance(gaps)
        return _ratio((gaps**2 - variance) @ share - square, (4 * gaps**2 * variance + 2 * variance**2) @ share**2)

    def _variance(self, gaps: Array) -> Array:
        rate = np.clip(self.mean - gaps, 0, 1)
        return np.asarray(np.maximum(rate * (1 - rate) + self.within, 0.0) / self.counts)


def _ratio(value: Array, variance: Array) -> Array:
    return np.asarray(value / np.sqrt(np.maximum(variance, 1e-300)))


@cache
def _normal_points(dimensions: int) -> Array:
    """Evenly spread normal draws (a Sobol sequence), always the same; with this seed the sums of their squares have the right quantiles, too."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    return np.asarray(ndtri(np.clip(qmc.Sobol(dimensions, seed=1).random(2048), 1e-6, 1 - 1e-6)))


def _gaps(y: Array, score: Array, clusters: Array | None = None) -> tuple[Array, Array, Array]:
    """Per bin of equal mass the share of rows and the gap, mean score less observed rate; and the covariance of the gaps."""
    bins = equal_mass_bins(score)
    counts = np.maximum(np.bincount(bins, minlength=CALIBRATION_BINS), 1)
    gap = np.bincount(bins, score - y, CALIBRATION_BINS) / counts
    residual = score - y - gap[bins]
    if clusters is None:
        noise = np.diag(np.bincount(bins, residual**2, CALIBRATION_BINS) / counts / np.maximum(counts - 1, 1))
    else:
        numbers = cluster_numbers(clusters)
        groups = int(numbers.max()) + 1
        sums = np.bincount(bins * groups + numbers, residual, CALIBRATION_BINS * groups).reshape(CALIBRATION_BINS, groups)
        noise = sums @ sums.T * groups / max(groups - 1, 1) / np.outer(counts, counts)
    return np.bincount(bins, minlength=CALIBRATION_BINS) / len(y), gap, noise


def equal_mass_bins(score: Array, bins: int = CALIBRATION_BINS) -> Array:
    """The bin of each row if rows are sorted by score and cut into bins of equal size; rows of one score share the bin of their middle."""
    _, position, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(middle * bins // max(len(score), 1), int)[position]
