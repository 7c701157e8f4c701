"""Labels: what a training set holds of a view's column, what it refuses and how, and the numbers that a model is fitted on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.spec.tasks import Answer
from lakeloop.training.labels import label_column, label_numbers, label_values

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))
WHOLE = Answer("multiclass_classification", classes=(7, 3))
BINARY, NUMBER, STRANGE = Answer("binary_classification"), Answer("regression"), Answer("anomaly_detection")


def column(*values: Any, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    """A column of two chunks."""
    whole = pa.array(values, kind)
    return pa.chunked_array([whole[:1], whole[1:]])


@pytest.mark.parametrize(
    ("answer", "kind"), [(ABC, "string"), (WHOLE, "integer"), (BINARY, "double"), (NUMBER, "double"), (STRANGE, "double")]
)
def test_the_column_of_a_label_has_the_type_of_its_classes_or_is_a_number(answer: Answer, kind: str) -> None:
    declared = label_column(answer, "Whether it came back.")
    assert (declared.type, declared.description) == (kind, "Whether it came back.")


@pytest.mark.parametrize(
    ("values", "answer", "held", "numbers"),
    [
        (column("c", None, "a"), ABC, ["c", None, "a"], [2, math.nan, 0]),
        (column("b", kind=pa.large_string()), ABC, ["b"], [1]),
        (column(None, kind=pa.string()), ABC, [None], [math.nan]),
        (column(3, 7, None), WHOLE, [3, 7, None], [1, 0, math.nan]),
        (column(3, kind=pa.int8()), WHOLE, [3], [1]),
        (column(True, None, False), BINARY, [1.0, None, 0.0], [1, math.nan, 0]),
        (column(0, 1, None), BINARY, [0.0, 1.0, None], [0, 1, math.nan]),
        (column(0.0, 1.0), STRANGE, [0.0, 1.0], [0, 1]),
        (column(-2, None, 2**40), NUMBER, [-2.0, None, 2.0**40], [-2, math.nan, 2**40]),
        (column(1.5, kind=pa.float32()), NUMBER, [1.5], [1.5]),
        (column(True, False), NUMBER, [1.0, 0.0], [1, 0]),
        (column(None, kind=pa.float64()), NUMBER, [None], [math.nan]),
    ],
)  # fmt: skip
def test_a_label_is_held_as_its_class_or_a_double_and_read_as_a_number(
    values: pa.ChunkedArray, answer: Answer, held: list[object], numbers: list[float]
) -> None:
    labels = label_values(values, answer)
    assert labels.to_pylist() == held
    assert labels.type == (pa.float64() if answer.kind.label != "class" else pa.int64() if answer is WHOLE else pa.string())
    read = label_numbers(labels, answer)
    assert read.dtype == np.float64 and np.array_equal(read, numbers, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "answer", "message"),
    [
        (column("a", "bb", "bb"), ABC, "2 labels are of a class that isn't declared: 'bb'; did you mean 'b'? Available: a, b, c"),
        (column("cc", "xyz"), ABC, "2 labels are of 2 classes that aren't declared: 'cc', 'xyz'; did you mean 'c'? Available: a, b, c"),
        (column("a", "x", "y", "x"), ABC, "3 labels are of 2 classes that aren't declared: 'x', 'y'; Available: a, b, c"),
        (
            column(*"qrstuv"), ABC,
            "6 labels are of 6 classes that aren't declared: 'q', 'r', 's', 't', 'u' and more; Available: a, b, c",
        ),
        (column(*"qrstu"), ABC, "5 labels are of 5 classes that aren't declared: 'q', 'r', 's', 't', 'u'; Available: a, b, c"),
        (column(*["x"] * 1234), ABC, "1,234 labels are of a class that isn't declared: 'x'; Available: a, b, c"),
        (column(3, 4), WHOLE, "1 labels are of a class that isn't declared: 4; Available: 3, 7"),
        (column(1, 2), ABC, "the classes are strings, but the label is int64"),
        (column(1.0), ABC, "the classes are strings, but the label is double"),
        (column("3"), WHOLE, "the classes are integers, but the label is string"),
        (column(3.0), WHOLE, "the classes are integers, but the label is double"),
        (column(1.0, math.inf, None), NUMBER, "1 of 2 labels are NaN or infinite; wanted null where the label is unknown"),
        (column(math.nan, -math.inf, 0.0), BINARY, "2 of 3 labels are NaN or infinite; wanted null where the label is unknown"),
        (column(0, 2, 5), BINARY, "wanted labels 0 and 1 for binary_classification, found 2; multiclass_classification takes more than two classes"),
        (column(0.5), BINARY, "wanted labels 0 and 1 for binary_classification, found 0.5; multiclass_classification takes more than two classes"),
        (column(-1), STRANGE, "wanted labels 0 and 1 for anomaly_detection, found -1; multiclass_classification takes more than two classes"),
        (column("x"), NUMBER, "wanted a label that is a number or a boolean, found string"),
        (column("1"), BINARY, "wanted a label that is a number or a boolean, found string"),
    ],
)  # fmt: skip
def test_a_label_that_does_not_fit_is_named(values: pa.ChunkedArray, answer: Answer, message: str) -> None:
    with pytest.raises(DataError) as refused:
        label_values(values, answer)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("values", "answer", "message"),
    [
        (column("Ada"), ABC, "1 labels are of a class that isn't declared (not shown, since the column is personal)"),
        (column("Ada", "Bob", "Ada"), ABC, "3 labels are of 2 classes that aren't declared (not shown, since the column is personal)"),
        (
            column(0, 1912), BINARY,
            "wanted labels 0 and 1 for binary_classification, found another value; multiclass_classification takes more than two classes",
        ),
    ],
)  # fmt: skip
def test_a_personal_label_is_not_named(values: pa.ChunkedArray, answer: Answer, message: str) -> None:
    with pytest.raises(DataError) as refused:
        label_values(values, answer, personal=True)
    assert str(refused.value) == message


def test_whole_numbers_are_read_as_doubles() -> None:
    numbers = label_numbers(column(1, 0, 3), NUMBER)
    assert numbers.dtype == np.float64 and numbers.tolist() == [1, 0, 3]


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=20))
def test_the_number_of_a_class_is_its_place_among_the_declared_ones(labels: list[str | None]) -> None:
    numbers = label_numbers(label_values(pa.chunked_array([labels], pa.string()), ABC), ABC)
    assert [None if math.isnan(number) else ABC.classes[int(number)] for number in numbers] == labels
