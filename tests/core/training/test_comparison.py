"""Champions that answer another question, or part of it."""

from __future__ import annotations

import numpy as np

from lakeloop.spec.tasks import Answer
from lakeloop.training.comparison import compare_answers

QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))


def test_a_champion_is_compared_by_class_name_by_common_quantiles_or_not_at_all_with_a_reason() -> None:
    old = Answer("multiclass_classification", classes=("c", "a", "z"))
    compared = compare_answers(ABC, old)
    assert compared.convert is not None and compared.convert(np.array([[0.1, 0.2, 0.7]])).tolist() == [[0.2, 0.0, 0.1]]
    assert "it doesn't know b, so the probability of that is taken as 0" in compared.note and "its probability of z" in compared.note
    wide = Answer("quantile_regression", quantiles=(0.05, 0.25, 0.5, 0.75, 0.95))
    narrow = compare_answers(QUARTERS, wide)
    assert narrow.convert is not None and narrow.convert(np.array([[1.0, 2, 3, 4, 5]])).tolist() == [[2, 3, 4]]
    assert compare_answers(wide, QUARTERS).convert is None
    assert "another question (regression, not multiclass classification)" in compare_answers(ABC, Answer("regression")).note
