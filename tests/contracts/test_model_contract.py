"""The contract of a user's own model code: what is read at load, and what is tried once it is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakeloop.errors import DataError, SpecError
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import check_raw, fit_model
from lakeloop.training.model_code import import_model_code, model_source
from lakeloop.training.pipelines import build_estimator, check_model
from tests.worlds.code.own_code import MAJORITY, PIPELINE

KINDS: dict[str, Any] = {"amount": "double", "country": "string"}
FRAME = pd.DataFrame({"amount": [1.0, 2.0, np.nan, 4.0] * 10, "country": pd.Series(["de", "fr", None, "de"] * 10, dtype=object)})
LABEL = np.array([0.0, 1.0, 0.0, 1.0] * 10)


def problem(folder: Path, model: Model, task: Any = "binary_classification") -> str:
    with pytest.raises(SpecError) as told:
        check_model(model, task, folder)
    return str(told.value)


def fit(folder: Path, model: Model, task: Any = "binary_classification") -> Any:
    return fit_model(model, KINDS, Answer(task), FRAME, LABEL, folder=folder)


def test_a_model_has_exactly_one_source() -> None:
    with pytest.raises(ValueError, match="wanted one of pipeline, estimator, train.*, found pipeline and train"):
        Model(pipeline="linear", train="a:b")
    with pytest.raises(ValueError, match="found none"):
        Model()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (PIPELINE.replace("TASKS", "TASK"), "has no TASKS: wanted a tuple of what it can do"),
        (PIPELINE.replace("binary_classification", "binary_clasification"), "did you mean 'binary_classification'?"),
        (PIPELINE.replace("binary_classification", "regression"), "mine.py is for regression, not for binary_classification"),
        (PIPELINE.replace("def estimator", "def estimater"), "has no function estimator(kinds, answer, params, seed); did you mean 'estimater'?"),
        (PIPELINE.replace("params, seed)", "params)"), "mine.py:estimator takes (kinds, answer, params): wanted estimator(kinds, answer, params, seed)"),
        (PIPELINE.replace("def search_space(task)", "def search_space(task, rows)"), "search_space also requires rows"),
        (PIPELINE + "def (", "can't read mine.py"),
    ],
)  # fmt: skip
def test_a_pipeline_file_is_read_for_what_it_has_to_offer(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    message = problem(tmp_path, Model(pipeline="mine.py"))
    assert message.startswith("pipeline: ") and wanted in message


def test_a_pipeline_file_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PIPELINE)
    assert "no file 'mien.py' beside the definition; did you mean 'mine.py'?" in problem(tmp_path, Model(pipeline="mien.py"))
    assert "one of your own is file.py" in problem(tmp_path, Model(pipeline="mine"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("def fit(frame, label, *, answer, params, seed): ...", ""),
        ("def fit(frame, label, answer, params, seed=0): ...", ""),
        ("def fit(frame, label, **more): ...", ""),
        ("def fit(*rows, answer, params, seed): ...", ""),
        ("def fit(frame, *, answer, params, seed): ...", "train.py:fit takes (frame): wanted f(frame, label, *, answer, params, seed)"),
        ("def fit(frame, label, *, answer, params, sead): ...", "takes no 'seed'"),
        ("def fit(frame, label, rounds, *, answer, params, seed): ...", "also requires rounds"),
        ("def fit(frame, label, *, answer, params, seed, rounds): ...", "also requires rounds"),
        ("class fit: ...", "is a class: wanted a function"),
        ("async def fit(frame, label, *, answer, params, seed): ...", "is no plain function"),
        ("def fitt(frame, label): ...", "train.py has no 'fit'; did you mean 'fitt'?"),
    ],
)
def test_a_train_function_is_read_for_how_it_is_called(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "train.py").write_text(text)
    model = Model(train="train.py:fit")
    if not wanted:
        check_model(model, "regression", tmp_path)
        return
    message = problem(tmp_path, model, "regression")
    assert message.startswith("train: ") and wanted in message


def test_an_estimator_is_read_for_its_methods(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Bare:\n    def fit(self, X, y): ...\n    def predict(self, X): ...\ndef build(): ...\n")
    assert "mine.py:Bare has no predict_proba" in problem(tmp_path, Model(estimator="mine.py:Bare"))
    check_model(Model(estimator="mine.py:Bare"), "regression", tmp_path)
    assert "is a function: wanted a class" in problem(tmp_path, Model(estimator="mine.py:build"))
    assert "no module 'sklearm'" in problem(tmp_path, Model(estimator="sklearm:Forest"))


def test_own_code_fits_by_each_of_the_three_ways(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PIPELINE)
    (tmp_path / "majority.py").write_text(MAJORITY)
    (tmp_path / "train.py").write_text(
        "def fit(frame, label, *, answer, params, seed):\n"
        "    from sklearn.dummy import DummyClassifier\n"
        "    return DummyClassifier(strategy=params['strategy'], random_state=seed).fit(frame, label)\n"
    )
    assert fit(tmp_path, Model(pipeline="mine.py", params={"C": 0.5}))[-1].C == 0.5
    fitted = fit(tmp_path, Model(estimator="majority.py:Majority", params={"share": 0.4}))
    assert fitted.predict_proba(FRAME)[0].tolist() == [0.8, 0.2]
    fitted = fit(tmp_path, Model(train="train.py:fit", params={"strategy": "stratified"}, seed=3))
    assert fitted.random_state == 3
    with pytest.raises(SpecError, match="no estimator to build"):
        build_estimator(Model(train="train.py:fit"), KINDS, Answer("regression"), tmp_path)


def test_an_edited_file_is_another_module_and_another_source(tmp_path: Path) -> None:
    model = Model(estimator="majority.py:Majority")
    (tmp_path / "majority.py").write_text(MAJORITY)
    before, source = import_model_code(model, tmp_path), model_source(model, tmp_path)
    assert before is not None and import_model_code(model, tmp_path) == before
    (tmp_path / "majority.py").write_text(MAJORITY.replace("0.0", "1.0"))
    after = import_model_code(model, tmp_path)
    assert after is not None and after.module != before.module and after.value is not before.value
    assert model_source(model, tmp_path) != source


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("    rows = 1\n    raise ValueError('too few days')", "raised while it was fitted: ValueError (train.py line 4): too few days"),
        ("    return None", "gave a NoneType: wanted a fitted object with predict_proba"),
        ("    return Fixed", "gave the class Fixed: wanted a fitted object with predict_proba"),
        ("    return Fixed([[0.4, 0.6]] * 3)", "gave the shape (3, 2) for 20 rows, wanted (20, 2): a probability for each of the two"),
        ("    return Fixed([[0.6]] * 20)", "gave the shape (20, 1) for 20 rows"),
        ("    return Fixed([[float('nan'), 0.6]] * 20)", "gave 20 values of 40 that are missing or infinite"),
        ("    return Fixed([[1.4, -0.4]] * 20)", "gave [1.4, -0.4] for the first row: wanted probabilities that add up to 1"),
        ("    return Fixed([['a', 'b']] * 20)", "wanted numbers"),
        ("    return Fixed(None)", "gave the shape () for 20 rows"),
        ("    return Fixed(1 / 0)", "ZeroDivisionError (train.py line 3): division by zero"),
    ],
)
def test_what_a_train_function_gives_is_tried_before_it_is_stored(tmp_path: Path, body: str, wanted: str) -> None:
    header = "from tests.worlds.code.own_code import Fixed\ndef fit(frame, label, *, answer, params, seed):\n"
    (tmp_path / "train.py").write_text(f"{header}{body}\n")
    with pytest.raises(DataError) as told:
        fit(tmp_path, Model(train="train.py:fit"))
    assert str(told.value).startswith("model.train: train.py:fit") and wanted in str(told.value)


def test_a_file_that_raises_when_imported_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def fit(frame, label, *, answer, params, seed): ...\n\nraise RuntimeError('no licence')\n")
    with pytest.raises(DataError, match=r"can't import train.py: RuntimeError \(train.py line 3\): no licence"):
        fit(tmp_path, Model(train="train.py:fit"))


def test_an_estimator_that_raises_is_told_with_the_key() -> None:
    with pytest.raises(DataError, match="model.pipeline: linear raised while it was fitted: InvalidParameterError"):
        fit(Path(), Model(pipeline="linear", params={"C": -1.0}))


def test_a_regression_answers_one_finite_number_a_row() -> None:
    check_raw(np.zeros(3), 3, Answer("regression"), "it")
    with pytest.raises(DataError, match=r"it gave the shape \(3, 2\) for 3 rows, wanted \(3,\): one number a row"):
        check_raw(np.zeros((3, 2)), 3, Answer("regression"), "it")


def test_a_parameter_is_checked_unless_the_class_takes_any(tmp_path: Path) -> None:
    fitted = fit(tmp_path, Model(estimator="lightgbm:LGBMClassifier", params={"n_estimators": 2, "verbose": -1, "num_threads": 1}))
    assert fitted[-1].get_params()["num_threads"] == 1
    with pytest.raises(SpecError, match="model.params.strateg: DummyClassifier has no parameter 'strateg'; did you mean 'strategy'?"):
        fit(tmp_path, Model(estimator="sklearn.dummy:DummyClassifier", params={"strateg": "prior"}))
