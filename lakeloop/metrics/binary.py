"""Metrics of a binary classification: truth is 0 or 1, a score is the probability of 1."""

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
    influence = np.full(len(y), math.nan)
    if len(below) > 1 and len(above) > 1:
        area = below.mean()
        for mask, deviations in ((y == 1, below - area), (y != 1, above - area)):
            influence[mask] = deviations * len(y) / len(deviations) * math.sqrt(len(deviations) / (len(deviations) - 1))
    return influence


def smaller_class(y: Array) -> float:
    """Degrees of freedom of a metric that averages over both classes: the rows of the smaller class, less one."""
    positives = int((y == 1).sum())
    return float(min(positives, len(y) - positives) - 1)


def average_precision(y: Array, score: Array) -> float:
    """Mean precision over recall steps, from the highest score down."""
    rank, hits, seen = _rank_scores(y, score)
    positives = (y == 1).sum()
    return float((y * hits[rank] / seen[rank]).sum() / positives) if positives else math.nan


def _average_precision_influence(y: Array, score: Array) -> Array:
    """The jackknife: how the metric moves when a row is left out, which is exact for every row in two cumulative sums."""
    n, positives = len(y), float((y == 1).sum())
    if positives < 2:
        return np.full(n, math.nan)
    rank, hits, seen = _rank_scores(y, score)
    positives_by_rank = np.bincount(rank, y, len(hits))
    rows_without = np.maximum(seen - 1, 1)
    higher = np.cumsum(positives_by_rank * hits / seen) - positives_by_rank * hits / seen
    # A row that is left out is missing from the hits and the rows seen of every positive with the same score or a lower one.
    lower_than_positive = np.cumsum((positives_by_rank * (hits - 1) / rows_without)[::-1])[::-1]
    lower_than_negative = np.cumsum((positives_by_rank * hits / rows_without)[::-1])[::-1]
    own_precision = (hits - 1) / rows_without
    without = np.where(
        y == 1,
        (higher[rank] + lower_than_positive[rank] - own_precision[rank]) / (positives - 1),
        (higher[rank] + lower_than_negative[rank]) / positives,
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
    sorted_positive, sorted_negative = np.sort(positive), np.sort(negative)
    below = _doubled_ranks(sorted_negative, positive) / (2 * max(len(negative), 1))
    above = 1 - _doubled_ranks(sorted_positive, negative) / (2 * max(len(positive), 1))
    return below, above


def _doubled_ranks(values: Array, scores: Array) -> Array:
    """Twice the number of sorted values below each score, those equal to it counted half."""
    return np.asarray(np.searchsorted(values, scores, "left") + np.searchsorted(values, scores, "right"))


def _rank_scores(y: Array, score: Array) -> tuple[Array, Array, Array]:
    """Rank each row's score among the distinct ones, highest first; with the positives and the rows down to each rank."""
    _, rank = np.unique(-score, return_inverse=True)
    return rank, np.cumsum(np.bincount(rank, y)), np.cumsum(np.bincount(rank)).astype(float)


BINARY_METRICS = index_by_name(
    value_metric(roc_auc, True, roc_auc_influence, scale="logit", degrees=smaller_class),
    value_metric(average_precision, True, _average_precision_influence, scale="logit", degrees=smaller_class),
    mean_metric(log_loss, False),
    mean_metric(brier, False, most=1.0),
    value_metric(calibration_error, False, calibration_influence, bounds=calibration_bounds, most=1.0),
    mean_metric(accuracy, True, "share"),
)
