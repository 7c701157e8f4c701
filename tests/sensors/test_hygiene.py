"""MLflow runs that a dead Dagster run left open: settled once it has failed or was canceled, and not looked for otherwise."""

from __future__ import annotations

import dagster as dg
import mlflow
import pytest

from sensors.hygiene import settle_sensor
from tests.worlds.servers.ports import free_port


@dg.job
def dies() -> None:
    pass


@pytest.mark.parametrize(("ending", "status"), [("report_run_failed", "FAILED"), ("report_run_canceled", "KILLED")])
def test_what_a_dead_run_left_open_is_settled_as_soon_as_mlflow_answers(
    instance: dg.DagsterInstance, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, ending: str, status: str
) -> None:
    sensor, cursor = settle_sensor(), None

    def tick() -> str:
        nonlocal cursor
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            result = sensor.evaluate_tick(context)
        cursor = result.cursor
        return str(result.skip_message)

    client = mlflow.MlflowClient(mlflow_uri)
    run = instance.create_run_for_job(dies, status=dg.DagsterRunStatus.STARTED)
    experiment = client.create_experiment(f"hygiene.{run.run_id}")
    left = client.create_run(experiment, tags={"dagster_run_id": run.run_id}).info.run_id
    monkeypatch.setenv("LAKELOOP_MLFLOW", mlflow_uri)
    assert "no run has failed" in tick()
    getattr(instance, ending)(run)
    monkeypatch.setenv("LAKELOOP_MLFLOW", f"http://127.0.0.1:{free_port()}")
    assert "doesn't answer" in tick()
    monkeypatch.setenv("LAKELOOP_MLFLOW", mlflow_uri)
    assert f"{left} is {status}" in tick()
    assert client.get_run(left).info.status == status
    assert "no run has failed" in tick()
