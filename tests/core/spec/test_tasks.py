"""What a model says of a row: names of columns, scores from raw answers, and what a workflow file has to say for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.spec.tasks import TASKS, Answer, to_scores

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))
QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))


@given(st.lists(st.one_of(st.text(max_size=60), st.integers()), min_size=2, max_size=8, unique=True))
def test_names_of_class_columns_are_plain_and_never_the_same(classes: list[str | int]) -> None:
    columns = list(Answer("multiclass_classification", classes=tuple(classes)).columns)
    assert len(set(columns)) == len(classes) + 1
    assert all(name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= 63 for name in columns)


def test_quantiles_are_named_by_their_digits_and_the_median_is_the_prediction() -> None:
    answer = Answer("quantile_regression", quantiles=(0.005, 0.05, 0.1, 0.5, 0.9, 0.975))
    assert list(answer.columns) == [
        "prediction",
        "prediction_q005",
        "prediction_q05",
        "prediction_q10",
        "prediction_q90",
        "prediction_q975",
    ]


def test_what_is_stored_with_a_model_gives_its_answer_back() -> None:
    for answer in (ABC, QUARTERS, Answer("regression"), Answer("multiclass_classification", classes=(3, 1))):
        assert Answer.from_record(answer.record()) == answer


def test_a_class_that_was_not_fitted_has_probability_zero_and_quantiles_are_put_in_order() -> None:
    assert to_scores([[0.25, 0.75]], ABC, [0, 2]).tolist() == [[0.25, 0, 0.75]]
    assert to_scores([[3.0, 1.0, 2.0]], QUARTERS).tolist() == [[1, 2, 3]]
    assert ABC.values(np.array([[0.2, 0.4, 0.4]]))["prediction"] == ["b"]
    with pytest.raises(DataError, match=r"wanted 3 numbers a row \(probability_a, .*shape \(1, 2\)"):
        to_scores([[0.5, 0.5]], ABC)


def test_every_task_has_what_the_table_says_of_it() -> None:
    from lakeloop.metrics.table import METRICS
    from lakeloop.report.task_sections import SECTIONS

    for task, kind in TASKS.items():
        assert METRICS[task][kind.primary].decides
        assert METRICS[task][kind.loss].rows is not None
        assert set(kind.sections) <= set(SECTIONS) and set(kind.beside) <= set(METRICS[task])
