"""Run hygiene: what a dead Dagster run left open in MLflow gets its final status."""

from __future__ import annotations

from typing import Any

import dagster as dg

from resources.tracking.client import set_up_client
from resources.tracking.runs import Tracking, status_in
from resources.tracking.server import is_up


def settle_sensors() -> list[Any]:
    """A sensor each for failed and for canceled runs; a killed container takes even the guard of its MLflow run with it."""
    endings = {"failed": dg.DagsterRunStatus.FAILURE, "canceled": dg.DagsterRunStatus.CANCELED}
    return [_settle(what, status) for what, status in endings.items()]


def _settle(what: str, status: dg.DagsterRunStatus) -> Any:
    @dg.run_status_sensor(
        run_status=status,
        name=f"settle_{what}_runs",
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Gives MLflow runs that a {what} Dagster run left open their final status.",
    )
    def settle(context: dg.RunStatusSensorContext) -> dg.SkipReason:

        tracking = Tracking()
        if not is_up(tracking.uri):
            return dg.SkipReason(f"MLflow at {tracking.uri} doesn't answer; what is open is settled at the next start")
        set_up_client()
        settled = tracking.reconcile(status_in(context.instance))
        outcomes = ", ".join(f"{run.run_id} is {run.status}" for run in settled)
        return dg.SkipReason(f"settled: {outcomes}" if outcomes else "no MLflow run was left open")

    return settle
