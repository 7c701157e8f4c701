"""`lakeloop up`: the servers on loopback, one run for what is stale, a table, and nothing left behind at the end."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lakeloop.cli.up_reload import DefinitionsWatch
from lakeloop.cli.up_runs import Built, materialize_stale
from lakeloop.errors import LakeloopError
from resources.host import code_server
from resources.host.dagster_home import describe_gaps, make_home
from resources.host.ports import assign_ports
from resources.host.run_tags import STOPPED_TAG, UP_TAG
from resources.host.servers import Servers, require_free, require_on_path
from resources.lake.tables import require_usable
from resources.project import ADDRESSES, DEFS_VARIABLE, PLATFORM_ROOT, PORTS, environment, find_project, remember, remembered
from resources.serving.desired import read_desired, read_status
from resources.settings import BOUNDS, Settings
from resources.tracking import server as mlflow_server
from resources.tracking.client import set_up_client
from resources.tracking.runs import Tracking, status_in

LOCK = "up.lock"
_asked_to_stop = threading.Event()
"""Set by Ctrl-C and SIGTERM, whose exception Python may drop where it is raised."""


def up(*, once: bool, materialize: bool) -> int:
    """Bring everything up. Returns 0 after Ctrl-C (or, with `once`, when all is built and served), 1 after a problem, told in one line."""
    settings = prepare()
    # Both by name: a shell without job control starts what it puts in the background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with _only_one(settings.home) as lock:
            return _up(settings, lock, once=once, materialize=materialize)
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0
    except LakeloopError as error:
        print(f"lakeloop: {error}", file=sys.stderr, flush=True)
        return 1


def prepare() -> Settings:
    """The project's settings, with ports of its own; its `.env` keeps them, and the addresses that were given, for `dg`, `dagster` and later shells.

    Where the state lies outside of the project, or in an environment of another name, the environment variables have said so, and nothing is kept.
    """
    env = environment()
    project = find_project(env)
    home = Settings.from_environment(env).home
    if home.is_relative_to(project.root) and env.get("LAKELOOP_ENV", "dev") == remembered(project, {}).get("LAKELOOP_ENV", "dev"):
        ports = assign_ports(project.root, [int(value) if (value := env.get(name, "")).isdecimal() else None for name in PORTS])
        os.environ.update(zip(PORTS, map(str, ports), strict=True))
        given = {name: env[name] for name in ADDRESSES if name in env and "@" not in env[name]}
        values = {"DAGSTER_HOME": str(home / "dagster"), **given, **{name: os.environ[name] for name in PORTS}}
        if remember(project, values):
            print(f"{project.env_file} came from another project's folder; it is this one's now", flush=True)
    os.environ[DEFS_VARIABLE] = str(project.defs)
    return Settings.from_environment()


def _up(settings: Settings, lock: TextIO, *, once: bool, materialize: bool) -> int:
    started = time.monotonic()
    require_usable(settings.lake_url)
    require_on_path(PLATFORM_ROOT)
    for port, what, variable in (
        (settings.ui_port, "the Dagster UI", "LAKELOOP_UI_PORT"),
        (settings.mlflow_port, "MLflow", "LAKELOOP_MLFLOW_PORT"),
        (settings.serving_port, "the prediction endpoint", "LAKELOOP_SERVING_PORT"),
        (settings.grpc_port, "predictions over gRPC", "LAKELOOP_GRPC_PORT"),
    ):
        require_free(port, what, variable, settings.root)
    os.environ["DAGSTER_HOME"] = str(make_home(settings.home / "dagster", settings.dagster_db))
    for gap in describe_gaps(find_project()):
        print(gap, flush=True)
    servers, ui, say = (
        Servers(settings.home, _environment(), lambda: look(settings.home, lock)),
        f"http://127.0.0.1:{settings.ui_port}",
        _clock(started),
    )
    socket, definitions = code_server.make_socket(settings.home), DefinitionsWatch(settings.defs, ui)
    try:
        say("starting MLflow, the Dagster UI and daemon, and the prediction endpoint")
        _start_mlflow(servers, settings)
        # Dagster takes a second to import, in which MLflow starts.
        from lakeloop.cli.up_summary import print_automation, print_endpoint, print_problems, print_summary, unserved

        instance = _ready_instance()
        _start_others(servers, settings, socket)
        project = definitions.read()
        servers.wait(lambda: mlflow_server.is_up(settings.tracking_uri), f"MLflow at {settings.tracking_uri}")
        say(f"MLflow is up at {settings.tracking_uri}")
        servers.wait(lambda: mlflow_server.is_answering(f"{ui}/server_info"), f"the Dagster UI at {ui}")
        say(f"the Dagster UI is up at {ui}")
        _reconcile(settings, instance)
        definitions.start()
        built = materialize_stale(servers, project, settings, instance, ui, say) if materialize else Built()
        _wait_for_endpoint(servers, settings)
        print_summary(project, settings, built)
        problems = [*filter(None, [definitions.problem, built.problem]), *unserved(settings)]
        took = f"{'up' if problems else 'ready'} after {time.monotonic() - started:.0f} s."
        print(f"\n{took:<18} Dagster UI  {ui}\n{' ' * 19}MLflow UI   {settings.tracking_uri}", flush=True)
        print_endpoint(project, settings)
        print_problems(problems, built)
        if once:
            return 1 if problems else 0
        print_automation(ui)
        print("Ctrl-C stops everything.", flush=True)
        while True:
            servers.check()
            time.sleep(0.5)
    finally:
        definitions.stop()
        _stop(servers, settings, is_in_place=_is_in_place(settings.home, lock))
        shutil.rmtree(socket.parent, ignore_errors=True)


def _environment() -> dict[str, str]:
    """The environment of the servers and of the steps that they start."""
    # Two steps run at a time. OpenMP threads beyond the cores spin: two fits of 11 s took 47 s each that way.
    threads = {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2)),
        "OMP_WAIT_POLICY": "passive",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    env = environment()
    return {**threads, **os.environ, **{name: env[name] for name in BOUNDS if name in env}}


def _start_mlflow(servers: Servers, settings: Settings) -> None:
    folder = settings.home / "mlflow"
    environment = mlflow_server.server_environment(folder, settings.mlflow_port, settings.mlflow_db)
    servers.start("MLflow server", mlflow_server.server_command(folder, settings.mlflow_port), **_changed(environment))


def _start_others(servers: Servers, settings: Settings, socket: Path) -> None:
    definitions = ["-m", "platform_assets.definitions", "-a", "valid_defs"]
    servers.start("code server", code_server.server_command(socket, settings.defs, definitions))
    workspace = ["-w", str(code_server.write_workspace(settings.home / "workspace.yaml", socket))]
    # Both import while the code server does, and then wait for it.
    after = ["--after", str(socket)]
    web_server = [sys.executable, "-m", "resources.host.dagster_ui", *after, "-h", "127.0.0.1", "-p", str(settings.ui_port), *workspace]
    servers.start("Dagster UI", web_server)
    servers.start("Dagster daemon", [sys.executable, "-m", "resources.host.dagster_daemon", *after, "run", *workspace])
    supervisor = [
        sys.executable, "-m", "resources.serving.supervisor", "--dir", str(settings.home / "serving"),
        "--port", str(settings.serving_port), "--grpc-port", str(settings.grpc_port), "--workers", str(settings.serving_workers),
        "--tracking-uri", settings.tracking_uri,
    ]  # fmt: skip
    servers.start("prediction endpoint", supervisor)


def _ready_instance() -> Any:
    """Dagster's instance, with its databases made and the runs of an earlier `up` ended."""
    import dagster as dg

    # The databases are made here, by one process: two that start together fail on each other's migration.
    instance = dg.DagsterInstance.get()
    _settle_runs(instance, "the platform was stopped while this ran")
    instance.event_log_storage.get_asset_records([])
    if instance.schedule_storage is not None:
        instance.schedule_storage.all_instigator_state()
    return instance


