"""Models from a user's own code, through a whole workflow: stored without pickle, and loaded where the definition isn't."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest

from lakeloop.errors import DataError
from platform_assets.loading import read_project
from platform_assets.plan import stale_assets
from resources.lake.published import TableKey
from resources.tracking.model_format import load_model, trusted_among
from tests.worlds.code.own_code import with_model
from tests.worlds.places import ROOT
from tests.worlds.shop_project import Shop

pytestmark = pytest.mark.filled

PREDICTIONS = TableKey("predictions", "shop", "returns")
TRAIN = """\
import numpy as np


class Threshold:
    \"\"\"One probability for small baskets, another for large ones.\"\"\"

    def fit(self, frame, label, at):
        large = frame["basket__items"].to_numpy() > at
        self.at_ = at
        self.shares_ = np.array([label[~large].mean(), label[large].mean()])
        return self

    def predict_proba(self, frame):
        share = self.shares_[(frame["basket__items"].to_numpy() > self.at_).astype(int)]
        return np.column_stack([1 - share, share])


def fit(frame, label, *, answer, params, seed):
    assert answer.task == "binary_classification"
    return Threshold().fit(frame, label, params["at"])
"""
LOAD = """\
import json, sys
import pandas as pd
from resources.tracking.model_format import load_model
model = load_model(sys.argv[1], sys.argv[2])
frame = pd.DataFrame({field.name: [1.0, 19.0] for field in model.fields})
print(json.dumps(model.predict(frame).tolist()))
"""


def version_of(shop: Shop) -> str:
    states = shop.lake.states()
    value = states[TableKey("models", "shop", "returns")]["whole"].value
    return f"models:/{value['name']}/{value['version']}"


def test_a_train_function_with_a_class_of_its_own_is_served_and_scored_where_its_file_is_not(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_model(shop, "{train: 'train.py:fit', params: {at: 10}}", train=TRAIN)
    workflow = folder / "defs.yaml"
    # The labels are linear, so that the baseline is better than two probabilities: they are released by the other gate.
    workflow.write_text(workflow.read_text().replace(", champion: {max_drop: 0.05}", ""))
    assert shop.materialize().success
    uri = version_of(shop)
    scores = shop.lake.read(shop.lake.current(PREDICTIONS, shop.lake.states()))
    assert len(pc.unique(scores["prediction"])) == 2

    # The ledger has the digest of each file, the workflow's own source among them,.
    (row,) = shop.lake.open("reports/model_files").to_pyarrow_table().to_pylist()
    assert (row["version"], row["code"], row["taken"]) == (uri.rpartition("/")[2], True, "registration")
    own = f"code/train_{hashlib.sha256(TRAIN.encode()).hexdigest()[:12]}.py"
    assert json.loads(row["files"])[own] == hashlib.sha256(TRAIN.encode()).hexdigest()

    # Another process, another folder; the definition is gone.
    (folder / "train.py").rename(tmp_path / "elsewhere.txt")
    command = [sys.executable, "-c", LOAD, uri, shop.uri]
    root = str(ROOT)
    told = subprocess.run(
        command, cwd=tmp_path, env={**shop.environment, "PYTHONPATH": root}, capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, told.stderr
    assert sorted(json.loads(told.stdout.splitlines()[-1])) == sorted(pc.unique(scores["prediction"]).to_pylist())
    (tmp_path / "elsewhere.txt").rename(folder / "train.py")

    # Spark's workers load it too, and say the same.
    before = {row["order_id"]: row["prediction"] for row in scores.to_pylist()}
    spine = (folder / "spine.sql").read_text()
    (folder / "spine.sql").write_text(f"{spine}-- the same rows\n")
    monkeypatch.setenv("LAKELOOP_SPARK_ROWS", "1")
    assert shop.materialize("predictions").success
    again = shop.lake.read(shop.lake.current(PREDICTIONS, shop.lake.states()))
    assert {row["order_id"]: row["prediction"] for row in again.to_pylist()} == pytest.approx(before)

    # The file is part of what makes a model stale.
    monkeypatch.delenv("LAKELOOP_SPARK_ROWS")
    (folder / "spine.sql").write_text(spine)
    key = TableKey("models", "shop", "returns")
    assert key not in stale_assets(read_project(shop.defs), shop.lake.states())
    (folder / "train.py").write_text(TRAIN.replace("> at\n", ">= at\n"))
    assert key in stale_assets(read_project(shop.defs), shop.lake.states())
    assert shop.materialize("models").success
    assert version_of(shop) != uri
    # Both versions of one file live in one process.
    old, new = (load_model(each, shop.uri) for each in (uri, version_of(shop)))
    assert type(old.raw).__module__ != type(new.raw).__module__


def test_a_train_function_that_raises_fails_the_step_with_key_and_line(shop: Shop) -> None:
    with_model(shop, "{train: 'train.py:fit'}", train=TRAIN)
    result = shop.materialize("raw", "validated", "features", "training_sets", "models")
    failed = [event for event in result.all_events if event.is_step_failure]
    told = str(failed[0].step_failure_data.error.cause or failed[0].step_failure_data.error)
    assert "model.train: train.py:fit raised while it was fitted: KeyError (train.py line 20): 'at'" in told


def test_a_type_that_nobody_trusts_is_named_with_the_line_that_trusts_it() -> None:
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=2, verbose=-1).fit([[0.0], [1.0]] * 30, [0, 1] * 30)
    wanted = r"model: \{trusted_types: \[.*lightgbm.basic.Booster.*lightgbm.sklearn.LGBMClassifier"
    with pytest.raises(DataError, match=wanted):
        trusted_among(model, [])
    with pytest.raises(DataError, match="lightgbm.basic.Booster") as told:
        trusted_among(model, [], "lightgbm.sklearn")
    assert "LGBMClassifier" not in str(told.value)


def test_what_can_only_be_pickled_is_refused_with_what_was_wanted() -> None:
    from sklearn.preprocessing import FunctionTransformer

    with pytest.raises(
        DataError, match="can't be stored without pickle: tests.contracts.test_own_models.<lambda> .wanted scikit-learn's parts"
    ):
        trusted_among(FunctionTransformer(lambda frame: frame), [])


def test_a_copied_pipeline_is_what_its_workflow_then_uses(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    from lakeloop.cli.main import main

    folder = shop.defs / "shop" / "returns"
    command = ["copy-pipeline", "linear", "shop/returns", "--defs", str(shop.defs)]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(command) == 0
    assert "model: {pipeline: linear.py}" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.iterdir() if path.name != "linear.py"} == before
    assert main(command) == 1 and "exists already; nothing was written" in capsys.readouterr().err
    assert main([*command[:2], "shop/return", *command[3:]]) == 1 and "did you mean 'shop.returns'?" in capsys.readouterr().err
    assert main([command[0], "liner", *command[2:]]) == 1 and "did you mean 'linear'?" in capsys.readouterr().err

    with_model(shop, "{pipeline: linear.py, params: {C: 0.5}}")
    assert shop.materialize("raw", "validated", "features", "training_sets", "models", "evaluations").success
    assert load_model(version_of(shop), shop.uri).raw[-1].C == 0.5
