"""`lakeloop up`: the servers on loopback, one run for what is stale, a table, and nothing left behind at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeloop.errors import LakeloopError, ServiceUnavailable

READY_S = 120.0
UP_TAG = "lakeloop/up"
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
  }
}"""


@dataclass
class Child:
    """A server that runs: its name in messages, its process, where it logs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Servers:
    """The servers of one `up`, started together and stopped together."""

    home: Path
    environment: dict[str, str]
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], **more: str) -> Child:
        """Start a server whose life is tied to this process."""
        log = self.home / "logs" / f"{name.lower().replace(' ', '_')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "resources.tether", *command],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Not in the project's folder, where Dagster's servers would let a `.env` win over their environment; its modules by path.
                env={**self.environment, "PYTHONPATH": os.pathsep.join(filter(None, [str(_root()), os.environ.get("PYTHONPATH")])), **more},
                cwd=self.home,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raise ServiceUnavailable if a server has ended."""
        for child in self.children:
            if child.process.poll() is not None:
                code = child.process.returncode
                how = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
                raise ServiceUnavailable(f"the {child.name} {how}; its log is {_shown(child.log)}")

    def stop(self, names: Sequence[str] = ()) -> None:
        """Stop servers, all of them unless some are named, and wait until they are gone."""
        chosen = [child for child in self.children if not names or child.name in names]
        for child in chosen:
            if child.process.stdin:
                child.process.stdin.close()
        for child in chosen:
            try:
                child.process.wait(25)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            self.children.remove(child)


def up(*, once: bool, materialize: bool) -> int:
    """Bring everything up. Returns 0 after Ctrl-C (or, with `once`, when all is built), 1 after a problem, told in one line."""
    from resources.settings import Settings

    settings = Settings.from_environment()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _only_one(settings.home):
            return _up(settings, once=once, materialize=materialize)
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0
    except LakeloopError as error:
        print(f"lakeloop: {error}", file=sys.stderr, flush=True)
        return 1


def _up(settings: Any, *, once: bool, materialize: bool) -> int:
    from resources import mlflow_server

    started = time.monotonic()
    for port, what, variable in (
        (settings.ui_port, "the Dagster UI", "LAKELOOP_UI_PORT"),
        (settings.mlflow_port, "MLflow", "LAKELOOP_MLFLOW_PORT"),
        (settings.serving_port, "the prediction endpoint", "LAKELOOP_SERVING_PORT"),
    ):
        _require_free(port, what, variable)
    dagster_home = _dagster_home(settings.home)
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    # Two steps run at a time. OpenMP threads beyond the cores spin: two fits of 11 s took 47 s each that way.
    threads = {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2)),
        "OMP_WAIT_POLICY": "passive",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    servers = Servers(settings.home, {**threads, **os.environ, "DAGSTER_HOME": str(dagster_home)})
    ui = f"http://127.0.0.1:{settings.ui_port}"
    say = _clock(started)
    try:
        say("starting MLflow, the Dagster UI and daemon, and the prediction endpoint")
        servers.start(
            "MLflow server",
            mlflow_server.server_command(settings.home / "mlflow", settings.mlflow_port),
            **_new(mlflow_server.server_environment()),
        )
        import dagster as dg

        from platform_assets.definitions import read_project

        # Dagster's databases are made here, by one process: two that start together fail on each other's migration.
        instance = dg.DagsterInstance.get()
        _settle_runs(instance, "the platform was stopped while this ran")
        instance.event_log_storage.get_asset_records([])
        if instance.schedule_storage is not None:
            instance.schedule_storage.all_instigator_state()
        workspace = str(_root() / "workspace.yaml")
        servers.start(
            "Dagster UI", [sys.executable, "-m", "resources.dagster_ui", "-h", "127.0.0.1", "-p", str(settings.ui_port), "-w", workspace]
        )
        servers.start("Dagster daemon", [sys.executable, "-m", "dagster._daemon", "run", "-w", workspace])
        servers.start(
            "prediction endpoint",
            [
                sys.executable, "-m", "resources.serving.supervisor", "--dir", str(settings.home / "serving"),
                "--port", str(settings.serving_port), "--tracking-uri", settings.tracking_uri,
            ],
        )  # fmt: skip
        project = read_project()
        _wait(servers, lambda: mlflow_server.is_up(settings.tracking_uri), f"MLflow at {settings.tracking_uri}")
        say(f"MLflow is up at {settings.tracking_uri}")
        _wait(servers, lambda: _answers(f"{ui}/server_info"), f"the Dagster UI at {ui}")
        say(f"the Dagster UI is up at {ui}")
        _reconcile(settings, instance)
        seconds: dict[str, float] = {}
        good = True
        if materialize:
            good, seconds = _materialize(servers, project, settings, instance, ui, say)
        _wait_for_endpoint(servers, settings)
        _summary(project, settings, seconds)
        print(
            f"\nready after {time.monotonic() - started:.0f} s. Dagster UI  {ui}\n" + " " * 19 + f"MLflow UI   {settings.tracking_uri}",
            flush=True,
        )
        _endpoint(project, settings)
        if once:
            return 0 if good else 1
        print("Ctrl-C stops everything.", flush=True)
        while True:
            servers.check()
            time.sleep(0.5)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("stopping …", flush=True)
        servers.stop([c.name for c in servers.children if c.name != "MLflow server"])
        if mlflow_server.is_up(settings.tracking_uri):
            import dagster as dg

            with dg.DagsterInstance.get() as standing:
                _settle_runs(standing, "the platform was stopped while this ran")
                _reconcile(settings, standing)
        servers.stop()