def _stop(servers: Servers, settings: Settings, *, is_in_place: bool) -> None:
    """Stop every server; MLflow last, so that what was cut off can be marked there, if the home is still in its place."""
    import dagster as dg

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("stopping …", flush=True)
    servers.stop([c.name for c in servers.children if c.name != "MLflow server"])
    if is_in_place and mlflow_server.is_up(settings.tracking_uri):
        with dg.DagsterInstance.get() as instance:
            _settle_runs(instance, "the platform was stopped while this ran")
            _reconcile_soon(settings, instance)
    servers.stop()


def _wait_for_endpoint(servers: Servers, settings: Settings) -> None:
    """Wait until what should be served is, or can't be."""
    folder = settings.home / "serving"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        servers.check()
        status = read_status(folder)
        if status is not None and all(
            model.get("failed_version") == deployment.version or (model.get("version") == deployment.version and model["state"] == "ready")
            for name, deployment in read_desired(folder).items()
            for model in [status.models.get(name, {})]
        ):
            return
        time.sleep(0.2)


def _settle_runs(instance: Any, why: str) -> None:
    """Runs of an `up` that is gone have nobody to end them, and each would hold a slot for ever.

    Those that sensors, schedules or people launched go too once they have begun; while they are queued the next daemon starts them.
    """
    import dagster as dg
    from dagster._core.storage.tags import GRPC_INFO_TAG

    begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    waiting = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]
    for run in instance.get_runs(dg.RunsFilter(statuses=[*begun, *waiting])):
        # A run of Dagster's own commands has no server, and may be alive.
        if UP_TAG in run.tags or (run.status in begun and GRPC_INFO_TAG in run.tags):
            if run.status != dg.DagsterRunStatus.CANCELING:
                instance.add_run_tags(run.run_id, {STOPPED_TAG: "true"})
            instance.report_run_canceled(run, message=why)


