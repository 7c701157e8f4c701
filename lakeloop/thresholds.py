"""What a threshold on the probability does: precision, recall, how many rows it flags, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lakeloop.intervals import LEVEL, Spread, interval
from lakeloop.workflow_spec import Costs

POINTS = np.round(np.arange(0.01, 1.0, 0.01), 2)


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


def threshold_curve(y: np.ndarray, score: np.ndarray, costs: Costs | None = None) -> list[ThresholdRow]:
    """One row per threshold from 0.01 to 0.99, shares with Wilson intervals over rows taken as independent."""
    n, positives = len(y), float(y.sum())
    order = np.argsort(score)
    below = np.searchsorted(score[order], POINTS, "left")
    hits_below = np.concatenate([[0.0], np.cumsum(y[order])])[below]
    rows = []
    for point, under, missed in zip(POINTS, below, hits_below, strict=True):
        flagged, hits = n - int(under), positives - float(missed)
        wrong = flagged - hits
        cost = None if costs is None else (costs.false_positive * wrong + costs.false_negative * float(missed)) / max(n, 1)
        precision, recall = _share(hits, flagged), _share(hits, positives)
        rows.append(ThresholdRow(float(point), flagged / max(n, 1), *precision, *recall, int(wrong), int(missed), cost))
    return rows


def cheapest(rows: list[ThresholdRow]) -> ThresholdRow | None:
    """The threshold that costs least; None without costs."""
    priced = [row for row in rows if row.cost is not None]
    return min(priced, key=lambda row: (row.cost or 0.0, row.threshold)) if priced else None


def _share(part: float, whole: float) -> tuple[float, float, float]:
    if whole <= 0:
        return float("nan"), float("nan"), float("nan")
    share = part / whole
    error = (share * (1 - share) / whole) ** 0.5
    return (share, *interval(share, Spread(error, max(whole - 1, 1), 0.0, int(whole)), "share", int(whole), LEVEL))
