"""A compiled predictor predicts what its model does, for every ready-made pipeline and task, on rows made to part the two."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder, TargetEncoder
from sklearn.svm import SVC

from lakeloop.online.predictor import Compiled, compile_model
from lakeloop.online.proof import find_difference
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer, fitted_classes, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import build_estimator, pipelines_for
from lakeloop.training.warm_start import continue_trees

ROWS = 600
ANSWERS = {
    "binary": Answer("binary_classification"),
    "classes": Answer("multiclass_classification", classes=("red", "green", "blue")),
    "number": Answer("regression"),
    "quantiles": Answer("quantile_regression", quantiles=(0.05, 0.5, 0.95)),
    "forecast": Answer("forecasting"),
    "strange": Answer("anomaly_detection"),
}
CASES = [(pipeline, name) for name, answer in ANSWERS.items() for pipeline in pipelines_for(answer.task)]
SMALL: dict[str, dict[str, Any]] = {
    "gradient_boosting": {"max_iter": 30, "min_samples_leaf": 20},
    "forecasting": {"n_estimators": 30},
    "anomaly": {"n_estimators": 40},
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
KINDS: dict[str, Kind] = {each.name: each.kind for each in INPUTS}


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
    if answer.kind.label == "none":
        return np.zeros(len(number))
    return np.digitize(number, np.quantile(number, [0.4, 0.8])).astype(float) if answer.classes else number


def fitted(pipeline: str, answer: Answer, **more: Any) -> Any:
    frame, number = made()
    model = Model(pipeline=pipeline, params={**SMALL.get(pipeline, {}), **more})
    return fit_model(model, KINDS, answer, frame, label_for(answer, number), folder=Path())


def compiled(estimator: Any, answer: Answer) -> Compiled:
    predictor = compile_model(estimator, INPUTS, answer, fitted=fitted_classes(estimator) if answer.classes else None)
    assert isinstance(predictor, Compiled), predictor
    return predictor


def difference(predictor: Any, estimator: Any, answer: Answer) -> str:
    return find_difference(predictor, INPUTS, lambda frame: scores_of(estimator, frame, answer))


@pytest.mark.parametrize(("pipeline", "name"), CASES)
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


def test_a_model_that_answers_nothing_proves_nothing() -> None:
    answer = ANSWERS["number"]
    predictor = replace(compiled(fitted("linear", answer), answer), estimate=refuse)
    assert find_difference(predictor, INPUTS, refuse).startswith("it refuses every row")


def refuse(rows: Any) -> np.ndarray:
    raise ValueError("no")


def test_a_forecast_of_ratios_is_compiled() -> None:
    answer = ANSWERS["forecast"]
    estimator = fitted("forecasting", answer, log=True)
    assert difference(compiled(estimator, answer), estimator, answer) == ""


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("name", ["binary", "classes"])
@pytest.mark.parametrize("pipeline", ["gradient_boosting", "linear"])
def test_a_calibrated_classifier_is_compiled(pipeline: str, name: str, method: str) -> None:
    answer = ANSWERS[name]
    frame, number = made()
    at = np.datetime64("2024-01-01") + np.arange(len(frame)) * np.timedelta64(1, "h")
    model = Model(pipeline=pipeline, params=SMALL.get(pipeline, {}), calibrate=method)
    estimator = fit_model(model, KINDS, answer, frame, label_for(answer, number), folder=Path(), at=at)
    assert type(estimator).__name__ == "CalibratedClassifierCV"
    assert difference(compiled(estimator, answer), estimator, answer) == ""


@pytest.mark.parametrize("name", ["binary", "quantiles"])
def test_a_continued_model_is_compiled(name: str) -> None:
    answer = ANSWERS[name]
    frame, number = made(300, seed=1)
    frame["city"] = frame["city"].replace("Bern", "Chur")  # which its trees never saw
    model = Model(pipeline="gradient_boosting", params=SMALL["gradient_boosting"])
    fresh = build_estimator(model, KINDS, answer)
    estimator = continue_trees(fitted("gradient_boosting", answer), fresh, frame, label_for(answer, number), trees=10, limit=100)
    assert difference(compiled(estimator, answer), estimator, answer) == ""


def test_thresholds_next_to_zero_are_compared_exactly() -> None:
    answer = ANSWERS["classes"]
    frame, number = made()
    frame["small"] *= 1e-32  # LightGBM takes numbers below 1e-35 for zero
    model = Model(pipeline="gradient_boosting", params=SMALL["gradient_boosting"])
    estimator = fit_model(model, KINDS, answer, frame, label_for(answer, number), folder=Path())
    predictor = compiled(estimator, answer)
    assert (np.abs(predictor.borders[4]) < 1e-30).any()
    assert difference(predictor, estimator, answer) == ""


ELSEWHERE = {
    "a forest behind the usual columns": ("sklearn.ensemble:ExtraTreesRegressor", {"n_estimators": 10}),
    "neighbours": ("sklearn.neighbors:KNeighborsRegressor", {}),
    "histogram trees behind the usual columns": ("sklearn.ensemble:HistGradientBoostingRegressor", {"max_iter": 10}),
    "boosted trees that begin from a constant": ("sklearn.ensemble:GradientBoostingRegressor", {"n_estimators": 10}),
    "LightGBM": ("lightgbm:LGBMRegressor", {"n_estimators": 10, "verbose": -1}),
}


def test_steps_that_are_not_known_are_called_themselves_without_a_warning() -> None:
    answer = ANSWERS["binary"]
    frame, number = made(200)
    numbers = [each for each in INPUTS if each.kind == "double" and each.name != "gaps"]
    estimator = make_pipeline(MinMaxScaler(), SVC()).fit(frame[[each.name for each in numbers]], label_for(answer, number))
    predictor = compile_model(estimator, numbers, answer, method="decision_function")
    assert isinstance(predictor, Compiled)
    rows = frame[[each.name for each in numbers]]
    np.testing.assert_array_equal(predictor.scores(rows.to_numpy()), estimator.decision_function(rows))


def test_null_is_no_new_category_where_codes_are_columns() -> None:
    answer = ANSWERS["number"]
    frame, number = made()
    strings = [name for name, kind in KINDS.items() if kind == "string"]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    columns = ColumnTransformer([("numbers", "passthrough", ["whole", "gaps"]), ("strings", encode, strings)])
    estimator = make_pipeline(columns, HistGradientBoostingRegressor(max_iter=20)).fit(frame, number)
    assert columns.transformers_[1][1].categories_[1][-1] is None  # null is a category of its own
    assert difference(compiled(estimator, answer), estimator, answer) == ""


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_class_of_another_library_is_compiled_behind_the_usual_columns(what: str) -> None:
    answer = ANSWERS["number"]
    frame, number = made()
    reference, params = ELSEWHERE[what]
    with warnings.catch_warnings(action="ignore"):
        estimator = fit_model(Model(estimator=reference, params=params), KINDS, answer, frame, number, folder=Path())
        assert difference(compiled(estimator, answer), estimator, answer) == ""


def test_a_model_that_is_not_understood_is_not_compiled() -> None:
    answer = ANSWERS["number"]
    estimator = fitted("linear", answer)
    columns = estimator.steps[0][1]
    columns.transformers_[1] = ("strings", TargetEncoder(), columns.transformers_[1][2])
    reason = "strings go through a TargetEncoder, and only scikit-learn's one-hot and ordinal encoders are known"
    assert compile_model(estimator, INPUTS, answer) == reason
    assert compile_model(estimator[-1], INPUTS, answer) == "it takes strings (city, some_null, many) in a way of its own"


def test_threads_get_the_answers_of_their_own_rows() -> None:
    answer = ANSWERS["classes"]
    predictor = compiled(fitted("gradient_boosting", answer), answer)
    frame, _ = made(400, seed=3)
    rows = predictor.encoding.encode([frame[each.name].where(frame[each.name].notna(), None).tolist() for each in INPUTS])
    wanted = predictor.scores(rows)

    def one_by_one(start: int) -> np.ndarray:
        return np.concatenate([predictor.scores(rows[n : n + 1]) for n in range(start, 400, 4)])

    with ThreadPoolExecutor(4) as pool:
        for start, scores in enumerate(pool.map(one_by_one, range(4))):
            np.testing.assert_array_equal(scores, wanted[start::4])
