"""Findings about predicted quantiles besides their metrics: how reliable each is, and where the interval covers too much or too little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lakeloop.metrics.calibration import CalibrationBin, equal_mass_bins
from lakeloop.metrics.intervals import LEVEL, interval, spread
from lakeloop.spec.tasks import Answer

Array = np.ndarray
COVERAGE_BINS = 10


@dataclass(frozen=True)
class CoverageBin:
    """Rows of similar predicted median: its mean, the share inside the interval with its own 95% interval, and the mean width."""

    predicted: float
    coverage: float
    low: float
    high: float
    width: float
    n: int


def reliability(answer: Answer, y: Array, score: Array, clusters: Array | None = None, level: float = LEVEL) -> list[CalibrationBin]:
    """Per quantile the nominal and the observed share of values at or below it."""
    bins = []
    for position, (name, nominal) in enumerate(zip(answer.numbers, answer.quantiles, strict=True)):
        below = (y <= score[:, position]).astype(float)
        share = float(below.mean())
        low, high = interval(share, spread(below - share, clusters), "share", len(y), level)
        bins.append(CalibrationBin(nominal, share, low, high, len(y), name))
    return bins


def coverage_bins(answer: Answer, y: Array, score: Array, clusters: Array | None = None) -> list[CoverageBin]:
    """Tenths of the rows by their predicted median, lowest first."""
    point, inside = answer.point(score), ((score[:, 0] <= y) & (y <= score[:, -1])).astype(float)
    indices, bins = equal_mass_bins(point, COVERAGE_BINS), []
    for index in np.unique(indices):
        mask = indices == index
        share, n = float(inside[mask].mean()), int(mask.sum())
        error = spread(inside[mask] - share, None if clusters is None else clusters[mask])
        width = float((score[mask, -1] - score[mask, 0]).mean())
        bins.append(CoverageBin(float(point[mask].mean()), share, *interval(share, error, "share", n, LEVEL), width, n))
    return bins
