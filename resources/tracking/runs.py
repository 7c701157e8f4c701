"""MLflow runs for Dagster runs: one per Dagster run and workflow, closed with the right status however the work ended.

A thin layer over dagster-mlflow: its `MlFlow` finds or makes the run by Dagster's run id in the workflow's experiment; here a lock keeps
two steps from making two, and whoever works sets the status, because its own end hook misses subsets and kills.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import ServiceUnavailable
from lakeloop.masking import message_of
from resources.host.crash_points import crash_point
from resources.host.locks import file_lock
from resources.host.processes import is_running, start_time
from resources.settings import PROJECT_ROOT, Settings
from resources.tracking.run_guard import RunGuard
from resources.tracking.tags import DOMAIN_TAG, HOST_TAG, PID_TAG, PROCESS_STARTED_TAG, TRIAL_TAG, WORKFLOW_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

INTERRUPTIONS = (KeyboardInterrupt, SystemExit, dg.DagsterExecutionInterruptedError)
"""What ends a step from outside: its run is KILLED, not FAILED."""
PATIENCE_S = 6.0
"""How long a step waits for the server by itself; Dagster's retry comes on top."""
_CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class RunHandle:
    """An open MLflow run; everything is logged by its explicit id."""

    run_id: str
    experiment_id: str
    client: MlflowClient

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; one that the run has with another value (from an earlier step) is kept as it was."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        self.client.log_batch(self.run_id, params=[Param(k, str(v)[:500]) for k, v in params.items() if k not in known])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics, now."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items()])

    def log_text(self, text: str, path: str) -> None:
        """Log a text file."""
        self.client.log_text(self.run_id, text, path)


@dataclass(frozen=True)
class Reconciled:
    """An MLflow run that was left open, and the status it was given."""

    run_id: str
    status: str


