"""What is found of a classification in several classes beside its metrics: each class by itself, what is taken for what, calibration per class."""

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
    """One class on some rows; a share of nothing is NaN.

    Attributes:
        name: of the class.
        n: rows that are of it.
        predicted: rows that it is said of.
        precision: share of those that are of it, with its 95% interval.
        recall: share of its rows that are found, with its 95% interval.
        roc_auc: against all others.
        mean_probability: over all rows; beside `n` it says whether the class is taken to be as frequent as it is.
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
    """Every declared class, in the declared order."""
    said, found = score.argmax(axis=1), []
    for place, name in enumerate(answer.classes):
        own, claimed = y == place, said == place
        precision, recall = share_of(own, claimed, clusters), share_of(claimed, own, clusters)
        area = roc_auc(own.astype(float), score[:, place])
        found.append(
            ClassRow(
                str(name), int(own.sum()), int(claimed.sum()), *precision, *recall, area, float(score[:, place].mean()) if len(y) else 0.0
            )
        )
    return found


def confusion(answer: Answer, y: Array, score: Array) -> Array:
    """Rows of each class (down) by the class that is said (across): `(classes, classes)` counts."""
    count = len(answer.classes)
    return np.bincount(y.astype(int) * count + score.argmax(axis=1), minlength=count**2).reshape(count, count)


def class_calibration(answer: Answer, y: Array, score: Array, clusters: Array | None = None) -> list[CalibrationBin]:
    """Ten bins per class, of its probability against how often it was that class (class-wise calibration, Kull et al. 2019)."""
    truth = one_hot(y, len(answer.classes))
    return [
        found
        for place, name in enumerate(answer.numbers)
        for found in calibration_curve(truth[:, place], score[:, place], clusters=clusters, output=name)
    ]