def _materialize(
    servers: Servers, project: Any, settings: Any, instance: Any, ui: str, say: Callable[[str], None]
) -> tuple[bool, dict[str, float]]:
    """Launch one run for all that is stale and tell its progress; returns whether it succeeded, and seconds by asset."""
    from platform_assets.plan import stale_assets
    from resources.lake import Lake

    stale = stale_assets(project, Lake(settings.lake_url).states())
    if not stale:
        say("everything is fresh, nothing to compute")
        return True, {}
    partitions = sorted({p for names in stale.values() for p in names if p != "whole"})
    tags = [{"key": UP_TAG, "value": "true"}, {"key": "user", "value": os.environ.get("USER", "lakeloop up")}]
    if partitions:
        tags += [{"key": f"dagster/asset_partition_range_{end}", "value": partitions[at]} for end, at in (("start", 0), ("end", -1))]
    params = {
        "selector": {
            "repositoryLocationName": "lakeloop",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [key.stage, key.domain, key.name]} for key in stale],
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": tags},
    }
    answer = _post(f"{ui}/graphql", {"query": _LAUNCH, "variables": {"params": params}})
    launched = (answer.get("data") or {}).get("launchPipelineExecution") or {}
    if "run" not in launched:
        raise LakeloopError(f"Dagster did not launch the run: {launched.get('message') or answer}")
    run_id = launched["run"]["runId"]
    say(f"materialising {len(stale)} assets: {ui}/runs/{run_id}")
    return _follow(servers, instance, run_id, say)


