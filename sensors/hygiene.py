"""Run hygiene: what a dead Dagster run left open in MLflow gets its final status."""

from __future__ import annotations

from typing import Any

import dagster as dg

from resources.tracking.client import set_up_client
from resources.tracking.runs import Tracking, status_in
from resources.tracking.server import is_up

SETTLE_S = 15
"""Between two looks; each costs the daemon and the code server 30 ms of a core, which an idle platform would spend for nothing."""
_BAD_ENDINGS = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)


def settle_sensor() -> Any:
    """The sensor for failed and canceled runs; a killed container takes even the guard of its MLflow run with it."""

    @dg.sensor(
        name="settle_runs",
        minimum_interval_seconds=SETTLE_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Gives MLflow runs that a failed or canceled Dagster run left open their final status.",
    )
    def settle_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        # Without a cursor all of history counts as new: what it left open is settled, once.
        position = newest_bad_ending(context.instance)
        if position <= int(context.cursor or 0):
            return dg.SkipReason("no run has failed or was canceled since the last look")
        tracking = Tracking()
        if not is_up(tracking.uri):
            return dg.SkipReason(f"MLflow at {tracking.uri} doesn't answer; what is open is settled when it does")
        set_up_client()
        settled = tracking.reconcile(status_in(context.instance))
        context.update_cursor(str(position))
        outcomes = ", ".join(f"{run.run_id} is {run.status}" for run in settled)
        return dg.SkipReason(f"settled: {outcomes}" if outcomes else "no MLflow run was left open")

    return settle_runs


def newest_bad_ending(instance: dg.DagsterInstance) -> int:
    """Where the newest end of a failed or canceled run stands in Dagster's event log; 0 without any."""
    positions = [0]
    for kind in _BAD_ENDINGS:
        changes = instance.fetch_run_status_changes(kind, limit=1, ascending=False)  # type: ignore[arg-type]  # both are of that kind
        positions += [record.storage_id for record in changes.records]
    return max(positions)
