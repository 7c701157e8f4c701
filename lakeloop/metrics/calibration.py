"""Calibration: what is predicted on average against what happens, in bins of equal numbers, and the error that this leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from lakeloop.metrics.intervals import LEVEL, Scale, interval, spread

Array = np.ndarray
CALIBRATION_BINS = 10
LEAST_NOISE = 0.01
"""Of the variance of the noisiest bin: no bin counts as less noisy."""


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of about the same score: mean score, and mean outcome with its interval; of which output, where there are several."""

    predicted: float
    observed: float
    low: float
    high: float
    n: int
    output: str = ""


def calibration_curve(
    y: Array, score: Array, *, scale: Scale = "share", clusters: Array | None = None, output: str = ""
) -> list[CalibrationBin]:
    """Mean score and mean outcome per bin of equal numbers, lowest scores first.

    Args:
        y: outcomes.
        score: what was predicted.
        scale: of the intervals: `share` for 0 and 1, `plain` for values.
        clusters: rows that may depend on each other.
        output: what to call it.
    """
    bins = equal_mass_bins(score)
    found = []
    for index in range(CALIBRATION_BINS):
        mask = bins == index
        if mask.any():
            mean, n = float(y[mask].mean()), int(mask.sum())
            low, high = interval(mean, spread(y[mask] - mean, None if clusters is None else clusters[mask]), scale, n, LEVEL)
            found.append(CalibrationBin(float(score[mask].mean()), mean, low, high, n, output))
    return found


def calibration_error(y: Array, score: Array) -> float:
    """Root mean square distance of mean score and observed rate over ten bins of equal mass, without what chance adds (Kumar et al. 2019)."""
    if not len(y):
        return math.nan
    share, gap, noise = _gaps(y, score)
    return math.sqrt(max(float(share @ gap**2 - share @ np.diag(noise)), 0.0))


def calibration_influence(y: Array, score: Array) -> Array:
    """What each row adds to the root mean square distance over the bins (the derivative by its weight), what chance adds left aside."""
    bins = equal_mass_bins(score)
    share, gap, _ = _gaps(y, score)
    total = float(share @ gap**2)
    return np.asarray((2 * gap[bins] * (score - y) - gap[bins] ** 2 - total) / (2 * math.sqrt(total))) if total else np.zeros(len(y))


def calibration_bounds(y: Array, score: Array, clusters: Array | None, level: float) -> tuple[float, float]:
    """The errors for which what was observed would be neither too small nor too large.

    A sum of squares can't fall below zero, so that even a perfect model shows an error, and no interval around an estimate is right near
    zero. So the gaps are made larger and smaller, the noisy ones more than the others (those are the likeliest gaps for an error, given what
    was observed), until the observed sum of their squares lies at a quantile of what it would then be, with the bins' noise on top: of 0 and 1
    the noise that the rates of such gaps would have. Sums are compared in standard errors as each sample would estimate them: a sample that
    shows too small a gap in a noisy bin shows too little noise, too. Where the error is within its noise only too large a sum speaks against
    it, so that the lower tail gets its share as the error grows (as in the unified intervals of Feldman and Cousins 1998).
    """
    if clusters is not None and len(np.unique(clusters)) < 2:
        return math.nan, math.nan
    share, gap, noise = _gaps(y, score, clusters)
    if not np.any(gap):
        return 0.0, 0.0
    points = _normal_points(len(share))
    binary = clusters is None and not np.any((y != 0) & (y != 1))
    chance: _Binomial | _Normal = _Binomial.of(y, score, points) if binary else _Normal.of(noise, points)
    values, vectors = np.linalg.eigh(chance.covariance)
    along = gap @ vectors
    # How noisy the directions are is known from many rows, hardly from the clusters: with them all gaps grow alike.
    noisy = np.maximum(values / max(float(values.max()), 1e-300), LEAST_NOISE) if clusters is None else np.ones(len(values))

    def gaps_at(scale: float) -> Array:
        """The likeliest gaps if that of the noisiest bin were so many times as large."""
        return vectors @ (along / (1 + (1 / scale - 1) * noisy)) if scale else np.zeros(len(gap))

    def bound(upper: bool) -> float:
        def reaches(scale: float) -> bool:
            supposed = gaps_at(scale)
            error, square = chance.errors(supposed), float(share @ supposed**2)
            expected = float((error**2 @ share).mean())
            tail = (1 - level) / 2 * min(1.0, square / expected if expected else 1.0)
            drawn = chance.standardised(supposed + error, share, square)
            return bool(np.quantile(drawn, tail + level if upper else tail) >= chance.standardised(gap, share, square))

        low, high = 0.0, 1.0
        if reaches(low):
            return 0.0
        while not reaches(high) and high < 2**40:
            low, high = high, high * 2
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (low, middle) if reaches(middle) else (middle, high)
        return math.sqrt(float(share @ gaps_at(high) ** 2))

    return bound(upper=True), bound(upper=False)