def _reconcile(settings: Settings, instance: Any) -> None:
    """End the MLflow runs that a process which is gone left open."""
    set_up_client()
    for run in Tracking(tracking_uri=settings.tracking_uri).reconcile(status_in(instance)):
        print(f"the MLflow run {run.run_id} was left open; it is {run.status} now", flush=True)


def _reconcile_soon(settings: Settings, instance: Any) -> None:
    """End those runs at the end of `up`, for which nobody waits long: the next start ends what is left."""
    from mlflow.exceptions import MlflowException

    os.environ.update(MLFLOW_HTTP_REQUEST_TIMEOUT="5", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    try:
        _reconcile(settings, instance)
    except (MlflowException, LakeloopError):
        print("MLflow doesn't answer any more; runs that are open there are ended by the next start", flush=True)


@contextmanager
def _only_one(home: Path) -> Iterator[TextIO]:
    """Hold the lock of a home; gives its file."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LakeloopError(
                f"the platform of this environment is up already (another process holds {_shown(home / 'up.lock')})"
            ) from error
        yield stream


def _clock(started: float) -> Callable[[str], None]:
    def say(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)

    return say


def _changed(environment: dict[str, str]) -> dict[str, str]:
    """The variables that aren't set like that here."""
    return {name: value for name, value in environment.items() if os.environ.get(name) != value}


def look(home: Path, lock: TextIO) -> None:
    """Raise what ends the platform.

    Python drops what a signal's handler raises while an object is finalised or a weak reference called back, so that Ctrl-C is looked for, too.

    Args:
        home: folder of local state.
        lock: the open file of its lock.

    Raises:
        KeyboardInterrupt: somebody asked for the end.
        LakeloopError: the folder was moved or removed, so that from now on nothing would be written where it belongs.
    """
    if _asked_to_stop.is_set():
        raise KeyboardInterrupt
    if not _is_in_place(home, lock):
        raise LakeloopError(
            f"{home} was moved or removed while the platform was up; everything was stopped, and what was published stands where the folder is now: "
            "start `lakeloop up` there"
        )


def _is_in_place(home: Path, lock: TextIO) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (home / LOCK).stat())
    except OSError:
        return False


def _interrupt(*_: Any) -> None:
    _asked_to_stop.set()
    raise KeyboardInterrupt


def _shown(path: Path) -> str:
    return os.path.relpath(path)