def _follow(servers: Servers, instance: Any, run_id: str, say: Callable[[str], None]) -> tuple[bool, dict[str, float]]:
    """Print the steps of a run as they end, until it does."""
    seconds: dict[str, float] = {}
    cursor = None
    while True:
        servers.check()
        run = instance.get_run_by_id(run_id)
        batch = instance.get_records_for_run(run_id, cursor=cursor)
        cursor = batch.cursor
        for record in batch.records:
            event = record.event_log_entry.dagster_event
            if event is None:
                continue
            kind, step = event.event_type_value, str(event.step_key or "").replace("__", "/")
            if kind == "STEP_SUCCESS":
                seconds[step] = event.event_specific_data.duration_ms / 1000
                say(f"  {step:<46} {seconds[step]:6.1f} s")
            elif kind == "STEP_FAILURE":
                error = event.event_specific_data.error
                cause = error.cause or error if error else None
                say(f"  {step:<46} FAILED: {cause.message.strip()[:600] if cause else 'no reason given'}")
            elif kind == "STEP_UP_FOR_RETRY":
                say(f"  {step:<46} will be tried again")
            elif kind == "ASSET_CHECK_EVALUATION" and not event.event_specific_data.passed:
                found = event.event_specific_data
                say(f"  {found.asset_key.to_user_string()}: check {found.check_name} failed: {found.description}")
        if run.is_finished and not batch.has_more:
            if run.status.value != "SUCCESS":
                say(f"the run ended as {run.status.value}")
            return run.status.value == "SUCCESS", seconds
        time.sleep(0.3)


def _summary(project: Any, settings: Any, seconds: dict[str, float]) -> None:
    """One line an asset: rows, seconds, checks passed; then the score of each released model in a sentence."""
    from rich.console import Console
    from rich.table import Table

    from lakeloop.verdicts import GOOD_OUTCOMES
    from resources.lake import WHOLE, Lake, TableKey

    states = Lake(settings.lake_url).states()
    stages = ["raw", "validated", "features", "training_sets", "models", "evaluations", "releases", "predictions", "deployments"]
    table = Table("asset", box=None, pad_edge=False)
    for name in ("rows", "seconds", "checks passed"):
        table.add_column(name, justify="right")
    for key in sorted(states, key=lambda k: (stages.index(k.stage) if k.stage in stages else 99, k.name)):
        parts = states[key]
        newest = max(parts.values(), key=lambda s: (s.at is not None, s.at))
        checks = parts.get("source", newest).value.get("checks") or {}
        passed = sum(1 for outcome in checks.values() if outcome[0] in GOOD_OUTCOMES)
        rows = sum(s.rows for s in parts.values())
        took = seconds.get(key.path)
        told = f"{passed} of {len(checks)}" if checks else "-"
        table.add_row(key.path, f"{rows:,}" if rows else "-", f"{took:.1f}" if took is not None else "fresh", told)
    print(flush=True)
    Console(width=100).print(table)
    for workflow in project.workflows.values():
        released = states.get(TableKey("releases", workflow.domain, workflow.spec.name), {}).get(WHOLE)
        judged = states.get(TableKey("evaluations", workflow.domain, workflow.spec.name), {}).get(WHOLE)
        if released is None or judged is None:
            continue
        primary, facts = workflow.spec.evaluation.primary, judged.value
        low, high = facts["intervals"][primary]
        others = ", ".join(f"{who} {listed[primary]:.3f}" for who, listed in facts["baselines"].items())
        state = "is released" if released.value["champion"] == facts["version"] else f"is not released ({released.value['reason']})"
        print(
            f"{workflow.spec.name} version {facts['version']} {state}: {primary} {facts['metrics'][primary]:.3f} [{low:.3f}, {high:.3f}] "
            f"on {facts['rows']:,} later rows ({others}).",
            flush=True,
        )


def _endpoint(project: Any, settings: Any) -> None:
    """Print a request that works, for the first model that is served."""
    from resources.serving.desired import read_status

    status = read_status(settings.home / "serving")
    ready = sorted(name for name, m in (status.models if status else {}).items() if m["state"] == "ready")
    if status is None or not ready:
        print(" " * 19 + f"prediction  nothing is served yet at http://127.0.0.1:{settings.serving_port}", flush=True)
        return
    named = [f"{w.domain}.{w.spec.name}" for w in project.workflows.values() if w.spec.task == "binary_classification"]
    name = next((n for n in named if n in ready), ready[0])
    print(" " * 19 + f"prediction  {status.address}/v1/models/{name}:predict", flush=True)
    example = _example_request(settings, project, name)
    if example is not None:
        print(f"try it: curl -s {status.address}/v1/models/{name}:predict -d @{_shown(example)}", flush=True)


