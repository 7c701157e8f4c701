"""Models that a workflow didn't train: held against its contract, then evaluated, released and used like its own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lakeloop.errors import DataError
from lakeloop.records.training import ModelState, TakenModel
from lakeloop.spec.workflow import Model
from lakeloop.training.pipelines import TRUSTED_TYPES
from platform_assets.bring import contract_of, describe
from platform_assets.loading import read_project
from platform_assets.plan import stale_assets
from platform_assets.stages.training.registered import taken_versions
from resources.settings import Settings
from resources.tracking.brought_model import Contract, check_brought, resolve_version
from resources.tracking.model_format import load_model
from resources.tracking.registry import Registry
from sensors.all import retrain_request
from tests.worlds.code.brought_models import CONTRACT, LABEL, ROWS, SPEC, VIEW, log
from tests.worlds.code.own_code import with_model
from tests.worlds.shop_project import Shop

OVERLAP = "LL102_overlap_in_time"


def told(mlflow_uri: str, uri: str, contract: Contract = CONTRACT) -> str:
    with pytest.raises(DataError) as error:
        check_brought(uri, mlflow_uri, contract, ROWS)
    return str(error.value)


def test_a_model_that_keeps_the_contract_may_be_taken_even_with_fewer_features(mlflow_uri: str) -> None:
    uri = log(mlflow_uri, "good")
    problem = check_brought(uri, mlflow_uri, CONTRACT, ROWS)
    assert (problem.uri, problem.features, problem.trained_until) == (uri, ["items", "amount", "country"], None)
    fewer = {**SPEC, "views": [{**VIEW, "columns": {"amount": "amount"}}], "trained_until": "2024-03-01"}
    problem = check_brought(log(mlflow_uri, "good", columns="amount", metadata=fewer), mlflow_uri, CONTRACT, ROWS)
    assert (problem.version, problem.features, problem.trained_until) == ("2", ["amount"], "2024-03-01")


def test_what_is_missing_is_said_with_the_lines_that_add_it(mlflow_uri: str) -> None:
    bare = log(mlflow_uri, "bare", metadata=None, signature=False)
    message = told(mlflow_uri, bare)
    assert f"{bare} has no signature and no feature spec" in message
    assert f"    from platform_assets.bring import describe\n    describe('{bare}', 'shop.returns')\n" in message
    assert "has no feature spec, so" in told(mlflow_uri, log(mlflow_uri, "bare", metadata=None))
    classes = told(mlflow_uri, log(mlflow_uri, "bare", pyfunc_predict_fn="predict"))
    assert "answers with classes (its pyfunc_predict_fn is predict): wanted probabilities" in classes and "describe(" in classes


def test_each_input_that_is_no_feature_is_named_with_the_nearest(mlflow_uri: str) -> None:
    message = told(mlflow_uri, log(mlflow_uri, "inputs", columns="items amonut country", types={"items": "long"}))
    assert "items is a long, the workflow has a double" in message and "no feature 'amonut'; did you mean 'amount'?" in message


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({**SPEC, "keys": ["customer"]}, "says keys ['customer'], the workflow ['order_id']"),
        ({**SPEC, "views": [{**SPEC["views"][0], "version": 2}]}, "says of items: version 2, the workflow 1"),
        ({**SPEC, "views": [{**VIEW, "columns": {"items": "items"}}]}, "looks up items, its signature takes items, amount, country"),
        ({**SPEC, "views": [{**VIEW, "columns": {"n": "items", "amount": "amount", "country": "country"}}]}, "says of items: column 'n'"),
        ({"keys": ["order_id"]}, "can't be read: a stored FeatureSpec has no predict_at"),
        ({**SPEC, "views": [{"kind": "view", "columns": {}}]}, "can't be read: a stored FeatureLookup has no domain, name, keys, max_age"),
    ],
)  # fmt: skip
def test_a_feature_spec_that_looks_up_something_else_is_refused(mlflow_uri: str, spec: Any, wanted: str) -> None:
    assert wanted in told(mlflow_uri, log(mlflow_uri, "spec", metadata=spec))


def test_pickles_untrusted_types_and_code_are_refused(mlflow_uri: str, tmp_path: Path) -> None:
    message = told(mlflow_uri, log(mlflow_uri, "unsafe", serialization_format="cloudpickle"))
    assert (
        "serialization_format: wanted skops, found 'cloudpickle'" in message and "Log it again with serialization_format='skops'" in message
    )

    from tests.worlds.code.slow import SlowClassifier

    odd = SlowClassifier(str(tmp_path), 0)
    types = ["tests.worlds.code.slow.SlowClassifier"]
    (tmp_path / "more.py").write_text("VALUE = 1\n")
    odd.fit(ROWS[["items"]], LABEL)
    fewer = {**SPEC, "views": [{**VIEW, "columns": {"items": "items"}}]}
    uri = log(mlflow_uri, "unsafe", columns="items", metadata=fewer, model=odd, skops_trusted_types=[*TRUSTED_TYPES, *types])
    # What the model itself says to trust counts for nothing.
    assert "trusted_types: [tests.worlds.code.slow.SlowClassifier]" in told(mlflow_uri, uri)
    trusting = replace(CONTRACT, trusted_types=types)
    assert check_brought(uri, mlflow_uri, trusting, ROWS).features == ["items"]
    uri = log(mlflow_uri, "unsafe", code_paths=[str(tmp_path / "more.py")])
    # No name makes code of it trusted.
    for contract in (CONTRACT, replace(CONTRACT, trusted_types=["more"])):
        assert "sklearn.code: it brings code, which runs when it is loaded: wanted none, found 'code'" in told(mlflow_uri, uri, contract)


def test_the_version_that_is_meant_is_found_or_told(mlflow_uri: str) -> None:
    registry = Registry(mlflow_uri)
    for _ in range(2):
        log(mlflow_uri, "meant", columns="items")
    registry.client.set_registered_model_alias("meant", "good", "1")
    assert resolve_version(registry, Model(registered="meant")) == "2"
    assert resolve_version(registry, Model(registered="meant", version=1)) == "1"
    assert resolve_version(registry, Model(registered="meant", alias="good")) == "1"
    for model, wanted in (
        (Model(registered="ment"), "no registered model 'ment' with a version; did you mean 'meant'?"),
        (Model(registered="meant", version=3), "meant has no version 3; there are 1, 2"),
        (Model(registered="meant", alias="god"), "meant has no alias 'god'; did you mean 'good'?"),
    ):
        with pytest.raises(DataError, match=re.escape(wanted)):
            resolve_version(registry, model)


def test_what_does_not_go_with_a_registered_model_is_refused() -> None:
    for more, wanted in (
        ({"version": 1, "alias": "a"}, "wanted version or alias, found both"),
        ({"params": {"a": 1}}, "taken as it is"),
    ):
        with pytest.raises(ValueError, match=wanted):
            Model(registered="a", **more)
    with pytest.raises(ValueError, match="version and alias are of a registered model"):
        Model(pipeline="linear", version=1)


def fitted(shop: Shop, name: str) -> Any:
    """What a notebook would do: read the training set, fit, register; knows nothing of Lakeloop's metadata."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    from resources.lake.published import TableKey

    states = shop.lake.states()
    table = shop.lake.read(shop.lake.current(TableKey("training_sets", "shop", "returns"), states)).to_pandas()
    table = table[table["split"] == "train"]
    frame = table[["basket__items", "basket__amount_eur"]].astype(float)
    mlflow.set_tracking_uri(shop.uri)
    mlflow.set_experiment("notebook")
    model = LogisticRegression().fit(frame, table["label"])
    mlflow.sklearn.log_model(
        model, name="m", registered_model_name=name, serialization_format="skops", input_example=frame.head(3), pip_requirements=[]
    )
    return frame, table["label"]


