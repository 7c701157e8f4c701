"""Metrics of a binary classification: truth is 0 or 1, a score the probability of 1."""

from __future__ import annotations

import math

import numpy as np

from lakeloop.metrics.calibration import calibration_bounds, calibration_error, calibration_influence
from lakeloop.metrics.metric import index_by_name, mean_metric, value_metric

Array = np.ndarray


def roc_auc(y: Array, score: Array) -> float:
    """Area under the ROC curve: the chance that a positive is scored above a negative, ties counted half (Hanley and McNeil 1982)."""
    below, above = placements(y, score)
    return float(below.mean()) if len(below) and len(above) else math.nan


def roc_auc_influence(y: Array, score: Array) -> Array:
    """DeLong's placement values (1988), each class with its own degree of freedom."""
    below, above = placements(y, score)
    found = np.full(len(y), math.nan)
    if len(below) > 1 and len(above) > 1:
        area = below.mean()
        for mask, part in ((y == 1, below - area), (y != 1, above - area)):
            found[mask] = part * len(y) / len(part) * math.sqrt(len(part) / (len(part) - 1))
    return found


def smaller_class(y: Array) -> float:
    """Degrees of freedom of a metric that is a mean over each class: the rows of the smaller one, less one."""
    positives = int((y == 1).sum())
    return float(min(positives, len(y) - positives) - 1)


def average_precision(y: Array, score: Array) -> float:
    """Mean precision over recall steps, from the highest score down."""
    at, hits, seen = _ranked(y, score)
    positives = (y == 1).sum()
    return float((y * hits[at] / seen[at]).sum() / positives) if positives else math.nan


def _average_precision_influence(y: Array, score: Array) -> Array:
    """The jackknife: how the metric moves when a row is left out, which is exact for every row in two cumulative sums."""
    n, positives = len(y), float((y == 1).sum())
    if positives < 2:
        return np.full(n, math.nan)
    at, hits, seen = _ranked(y, score)
    found = np.bincount(at, y, len(hits))
    others = np.maximum(seen - 1, 1)
    higher = np.cumsum(found * hits / seen) - found * hits / seen
    # A row that is left out is missing from the hits and the seen of every positive scored as it is or lower.
    lower_than_positive = np.cumsum((found * (hits - 1) / others)[::-1])[::-1]
    lower_than_negative = np.cumsum((found * hits / others)[::-1])[::-1]
    own = (hits - 1) / others
    without = np.where(
        y == 1, (higher[at] + lower_than_positive[at] - own[at]) / (positives - 1), (higher[at] + lower_than_negative[at]) / positives
    )
    return np.asarray((n - 1) * (without.mean() - without))


def log_loss(y: Array, score: Array) -> Array:
    """Mean negative log-likelihood, scores kept 1e-15 away from 0 and 1."""
    p = np.clip(score, 1e-15, 1 - 1e-15)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


def brier(y: Array, score: Array) -> Array:
    """Mean squared difference of score and outcome (Brier 1950)."""
    return np.asarray((score - y) ** 2)


def accuracy(y: Array, score: Array) -> Array:
    """Share of rows on the right side of 0.5."""
    return np.asarray((score >= 0.5) == (y == 1), float)


def placements(y: Array, score: Array) -> tuple[Array, Array]:
    """Share of negatives below each positive, and of positives above each negative, ties counted half."""
    positive, negative = score[y == 1], score[y != 1]
    a, b = np.sort(positive), np.sort(negative)
    below = (np.searchsorted(b, positive, "left") + np.searchsorted(b, positive, "right")) / (2 * max(len(b), 1))
    above = 1 - (np.searchsorted(a, negative, "left") + np.searchsorted(a, negative, "right")) / (2 * max(len(a), 1))
    return below, above


def _ranked(y: Array, score: Array) -> tuple[Array, Array, Array]:
    """The rank of each row's score among the distinct ones, highest first; positives and rows scored as high or higher, per rank."""
    _, at = np.unique(-score, return_inverse=True)
    return at, np.cumsum(np.bincount(at, y)), np.cumsum(np.bincount(at)).astype(float)


BINARY_METRICS = index_by_name(
    value_metric(roc_auc, True, roc_auc_influence, scale="logit", degrees=smaller_class),
    value_metric(average_precision, True, _average_precision_influence, scale="logit", degrees=smaller_class),
    mean_metric(log_loss, False),
    mean_metric(brier, False),
    value_metric(calibration_error, False, calibration_influence, bounds=calibration_bounds),
    mean_metric(accuracy, True, "share"),
)
