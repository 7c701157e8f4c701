"""The effects of a threshold on the probability: precision, recall, the share of rows that it flags, and its cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lakeloop.metrics.intervals import interval, share_of, spread
from lakeloop.spec.workflow import Costs

POINTS = np.round(np.arange(0.01, 1.0, 0.01), 2)
_BEYOND = (*np.linspace(0, 1, 201), 0.999, 0.9995, 0.9999)
"""Quantiles of the scores that are thresholds too if they lie below or above all points: for rare events all scores do."""
Array = np.ndarray


@dataclass(frozen=True)
class ThresholdRow:
    """Rows with a score of at least `threshold` are flagged; NaN where nothing is flagged. `cost` is per row, None without costs."""

    threshold: float
    flagged: float
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float
    false_positives: int
    false_negatives: int
    cost: float | None
    cost_low: float | None = None
    cost_high: float | None = None


def threshold_curve(y: Array, score: Array, costs: Costs | None = None, clusters: Array | None = None) -> list[ThresholdRow]:
    """One row per threshold, with 95% intervals over rows, or over the clusters that they come in.

    Thresholds go from 0.01 to 0.99; where scores lie beyond, their quantiles are thresholds, too.
    """
    return [evaluate_threshold(y, score, float(point), costs, clusters) for point in _points(score)]


def evaluate_threshold(y: Array, score: Array, threshold: float, costs: Costs | None = None, clusters: Array | None = None) -> ThresholdRow:
    """Evaluate one threshold.

    Args:
        y: 0 or 1 of each row.
        score: its probability.
        threshold: rows of at least this score are flagged.
        costs: of a false alarm and of a miss, in any one unit.
        clusters: code of the group that each row belongs to; rows of one group may depend on each other.
    """
    positive, flagged = y > 0, score >= threshold
    false_alarms, misses = flagged & ~positive, positive & ~flagged
    cost = None if costs is None else _mean_cost(costs.false_positive * false_alarms + costs.false_negative * misses, clusters)
    return ThresholdRow(
        threshold, float(flagged.mean()) if len(y) else 0.0,
        *share_of(positive, flagged, clusters), *share_of(flagged, positive, clusters), int(false_alarms.sum()), int(misses.sum()), *(cost or (None,)),
    )  # fmt: skip


def find_cheapest(rows: list[ThresholdRow]) -> ThresholdRow | None:
    """Find the threshold that costs least; None without costs."""
    priced = [row for row in rows if row.cost is not None]
    return min(priced, key=lambda row: (row.cost or 0.0, row.threshold)) if priced else None


def _points(score: Array) -> Array:
    if not len(score):
        return POINTS
    quantiles = np.quantile(score, _BEYOND, method="lower")
    return np.unique([*quantiles[(quantiles < POINTS[0]) | (quantiles > POINTS[-1])], *POINTS])


def _mean_cost(values: Array, clusters: Array | None) -> tuple[float, float, float]:
    if not len(values):
        return 0.0, math.nan, math.nan
    mean = float(values.mean())
    low, high = interval(mean, spread(values - mean, clusters), "plain", len(values))
    return mean, low, high