class Tracking(dg.ConfigurableResource[Any]):
    """MLflow, by its server's address; from the settings when none is given."""

    tracking_uri: str = ""

    @property
    def uri(self) -> str:
        """The server's address."""
        return self.tracking_uri or Settings.from_environment().tracking_uri

    @contextmanager
    def run(self, context: Any, domain: str, workflow: str) -> Iterator[RunHandle]:
        """Open the MLflow run of this Dagster run and workflow.

        RUNNING inside; FINISHED after a normal end, FAILED after an error, KILLED after an interruption. A later step opens it again.

        Args:
            context: has Dagster's `run_id` and `log`; a stage's `Platform` will do.
            domain: of the workflow.
            workflow: its name; the experiment is named after both.

        Raises:
            ServiceUnavailable: the server doesn't answer; the message has its address.
        """
        set_up_client()
        self.wait()
        import mlflow
        import requests
        from dagster_mlflow.resources import MlFlow

        settings = Settings.from_environment()
        experiment = settings.mlflow_name(domain, workflow)
        shim = SimpleNamespace(
            log=context.log,
            run_id=context.run_id,
            dagster_run=SimpleNamespace(job_name=f"{workflow} {str(context.run_id)[:8]}"),
            resource_config={
                "experiment_name": experiment,
                "mlflow_tracking_uri": self.uri,
                "env": {},
                "extra_tags": {**_tags(context), DOMAIN_TAG: domain, WORKFLOW_TAG: workflow},
            },
        )
        mlflow.end_run() if mlflow.active_run() else None
        with file_lock(settings.home / "locks", f"run-{context.run_id}-{domain}-{workflow}"), self._told():
            tracked = MlFlow(shim)  # type: ignore[no-untyped-call]  # dagster-mlflow declares no types there
            active = mlflow.active_run()
            assert active is not None and tracked.experiment is not None  # made just now
            client = mlflow.MlflowClient(self.uri)
            client.update_run(active.info.run_id, status="RUNNING")
        handle = RunHandle(active.info.run_id, tracked.experiment.experiment_id, client)
        guard = RunGuard(self.uri, handle.run_id)
        status = "FAILED"
        try:
            crash_point("mlflow.run_open")
            with self._told():
                yield handle
            crash_point("mlflow.run_closing")
            status = "FINISHED"
        except INTERRUPTIONS:
            status = "KILLED"
            raise
        finally:
            try:
                mlflow.end_run(status)
                guard.release()
            except (mlflow.MlflowException, requests.RequestException):
                guard.hand_over(status)
                context.log.warning(f"MLflow at {self.uri} did not take the end of run {handle.run_id}; it gets it when it answers again")

    def mark(self, dagster_run_id: str, domain: str, workflow: str, status: str) -> None:
        """Say of the MLflow run of a Dagster run and workflow that a step outside it went wrong; nothing where there is no such run.

        Args:
            dagster_run_id: of the run.
            domain: of the workflow.
            workflow: its name.
            status: FAILED or KILLED; a run that ended badly before keeps what it has.
        """
        from resources.tracking.server import is_up

        if not is_up(self.uri):
            return
        set_up_client()
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        found = client.get_experiment_by_name(Settings.from_environment().mlflow_name(domain, workflow))
        for run in client.search_runs([found.experiment_id], f"tags.dagster_run_id = '{dagster_run_id}'") if found else []:
            if run.info.status in ("RUNNING", "FINISHED"):
                client.set_terminated(run.info.run_id, status)

    def reconcile(self, status_of: Callable[[str], str | None]) -> list[Reconciled]:
        """Give every MLflow run that was left open by a dead Dagster run its final status.

        Args:
            status_of: Dagster's status of a run id (SUCCESS, FAILURE, CANCELED, STARTED, …), None where there is no such run.
        """
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        experiments = [e.experiment_id for e in client.search_experiments()]
        found = []
        for run in client.search_runs(experiments, "attributes.status = 'RUNNING' and tags.dagster_run_id != ''", max_results=500):
            tags = run.data.tags
            dagster_run = tags["dagster_run_id"]
            final = {"SUCCESS": "FINISHED", "FAILURE": "FAILED", "CANCELED": "KILLED"}.get(status_of(dagster_run) or "")
            if final is None and _dead(tags):
                final = "KILLED"
            if final is not None:
                client.set_terminated(run.info.run_id, final)
                found.append(Reconciled(run.info.run_id, final))
        for run in client.search_runs(experiments, f"attributes.status = 'RUNNING' and tags.`{TRIAL_TAG}` != ''", max_results=500):
            above = client.get_run(run.data.tags["mlflow.parentRunId"])
            if above.info.status != "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")
                found.append(Reconciled(run.info.run_id, "KILLED"))
        return found

    def wait(self) -> None:
        """Wait a little for the server.

        Raises:
            ServiceUnavailable: it doesn't answer.
        """
        from resources.tracking.server import wait_until_ready

        wait_until_ready(self.uri, PATIENCE_S)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say the server's address when it is gone in the middle of something."""
        import requests
        from mlflow import MlflowException

        from resources.tracking.server import is_up

        try:
            yield
        except (MlflowException, requests.RequestException) as error:
            if is_up(self.uri):
                raise
            raise ServiceUnavailable(f"the MLflow server at {self.uri} went away: {message_of(error, hide=False)[:200]}") from error


def status_in(instance: dg.DagsterInstance) -> Callable[[str], str | None]:
    """Dagster's status of a run id on an instance."""

    def status_of(run_id: str) -> str | None:
        run = instance.get_run_by_id(run_id)
        return run.status.value if run else None

    return status_of


def set_up_client() -> None:
    """Make MLflow's client fail soon and quietly: its own defaults retry for minutes. Settings that are there already stay."""
    for name, value in _CLIENT.items():
        os.environ.setdefault(name, value)


def _tags(context: Any) -> dict[str, str]:
    tags = {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname(), PROCESS_STARTED_TAG: str(start_time(os.getpid()))}
    commit = _git_commit()
    if commit:
        tags["mlflow.source.git.commit"] = commit
    user = getattr(context, "run_tags", {}).get("user") or getattr(context, "run_tags", {}).get("dagster/user")
    return tags | ({"mlflow.user": user} if user else {})


def _git_commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def _dead(tags: Mapping[str, str]) -> bool:
    """Whether the process that opened a run is known to be gone; on another host nothing is known."""
    if tags.get(HOST_TAG) != socket.gethostname() or not tags.get(PID_TAG, "").isdigit():
        return False
    pid = int(tags[PID_TAG])
    return not is_running(pid, float(tags.get(PROCESS_STARTED_TAG, start_time(pid))))
