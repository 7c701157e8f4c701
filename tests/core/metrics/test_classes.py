"""Metrics of several classes where classes are rare, absent or never predicted, against scikit-learn and the formulas of their definitions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn import metrics as sk

from lakeloop.metrics.classes import CLASS_METRICS, one_hot

Array = np.ndarray


def said(*classes: int, of: int = 4) -> Array:
    """Probabilities whose greatest is that of each class, all of them different."""
    rows = np.linspace(0.01, 0.2, len(classes) * of).reshape(len(classes), of)
    rows[np.arange(len(classes)), list(classes)] += 1
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def area_of_each(y: Array, score: Array, weights: Array | None = None) -> float:
    classes = [label for label in range(score.shape[1]) if 2 <= (y == label).sum() <= len(y) - 2]
    return float(np.mean([sk.roc_auc_score(y == label, score[:, label], sample_weight=weights) for label in classes]))


BY_DEFINITION: dict[str, Callable[[Array, Array, Array | None], float]] = {
    "accuracy": lambda y, score, weights: sk.accuracy_score(y, score.argmax(axis=1), sample_weight=weights),
    "macro_f1": lambda y, score, weights: sk.f1_score(y, score.argmax(axis=1), average="macro", sample_weight=weights),
    "balanced_accuracy": lambda y, score, weights: sk.recall_score(
        y, score.argmax(axis=1), labels=np.unique(y), average="macro", sample_weight=weights
    ),
    "log_loss": lambda y, score, weights: sk.log_loss(y, score, labels=range(score.shape[1]), sample_weight=weights),
    "brier": lambda y, score, weights: float(np.average(((score - np.eye(score.shape[1])[y]) ** 2).sum(axis=1), weights=weights)),
    "roc_auc": area_of_each,
}
CASES = {
    "every class": ([0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 1, 1, 3, 0]),
    "a class without rows": ([0, 1, 2, 0, 1, 2, 2], [0, 1, 2, 2, 1, 0, 2]),
    "a class without rows that is predicted": ([0, 1, 2, 0, 1, 2], [0, 3, 2, 2, 1, 3]),
    "a class of one row": ([0, 0, 1, 1, 2], [0, 1, 1, 1, 2]),
    "a class that is never predicted": ([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 0, 0]),
}


@pytest.mark.parametrize("name", BY_DEFINITION)
@pytest.mark.parametrize("case", CASES)
def test_means_are_over_the_classes_that_occur(name: str, case: str) -> None:
    y, classes = (np.array(part) for part in CASES[case])
    score = said(*classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes without rows or predictions
        wanted = BY_DEFINITION[name](y, score, None)
    assert CLASS_METRICS[name].value(y, score) == pytest.approx(wanted)


@pytest.mark.parametrize("name", BY_DEFINITION)
def test_the_influence_of_a_row_is_the_change_by_its_weight(name: str) -> None:
    rng, n, step = np.random.default_rng(0), 60, 1e-6
    score = rng.dirichlet(np.ones(3), n)
    y = np.where(rng.random(n) < 0.5, score.argmax(axis=1), rng.integers(0, 3, n))
    by_definition, even = BY_DEFINITION[name], np.full(n, 1 / n)
    value = by_definition(y, score, even)
    changes = [(by_definition(y, score, even * (1 - step) + step * np.eye(n)[row]) - value) / step for row in range(n)]
    influence = CLASS_METRICS[name].influence(y.astype(float), score)
    # That of the area has a degree of freedom less per class, as its variance does: some hundredths at this size.
    tolerance = 0.03 if name == "roc_auc" else 1e-3
    assert influence == pytest.approx(changes, abs=tolerance * max(map(abs, changes)))


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_without_rows_there_is_no_number(name: str) -> None:
    assert math.isnan(CLASS_METRICS[name].value(np.zeros(0), np.zeros((0, 3))))


def test_the_area_needs_two_rows_of_a_class_and_two_of_the_others() -> None:
    area = CLASS_METRICS["roc_auc"]
    for y in ([0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 2, 3]):
        assert math.isnan(area.value(np.array(y), said(*y)))
        assert np.isnan(area.influence(np.array(y), said(*y))).all()
    assert area.value(np.array([0, 0, 1, 1]), said(0, 0, 1, 1)) == 1


@pytest.mark.parametrize(("probability", "loss"), [(0.0, -math.log(1e-15)), (1.0, 0.0), (0.5, math.log(2))])
def test_the_loss_of_a_class_that_was_ruled_out_is_large_and_finite(probability: float, loss: float) -> None:
    assert CLASS_METRICS["log_loss"].value(np.array([0.0]), np.array([[probability, 1 - probability]])) == pytest.approx(loss)


def test_the_calibration_error_is_that_of_the_most_probable_class() -> None:
    rng = np.random.default_rng(1)
    sure = np.repeat([0.55, 0.65, 0.75, 0.85, 0.95], 4_000)
    is_right = rng.random(len(sure)) < sure - 0.1  # too sure by a tenth everywhere
    y = np.where(is_right, 0.0, 1.0)
    score = np.column_stack([sure, (1 - sure) * 0.7, (1 - sure) * 0.3])
    metric = CLASS_METRICS["calibration_error"]
    assert metric.value(y, score) == pytest.approx(0.1, abs=0.01)
    assert metric.bounds is not None
    low, high = metric.bounds(y, score, None, 0.95)
    assert low < 0.1 < high and high - low < 0.03
    assert metric.influence(y, score).mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("counts", [[2, 2], [3, 10, 400], [2, 1_000], [5, 5, 5, 5]])
def test_the_degrees_of_freedom_are_those_of_a_mean_of_independent_means(counts: Sequence[int]) -> None:
    # Satterthwaite: the squared variance of the mean, over the sum of each part's squared variance by its own degrees.
    parts = [1 / count for count in counts]
    wanted = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    degrees = CLASS_METRICS["balanced_accuracy"].degrees
    assert degrees is not None
    y = np.repeat(np.arange(len(counts)), counts)
    assert degrees(y) == pytest.approx(wanted)
    assert min(counts) - 1 <= degrees(y) <= (sum(counts) - len(counts)) * (1 + 1e-12)
    assert degrees(np.zeros(0)) == 0 and degrees(np.array([0, 1, 1])) == pytest.approx((1 + 1 / 2) ** 2 / (1 + 1 / 4))


def test_each_row_has_a_one_in_the_column_of_its_class() -> None:
    assert one_hot(np.array([2.0, 0.0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]] and one_hot(np.zeros(0), 3).shape == (0, 3)
