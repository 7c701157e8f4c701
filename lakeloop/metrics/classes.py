"""Metrics of a multiclass classification: truth is the position of a class, scores are the probabilities of each, `(rows, classes)`.

Means over classes ("macro") are over those that occur; a class without rows in a window doesn't count there.
"""

from __future__ import annotations

import math

import numpy as np

from lakeloop.metrics.binary import roc_auc as area
from lakeloop.metrics.binary import roc_auc_influence as area_influence
from lakeloop.metrics.calibration import calibration_bounds, calibration_error, calibration_influence
from lakeloop.metrics.metric import index_by_name, mean_metric, value_metric

Array = np.ndarray


def log_loss(y: Array, score: Array) -> Array:
    """Mean negative log of the probability of the class that it was, kept 1e-15 away from 0."""
    return np.asarray(-np.log(np.clip(score[np.arange(len(y)), y.astype(int)], 1e-15, 1)))


def brier(y: Array, score: Array) -> Array:
    """Squared difference of probability and outcome, summed over the classes, from 0 to 2 (Brier 1950)."""
    return np.asarray(((score - one_hot(y, score.shape[1])) ** 2).sum(axis=1))


def accuracy(y: Array, score: Array) -> Array:
    """Share of rows whose most probable class it was."""
    return np.asarray(score.argmax(axis=1) == y, float)


def balanced_accuracy(y: Array, score: Array) -> float:
    """Mean over the classes of the share of their rows that is found."""
    hit, classes = accuracy(y, score), _classes_in(y)
    return float(np.mean([hit[y == label].mean() for label in classes])) if len(classes) else math.nan


def _balanced_accuracy_influence(y: Array, score: Array) -> Array:
    hit, influence, classes = accuracy(y, score), np.zeros(len(y)), _classes_in(y)
    for label in classes:
        own = y == label
        influence[own] = (hit[own] - hit[own].mean()) * len(y) / own.sum() / len(classes)
    return influence


def macro_f1(y: Array, score: Array) -> float:
    """Mean over the classes of F1, the harmonic mean of precision and recall; over classes that occur or are predicted."""
    scores = [2 * both.sum() / either.sum() for both, either in _match_classes(y, score)]
    return float(np.mean(scores)) if scores else math.nan


def _macro_f1_influence(y: Array, score: Array) -> Array:
    influence, matches = np.zeros(len(y)), _match_classes(y, score)
    for both, either in matches:
        f1, mean = 2 * both.sum() / either.sum(), either.mean()
        influence += (2 * both - f1 * either) / mean / len(matches)
    return influence


def roc_auc(y: Array, score: Array) -> float:
    """Area under the ROC curve of each class against the rest, mean over the classes that two rows or more have."""
    areas = [area((y == label).astype(float), score[:, label]) for label in _separable_classes(y)]
    return float(np.mean(areas)) if areas else math.nan


def _roc_auc_influence(y: Array, score: Array) -> Array:
    classes = _separable_classes(y)
    parts = [area_influence((y == label).astype(float), score[:, label]) for label in classes]
    return np.asarray(np.mean(parts, axis=0)) if parts else np.full(len(y), math.nan)


def top_calibration_error(y: Array, score: Array) -> float:
    """Distance of the highest probability and how often it is right, over ten bins (confidence calibration, Guo et al. 2017)."""
    return calibration_error(accuracy(y, score), score.max(axis=1)) if len(y) else math.nan


def _top_calibration_influence(y: Array, score: Array) -> Array:
    return calibration_influence(accuracy(y, score), score.max(axis=1))


def _top_calibration_bounds(y: Array, score: Array, clusters: Array | None, level: float) -> tuple[float, float]:
    return calibration_bounds(accuracy(y, score), score.max(axis=1), clusters, level)


def one_hot(y: Array, classes: int) -> Array:
    """1 in the column of the class that each row has, else 0: `(rows, classes)`."""
    return np.asarray(y[:, None] == np.arange(classes), float)


def _classes_in(y: Array) -> Array:
    return np.unique(y.astype(int))


def _separable_classes(y: Array) -> list[int]:
    """The classes that at least two rows have, and at least two don't."""
    classes, counts = np.unique(y.astype(int), return_counts=True)
    return [int(label) for label, count in zip(classes, counts, strict=True) if 2 <= count <= len(y) - 2]


def _match_classes(y: Array, score: Array) -> list[tuple[Array, Array]]:
    """Per class that occurs or is predicted: the rows that are both, and how many of the two each row is."""
    predicted = score.argmax(axis=1)
    return [
        ((y == label) * (predicted == label), (y == label) * 1.0 + (predicted == label)) for label in np.union1d(_classes_in(y), predicted)
    ]


def _class_degrees(y: Array) -> float:
    """Degrees of freedom of a mean over classes of a share of each one's rows (Satterthwaite 1946, with equal shares)."""
    counts = np.unique(y, return_counts=True)[1].astype(float)
    return float((1 / counts).sum() ** 2 / (1 / counts**2 / np.maximum(counts - 1, 1)).sum()) if len(counts) else 0.0


CLASS_METRICS = index_by_name(
    mean_metric(log_loss, False),
    mean_metric(accuracy, True, "share"),
    value_metric(macro_f1, True, _macro_f1_influence, scale="logit", degrees=_class_degrees, guessed=True),
    value_metric(balanced_accuracy, True, _balanced_accuracy_influence, scale="logit", degrees=_class_degrees),
    value_metric(roc_auc, True, _roc_auc_influence, scale="logit", degrees=_class_degrees),
    mean_metric(brier, False, most=2.0),
    value_metric(
        top_calibration_error, False, _top_calibration_influence, bounds=_top_calibration_bounds, name="calibration_error", most=1.0
    ),
)
