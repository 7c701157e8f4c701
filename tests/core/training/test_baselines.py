"""Answers of what knows nothing."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.metrics.table import METRICS
from lakeloop.spec.tasks import Answer
from lakeloop.training.baselines import constant_scores, guessed_scores
from tests.worlds.questions import REGRESSION


def test_what_knows_nothing_is_the_best_of_its_kind_by_each_metric() -> None:
    rng = np.random.default_rng(0)
    y, answer = rng.choice(3, 20_000, p=[0.6, 0.3, 0.1]).astype(float), Answer("multiclass_classification", classes=("a", "b", "c"))
    guesses = guessed_scores(constant_scores(y, answer, len(y), "macro_f1"))
    f1 = METRICS["multiclass_classification"]["macro_f1"].value
    noise = rng.dirichlet([1, 1, 1], len(y))
    assert f1(y, guesses) == pytest.approx(1 / 3, abs=0.01) and f1(y, guesses) > f1(y, noise) > f1(
        y, constant_scores(y, answer, len(y), "")
    )
    skewed = rng.exponential(1, 20_000)
    (best,) = constant_scores(skewed, Answer(REGRESSION), 1, "median_absolute_error")
    error = METRICS[REGRESSION]["median_absolute_error"].value
    assert all(error(skewed, np.full(20_000, best)) <= error(skewed, np.full(20_000, other)) + 1e-3 for other in np.linspace(0, 2, 41))
