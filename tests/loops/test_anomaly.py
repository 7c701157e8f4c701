"""Anomalies without labels: from a table to a released detector on real data, what is planted, and what a label is used for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from lakeloop.evaluation.anomaly_findings import top_overlap
from lakeloop.training.planting import MIXTURE, MOVED, UNSEEN, plant
from resources.tracking.model_format import load_model
from tests.worlds.on_spark import first_scores
from tests.worlds.scaffolded import definition, problems, scaffold
from tests.worlds.shop_project import Shop


def tumours() -> dict[str, list[Any]]:
    """Measurements of tumours, of which some are malignant: scikit-learn's breast cancer data."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    rows = data.frame.iloc[:, [*range(10)]].rename(columns=lambda name: name.replace(" ", "_"))
    kept = {name: rows[name].tolist() for name in rows.columns}
    malignant = ["yes" if value == 0 else "no" for value in data.target]
    return {"sample_id": [f"s{i}" for i in range(len(rows))], **kept, "malignant": malignant}


def table(project: Path, rows: dict[str, list[Any]]) -> None:
    (project / "in").mkdir(exist_ok=True)
    pyarrow.csv.write_csv(pa.table(rows), project / "in" / "rows.csv")
    scaffold(project, "LakeTable", "lab/samples", source=str(project / "in" / "rows.csv"))


def test_from_a_table_without_a_label_to_a_released_detector(
    project: Path,
    mlflow_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from resources.lake.published import WHOLE, TableKey

    monkeypatch.setenv("LAKELOOP_ENV", "tanomaly")
    table(project, tumours())
    scaffold(project, "MLWorkflow", "lab/strange", table="samples", task="anomaly_detection", label="malignant", positive="yes")
    assert problems(project) == []
    shop = Shop(project / "platform_assets" / "defs", str(project / "lake"), mlflow_uri)
    result = shop.materialize()
    assert result.success, [e.event_specific_data.error for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    states = shop.lake.states()
    released = states[TableKey("releases", "lab", "strange")][WHOLE].value
    assert released["champion"] == "1", released["reason"]
    judged = states[TableKey("evaluations", "lab", "strange")][WHOLE].value
    assert judged["metrics"]["roc_auc"] > 0.7 and judged["metrics"]["labelled_roc_auc"] > 0.6
    assert 0 <= judged["metrics"]["flagged_share"] < 0.1 and 0 < judged["metrics"]["top_overlap"] <= 1
    assert "malignant" not in "".join(states[TableKey("models", "lab", "strange")][WHOLE].value["features"])
    assert judged["checks"]["LL104_leakage_by_a_feature"][0] == "not_applicable"
    assert judged["checks"]["LL108_uncalibrated"][0] == "not_applicable"
    predicted = shop.lake.read(shop.lake.current(TableKey("predictions", "lab", "strange"))).to_pandas()
    assert predicted["prediction"].between(0, 1).all()
    flagged = predicted[predicted["is_alert"]]["prediction"]
    assert flagged.empty or flagged.min() > predicted[~predicted["is_alert"]]["prediction"].max()
    model = load_model(f"models:/{released['name']}/1", mlflow_uri)
    assert len(set(first_scores(shop, "strange", model, domain="lab"))) > 30


def test_without_a_label_nothing_of_one_is_written_and_every_row_is_asked_about(project: Path) -> None:
    table(project, tumours())
    scaffold(project, "MLWorkflow", "lab/strange", table="samples", task="anomaly_detection", pipeline="linear")
    assert problems(project) == []
    text = definition(project, "lab/strange/defs.yaml")
    assert "\n  label:" not in text and "alert_rate: 0.01" in text and "pipeline: linear" in text
    assert "malignant" in definition(project, "lab/strange_inputs/view.sql")
    assert not (project / "platform_assets" / "defs" / "lab" / "strange_outcomes").exists()
    path = project / "platform_assets" / "defs" / "lab" / "strange" / "defs.yaml"
    path.write_text(text.replace("task: anomaly_detection", "task: regression").replace("roc_auc", "mae"))
    assert any("anomaly" in problem for problem in problems(project))
    path.write_text(path.read_text().replace("  anomaly: {", "  # anomaly: {").replace("pipeline: linear", "pipeline: linear"))
    assert any("wanted a label" in problem for problem in problems(project))


@pytest.mark.parametrize("name", ["anomaly", "linear"])
def test_planted_rows_are_told_from_real_ones_and_the_scores_are_higher(name: str) -> None:
    from lakeloop.metrics.table import METRICS
    from lakeloop.rows.types import Kind
    from lakeloop.spec.tasks import Answer, scores_of
    from lakeloop.spec.workflow import Model
    from lakeloop.training.pipelines import build_estimator

    rows = pd.DataFrame({key: value for key, value in tumours().items() if key not in ("sample_id", "malignant")})
    rows["ward"] = np.where(np.arange(len(rows)) % 3 == 0, "east", "west").astype(object)
    kinds: dict[str, Kind] = {column: "string" if column == "ward" else "double" for column in rows.columns}
    answer = Answer("anomaly_detection")
    model = build_estimator(Model(pipeline=name), kinds, answer)
    model.fit(rows[:400], np.full(400, np.nan))
    planted = plant(rows[400:].reset_index(drop=True), kinds)
    score = np.concatenate([scores_of(model, frame, answer) for frame in (rows[400:], planted.frame)])
    y = np.repeat([0.0, 1.0], [len(rows) - 400, len(planted.source)])
    assert METRICS["anomaly_detection"]["roc_auc"].value(y, score) > 0.75
    assert METRICS["anomaly_detection"]["misranked"].value(y, score) < 0.25


def test_what_is_planted_is_what_the_page_says() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(0, 1, 600), "b": np.repeat([1.0, 2.0], 300), "c": ["x", "y", "z"] * 200, "one": 7.0})
    kinds: Any = {"a": "double", "b": "double", "c": "string", "one": "double"}
    before = frame.copy()
    planted = plant(frame, kinds, seed=4)
    pd.testing.assert_frame_equal(frame, before)
    assert len(planted.frame) == 60 and list(planted.kind[:2]) == [MIXTURE, MOVED]
    moved = planted.frame[planted.kind == MOVED].reset_index(drop=True)
    origin = frame.iloc[planted.source[planted.kind == MOVED]].reset_index(drop=True)
    changed = moved.ne(origin)
    assert (changed.sum(axis=1) == 1).all() and not changed["one"].any()
    spread = np.subtract(*np.quantile(frame["a"], [0.75, 0.25]))
    far = (moved["a"] - origin["a"])[changed["a"]].abs() / spread
    assert far.between(4, 8).all() and (moved["c"][changed["c"]] == UNSEEN).all()
    mixed = planted.frame[planted.kind == MIXTURE]
    assert all(set(mixed[name]) <= set(frame[name]) for name in frame)
    assert plant(frame, kinds, seed=4).frame.equals(planted.frame)


