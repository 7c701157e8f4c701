"""Tasks with several numbers a row, each walked once on real data: from a file, by scaffold, to predictions, report and endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakeloop.evaluation.check_kinds import KINDS
from resources.lake.published import WHOLE, TableKey
from resources.serving.answers import Outputs, encode_v1
from resources.tracking.model_format import load_model
from tests.worlds.on_spark import first_scores
from tests.worlds.scaffolded import problems, scaffold
from tests.worlds.shop_project import Shop, failures


def drafted(root: Path, uri: str, frame: pd.DataFrame, **params: Any) -> tuple[Shop, Path]:
    """A project drafted from a frame, and the file of its workflow."""
    (root / "platform_assets" / "defs").mkdir(parents=True)
    frame.to_csv(root / "rows.csv", index=False)
    scaffold(root, "LakeTable", "x/rows", source=str(root / "rows.csv"))
    scaffold(root, "MLWorkflow", "x/guess", table="rows", **params)
    assert problems(root) == []
    defs = root / "platform_assets" / "defs"
    return Shop(defs, str(root / "lake"), uri), defs / "x" / "guess" / "defs.yaml"


def table(shop: Shop, stage: str) -> pd.DataFrame:
    return shop.lake.read(shop.lake.current(TableKey(stage, "x", "guess"))).to_pandas()


def report(shop: Shop, name: str) -> pd.DataFrame:
    return shop.lake.open(f"reports/{name}").to_pyarrow_table().to_pandas()


def served(model: Any, frame: pd.DataFrame) -> dict[str, Any]:
    """What the endpoint answers to a V2 request for some rows, through its whole application."""
    import asyncio

    import httpx

    from resources.serving.app import PredictionApp
    from resources.serving.models import LoadedModel

    rows = frame.rename(columns=lambda name: f"guess_inputs__{name.replace('/', '_')}")
    tensors = [{"name": name, "shape": [len(rows)], "datatype": "FP64", "data": rows[name].tolist()} for name in rows]

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(PredictionApp({"x.guess": LoadedModel(model, "compared as it is")}))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            return await client.post("/v2/models/x.guess/infer", json={"inputs": tensors})

    response = asyncio.run(ask())
    assert response.status_code == 200, response.text
    return dict(response.json())


def released(shop: Shop) -> dict[str, Any]:
    return dict(shop.lake.states()[TableKey("releases", "x", "guess")][WHOLE].value)


def test_classes_of_wine_from_a_file_to_predictions_and_to_another_list_of_classes(
    tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_wine

    monkeypatch.setenv("LAKELOOP_ENV", "twine")
    data = load_wine(as_frame=True)
    names = np.array(["Barolo", "Grignolino", "Barbera d'Asti"])
    frame = data.data.assign(cultivar=names[data.target])
    frame.loc[frame.index[::12], "cultivar"] = None
    shop, file = drafted(tmp_path, mlflow_uri, frame, label="cultivar")
    text = file.read_text()
    assert "task: multiclass_classification" in text and "classes: [Barbera d'Asti, Barolo, Grignolino]" in text
    result = shop.materialize()
    assert result.success, failures(result)
    assert released(shop)["champion"] == "1", released(shop)["reason"]

    probabilities = ["probability_barbera_d_asti", "probability_barolo", "probability_grignolino"]
    predicted = table(shop, "predictions")
    assert predicted[probabilities].sum(axis=1).to_numpy() == pytest.approx(1)
    assert list(predicted["prediction"]) == [sorted(names)[place] for place in predicted[probabilities].to_numpy().argmax(axis=1)]
    training = table(shop, "training_sets")
    assert set(training["label"].dropna()) == set(names)
    assert len(predicted) == (training["split"].isin(["test", "after"])).sum()

    tested = int((training["split"] == "test").sum())
    assert report(shop, "confusion")["n"].sum() == tested
    classes = report(shop, "classes")
    assert classes["n"].sum() == classes["predicted"].sum() == tested
    assert set(report(shop, "calibration")["output"]) == set(probabilities)
    outcomes = report(shop, "model_checks").set_index("code")["outcome"]
    assert set(outcomes.index) == set(KINDS) and set(outcomes) <= {"found", "clean", "not_applicable"}

    model = load_model(f"models:/{released(shop)['name']}/1", mlflow_uri)
    assert model.answer.classes == tuple(sorted(names))
    assert first_scores(shop, "guess", model).shape == (40, 3)
    scores = model.predict(data.data.rename(columns=lambda name: f"guess_inputs__{name.replace('/', '_')}").head(2))
    body = json.loads(encode_v1(Outputs(model.answer).columns(scores), "x.guess", "1"))
    assert body["predictions"][0]["prediction"] == "Barolo" and set(body["predictions"][0]) == {"prediction", *probabilities}
    outputs = {output["name"]: output for output in served(model, data.data.head(2))["outputs"]}
    assert outputs["prediction"] == {"name": "prediction", "shape": [2], "datatype": "BYTES", "data": ["Barolo", "Barolo"]}
    assert outputs["probability_barolo"]["data"] == [row["probability_barolo"] for row in body["predictions"]]

    file.write_text(text.replace("Barolo, Grignolino]", "Barrolo, Grignolino]"))
    refused = shop.materialize("training_sets")
    assert not refused.success
    assert "'Barolo'; did you mean 'Barrolo'" in failures(refused) and "guess/defs.yaml" in failures(refused)

    file.write_text(text.replace("Barolo, Grignolino]", "Barolo, Grignolino, Nebbiolo]"))
    result = shop.materialize("training_sets", "models", "evaluations", "releases", "predictions")
    assert result.success, failures(result)
    # 30 test rows are too few to show that the new version is no worse; the old one goes on, and knows nothing of the new class.
    assert released(shop)["champion"] == "1" and "too few rows" in released(shop)["reason"]
    again = table(shop, "predictions")
    assert (again["probability_nebbiolo"] == 0).all() and set(again["model_version"]) == {"1"}
    assert again["probability_barolo"].to_numpy() == pytest.approx(predicted["probability_barolo"].to_numpy())
    assert "Nebbiolo" in str(report(shop, "classes").query("version == '2' and n == 0")["class"].tolist())


def test_quantiles_of_diabetes_progression_from_a_file_to_predictions(
    tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_diabetes

    monkeypatch.setenv("LAKELOOP_ENV", "tdiabetes")
    frame = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    shop, file = drafted(tmp_path, mlflow_uri, frame, label="progression", task="quantile_regression")
    assert "task: quantile_regression" in file.read_text() and "quantiles: [0.05, 0.5, 0.95]" in file.read_text()
    result = shop.materialize()
    assert result.success, failures(result)
    assert released(shop)["champion"] == "1", released(shop)["reason"]

    predicted = table(shop, "predictions")
    assert (predicted["prediction_q05"] <= predicted["prediction"]).all() and (predicted["prediction"] <= predicted["prediction_q95"]).all()
    joined = predicted.merge(table(shop, "training_sets")[["row_number", "label"]], on="row_number")
    inside = joined["label"].between(joined["prediction_q05"], joined["prediction_q95"]).mean()
    metrics = report(shop, "metrics").query("model == 'candidate'").set_index("metric")
    assert metrics.loc["coverage", "value"] == pytest.approx(inside)
    assert metrics.loc["coverage_error", "value"] == pytest.approx(abs(inside - 0.9))
    constant = report(shop, "metrics").query("model == 'constant'").set_index("metric")
    assert metrics.loc["pinball_loss", "value"] < constant.loc["pinball_loss", "value"]
    assert set(report(shop, "over_time")["metric"]) == {"pinball_loss", "coverage", "width"}
    assert report(shop, "coverage")["n"].sum() == len(joined)

    model = load_model(f"models:/{released(shop)['name']}/1", mlflow_uri)
    assert first_scores(shop, "guess", model).shape == (40, 3)
    rows = frame.drop(columns="progression").rename(columns=lambda name: f"guess_inputs__{name}").head(3)
    answers = json.loads(encode_v1(Outputs(model.answer).columns(model.predict(rows)), "x.guess", "1"))["predictions"]
    assert all(row["prediction_q05"] <= row["prediction"] <= row["prediction_q95"] for row in answers)


ALONE = """
import sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
frame = pd.read_json(sys.argv[2], orient="split").astype(float)
assert not [name for name in sys.modules if name.partition(".")[0] in ("lakeloop", "resources", "platform_assets")]
print(model.predict(frame).tolist())
"""


@pytest.mark.filled
def test_a_calibrated_model_says_so_in_its_report_and_loads_where_nothing_of_this_project_is(shop: Shop, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    from resources.tracking.registry import Registry

    file = shop.defs / "shop" / "returns" / "defs.yaml"
    file.write_text(file.read_text().replace("{pipeline: linear}", "{pipeline: linear, params: {class_weight: balanced}, calibrate: true}"))
    result = shop.materialize("raw", "validated", "features", "training_sets", "models", "evaluations")
    assert result.success, failures(result)
    value = shop.lake.states()[TableKey("models", "shop", "returns")][WHOLE].value
    metrics = report(shop, "metrics").query("model == 'candidate'").set_index("metric")["value"]
    assert metrics["calibration_error"] < 0.1 and metrics["roc_auc"] > 0.6
    page = Registry(shop.uri).client.download_artifacts(value["mlflow_run_id"], "evaluation/report.html", str(tmp_path))
    assert "calibrated by a sigmoid on the newest fifth of the rows to fit on" in Path(page).read_text()

    import mlflow

    folder = mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{value['name']}/{value['version']}", dst_path=str(tmp_path / "model")
    )
    rows = pd.DataFrame({name: [1.0, 12.0] for name in value["features"]})
    rows.to_json(tmp_path / "rows.json", orient="split")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, folder, str(tmp_path / "rows.json")], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    here = load_model(f"models:/{value['name']}/{value['version']}", shop.uri).predict(rows)
    assert [row[1] for row in json.loads(done.stdout.splitlines()[-1])] == pytest.approx(here)
