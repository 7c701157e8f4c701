"""Disturbances other than a crash: two runs at once, an MLflow server that is killed, a full disk, a clock that jumps.

Each takes a new project, disturbs its run at a named crash point, puts the cause right, runs again, and says what differs from a run that
nobody disturbed.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from tests.chaos.crashes import Calm, Project, differences, project_before, project_in, project_of, registry, run_again, tables
from tests.chaos.step import code_of
from tests.worlds.places import ROOT
from tests.worlds.servers.mlflow_server import server
from tests.worlds.servers.ports import free_port
from tests.worlds.shop import orders, write_orders

MEETING_POINTS = ("lake.before_commit", "mlflow.run_open", "model.logged", "evaluation.reported", "release.decided", "lake.before_record")
SERVER_POINTS = {"training": "model.fitted", "evaluation": "evaluation.reported", "release": "release.decided"}
DISK_POINTS = {"lake.before_beside": 2, "lake.before_commit": 3, "evaluation.reported": 1, "release.tagged": 1}
"""Where the disk is full from then on, and at which passing; what is written to the lake next finds it so."""
FULL = "make room and run again"
FULL_FOR_DAGSTER = "disk I/O error"
"""How SQLite says it."""
DISK_MB = 24


# Two runs at once


@dataclass(frozen=True)
class Meet:
    """Waits at the first passing of a point until the other run is there too, or has gone another way."""

    folder: Path
    point: str

    def __call__(self, point: str) -> None:
        """Wait at the point, the first time."""
        mine = self.folder / f"met-{os.getpid()}"
        if point != self.point or mine.exists():
            return
        mine.touch()
        deadline = time.monotonic() + 20
        while len(list(self.folder.glob("met-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)


def two_at_once(folder: Path, uri: str, calm: Calm, point: str) -> list[str]:
    """Two runs of everything that is stale, which meet at a point."""
    project = project_before(folder, uri, calm, point)
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        # Made here, as `lakeloop up` does: two processes that start together fail on each other's migration.
        instance.event_log_storage.get_asset_records([])
    runs = [project.start(watch=Meet(folder, point)) for _ in range(2)]
    codes = [code_of(run) for run in runs]
    met = len(list(folder.glob("met-*")))
    return [f"{met} of the two runs reached {point}"] * (met != 2) + [f"they ended with {codes}"] * any(codes) + run_again(project, calm)


# The MLflow server


@dataclass(frozen=True)
class Kill:
    """Kills a process at a passing of a point."""

    pid: int
    point: str

    def __call__(self, point: str) -> None:
        """Kill it, if it is there."""
        if point == self.point:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def server_killed(folder: Path, calm: Calm, point: str) -> list[str]:
    """An MLflow server of its own, killed at a point and started again after the run has failed."""
    home, port = folder.parent / f"{folder.name}-mlflow", free_port()
    project = project_before(folder, f"http://127.0.0.1:{port}", calm, point)
    with server(home, port) as (_, process):
        code = project.run(watch=Kill(process.pid, point))
        told = [] if code else ["the run succeeded without its server"]
        if f"the MLflow server at {project.uri}" not in project.log():
            told.append("no step said the server's address")
    with server(home, port) as _:
        return told + run_again(project, calm)


# The disk


@dataclass(frozen=True)
class Fill:
    """Fills a disk at a passing of a point."""

    ballast: Path
    point: str
    passing: int

    def __call__(self, point: str) -> None:
        """Fill it, the time asked for."""
        if point != self.point:
            return
        count = self.ballast.with_suffix(".count")
        passed = len(count.read_text()) + 1 if count.exists() else 1
        count.write_text("x" * passed)
        if passed != self.passing:
            return
        with self.ballast.open("wb", buffering=0) as stream:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while stream.write(b"0" * size) == size:
                        pass
                except OSError:
                    continue


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own with few megabytes.

    Raises:
        PermissionError: nothing may be mounted here.
    """
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        raise PermissionError(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def disk_full(folder: Path, uri: str, calm: Calm, point: str, passing: int, *, dagster_too: bool = False) -> list[str]:
    """Lake and home, and Dagster's home or not, on a small disk that is full from a point on, until the run has failed."""
    with small_disk(folder) as disk:
        project = project_before(disk, uri, calm, point)
        if not dagster_too:
            elsewhere = folder.with_name(f"{folder.name}-dagster")
            shutil.move(disk / "dagster", elsewhere)
            (disk / "dagster").symlink_to(elsewhere)
        ballast = disk / "ballast"
        code = project.run(watch=Fill(ballast, point, passing), log=folder.with_suffix(".log"))
        said = folder.with_suffix(".log").read_text(errors="replace")
        told = [] if code else ["the run succeeded on a full disk"]
        told += [] if ballast.exists() else [f"{point} was not passed {passing} times"]
        told += [] if (FULL_FOR_DAGSTER if dagster_too else FULL) in said else ["nothing said that the disk is full"]
        try:
            tables(project)
        except Exception as error:
            told.append(f"a table can't be read while the disk is full: {error}")
        ballast.unlink(missing_ok=True)
        return told + run_again(project, calm)


# The clock

FIRST = "first.pickle"
"""What stood after the first of two runs."""
SHIM = ROOT / "tests" / "worlds" / "clock_shim.c"
DAY_S = 86400
JUMPS = {
    "forward": {"lake.before_commit": 3 * DAY_S, "model.fitted": 9 * DAY_S, "release.decided": 9 * DAY_S + 3600},
    "back": {"lake.before_commit": -3 * DAY_S, "model.fitted": -9 * DAY_S, "release.decided": -9 * DAY_S - 3600},
    "there and back": {"lake.before_commit": 3 * DAY_S, "model.fitted": -3 * DAY_S, "evaluation.reported": 7200, "release.decided": -7200},
}
"""By how many seconds the wall clock is off from the first passing of a point on."""


def built_shim(folder: Path) -> Path:
    """The library that shifts the wall clock of a process.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    library = folder / "clock_shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


@dataclass
class Jump:
    """Sets the clock at the first passings of points."""

    file: Path
    jumps: dict[str, int]

    def __call__(self, point: str) -> None:
        """Set it, the first time."""
        if (seconds := self.jumps.pop(point, None)) is not None:
            set_clock(self.file, seconds)


def set_clock(file: Path, seconds: int) -> None:
    """Have the clock of the processes that read a file be off by some seconds."""
    with file.open("r+b") as stream:
        stream.write(seconds.to_bytes(8, sys.byteorder, signed=True))


def more_orders(defs: Path) -> None:
    """Two more weeks of orders, and a correction of an old one."""
    rows = [*orders(), *orders(14, first=120)]
    rows[5] = {**rows[5], "amount_eur": 77.0}
    write_orders(defs / "shop" / "orders" / "data" / "orders.csv", rows)


def undisturbed_twice(folder: Path, uri: str, calm: Calm) -> Calm:
    """What two runs give that nobody disturbs, the second one on more data."""
    project = project_before(folder, uri, calm, "model.fitted")
    assert project.run() == 0, project.log()[-4000:]
    more_orders(project.defs)
    assert project.run() == 0, project.log()[-4000:]
    return Calm(tables(project), registry(project), Counter())


def clock_jumps(folder: Path, uri: str, calm: Calm, library: Path, jumps: dict[str, int], twice: Calm | None = None) -> list[str]:
    """A clock that jumps during the first run, and is set back by five days before the second, on more data; both in one process.

    What stands after the second is compared where it is known what two calm runs give.
    """
    project, clock = project_in(folder, uri), folder / "clock"
    clock.write_bytes(bytes(8))
    environment = {**project.environment, "LD_PRELOAD": str(library), "CLOCK_SHIM": str(clock)}
    command = [sys.executable, "-m", "tests.chaos.disturbances", str(project.defs), json.dumps(jumps)]
    with (project.folder / "log").open("ab") as log:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=500).returncode
    if code:
        return [f"the runs ended with {code}: {project.log()[-2000:]}"]
    told = differences(*pickle.loads(project.folder.joinpath(FIRST).read_bytes()), calm)
    return told + (run_again(project, twice) if twice else []) + out_of_order(project)


def out_of_order(project: Project) -> list[str]:
    """What stands in the wrong order in time: landings against their numbers, decisions against the versions that they are on."""
    told = []
    for path, column, by in (("raw/shop/orders", "ingested_at", "_landing"), ("reports/decisions", "at", "candidate")):
        table = project.lake.open(path)
        assert table is not None
        rows = table.to_pyarrow_table().to_pylist()
        times = {int(row[by]): row[column] for row in rows}
        told += [f"{path}: {column} runs backwards"] * (sorted(times) != sorted(times, key=lambda number: times[number]) or len(times) < 2)
    return told


def main(arguments: Sequence[str]) -> int:
    """Two runs with a clock that jumps: the folder of definitions, and the jumps of the first as JSON."""
    import skops.io  # noqa: F401  as the processes of steps do

    import resources.host.dagster_sqlite  # noqa: F401
    from resources.host import crash_points
    from tests.chaos.step import run_stale

    defs, clock, jumps = Path(arguments[0]), Path(os.environ["CLOCK_SHIM"]), json.loads(arguments[1])
    back = min(0, *jumps.values()) - 5 * DAY_S
    crash_points.watch = Jump(clock, jumps)
    project = project_of(defs.parents[2], os.environ["LAKELOOP_MLFLOW"])
    if run_stale(defs):
        return 1
    project.folder.joinpath(FIRST).write_bytes(pickle.dumps((tables(project), registry(project))))
    crash_points.watch = None
    more_orders(defs)
    set_clock(clock, back)
    return run_stale(defs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