def failure(result: Any) -> str:
    assert not result.success
    return "".join(str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure)


@pytest.mark.filled
def test_a_registered_model_goes_all_the_way(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm
    import mlflow

    from resources.lake.published import TableKey

    monkeypatch.setenv("LAKELOOP_LAKE", shop.lake_url)
    name = f"{Settings.from_environment().environment}_mine"
    with_model(shop, f"{{registered: {name}}}")
    assert f"no registered model '{name}'" in failure(shop.materialize())
    frame, label = fitted(shop, name)

    # The message says what is missing and the lines that add it; they work as they stand.
    message = failure(shop.materialize("models"))
    assert "has no feature spec" in message
    line = next(line.strip() for line in message.splitlines() if "describe('models:/" in line)
    assert eval(line.replace("')", "', defs=shop.defs)"), {"describe": describe, "shop": shop}) == "2"

    assert shop.materialize().success
    states = shop.lake.states()
    own = states[TableKey("models", "shop", "returns")]["whole"].typed(ModelState).value
    assert own.registered == TakenModel(name, "2") and own.version == "1"
    client = Registry(shop.uri).client
    version = client.get_model_version(own.name, "1")
    assert version.tags["lakeloop.registered"] == f"models:/{name}/2" and version.source == f"models:/{name}/2"
    assert states[TableKey("releases", "shop", "returns")]["whole"].value["champion"] == "1"
    facts = states[TableKey("evaluations", "shop", "returns")]["whole"].value
    outcomes = {check: outcome[:2] for check, outcome in facts["checks"].items()}
    assert {outcomes[c][0] for c in ("LL101_overfit", OVERLAP, "LL103_overlap_of_entities")} == {"not_applicable"}
    assert outcomes[OVERLAP][1] == f"{name} version 2 was trained elsewhere, and it isn't known on what: it may have seen these rows"
    page = mlflow.artifacts.load_text(f"runs:/{own.mlflow_run_id}/evaluation/report.html")
    assert "it may have seen these rows" in page and "rows of the test window" in page
    rows = shop.lake.read(shop.lake.current(TableKey("predictions", "shop", "returns"), states)).to_pandas()
    assert len(rows) and set(rows["model_version"]) == {"1"}
    served = load_model(f"models:/{own.name}/1", shop.uri)
    assert served.predict(frame.head(5)) == pytest.approx(served.raw.predict_proba(frame.head(5))[:, 1])

    # A newer version elsewhere, in a library's own format: the plan and the sensor see it, once.
    project = read_project(shop.defs)
    ask = lambda: retrain_request(  # noqa: E731
        project, project.workflows[("shop", "returns")], shop.lake.states(), pd.Timestamp.now("UTC").to_pydatetime(), 0,
        taken_versions(project, shop.uri),
    )  # fmt: skip
    assert stale_assets(project, states, taken=taken_versions(project, shop.uri)) == {} and "newest data" in str(ask())
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_leaves": 4}, lightgbm.Dataset(frame, label), 10)
    mlflow.lightgbm.log_model(
        booster, name="m", registered_model_name=name, pip_requirements=[],
        **contract_of("shop.returns", features=list(frame), trained_until="2024-03-01", defs=shop.defs),
    )  # fmt: skip
    assert TableKey("models", "shop", "returns") in stale_assets(project, states, taken=taken_versions(project, shop.uri))
    assert "AssetKey(['models', 'shop', 'returns'])" in str(ask())
    assert shop.materialize("models", "evaluations", "releases").success
    states = shop.lake.states()
    own = states[TableKey("models", "shop", "returns")]["whole"].typed(ModelState).value
    facts = states[TableKey("evaluations", "shop", "returns")]["whole"].value
    assert own.version == "2" and own.registered.version == "3" and facts["champion"] == "1"
    assert facts["checks"][OVERLAP][0] == "clean" and "before 2024-03-01" in facts["checks"][OVERLAP][1]
    assert load_model(f"models:/{own.name}/2", shop.uri).predict(frame) == pytest.approx(booster.predict(frame))
