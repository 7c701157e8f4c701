"""Models as they are loaded to be served: which are compiled, that these predict what MLflow does, and what is said of the others."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from lakeloop.online.predictor import Compiled, compile_model
from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import Answer, fitted_classes, scoring_method
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import TRUSTED_TYPES
from resources.serving.compiled import compiled
from resources.tracking.model_format import METADATA, ServableModel, load_model
from tests.worlds.code.brought_models import CONTRACT, ROWS, estimator

NUMBERS = ["amount", "items", "weight"]
BINARY, NUMBER, CLASSES = (
    Answer("binary_classification"),
    Answer("regression"),
    Answer("multiclass_classification", classes=("a", "b", "c")),
)


def rows(count: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(0, 3, count) for name in NUMBERS})
    frame.loc[rng.random(count) < 0.2, "amount"] = np.nan
    return frame


LABELS = np.digitize(np.nan_to_num(rows()["amount"]) + rows()["items"], [-2, 2]).astype(float)


def about(answer: Answer, columns: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a model is saved with, so that it says what it takes and answers."""
    inputs = Schema([ColSpec(kind, name, required=False) for name, kind in columns.items()])
    spec = FeatureSpec(("id",), "at").record()
    return {
        "signature": ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double")])),
        "metadata": {METADATA: {**answer.record(), "feature_spec": spec, **more}},
        "pip_requirements": [],
    }


def saved(folder: Path, fitted: Any, answer: Answer, columns: dict[str, Any]) -> ServableModel:
    """A scikit-learn model, loaded."""
    mlflow.sklearn.save_model(
        fitted,
        str(folder),
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        pyfunc_predict_fn="predict" if answer.kind.label == "none" else scoring_method(fitted, answer),
        **about(answer, columns, fitted_classes=fitted_classes(fitted) if answer.classes else None),
    )
    return load_model(str(folder))


@pytest.mark.parametrize(
    ("pipeline", "answer"), [("gradient_boosting", BINARY), ("linear", CLASSES), ("anomaly", Answer("anomaly_detection"))]
)
def test_a_pipeline_that_is_loaded_is_compiled(tmp_path: Path, pipeline: str, answer: Answer) -> None:
    label = LABELS if answer.classes else (LABELS > 0).astype(float)
    fitted = fit_model(Model(pipeline=pipeline), dict.fromkeys(NUMBERS, "double"), answer, rows(), label, folder=tmp_path)
    model = saved(tmp_path / "model", fitted, answer, dict.fromkeys(NUMBERS, "double"))
    predictor = compiled(model)
    assert isinstance(predictor, Compiled), predictor
    sent = rows(20, 1)
    np.testing.assert_allclose(predictor.scores(sent.to_numpy()), model.predict(sent), rtol=1e-12)


@pytest.mark.parametrize(
    ("answer", "params"),
    [
        (BINARY, {"objective": "binary"}),
        (CLASSES, {"objective": "multiclass", "num_class": 3}),
        (NUMBER, {"objective": "poisson", "linear_tree": True}),
        (NUMBER, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
    ],
)
def test_a_model_of_lightgbms_that_was_brought_is_compiled(tmp_path: Path, answer: Answer, params: dict[str, Any]) -> None:
    import lightgbm

    label = (LABELS > 0).astype(float) if answer == BINARY else LABELS
    data = lightgbm.Dataset(rows().fillna(0) if "linear_tree" in params else rows(), label)
    booster = lightgbm.train({**params, "verbose": -1, "min_data_in_leaf": 5}, data, 12)
    mlflow.lightgbm.save_model(booster, str(tmp_path / "model"), **about(answer, dict.fromkeys(NUMBERS, "double")))
    predictor = compiled(load_model(str(tmp_path / "model")))
    assert isinstance(predictor, Compiled), predictor


def test_a_model_of_xgboosts_that_was_brought_is_compiled(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="no dependency of ours")
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(rows(), LABELS > 0), 12)
    mlflow.xgboost.save_model(booster, str(tmp_path / "model"), model_format="json", **about(BINARY, dict.fromkeys(NUMBERS, "double")))
    predictor = compiled(load_model(str(tmp_path / "model")))
    assert isinstance(predictor, Compiled), predictor


@pytest.mark.parametrize("separate", [False, True])
def test_a_model_of_onnx_that_was_brought_is_compiled(tmp_path: Path, separate: bool) -> None:
    pytest.importorskip("onnxruntime", reason="no dependency of ours")
    onnx = pytest.importorskip("onnx", reason="no dependency of ours")
    helper, single = onnx.helper, onnx.TensorProto.FLOAT
    weights = helper.make_tensor("weights", single, [3, 1], [0.5, -1.0, 2.0])
    if separate:
        inputs = [helper.make_tensor_value_info(name, single, ["n"]) for name in NUMBERS]
        nodes = [helper.make_node("Sum", NUMBERS, ["sum"]), helper.make_node("Sigmoid", ["sum"], ["out"])]
    else:
        inputs = [helper.make_tensor_value_info("x", single, ["n", 3])]
        nodes = [helper.make_node("MatMul", ["x", "weights"], ["sum"]), helper.make_node("Sigmoid", ["sum"], ["out"])]
    outputs = [helper.make_tensor_value_info("out", single, ["n"] if separate else ["n", 1])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [] if separate else [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    mlflow.onnx.save_model(model, str(tmp_path / "model"), **about(BINARY, dict.fromkeys(NUMBERS, "double")))
    predictor = compiled(load_model(str(tmp_path / "model")))
    assert isinstance(predictor, Compiled), predictor


def test_a_model_whose_own_answers_differ_from_what_was_compiled_says_so(tmp_path: Path) -> None:
    fitted = fit_model(Model(pipeline="linear"), dict.fromkeys(NUMBERS, "double"), NUMBER, rows(), LABELS, folder=tmp_path)
    model = saved(tmp_path / "model", fitted, NUMBER, dict.fromkeys(NUMBERS, "double"))
    inside = model.raw[-1]
    own = inside.predict
    inside.predict = lambda frame: own(frame) + 1e-9  # as a release of scikit-learn that computes otherwise would
    reason = compiled(model)
    assert isinstance(reason, str)
    assert reason.startswith("compiled, it differs from itself on ordinary rows: ")


def test_what_cannot_be_compiled_has_a_reason(tmp_path: Path) -> None:
    fitted = estimator(["items", "amount", "country"])
    model = saved(tmp_path / "model", fitted, BINARY, dict(CONTRACT.kinds))
    with warnings.catch_warnings(action="ignore"):
        assert isinstance(compiled(model), Compiled)
    fitted[0].sparse_output_ = True
    assert compile_model(fitted, model.fields, BINARY) == "its columns are sparse"
    assert len(ROWS) == 20
