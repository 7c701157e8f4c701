"""Answers as JSON."""

from __future__ import annotations

import numpy as np

from lakeloop.spec.tasks import Answer

QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))


def test_the_endpoint_answers_integers_as_integers_and_what_is_not_finite_as_null() -> None:
    from resources.serving.codec import encode_v1, encode_v2

    whole = Answer("multiclass_classification", classes=(7, 3))
    scores = np.array([[0.25, 0.75], [1.0, 0.0]])
    assert encode_v1(scores, whole, "m", "1")["predictions"][0] == {"prediction": 3, "probability_7": 0.25, "probability_3": 0.75}
    first, second, _ = encode_v2(scores, whole, "m", "1")["outputs"]
    assert first == {"name": "prediction", "shape": [2], "datatype": "INT64", "data": [3, 7]} and second["datatype"] == "FP64"
    assert encode_v1(np.array([1.5, np.nan]), Answer("regression"), "m", "1")["predictions"] == [1.5, None]
