"""A run that is killed in the middle of a fit, under real Dagster servers: how long until it is final everywhere, and what it blocks.

`worker` kills the process of the run, `step` that of the fit at each of its attempts, `all` every process of the run at once, as the end of
a container does.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from tests.worlds.servers.ports import free_port
from tests.worlds.shop import make_shop
from tests.worlds.shop_project import LOCATION

How = Literal["worker", "step", "all"]
SLOW = "{{estimator: 'tests.worlds.code.slow:SlowClassifier', params: {{marks: '{marks}', slow_fits: {fits}}}, trusted_types: [tests.worlds.code.slow.SlowClassifier]}}"


@dataclass(frozen=True)
class Ended:
    """Seconds from the kill until each was so, and how things stood in the end."""

    dagster_s: float
    mlflow_s: float
    processes_s: float
    dagster: str
    mlflow: str
    rerun: str
    retried: str
    """The run that Dagster started in its place, by how it ended; NONE where it started none."""
    versions: int
    """Of the model that was being fitted."""


@dataclass
class Platform:
    """The web server and the daemon of a project."""

    folder: Path
    uri: str
    name: str
    ui: str = ""
    models: int = -1
    instance: Any = field(default=None, repr=False)

    @property
    def marks(self) -> Path:
        """Where each fit of the model writes its process id."""
        return self.folder / f"marks-{self.models}"

    def next_model(self, slow_fits: int = 0) -> None:
        """Change the model, and have its first fits take a minute."""
        self.models += 1
        self.marks.mkdir()
        workflow = self.folder / "project" / "platform_assets" / "defs" / "shop" / "returns" / "defs.yaml"
        lines = workflow.read_text().splitlines()
        model = next(n for n, line in enumerate(lines) if line.startswith("  model:"))
        lines[model] = f"  model: {SLOW.format(marks=self.marks, fits=slow_fits)}"
        workflow.write_text("\n".join(lines) + "\n")

    def launch(self, *stages: str) -> str:
        """Launch some stages of the workflow; the run's id."""
        from lakeloop.cli.up_runs import _launch
        from platform_assets.plan import RunAsked
        from resources.lake.published import TableKey

        names = {"raw": "orders", "validated": "orders"}
        keys = [TableKey(stage, "shop", name) for stage in stages for name in _names(stage, names)]
        partitioned = [key for key in keys if key.stage in ("raw", "validated", "features")]
        return _launch(self.ui, RunAsked(tuple(keys), *(("2024-01", "2024-05") if partitioned else ())))

    def status(self, run_id: str) -> str:
        """How a Dagster run stands."""
        run = self.instance.get_run_by_id(run_id)
        return str(run.status.value) if run else "NONE"

    def retried(self, run_id: str) -> str:
        """How the run ended that Dagster started in place of one; NONE where it starts none."""
        from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

        tags = lambda: self.instance.get_run_by_id(run_id).tags  # noqa: E731
        if tags().get(WILL_RETRY_TAG) != "true":
            return "NONE"
        other = str(until(lambda: tags().get(AUTO_RETRY_RUN_ID_TAG), 120))
        until(lambda: self.status(other) in ("SUCCESS", "FAILURE", "CANCELED"), 240)
        return self.status(other)

    def mlflow_statuses(self, run_id: str) -> list[str]:
        """How the MLflow runs of a Dagster run stand."""
        client, experiment = self.client()
        return [run.info.status for run in client.search_runs([experiment], f"tags.dagster_run_id = '{run_id}'")]

    def client(self) -> tuple[Any, str]:
        """MLflow, and the experiment of the workflow."""
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        return client, client.get_experiment_by_name(f"{self.name}.shop.returns").experiment_id

    def versions(self) -> int:
        """How many versions the model has."""
        return len(self.client()[0].search_model_versions(f"name = '{self.name}.shop.returns'"))

    def fit(self, number: int) -> psutil.Process:
        """The process of the fit number `number` (from 1), once it has begun."""
        return psutil.Process(int(until(lambda: _marks(self.marks)[number - 1 : number], 240)[0]))


def _names(stage: str, names: dict[str, str]) -> list[str]:
    return ["basket", "history", "outcomes"] if stage == "features" else [names.get(stage, "returns")]


def _marks(folder: Path) -> list[str]:
    return [mark.name for mark in sorted(folder.iterdir(), key=lambda mark: mark.stat().st_mtime_ns)]


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """Wait for something that is true."""
    deadline = time.monotonic() + seconds
    while not (it := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds:g} s")
        time.sleep(0.05)
    return it


