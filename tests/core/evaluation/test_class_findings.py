"""Each class by itself, as by hand; classes that no row has, and rows that no class is said of."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.evaluation.class_findings import class_calibration, class_rows, confusion
from lakeloop.spec.tasks import Answer

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))
Y = np.array([0.0, 0, 0, 1])
SCORE = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.1, 0.9, 0.0]])


def test_a_class_has_its_own_rows_precision_and_recall() -> None:
    a, b, c = class_rows(ABC, Y, SCORE)
    assert (a.name, a.n, a.predicted, a.precision, a.recall) == ("a", 3, 2, 1.0, pytest.approx(2 / 3))
    assert (b.n, b.predicted, b.precision, b.recall, b.roc_auc) == (1, 2, 0.5, 1.0, 1.0)
    assert (c.n, c.predicted, c.mean_probability) == (0, 0, pytest.approx(0.075))
    assert np.isnan([c.precision, c.recall, c.roc_auc]).all()


def test_the_confusion_matrix_counts_truth_down_and_prediction_across() -> None:
    assert confusion(ABC, Y, SCORE).tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert confusion(ABC, np.zeros(0), np.zeros((0, 3))).tolist() == [[0] * 3] * 3


def test_calibration_is_told_per_class_and_its_rates_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    score = rng.dirichlet([1, 2, 3], 900)
    y = (rng.random(900)[:, None] > score.cumsum(axis=1)).sum(axis=1).astype(float)
    bins = class_calibration(ABC, y, score)
    assert {row.output for row in bins} == set(ABC.numbers) and len(bins) == 30
    assert sum(row.observed * row.n for row in bins) == pytest.approx(900)
