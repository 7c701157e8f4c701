"""Every task, and a model from elsewhere, behind one real supervisor and KServe's real model server: the answers are the model's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import ALERT, Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import TRUSTED_TYPES
from resources.serving.answers import Outputs
from resources.serving.desired import Deployment, write_desired
from resources.tracking.model_format import ServableModel, load_model, log_model
from resources.tracking.registry import register
from resources.tracking.runs import Tracking
from tests.worlds.code.brought_models import log
from tests.worlds.places import ROOT
from tests.worlds.servers.endpoint import Endpoint

KINDS: dict[str, Any] = {"amount": "double", "country": "string"}
ANSWERS = {
    "classes": Answer("multiclass_classification", classes=("red", "green", "blue")),
    "places": Answer("multiclass_classification", classes=(3, 1, 2)),
    "quantiles": Answer("quantile_regression", quantiles=(0.05, 0.5, 0.95)),
    "strange": Answer("anomaly_detection"),
}
PIPELINES = {"classes": "gradient_boosting", "places": "linear", "quantiles": "gradient_boosting", "strange": "anomaly"}
THRESHOLD = 0.5


def made(rows: int = 200) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"amount": rng.normal(0, 1, rows), "country": rng.choice(["de", "fr"], rows)})
    return frame, ((frame["amount"] > 0).astype(int) + (frame["amount"] > 1)).to_numpy().astype(float)


def registered(uri: str, name: str) -> str:
    frame, y = made()
    answer = ANSWERS[name]
    estimator = fit_model(Model(pipeline=PIPELINES[name]), KINDS, answer, frame, y, folder=ROOT)
    context = SimpleNamespace(run_id=f"served-{name}", log=logging.getLogger("test"), run_tags={})
    spec = FeatureSpec(("id",), "at", alert_threshold=THRESHOLD if name == "strange" else None)
    with Tracking(tracking_uri=uri).run(context, "shop", name) as run:
        logged = log_model(
            run, estimator, name=name, frame=frame.head(3), kinds=KINDS, answer=answer, feature_spec=spec, fingerprint=name,
            trusted_types=TRUSTED_TYPES,
        )  # fmt: skip
        return register(run, logged, f"shop.{name}", tags={}, fingerprint=name)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Iterator[tuple[str, dict[str, ServableModel]]]:
    """The endpoint's address, and the models as they are loaded here."""
    versions = {name: registered(mlflow_uri, name) for name in ANSWERS}
    log(mlflow_uri, "shop.foreign")
    models = {name: load_model(f"models:/shop.{name}/{version}", mlflow_uri) for name, version in {**versions, "foreign": "1"}.items()}
    running = Endpoint(tmp_path_factory.mktemp("served"), mlflow_uri)
    try:
        for name, model in models.items():  # all stated first: one server for all of them, instead of a swap for each
            write_desired(running.folder, Deployment(f"shop.{name}", model.version, f"models:/shop.{name}/{model.version}"))
        for name, model in models.items():
            address = running.deploy(name, model.version)
        yield address, models
    finally:
        running.process.terminate()
        running.process.wait(40)


def rows_for(model: ServableModel) -> pd.DataFrame:
    return pd.DataFrame({f.name: ["fr", "de", None] if f.kind == "string" else [-2.0, 0.1, 3.0] for f in model.fields})


@pytest.mark.parametrize("name", [*ANSWERS, "foreign"])
def test_v1_and_v2_answer_what_the_model_itself_does(served: tuple[str, dict[str, ServableModel]], name: str) -> None:
    address, models = served
    model = models[name]
    rows = rows_for(model)
    wanted: dict[str, Any] = {column: list(values) for column, values in model.answer.values(model.predict(rows)).items()}
    if name == "strange":
        wanted[ALERT] = [score > THRESHOLD for score in wanted["prediction"]]
        assert len(set(wanted[ALERT])) == 2
    instances = rows.astype(object).where(rows.notna(), None).to_dict("records")
    one = httpx.post(f"{address}/v1/models/shop.{name}:predict", json={"instances": instances}, timeout=20)
    assert one.status_code == 200, one.text
    said = one.json()["predictions"]
    said = {"prediction": said} if len(wanted) == 1 else {column: [row[column] for row in said] for column in said[0]}
    tensors = [
        {
            "name": f.name,
            "shape": [len(rows)],
            "datatype": "BYTES" if f.kind == "string" else "FP64",
            "data": [r[f.name] for r in instances],
        }
        for f in reversed(model.fields)
    ]
    two = httpx.post(f"{address}/v2/models/shop.{name}/infer", json={"inputs": tensors}, timeout=20)
    assert two.status_code == 200, two.text
    outputs = two.json()["outputs"]
    for answer in (said, {output["name"]: output["data"] for output in outputs}):
        assert list(answer) == list(wanted)
        for column, values in wanted.items():
            assert answer[column] == (pytest.approx(values) if isinstance(values[0], float) else values), column
    assert all(output["shape"] == [len(rows)] for output in outputs)
    about = httpx.get(f"{address}/v2/models/shop.{name}", timeout=20).json()
    types = {output["name"]: output["datatype"] for output in outputs}
    assert {o["name"]: o["datatype"] for o in about["outputs"]} == types == Outputs(model.answer, model.alert_above).types


@pytest.mark.parametrize("name", [*ANSWERS, "foreign"])
def test_a_column_that_the_model_does_not_know_is_named(served: tuple[str, dict[str, ServableModel]], name: str) -> None:
    address, models = served
    row = {**{f.name: None for f in models[name].fields}, "nonsense": 1}
    answer = httpx.post(f"{address}/v1/models/shop.{name}:predict", json={"instances": [row]}, timeout=20)
    assert (answer.status_code, answer.json()["field"]) == (400, "nonsense")
