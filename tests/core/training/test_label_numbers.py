"""Labels as numbers: places of declared classes, and labels that don't fit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from lakeloop.spec.tasks import Answer
from lakeloop.training.labels import label_numbers, label_values

QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))


def test_labels_of_declared_classes_become_their_places_and_null_stays_unknown() -> None:
    labels = label_values(pa.chunked_array([["c", None, "a"]]), ABC)
    assert labels.to_pylist() == ["c", None, "a"]
    assert np.array_equal(label_numbers(labels, ABC), [2, np.nan, 0], equal_nan=True)
    whole = Answer("multiclass_classification", classes=(7, 3))
    assert label_numbers(label_values(pa.chunked_array([[3, 7]]), whole), whole).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "answer", "told"),
    [
        (["a", "bb", "bb"], ABC, "2 labels are of a class that isn't declared: 'bb'; did you mean 'b'"),
        ([1, 2], ABC, "the classes are strings, but the label is int64"),
        ([1.0, float("inf"), None], Answer("regression"), "1 of 2 labels are NaN or infinite"),
        ([0, 1, 2], Answer("binary_classification"), "wanted labels 0 and 1 for binary_classification, found 2"),
        (["x"], Answer("regression"), "wanted a label that is a number or a boolean, found string"),
    ],
)
def test_a_label_that_does_not_fit_is_named(values: list[object], answer: Answer, told: str) -> None:
    with pytest.raises(DataError) as error:
        label_values(pa.chunked_array([values]), answer)
    assert told in str(error.value)


def test_a_personal_label_is_not_named() -> None:
    with pytest.raises(DataError) as error:
        label_values(pa.chunked_array([["Ada"]]), ABC, personal=True)
    assert "Ada" not in str(error.value) and "isn't declared" in str(error.value)
