"""MLflow runs for Dagster runs: one per Dagster run and workflow, closed with the right status however the work ended.

A thin layer over dagster-mlflow: its `MlFlow` finds or creates the run by Dagster's run id in the workflow's experiment. Here a lock keeps
two steps from creating two, and the process that works sets the status, because dagster-mlflow's own end hook misses subsets and kills.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from lakeloop.errors import ServiceUnavailable
from lakeloop.masking import message_of
from resources.host.crash_points import crash_point
from resources.host.locks import file_lock
from resources.host.processes import is_running, start_time
from resources.project import find_project
from resources.settings import Settings
from resources.tracking.client import set_up_client
from resources.tracking.run_guard import RunGuard
from resources.tracking.server import is_up, wait_until_ready
from resources.tracking.tags import DOMAIN_TAG, HOST_TAG, PID_TAG, PROCESS_STARTED_TAG, TRIAL_TAG, WORKFLOW_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

INTERRUPTIONS = (KeyboardInterrupt, SystemExit, dg.DagsterExecutionInterruptedError)
"""What ends a step from outside: its run is KILLED, not FAILED."""
PATIENCE_S = 6.0
"""How long a step waits for the server by itself; Dagster's retry comes on top."""
_FINAL_STATUS = {"SUCCESS": "FINISHED", "FAILURE": "FAILED", "CANCELED": "KILLED"}
"""MLflow's status of a run by Dagster's."""


class RunContext(Protocol):
    """What has to be known of the Dagster run; a stage's `Platform` has it."""

    @property
    def run_id(self) -> str:
        """Dagster's id of the run."""

    @property
    def run_tags(self) -> Mapping[str, str]:
        """Dagster's tags of the run, among which the user may be."""

    @property
    def log(self) -> logging.Logger:
        """Dagster's log of the step."""


@dataclass(frozen=True)
class RunHandle:
    """An open MLflow run; everything is logged by its explicit id."""

    run_id: str
    experiment_id: str
    client: MlflowClient

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; one that the run has with another value (from an earlier step) keeps that value."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        self.client.log_batch(self.run_id, params=[Param(k, str(v)[:500]) for k, v in params.items() if k not in known])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics with the present time."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items()])

    def log_text(self, text: str, path: str) -> None:
        """Log a text file."""
        self.client.log_text(self.run_id, text, path)


