"""Features as a model gets them: numbers as doubles, text as objects, nothing shared with the table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from lakeloop.training.frames import feature_frame


def test_a_frame_has_doubles_and_objects_in_the_models_order_and_may_be_written_to() -> None:
    table = pa.table(
        {
            "whole": pa.array([1, None, 3], pa.int64()),
            "double": [0.5, 1.5, 2.5],
            "flag": [True, None, False],
            "text": pa.chunked_array([["a long enough text", None], ["a long enough text"]]),
            "other": [1, 2, 3],
        }
    )
    frame = feature_frame(table, ["text", "double", "flag", "whole"])
    assert [(name, str(kind)) for name, kind in frame.dtypes.items()] == [
        ("text", "object"), ("double", "float64"), ("flag", "float64"), ("whole", "float64"),
    ]  # fmt: skip
    assert frame["text"].tolist() == ["a long enough text", None, "a long enough text"] and frame["text"][1] is None
    np.testing.assert_array_equal(frame[["double", "flag", "whole"]], [[0.5, 1, 1], [1.5, np.nan, np.nan], [2.5, 0, 3]])
    frame.loc[:, "double"] = 0.0
    frame["double"].to_numpy()[0] = 7.0
    assert table["double"].to_pylist() == [0.5, 1.5, 2.5]


def test_a_text_that_is_there_often_is_one_object() -> None:
    texts = ["a long enough text", "another text"] * 500
    frame = feature_frame(pa.table({"text": pa.chunked_array([texts[:300], texts[300:]])}), ["text"])
    assert len({id(value) for value in frame["text"]}) == 2


def test_an_integer_that_a_double_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match="beyond 2"):
        feature_frame(pa.table({"n": [2**53 + 1]}), ["n"])
