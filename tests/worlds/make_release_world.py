"""Make the stored world of a release: `python -m tests.worlds.make_release_world tests/worlds/release_0_1_0.tar.xz`, once, at that release.

The release's own commands do the work, on a copy of its code beside a small project: `lakeloop up` materialises it, sensors follow what its
owners change afterwards, the endpoint answers requests. What that leaves is packed, and with it `expected.json`: what the release says of it.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.worlds import release_project
from tests.worlds.releases import World, frame_of

CHECKOUT = Path(__file__).resolve().parents[2]
CODE = ("lakeloop", "resources", "platform_assets", "sensors", "pyproject.toml", "dagster.yaml", "workspace.yaml")
ROOT = Path("/tmp/lakeloop-world")
"""Where a world is made: always there, so that the few absolute paths that are stored are the same wherever this runs."""
HOME = Path(".lakeloop", "dev")
LAKE, DAGSTER, MLFLOW, SERVING = HOME / "lake", HOME / "dagster", HOME / "mlflow", HOME / "serving"
KEPT = (
    release_project.DEFS, release_project.DATABASE_FILE, release_project.ADOPTED, LAKE, MLFLOW, HOME / "studies.db", SERVING / "desired",
    DAGSTER / "dagster.yaml", DAGSTER / "history" / "runs.db", DAGSTER / "history" / "runs" / "index.db", DAGSTER / "schedules" / "schedules.db",
    Path("expected.json"),
)  # fmt: skip
PRUNED = ("**/__pycache__", f"{MLFLOW}/artifacts/**/*.svg", f"{MLFLOW}/artifacts/*/*/artifacts/estimator.html")
"""Byte code, and what only people look at."""
PLOTS = {
    re.compile("data:image/svg[+]xml;base64,[A-Za-z0-9+/=]+"): "data:image/svg+xml;base64,PHN2Zy8+",
    re.compile("<svg.*?</svg>", re.S): "<svg/>",
}
"""In Dagster's events and in reports, where they would be most of a packed world."""
NAMELESS = "import socket\n\nsocket.gethostname = lambda: 'localhost'\n"
"""Run by each Python of the world as it starts, so that no machine's name is stored."""
READY = "Ctrl-C stops everything"
PATIENCE_S = 1_800
ROWS = 6


def main() -> int:
    """Make a world and pack it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the packed world: release_<version>.tar.xz, with underscores")
    options = parser.parse_args()
    if ROOT.exists():
        print(f"{ROOT} is there already; remove it first", file=sys.stderr)
        return 1
    make()
    pack(options.out)
    # What was packed must open without it.
    shutil.rmtree(ROOT)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")
    return 0


def make() -> None:
    """Make a world at `ROOT`."""
    import deltalake
    import pyarrow as pa

    for name in CODE:
        source, target = CHECKOUT / name, ROOT / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "defs"))
        else:
            shutil.copyfile(source, target)
    (ROOT / "sitecustomize.py").write_text(NAMELESS)
    (ROOT / ".venv").symlink_to(sys.prefix)
    release_project.write_project(ROOT)
    deltalake.write_deltalake(str(ROOT / release_project.ADOPTED), pa.table(release_project.rates()))
    for workflow, pipeline in release_project.COPIED_PIPELINES.items():
        lakeloop("copy-pipeline", pipeline, f"shop/{workflow}")
    lakeloop("check")
    with up():
        wait_until_fresh()
    release_project.change_project(ROOT)
    lakeloop("check")
    with up("--no-materialize") as endpoint:
        wait_until_fresh()
        expected = {**describe(endpoint), "plan": lakeloop("plan")}
    expected["assets"] = World(ROOT).materialisations()
    (ROOT / "expected.json").write_text(json.dumps(expected, indent=1))


def pack(out: Path) -> None:
    """Pack what is kept of the world at `ROOT`, without the logs of databases and without unused space in them."""
    dropped = {path for pattern in PRUNED for path in ROOT.glob(pattern)}
    files = [path for kept in KEPT for path in ([ROOT / kept] if (ROOT / kept).is_file() else (ROOT / kept).rglob("*")) if path.is_file()]
    files = [path for path in files if not dropped.intersection([path, *path.parents])]
    for path in files:
        if path.suffix == ".db":
            shrink(path)
        elif path.name == "report.html":
            path.write_text(without_plots(path.read_text()))
    compressor = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    with lzma.open(out, "wb", filters=compressor) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        # Like beside like, which packs better.
        for path in sorted(files, key=lambda file: (file.suffix, file.name, file)):
            if path.exists() and not path.name.endswith(("-wal", "-shm")):
                entry = archive.gettarinfo(path, str(path.relative_to(ROOT)))
                entry.uid = entry.gid = entry.mtime = 0
                entry.uname = entry.gname = ""
                with path.open("rb") as content:
                    archive.addfile(entry, content)


def without_plots(text: str) -> str:
    """A text with an empty plot in place of each."""
    for plot, empty in PLOTS.items():
        text = plot.sub(empty, text)
    return text


def shrink(database: Path) -> None:
    """Make an SQLite database smaller when packed, its content as it was but for plots: these are left out, and nothing is compressed in it."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return without_plots(value)
        try:
            return zlib.compress(zlib.decompress(value), 0)
        except (TypeError, zlib.error):
            return value

    with closing(sqlite3.connect(database)) as connection:
        connection.create_function("plain", 1, plain)
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, kind, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                if kind in ("TEXT", "BLOB"):
                    connection.execute(f'UPDATE "{table}" SET "{column}" = plain("{column}") WHERE "{column}" != plain("{column}")')
        connection.commit()
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")


