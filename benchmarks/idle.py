"""What an idle platform costs: the processor time of `lakeloop up` and of all its processes while nothing changes.

`python -m benchmarks.idle` measures this alone and writes its rows into the table of docs/speed.md.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.page import DOCS, Tell, row, show, write_rows
from resources.project import PLATFORM_ROOT, PORTS

MINUTES = 3.0
LIMIT_S = 1.8
"""Seconds a minute: 3% of a core."""
WAKES = 20
"""Wakings a second of the yardstick."""
WARM_UP_S = 45.0
"""From the last line of `lakeloop up` on: until every sensor has been evaluated once, and each import that the first one does is done."""


def measure(tell: Tell, minutes: float = MINUTES) -> None:
    """Measure the example project, first with an empty lake, then with everything materialised, released and served."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with running(home, "--no-materialize") as process:
            what = "processor seconds a minute of all processes of `lakeloop up` in which nothing happens; 1.8 are 3% of a core"
            ours, yardstick = seconds_a_minute(process.pid, minutes)
            tell("idle, s a minute", ours, 1.0, LIMIT_S, f"{what}{_beside(yardstick)}")
        with running(home, "--once") as process:
            process.wait()
            if process.returncode:
                raise SystemExit(f"`lakeloop up --once` ended with {process.returncode}; its output is above")
        with running(home, "--no-materialize") as process:
            what = "the same with three models that are released and served"
            ours, yardstick = seconds_a_minute(process.pid, minutes)
            tell("idle, serving, s a minute", ours, 1.0, LIMIT_S, f"{what}{_beside(yardstick)}")


def _beside(yardstick: float) -> str:
    return f"; a process that only wakes {WAKES} times a second took {yardstick:.2f} meanwhile"


def seconds_a_minute(pid: int, minutes: float) -> tuple[float, float]:
    """Wait, and measure what a process and all below it take, and a yardstick beside it.

    On a virtual machine whose host is busy, each waking costs several times what it does otherwise, which is most of what an idle platform takes.
    """
    time.sleep(WARM_UP_S)
    waking = subprocess.Popen([sys.executable, "-c", f"import time\nwhile True: time.sleep({1 / WAKES})"])
    try:
        time.sleep(2)
        before, started = (processor_seconds(pid), processor_seconds(waking.pid)), time.monotonic()
        time.sleep(60 * minutes)
        after, passed = (processor_seconds(pid), processor_seconds(waking.pid)), time.monotonic() - started
    finally:
        waking.kill()
        waking.wait()
    ours, yardstick = ((end - start) * 60 / passed for start, end in zip(before, after, strict=True))
    return ours, yardstick


def processor_seconds(pid: int) -> float:
    """Processor time of a process and all below it so far, of those that have ended too: it counts for who waited for them."""
    import psutil

    top = psutil.Process(pid)
    total = 0.0
    for process in (top, *top.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`lakeloop up` with a home and ports of its own; it is ready, unless it ends by itself."""
    from tests.worlds.servers.ports import free_ports

    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    environment = {**os.environ, **ports, "LAKELOOP_HOME": str(home)}
    environment.pop("LAKELOOP_MLFLOW", None)
    command = [sys.executable, "-m", "lakeloop.cli", "up", *arguments]
    process = subprocess.Popen(command, cwd=PLATFORM_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  {line}", end="", flush=True)
            if "Ctrl-C stops everything" in line:
                break
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


def main() -> None:
    """Measure this alone, and write the rows; the minutes may be given."""
    rows: dict[str, str] = {}

    def tell(name: str, ours: float, theirs: float, limit: float | None, what: str) -> None:
        show(name, ours, theirs, limit, what)
        rows[name] = row(name, ours / theirs, limit, what)

    measure(tell, float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES)
    write_rows(DOCS / "speed.md", "bench", rows)


if __name__ == "__main__":
    main()