@dataclass(frozen=True)
class Reconciled:
    """An MLflow run that was left open, and the status that it was given."""

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
    def run(self, context: RunContext, domain: str, workflow: str) -> Iterator[RunHandle]:
        """Open the MLflow run of this Dagster run and workflow.

        RUNNING inside; FINISHED after a normal end, FAILED after an error, KILLED after an interruption. A later step opens it again.

        Args:
            context: has Dagster's run id, tags and log.
            domain: of the workflow.
            workflow: its name; the experiment is named after both.

        Raises:
            ServiceUnavailable: the server doesn't answer; the message has its address.
        """
        set_up_client()
        self.wait()
        handle = self._open_run(context, domain, workflow)
        guard = RunGuard(self.uri, handle.run_id)
        status = "FAILED"
        try:
            crash_point("mlflow.run_open")
            with self.outages_reported():
                yield handle
            crash_point("mlflow.run_closing")
            status = "FINISHED"
        except INTERRUPTIONS:
            status = "KILLED"
            raise
        finally:
            self._close_run(handle, guard, status, context.log)

    def mark(self, dagster_run_id: str, domain: str, workflow: str, status: str) -> None:
        """Record on the MLflow run of a Dagster run and workflow that a step outside it went wrong; nothing where there is no such run.

        Args:
            dagster_run_id: of the run.
            domain: of the workflow.
            workflow: its name.
            status: FAILED or KILLED; a run that ended badly before keeps its status.
        """
        if not is_up(self.uri):
            return
        set_up_client()
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        experiment = client.get_experiment_by_name(Settings.from_environment().mlflow_name(domain, workflow))
        if experiment is None:
            return
        for run in client.search_runs([experiment.experiment_id], f"tags.dagster_run_id = '{dagster_run_id}'"):
            if run.info.status in ("RUNNING", "FINISHED"):
                client.set_terminated(run.info.run_id, status)

    def reconcile(self, status_of: Callable[[str], str | None]) -> list[Reconciled]:
        """Give every MLflow run that a dead Dagster run left open its final status.

        Args:
            status_of: Dagster's status of a run id (SUCCESS, FAILURE, CANCELED, STARTED, …), None where there is no such run.
        """
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        experiments = [e.experiment_id for e in client.search_experiments()]
        closed = []
        for run in client.search_runs(experiments, "attributes.status = 'RUNNING' and tags.dagster_run_id != ''", max_results=500):
            final = _FINAL_STATUS.get(status_of(run.data.tags["dagster_run_id"]) or "")
            if final is None and _is_orphaned(run.data.tags):
                final = "KILLED"
            if final is not None:
                client.set_terminated(run.info.run_id, final)
                closed.append(Reconciled(run.info.run_id, final))
        for run in client.search_runs(experiments, f"attributes.status = 'RUNNING' and tags.`{TRIAL_TAG}` != ''", max_results=500):
            parent = client.get_run(run.data.tags["mlflow.parentRunId"])
            if parent.info.status != "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")
                closed.append(Reconciled(run.info.run_id, "KILLED"))
        return closed

    def wait(self) -> None:
        """Wait a little for the server.

        Raises:
            ServiceUnavailable: it doesn't answer.
        """
        wait_until_ready(self.uri, PATIENCE_S)

    def _open_run(self, context: RunContext, domain: str, workflow: str) -> RunHandle:
        """Find or create the run, and set it RUNNING."""
        import mlflow
        from dagster_mlflow.resources import MlFlow

        settings = Settings.from_environment()
        init_context = SimpleNamespace(
            log=context.log,
            run_id=context.run_id,
            dagster_run=SimpleNamespace(job_name=f"{workflow} {str(context.run_id)[:8]}"),
            resource_config={
                "experiment_name": settings.mlflow_name(domain, workflow),
                "mlflow_tracking_uri": self.uri,
                "env": {},
                "extra_tags": {**_process_tags(context), DOMAIN_TAG: domain, WORKFLOW_TAG: workflow},
            },
        )
        if mlflow.active_run():
            mlflow.end_run()
        with file_lock(settings.home / "locks", f"run-{context.run_id}-{domain}-{workflow}"), self.outages_reported():
            dagster_mlflow = MlFlow(init_context)  # type: ignore[no-untyped-call]  # dagster-mlflow declares no types there
            active = mlflow.active_run()
            assert active is not None and dagster_mlflow.experiment is not None  # `MlFlow` has just opened them
            client = mlflow.MlflowClient(self.uri)
            client.update_run(active.info.run_id, status="RUNNING")
        return RunHandle(active.info.run_id, dagster_mlflow.experiment.experiment_id, client)

    def _close_run(self, handle: RunHandle, guard: RunGuard, status: str, log: logging.Logger) -> None:
        """End the run, or leave that to its guard where the server doesn't answer."""
        import mlflow
        import requests

        try:
            mlflow.end_run(status)
            guard.release()
        except (mlflow.MlflowException, requests.RequestException):
            guard.hand_over(status)
            log.warning(f"MLflow at {self.uri} did not record the end of run {handle.run_id}; the end is sent again until it answers")

    @contextmanager
    def outages_reported(self) -> Iterator[None]:
        """Raise an error that names the server's address when it goes away in the middle of something."""
        import requests
        from mlflow import MlflowException

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


def _process_tags(context: RunContext) -> dict[str, str]:
    """Tags that say which process has the run open, from which commit, and for whom."""
    tags = {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname(), PROCESS_STARTED_TAG: str(start_time(os.getpid()))}
    commit = _git_commit()
    if commit:
        tags["mlflow.source.git.commit"] = commit
    user = context.run_tags.get("user") or context.run_tags.get("dagster/user")
    return tags | ({"mlflow.user": user} if user else {})


def _git_commit() -> str:
    """The project's commit; empty where it isn't in a git repository."""
    try:
        completed = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=find_project().root, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout.strip()


def _is_orphaned(tags: Mapping[str, str]) -> bool:
    """Whether the process that opened a run is known to have ended; False for one of another host, of which nothing is known."""
    if tags.get(HOST_TAG) != socket.gethostname() or not tags.get(PID_TAG, "").isdigit():
        return False
    pid = int(tags[PID_TAG])
    return not is_running(pid, float(tags.get(PROCESS_STARTED_TAG, start_time(pid))))