@contextmanager
def up(*arguments: str) -> Iterator[str]:
    """Run `lakeloop up` until all is built; gives the address of its endpoint."""
    with (ROOT / "up.log").open("ab") as log:
        began = log.tell()
        process = subprocess.Popen(command("up", *arguments), cwd=ROOT, env=environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: READY in (ROOT / "up.log").read_bytes()[began:].decode() or process.poll() is not None, "lakeloop up")
        yield str(json.loads((ROOT / SERVING / "status.json").read_text())["address"])
        assert process.poll() is None, f"lakeloop up ended; see {ROOT / 'up.log'}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def wait_until_fresh() -> None:
    """Wait until nothing is stale and no run is in progress."""
    import dagster as dg

    done = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED)

    def is_quiet() -> bool:
        with dg.DagsterInstance.from_config(str(ROOT / DAGSTER)) as instance:
            statuses = {run.status for run in instance.get_runs()}
        assert dg.DagsterRunStatus.FAILURE not in statuses, f"a run failed; see {ROOT / 'up.log'}"
        return statuses.issubset(done) and lakeloop("plan") == "everything is fresh\n"

    until(is_quiet, "the sensors", pause=5)


def describe(endpoint: str) -> dict[str, Any]:
    """What this release says of the world: what is published, model versions with predictions, and the endpoint's answers."""
    import deltalake
    import mlflow

    from resources.tracking.model_format import load_model

    mlflow.set_tracking_uri(tracking_uri())
    client = mlflow.MlflowClient()
    models, aliases, answers = [], {}, []
    served = ask(f"{endpoint}/v1/models")["models"]
    for registered in client.search_registered_models():
        name = registered.name
        aliases[name] = {alias: str(version) for alias, version in sorted(registered.aliases.items())}
        rows = deltalake.DeltaTable(ROOT / LAKE / "training_sets" / name.replace(".", "/")).to_pyarrow_table().sort_by("predict_at")
        for version in sorted(int(each.version) for each in client.search_model_versions(f"name = '{name}'")):
            model = load_model(f"models:/{name}/{version}", tracking_uri())
            inputs = rows.select([field.name for field in model.fields]).slice(rows.num_rows - ROWS).to_pylist()
            predictions = model.predict(frame_of(inputs, model)).tolist()
            models.append({"name": name, "version": str(version), "inputs": inputs, "predictions": predictions})
        if name in served:
            # The newest version takes what the served one takes: a view's version is no part of its columns' names.
            request = {"instances": inputs}
            answers.append({"name": name, "request": request, "answer": ask(f"{endpoint}/v1/models/{name}:predict", request)})
    world = World(ROOT)
    return {"states": world.states(), "tables": world.tables(), "models": models, "aliases": aliases, "served": answers}


def ask(url: str, request: Any = None) -> dict[str, Any]:
    """Get an answer in JSON; post a request if there is one."""
    body = None if request is None else json.dumps(request).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"}), timeout=60) as answer:
        return dict(json.load(answer))


def lakeloop(*arguments: str) -> str:
    """Run a command of the release; what it prints."""
    done = subprocess.run(command(*arguments), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"lakeloop {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def command(*arguments: str) -> list[str]:
    """The command line of the release."""
    return [str(ROOT / ".venv" / "bin" / "python"), "-m", "lakeloop.cli", *arguments]


def environment() -> dict[str, str]:
    """That of the release's commands; of Lakeloop's own variables only the ports are handed on."""
    ours = ("LAKELOOP_", "DAGSTER_", "MLFLOW_", "PYTHON")
    passed = {name: value for name, value in os.environ.items() if name.endswith("_PORT") or not name.startswith(ours)}
    database = {release_project.DATABASE_VARIABLE: f"sqlite:///{ROOT / release_project.DATABASE_FILE}"}
    # Without a port of its own each project gets one that no other has, and remembers it.
    port = {"LAKELOOP_MLFLOW_PORT": tracking_uri().rpartition(":")[2]}
    return {**port, **passed, **database, "PYTHONPATH": str(ROOT), "USER": "lakeloop", "LOGNAME": "lakeloop"}


def tracking_uri() -> str:
    """Where the world's MLflow server answers."""
    return f"http://127.0.0.1:{os.environ.get('LAKELOOP_MLFLOW_PORT', '5050')}"


def until(is_so: Any, what: str, pause: float = 0.5) -> None:
    """Wait for something."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not done after {PATIENCE_S} s; see {ROOT / 'up.log'}")
        time.sleep(pause)


if __name__ == "__main__":
    sys.exit(main())
