"""One MLflow run per Dagster run and workflow, closed with the right status however the step ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.places import ROOT
from tests.worlds.shop_project import Shop, failures, key

pytestmark = pytest.mark.filled


def mlflow_runs(shop: Shop) -> list[Any]:
    """The runs of the shop's workflow."""
    import mlflow

    from resources.settings import Settings

    client = mlflow.MlflowClient(shop.uri)
    experiment = client.get_experiment_by_name(Settings.from_environment().mlflow_name("shop", "returns"))
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def status_within(shop: Shop, seconds: float) -> str:
    """The status of the one run, once it is final."""
    deadline = time.monotonic() + seconds
    while True:
        (run,) = mlflow_runs(shop)
        if run.info.status != "RUNNING" or time.monotonic() > deadline:
            return str(run.info.status)
        time.sleep(0.2)


class Fitting:
    """`dagster asset materialize` of a model whose first fits never end."""

    def __init__(self, shop: Shop, folder: Path, slow_fits: int) -> None:
        self.marks, self.home, self.log = folder / "marks", folder / "dagster", folder / "log"
        self.marks.mkdir()
        self.home.mkdir()
        shutil.copyfile(ROOT / "dagster.yaml", self.home / "dagster.yaml")
        workflow = shop.defs / "shop" / "returns" / "defs.yaml"
        params = f"params: {{marks: '{self.marks}', slow_fits: {slow_fits}}}, trusted_types: [tests.worlds.code.slow.SlowClassifier]"
        workflow.write_text(
            workflow.read_text().replace("{pipeline: linear}", f"{{estimator: 'tests.worlds.code.slow:SlowClassifier', {params}}}")
        )
        assert shop.materialize("raw", "validated", "features", "training_sets").success
        command = ["-m", "dagster", "asset", "materialize", "-f", str(shop.location(folder)), "--select", "models/shop/returns"]
        # Not in the project's folder: its `.env` would win over this environment.
        environment = {**shop.environment, "DAGSTER_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, stdout=log, stderr=log)

    def step(self, number: int) -> int:
        """Process id of the step that fits, once its fit number `number` (from 1) has begun."""
        deadline = time.monotonic() + 120
        while len(marks := sorted(self.marks.iterdir(), key=lambda mark: mark.stat().st_mtime)) < number:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.1)
        return int(marks[number - 1].name)

    def status(self, patch: pytest.MonkeyPatch) -> str:
        """How the Dagster run stands."""
        import dagster as dg

        patch.setenv("DAGSTER_HOME", str(self.home))
        with dg.DagsterInstance.get() as instance:
            (run,) = instance.get_runs()
            return str(run.status.value)


@pytest.fixture
def fitting(shop: Shop, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    started = Fitting(shop, tmp_path, request.param)
    yield started
    started.process.kill()
    started.process.wait(10)


def versions(shop: Shop) -> int:
    """How many versions the shop's model has."""
    import mlflow

    from resources.settings import Settings

    name = Settings.from_environment().mlflow_name("shop", "returns")
    return len(mlflow.MlflowClient(shop.uri).search_model_versions(f"name = '{name}'"))


@pytest.mark.parametrize("fitting", [1], indirect=True)
def test_a_killed_step_is_tried_again_in_the_same_run_and_makes_one_model(
    shop: Shop, fitting: Fitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = fitting.step(1)
    assert step != fitting.process.pid
    assert [run.info.status for run in mlflow_runs(shop)] == ["RUNNING"]
    os.kill(step, signal.SIGKILL)
    assert fitting.process.wait(120) == 0, fitting.log.read_text()[-3000:]
    assert fitting.status(monkeypatch) == "SUCCESS"
    assert status_within(shop, 0) == "FINISHED"
    assert versions(shop) == 1


@pytest.mark.parametrize("fitting", [9], indirect=True)
def test_a_step_that_is_killed_each_time_leaves_no_open_run_and_no_model(
    shop: Shop, fitting: Fitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for attempt in (1, 2, 3):
        os.kill(fitting.step(attempt), signal.SIGKILL)
    assert fitting.process.wait(60) != 0
    assert fitting.status(monkeypatch) == "FAILURE"
    assert status_within(shop, 15) == "KILLED"
    assert versions(shop) == 0


@pytest.mark.parametrize("fitting", [9], indirect=True)
def test_a_canceled_run_is_killed_in_mlflow_too(shop: Shop, fitting: Fitting, monkeypatch: pytest.MonkeyPatch) -> None:
    fitting.step(1)
    fitting.process.send_signal(signal.SIGINT)
    assert fitting.process.wait(60) != 0
    assert status_within(shop, 15) == "KILLED"
    assert fitting.status(monkeypatch) in ("CANCELED", "FAILURE")
    assert versions(shop) == 0


def test_a_step_that_fails_outside_the_mlflow_run_fails_that_run_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakeloop.errors import DataError
    from platform_assets.stages.evaluation import evaluations

    def broken(*_: Any, **__: Any) -> None:
        raise DataError("no score today")

    monkeypatch.setattr(evaluations, "evaluate_model", broken)
    result = shop.materialize()
    assert not result.success and "no score today" in failures(result)
    assert [run.info.status for run in mlflow_runs(shop)] == ["FAILED"]


def test_a_run_that_the_server_did_not_let_end_is_ended_when_it_answers_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging
    from types import SimpleNamespace

    import mlflow

    from resources.tracking.runs import Tracking

    context = SimpleNamespace(run_id="away", log=logging.getLogger("test"), run_tags={})
    end = mlflow.end_run
    with monkeypatch.context() as patch, Tracking(tracking_uri=shop.uri).run(context, "shop", "returns"):

        def refuse(status: str) -> None:
            raise mlflow.MlflowException("the server is away")

        patch.setattr(mlflow, "end_run", refuse)
    end()
    assert status_within(shop, 20) == "FINISHED"


def test_runs_left_open_by_a_dead_process_are_settled_by_dagsters_status(shop: Shop) -> None:
    import mlflow

    from resources.settings import Settings
    from resources.tracking.runs import Tracking

    client = mlflow.MlflowClient(shop.uri)
    experiment = client.create_experiment(Settings.from_environment().mlflow_name("shop", "returns"))
    made = {
        status: client.create_run(experiment, tags={"dagster_run_id": f"{shop.lake_url}-{status}"}).info.run_id
        for status in ("SUCCESS", "FAILURE", "CANCELED", "STARTED")
    }
    settled = Tracking(tracking_uri=shop.uri).reconcile(
        lambda run_id: run_id.rpartition("-")[2] if run_id.startswith(shop.lake_url) else "STARTED"
    )
    assert {run.run_id: run.status for run in settled} == {
        made["SUCCESS"]: "FINISHED",
        made["FAILURE"]: "FAILED",
        made["CANCELED"]: "KILLED",
    }
    assert client.get_run(made["STARTED"]).info.status == "RUNNING"
    client.set_terminated(made["STARTED"], "FINISHED")


@pytest.mark.filled
def test_a_step_without_an_mlflow_server_fails_and_registers_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.tracking import runs as tracking

    monkeypatch.setattr(tracking, "PATIENCE_S", 0.3)
    assert shop.materialize("raw", "validated", "features", "training_sets").success
    alone = shop.without_server()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = alone.materialize("models")
    assert not result.success
    assert alone.uri in failures(result)
    assert key("models") not in shop.lake.states()
    assert sum(e.event_type_value == "STEP_UP_FOR_RETRY" for e in result.all_events) == 2
