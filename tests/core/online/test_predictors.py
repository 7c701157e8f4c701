"""A compiled predictor predicts what its model does, for every ready-made pipeline and task, on rows made to part the two."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakeloop.online.predictor import Compiled, compile_model
from lakeloop.online.proof import find_difference
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer, fitted_classes, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model

ROWS = 600
ANSWERS = {
    "binary": Answer("binary_classification"),
    "classes": Answer("multiclass_classification", classes=("red", "green", "blue")),
    "number": Answer("regression"),
}


@dataclass(frozen=True)
class Taken:
    name: str
    kind: Kind
    required: bool = False


INPUTS = [
    Taken("city", "string"),
    Taken("whole", "double"),
    Taken("gaps", "double"),
    Taken("some_null", "string"),
    Taken("small", "double"),
    Taken("flag", "double"),
    Taken("many", "string"),
    Taken("large", "double"),
]


def made(rows: int = ROWS, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Features as a frame has them, and a number that depends on all of them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "city": rng.choice(["Bern", "Basel", "Zürich"], rows),
            "whole": rng.integers(-4, 5, rows).astype(
                float
            ),  # 0 between two of them is a threshold, which LightGBM has rules of its own for
            "gaps": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(0, 1, rows)),
            "some_null": pd.Series(np.where(rng.random(rows) < 0.2, None, rng.choice(["a", "b", "c", "d"], rows)), dtype=object),
            "small": rng.normal(0, 1e-3, rows),
            "flag": rng.integers(0, 2, rows).astype(float),
            "many": [f"n{number}" for number in (rng.pareto(1, rows) * 3).astype(int)],
            "large": rng.normal(1e6, 1e5, rows),
        }
    )
    number = (
        frame["whole"] / 3 + np.nan_to_num(frame["gaps"]) + (frame["city"] == "Bern") + (frame["some_null"] == "b") + frame["small"] * 500
        + frame["flag"] + (frame["many"] == "n0") + (frame["large"] - 1e6) / 1e5 + rng.normal(0, 0.5, rows)
    )  # fmt: skip
    return frame, number.to_numpy()


def label_for(answer: Answer, number: np.ndarray) -> np.ndarray:
    if answer.kind.label == "binary":
        return (number > np.median(number)).astype(float)
    return np.digitize(number, np.quantile(number, [0.4, 0.8])).astype(float) if answer.classes else number


def fitted(pipeline: str, answer: Answer, **more: Any) -> Any:
    frame, number = made()
    params = {"max_iter": 30, "min_samples_leaf": 20} if pipeline == "gradient_boosting" else {}
    model = Model(pipeline=pipeline, params={**params, **more})
    return fit_model(model, {each.name: each.kind for each in INPUTS}, answer, frame, label_for(answer, number), folder=Path())


def compiled(estimator: Any, answer: Answer) -> Compiled:
    predictor = compile_model(estimator, INPUTS, answer, fitted=fitted_classes(estimator) if answer.classes else None)
    assert isinstance(predictor, Compiled), predictor
    return predictor


def difference(predictor: Any, estimator: Any, answer: Answer) -> str:
    def predict(frame: pd.DataFrame) -> np.ndarray:
        with warnings.catch_warnings(action="ignore"):  # scikit-learn's, of what overflows
            return scores_of(estimator, frame, answer)

    return find_difference(predictor, INPUTS, predict)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("pipeline", ["gradient_boosting", "linear"])
def test_a_compiled_pipeline_predicts_what_it_does_itself(pipeline: str, name: str) -> None:
    answer = ANSWERS[name]
    estimator = fitted(pipeline, answer)
    assert difference(compiled(estimator, answer), estimator, answer) == ""


def test_the_proof_notices_what_is_a_little_wrong() -> None:
    answer = ANSWERS["number"]
    estimator = fitted("gradient_boosting", answer)
    predictor = compiled(estimator, answer)
    estimate, encoding = predictor.estimate, predictor.encoding
    codes = list(encoding.codes)
    codes[0] = {**codes[0], "Bern": codes[0]["Basel"]}  # type: ignore[dict-item, index]
    wrong = {
        "a sum": replace(predictor, estimate=lambda rows: estimate(rows) * (1 + 1e-11)),
        "a category": replace(predictor, encoding=replace(encoding, codes=tuple(codes))),
        "a null": replace(predictor, estimate=lambda rows: estimate(np.nan_to_num(rows, nan=0.0))),
        "a border": replace(predictor, estimate=lambda rows: estimate(np.where(rows > 0, np.nextafter(rows, 0), rows))),
    }
    assert [what for what, other in wrong.items() if not difference(other, estimator, answer)] == []


def test_a_model_that_is_not_understood_is_not_compiled() -> None:
    answer = ANSWERS["number"]
    estimator = fitted("linear", answer)
    estimator.steps.insert(1, ("more", "passthrough"))
    assert compile_model(estimator, INPUTS, answer) == "it has 3 steps: wanted columns and an estimator"