@dataclass(frozen=True)
class _Normal:
    """What chance adds to the gaps, their covariance known."""

    covariance: Array
    drawn: Array

    @classmethod
    def of(cls, covariance: Array, points: Array) -> _Normal:
        values, vectors = np.linalg.eigh(covariance)
        return cls(covariance, points @ (vectors * np.sqrt(np.maximum(values, 0))).T)

    def errors(self, supposed: Array) -> Array:
        """Draws of what chance adds to supposed gaps."""
        return self.drawn

    def standardised(self, gaps: Array, share: Array, square: float) -> Array:
        """By how many standard errors the sums of squared gaps, less their noise, are off from a supposed one."""
        weighted = self.covariance * share
        variance = 4 * np.einsum("...i,ij,...j->...", gaps * share, self.covariance, gaps * share) + 2 * np.sum(weighted * weighted.T)
        return _ratio(gaps**2 @ share - np.trace(weighted) - square, variance)


@dataclass(frozen=True)
class _Binomial:
    """What chance adds to the gaps where outcomes are 0 or 1: noise that follows from the rates."""

    mean: Array
    within: Array
    """What the scores within a bin add to its variance."""
    counts: Array
    points: Array

    @classmethod
    def of(cls, y: Array, score: Array, points: Array) -> _Binomial:
        bins = equal_mass_bins(score)
        counts = np.maximum(np.bincount(bins, minlength=CALIBRATION_BINS), 1)
        mean = np.bincount(bins, score, CALIBRATION_BINS) / counts
        within = score - mean[bins]
        # Within a bin the rates rise with the scores too: by as much where the scores are right, by less where they say too much.
        slope = float(within @ y) / float(within @ within) if np.any(within) else 1.0
        return cls(mean, np.bincount(bins, within**2, CALIBRATION_BINS) / counts * (1 - 2 * slope), counts, points)

    @property
    def covariance(self) -> Array:
        """Of the gaps of a model that is right."""
        return np.diag(self._variance(np.zeros(len(self.mean))))

    def errors(self, supposed: Array) -> Array:
        """Draws of what chance adds to supposed gaps."""
        rate = np.clip(self.mean - supposed, 0, 1)
        # Few positives are skewed: the second term of Cornish and Fisher's expansion (1938).
        skewed = (1 - 2 * rate) / (6 * self.counts) * (self.points**2 - 1)
        return np.asarray(self.points * np.sqrt(self._variance(supposed)) - skewed)

    def standardised(self, gaps: Array, share: Array, square: float) -> Array:
        """By how many standard errors the sums of squared gaps, less their noise, are off from a supposed one."""
        variance = self._variance(gaps)
        return _ratio((gaps**2 - variance) @ share - square, (4 * gaps**2 * variance + 2 * variance**2) @ share**2)

    def _variance(self, gaps: Array) -> Array:
        rate = np.clip(self.mean - gaps, 0, 1)
        return np.asarray(np.maximum(rate * (1 - rate) + self.within, 0.0) / self.counts)


def _ratio(value: Array, variance: Array) -> Array:
    return np.asarray(value / np.sqrt(np.maximum(variance, 1e-300)))


@cache
def _normal_points(dimensions: int) -> Array:
    """Evenly spread normal draws (a Sobol sequence), the same every time; with this seed their squares' sums have the right quantiles, too."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    return np.asarray(ndtri(np.clip(qmc.Sobol(dimensions, seed=1).random(2048), 1e-6, 1 - 1e-6)))


def _gaps(y: Array, score: Array, clusters: Array | None = None) -> tuple[Array, Array, Array]:
    """Per bin of equal mass: share of rows, mean score less observed rate; and the covariance of those gaps."""
    bins = equal_mass_bins(score)
    counts = np.maximum(np.bincount(bins, minlength=CALIBRATION_BINS), 1)
    gap = np.bincount(bins, score - y, CALIBRATION_BINS) / counts
    residual = score - y - gap[bins]
    if clusters is None:
        noise = np.diag(np.bincount(bins, residual**2, CALIBRATION_BINS) / counts / np.maximum(counts - 1, 1))
    else:
        groups = int(clusters.max()) + 1
        sums = np.bincount(bins * groups + clusters, residual, CALIBRATION_BINS * groups).reshape(CALIBRATION_BINS, groups)
        noise = sums @ sums.T * groups / max(groups - 1, 1) / np.outer(counts, counts)
    return np.bincount(bins, minlength=CALIBRATION_BINS) / len(y), gap, noise


def equal_mass_bins(score: Array, bins: int = CALIBRATION_BINS) -> Array:
    """The bin of each row when rows are sorted by score and cut into bins of equal numbers; rows of one score share the bin of their middle."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(middle * bins // max(len(score), 1), int)[place]