def _example_request(settings: Any, project: Any, name: str) -> Path | None:
    """Write the newest row of a training set as a request."""
    from platform_assets.stages.lookup import feature_names, feature_spec
    from resources.lake import Lake, TableKey

    domain, _, workflow = name.partition(".")
    located = project.workflows[(domain, workflow)]
    lake = Lake(settings.lake_url)
    outputs = feature_names(feature_spec(project, located))
    rows = lake.read(lake.current(TableKey("training_sets", domain, workflow)), columns=[*outputs, "split"])
    chosen = rows.filter([value == "test" for value in rows["split"].to_pylist()]).drop_columns(["split"])
    if not chosen.num_rows:
        return None
    target = Path(settings.home) / "requests" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"instances": chosen.slice(chosen.num_rows - 1).to_pylist()}))
    return target


def _wait_for_endpoint(servers: Servers, settings: Any) -> None:
    """Wait until what should be served is, or can't be."""
    from resources.serving.desired import read_desired, read_status

    folder = settings.home / "serving"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        servers.check()
        status = read_status(folder)
        wanted = read_desired(folder)
        if status is not None and all(
            status.models.get(n, {}).get("version") == d.version and status.models[n]["state"] in ("ready", "failed")
            for n, d in wanted.items()
        ):
            return
        time.sleep(0.2)


def _settle_runs(instance: Any, why: str) -> None:
    """Runs of an `up` that is gone have nobody to end them."""
    import dagster as dg

    open_ = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    open_.append(dg.DagsterRunStatus.CANCELING)
    for run in instance.get_runs(dg.RunsFilter(statuses=open_, tags={UP_TAG: "true"})):
        instance.report_run_canceled(run, message=why)


def _reconcile(settings: Any, instance: Any) -> None:
    from resources.tracking import Tracking, set_up_client

    set_up_client()

    def status_of(run_id: str) -> str | None:
        run = instance.get_run_by_id(run_id)
        return run.status.value if run else None

    for run in Tracking(tracking_uri=settings.tracking_uri).reconcile(status_of):
        print(f"the MLflow run {run.run_id} was left open; it is {run.status} now", flush=True)


def _dagster_home(home: Path) -> Path:
    """Dagster's home, with our `dagster.yaml`; `.env` names it for `dg` and `dagster` too."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_root() / "dagster.yaml", folder / "dagster.yaml")
    env = _root() / ".env"
    # A home elsewhere has been named by the environment, which `dg` and `dagster` see too.
    if not env.exists() and folder.is_relative_to(_root()):
        env.write_text(f"DAGSTER_HOME={folder}\n")
    return folder


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LakeloopError(
                f"the platform of this environment is up already (another process holds {_shown(home / 'up.lock')})"
            ) from error
        yield


def _require_free(port: int, what: str, variable: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LakeloopError(f"port {port}, wanted for {what}, is in use; free it or set {variable} to another") from error


def _wait(servers: Servers, ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_S
    while not ready():
        servers.check()
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"{what} did not answer within {READY_S:g} s; the logs are in {_shown(servers.home / 'logs')}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _post(url: str, content: dict[str, Any]) -> dict[str, Any]:
    import httpx

    try:
        return dict(httpx.post(url, json=content, timeout=120).json())
    except (httpx.HTTPError, ValueError) as error:
        raise ServiceUnavailable(f"Dagster at {url} did not answer: {error}") from error


def _clock(started: float) -> Callable[[str], None]:
    def say(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)

    return say


def _new(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if os.environ.get(name) != value}


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def _shown(path: Path) -> str:
    return os.path.relpath(path)