def test_the_top_of_two_equal_rankings_is_shared_and_of_two_random_ones_hardly() -> None:
    rng = np.random.default_rng(2)
    score = rng.normal(0, 1, 2000)
    same = top_overlap([score, score], 0.05)
    assert (same.value, same.n) == (1.0, 100)
    other = top_overlap([score, rng.normal(0, 1, 2000), rng.normal(0, 1, 2000)], 0.05)
    assert other.value < 0.15 and other.low <= other.value <= other.high


@pytest.mark.parametrize(
    ("rows", "params", "told"),
    [
        (30, {}, "samples has 30 rows; wanted at least 50"),
        (569, {"label": "malign"}, "label: no column 'malign'; did you mean 'malignant'"),
        (569, {"label": "mean_radius"}, "name the one to predict with --positive"),
        (569, {"time": "mean_radius"}, "time: wanted a timestamp or date"),
        (569, {"pipeline": "gradient_boosting"}, "not for anomaly_detection; for that there is anomaly, linear"),
        (569, {"horizon": 3}, "horizon: only for --task forecasting"),
    ],
)
def test_what_cannot_be_looked_at_is_told_by_its_option(project: Path, rows: int, params: dict[str, Any], told: str) -> None:
    import click

    table(project, {name: values[:rows] for name, values in tumours().items()})
    with pytest.raises(click.ClickException, match=told):
        scaffold(project, "MLWorkflow", "lab/strange", table="samples", task="anomaly_detection", **params)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("alert_rate: 0.01", "alert_rate: 0.9"), "anomaly.alert_rate"),
        (("roc_auc: {min: 0.6}", "flaged_share: {max: 0.02}"), "did you mean 'flagged_share'"),
        (("primary: roc_auc", "primary: flagged_share"), "no metric 'flagged_share'"),
        (("pipeline: anomaly", "pipeline: anomoly"), "did you mean 'anomaly'"),
    ],
)
def test_what_a_workflow_says_wrongly_is_told_where_it_stands(project: Path, change: tuple[str, str], told: str) -> None:
    table(project, tumours())
    scaffold(project, "MLWorkflow", "lab/strange", table="samples", task="anomaly_detection")
    path = project / "platform_assets" / "defs" / "lab" / "strange" / "defs.yaml"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    assert any(told in problem for problem in problems(project)), problems(project)


def test_an_alert_comes_from_the_inputs_of_the_model(project: Path) -> None:
    from lakeloop.checking.project import load_checked
    from lakeloop.project.lineage import Lineage

    table(project, tumours())
    scaffold(project, "MLWorkflow", "lab/strange", table="samples", task="anomaly_detection")
    lineage = Lineage(load_checked(project / "platform_assets" / "defs")[0])
    for asked in ("predictions.lab.strange.is_alert", "deployments.lab.strange.is_alert"):
        (ref,) = lineage.find(asked)
        roots = {str(root) for root in lineage.roots(ref)}
        assert "raw.lab.samples.mean_radius" in roots and not any("malignant_is" in root for root in roots)