@contextmanager
def platform(folder: Path, uri: str) -> Iterator[Platform]:
    """Dagster's web server and daemon for a shop whose data are there, as `lakeloop up` starts them."""
    import dagster as dg

    from resources.host import code_server
    from resources.host.dagster_home import make_home
    from resources.host.servers import Servers
    from resources.tracking.server import is_answering

    made = Platform(folder, uri, "c" + folder.name.replace("-", "").replace("_", ""))
    make_shop(folder / "project")
    made.next_model()
    (folder / "location.py").write_text(LOCATION.format(defs=str(folder / "project" / "platform_assets" / "defs")))
    socket, port = code_server.make_socket(folder), free_port()
    workspace = ["-w", str(code_server.write_workspace(folder / "workspace.yaml", socket))]
    home = make_home(folder / "dagster", None)
    places = {"LAKELOOP_HOME": str(folder / "home"), "LAKELOOP_LAKE": str(folder / "lake"), "DAGSTER_HOME": str(home)}
    environment = {**os.environ, **places, "LAKELOOP_MLFLOW": uri, "LAKELOOP_ENV": made.name}
    before, os.environ["DAGSTER_HOME"] = os.environ.get("DAGSTER_HOME"), str(home)
    servers = Servers(folder, environment)
    made.ui = f"http://127.0.0.1:{port}"
    try:
        with dg.DagsterInstance.get() as instance:
            made.instance = instance
            instance.event_log_storage.get_asset_records([])
            instance.schedule_storage.all_instigator_state()
            location = ["-f", str(folder / "location.py")]
            servers.start("code server", code_server.server_command(socket, folder / "project", location))
            after = ["--after", str(socket)]
            web_server = [sys.executable, "-m", "resources.host.dagster_ui", *after, "-h", "127.0.0.1", "-p", str(port), *workspace]
            servers.start("web server", web_server)
            servers.start("daemon", [sys.executable, "-m", "resources.host.dagster_daemon", *after, "run", *workspace])
            servers.wait(lambda: is_answering(f"{made.ui}/server_info"), "the web server")
            first = made.launch("raw", "validated", "features", "training_sets")
            until(lambda: made.status(first) in ("SUCCESS", "FAILURE"), 240)
            assert made.status(first) == "SUCCESS"
            yield made
    finally:
        servers.stop()
        shutil.rmtree(socket.parent)
        del os.environ["DAGSTER_HOME"]
        if before is not None:
            os.environ["DAGSTER_HOME"] = before


def killed(made: Platform, how: How) -> Ended:
    """Kill a run in the middle of the fit of a new model, launch another at once, and time what becomes of both."""
    made.next_model(slow_fits=3 if how == "step" else 1)
    run_id = made.launch("models")
    step = made.fit(1)
    server = step.parent()
    assert server is not None
    worker = server.parent()
    assert worker is not None
    processes = [worker, *worker.children(recursive=True)]
    if how == "step":
        step.kill()
        made.fit(2).kill()
        step = made.fit(3)
        step.kill()
    else:
        for process in processes if how == "all" else [worker]:
            process.send_signal(signal.SIGKILL)
    start = time.monotonic()
    rerun = "" if how == "step" else made.launch("models")
    times: dict[str, float] = {}
    watched = {
        "dagster": lambda: made.status(run_id) in ("FAILURE", "CANCELED"),
        "mlflow": lambda: "RUNNING" not in made.mlflow_statuses(run_id),
        "processes": lambda: not any(_runs(process) for process in processes),
    }
    deadline = start + 120
    while len(times) < len(watched) and time.monotonic() < deadline:
        for what, ended in watched.items():
            if what not in times and ended():
                times[what] = time.monotonic() - start
        time.sleep(0.05)
    rerun = rerun or made.launch("models")
    until(lambda: made.status(rerun) in ("SUCCESS", "FAILURE", "CANCELED"), 240)
    retried = made.retried(run_id)
    return Ended(
        *(round(times.get(what, float("inf")), 1) for what in watched),
        dagster=made.status(run_id),
        mlflow=",".join(made.mlflow_statuses(run_id)),
        rerun=f"{made.status(rerun)}, {','.join(made.mlflow_statuses(rerun))}",
        retried=retried,
        versions=made.versions() - made.models + 1,
    )


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
