"""Findings about a classification in several classes besides its metrics: each class by itself, the confusion matrix, calibration per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lakeloop.metrics.binary import roc_auc
from lakeloop.metrics.calibration import CalibrationBin, calibration_curve
from lakeloop.metrics.classes import one_hot
from lakeloop.metrics.intervals import share_of
from lakeloop.spec.tasks import Answer

Array = np.ndarray


@dataclass(frozen=True)
class ClassRow:
    """The figures of one class; a share of no rows is NaN.

    Attributes:
        name: of the class.
        n: rows of the class.
        predicted: rows that the model assigns to it.
        precision: share of the predicted rows that are of the class, with its 95% interval.
        recall: share of the rows of the class that are predicted, with its 95% interval.
        roc_auc: against all other classes.
        mean_probability: over all rows; compared with `n` it shows whether the model expects the class as often as it occurs.
    """

    name: str
    n: int
    predicted: int
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float
    roc_auc: float
    mean_probability: float


def class_rows(answer: Answer, y: Array, score: Array, clusters: Array | None = None) -> list[ClassRow]:
    """The figures of every declared class, in the declared order."""
    predictions, rows = score.argmax(axis=1), []
    for position, name in enumerate(answer.classes):
        is_class, is_predicted = y == position, predictions == position
        precision, recall = share_of(is_class, is_predicted, clusters), share_of(is_predicted, is_class, clusters)
        area = roc_auc(is_class.astype(float), score[:, position])
        mean = float(score[:, position].mean()) if len(y) else 0.0
        rows.append(ClassRow(str(name), int(is_class.sum()), int(is_predicted.sum()), *precision, *recall, area, mean))
    return rows


def confusion(answer: Answer, y: Array, score: Array) -> Array:
    """Counts of rows by class (down) and predicted class (across): `(classes, classes)`."""
    count = len(answer.classes)
    return np.bincount(y.astype(int) * count + score.argmax(axis=1), minlength=count**2).reshape(count, count)


def class_calibration(answer: Answer, y: Array, score: Array, clusters: Array | None = None) -> list[CalibrationBin]:
    """Ten bins per class of its predicted probability and its observed frequency (class-wise calibration, Kull et al. 2019)."""
    truth = one_hot(y, len(answer.classes))
    return [
        row
        for position, name in enumerate(answer.numbers)
        for row in calibration_curve(truth[:, position], score[:, position], clusters=clusters, output=name)
    ]
