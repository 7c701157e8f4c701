"""`make chaos`: disturb runs in every way, run again, compare, and write the tables of `docs/crashes.md`.

`python -m tests.chaos.all points …` does parts of it.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import get_args

from benchmarks.page import DOCS, write_between
from resources.host.crash_points import POINTS
from tests.chaos.crashes import Calm, trial, undisturbed
from tests.chaos.disturbances import (
    DISK_POINTS,
    JUMPS,
    MEETING_POINTS,
    SERVER_POINTS,
    built_shim,
    clock_jumps,
    disk_full,
    server_killed,
    two_at_once,
    undisturbed_twice,
)
from tests.chaos.endings import How, killed, platform
from tests.chaos.writers import append, disturbed, publish
from tests.worlds.servers.mlflow_server import server

PAGE = DOCS / "crashes.md"
WAYS = ("kill", "term", "raise")
PASSED = [point for point in POINTS if not point.startswith("order.")]
"""Of these a run is without orders; those of an order are crashed at in `tests/loops/test_release_command.py` and `tests/stages/test_orders.py`."""
AT_ONCE = 2
FINAL_S = 15.0
"""Within which a killed run is to be final in Dagster and in MLflow."""
Tell = Callable[[str], None]
"""Gets the lines of a table."""


def points(root: Path, uri: str, tell: Tell) -> int:
    """Crash at the last passing of every point in every way; how many trials differ from an undisturbed run."""
    return _crash_at(root / "last", uri, tell, lambda count, _: [count])


def passings(root: Path, uri: str, tell: Tell) -> int:
    """By SIGKILL at every passing before the last, and in the other ways at the first and the middle one."""
    return _crash_at(
        root / "every", uri, tell, lambda count, how: list(range(1, count)) if how == "kill" else sorted({1, (count + 1) // 2} - {count})
    )


def _crash_at(root: Path, uri: str, tell: Tell, chosen: Callable[[int, str], list[int]]) -> int:
    root.mkdir()
    calm, bad = undisturbed(root / f"{root.name}-calm", uri), 0
    asked = {(p, how): chosen(count, how) if (count := calm.passings[p]) else [] for p in PASSED for how in WAYS}
    tell(f"| point | passings | {' | '.join(WAYS)} |")
    tell(f"|---|--:|{'---|' * len(WAYS)}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = {
            (point, how): {n: pool.submit(_tried, root, uri, point, how, n, calm) for n in numbers}
            for (point, how), numbers in asked.items()
        }
        for point in PASSED:
            cells = []
            for how in WAYS:
                outcomes = {n: outcome.result() for n, outcome in tried[(point, how)].items()}
                wrong = {n: told for n, told in outcomes.items() if told}
                bad += len(wrong) + (not calm.passings[point])
                cells.append(f"{len(outcomes)} tried, {wrong or 'all equal'}" if outcomes else "")
            tell(f"| `{point}` | {calm.passings[point] or 'never passed'} | {' | '.join(cells)} |")
    return bad


def _tried(root: Path, uri: str, point: str, how: str, passing: int, calm: Calm) -> list[str]:
    try:
        return trial(root / f"{root.name}-{list(POINTS).index(point)}-{how}-{passing}", uri, point, how, passing, calm)
    except Exception as error:  # a trial that breaks is a finding; the others go on
        return [f"{type(error).__name__}: {error}"]


def writers(root: Path, tell: Tell) -> int:
    """Eight writers of one table under kills, and tell what came of it."""
    tell("| eight writers | commits | kills | lost | doubled | seconds |")
    tell("|---|--:|--:|--:|--:|--:|")
    bad = 0
    for write, commits, kills in ((append, 2000, 200), (publish, 80, 16)):
        lost = disturbed(root / write.__name__, write, writers=8, commits=commits, kills=kills)
        bad += bool(lost.lost or lost.doubled or lost.foreign)
        tell(f"| {write.__name__} | {lost.commits} | {lost.kills} | {lost.lost} | {lost.doubled} | {lost.seconds:.0f} |")
    return bad


def disturbances(root: Path, uri: str, tell: Tell) -> int:
    """Two runs at once, a server that is killed, a full disk, a clock that jumps; tell what differs then."""
    calm, bad = undisturbed(root / "calm-too", uri), 0
    twice = undisturbed_twice(root / "twice", uri, calm)
    tell("| disturbance | where | after a rerun |")
    tell("|---|---|---|")
    trials: list[tuple[str, str, Callable[[Path], list[str]]]] = []
    trials += [("two runs at once", p, partial(_two, uri, calm, p)) for p in MEETING_POINTS]
    trials += [(f"MLflow killed during {what}", p, partial(_server, calm, p)) for what, p in SERVER_POINTS.items()]
    trials += [("full disk", p, partial(_disk, uri, calm, p, n, False)) for p, n in DISK_POINTS.items()]
    trials += [("full disk, Dagster's too", p, partial(_disk, uri, calm, p, n, True)) for p, n in DISK_POINTS.items()]
    trials += [(f"clock jumps {what}", ", ".join(jumps), partial(_clock, uri, calm, twice, jumps)) for what, jumps in JUMPS.items()]
    for number, (what, where, disturb) in enumerate(trials):
        try:
            told = disturb(root / f"d{number}")
        except (PermissionError, FileNotFoundError) as error:
            tell(f"| {what} | `{where}` | not tried: {error} |")
            continue
        except Exception as error:  # a trial that breaks is a finding; the others go on
            told = [f"{type(error).__name__}: {error}"]
        bad += bool(told)
        tell(f"| {what} | `{where}` | {'; '.join(told) or 'equal'} |")
    return bad


def _two(uri: str, calm: Calm, point: str, folder: Path) -> list[str]:
    return two_at_once(folder, uri, calm, point)


def _server(calm: Calm, point: str, folder: Path) -> list[str]:
    return server_killed(folder, calm, point)


def _disk(uri: str, calm: Calm, point: str, passing: int, dagster_too: bool, folder: Path) -> list[str]:
    return disk_full(folder, uri, calm, point, passing, dagster_too=dagster_too)


def _clock(uri: str, calm: Calm, twice: Calm, jumps: dict[str, int], folder: Path) -> list[str]:
    return clock_jumps(folder, uri, calm, built_shim(folder.parent), jumps, twice)


def endings(root: Path, uri: str, tell: Tell) -> int:
    """Kill runs under a real daemon, and tell how long each took to be final."""
    tell("| killed | Dagster | MLflow | processes gone | status in Dagster, MLflow | run launched right after |")
    tell("|---|--:|--:|--:|---|---|")
    bad, ways = 0, get_args(How)
    with platform(root / "endings", uri) as made:
        listed = [(how, killed(made, how)) for how in ways]
    for how, results in listed:
        late = max(results.dagster_s, results.mlflow_s, results.processes_s) > FINAL_S
        bad += late or not results.rerun.startswith("SUCCESS") or results.versions != 1
        tell(
            f"| {how} | {results.dagster_s:.1f} s | {results.mlflow_s:.1f} s | {results.processes_s:.1f} s | {results.dagster}, {results.mlflow} "
            f"| {results.rerun}, {results.versions} version |"
        )
    return bad


def _tell(lines: list[str], line: str) -> None:
    lines.append(line)
    print(line, flush=True)


def main(chosen: Sequence[str]) -> int:
    """Try everything, or the parts that are named, and write the page's tables; 1 if anything differs."""
    started, bad = time.monotonic(), 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as name, server(Path(name, "mlflow")) as (uri, _):
        root = Path(name)
        parts: dict[str, Callable[[Tell], int]] = {
            "points": partial(points, root, uri),
            "passings": partial(passings, root, uri),
            "writers": partial(writers, root),
            "disturbances": partial(disturbances, root, uri),
            "endings": partial(endings, root, uri),
        }
        for part in chosen or parts:
            lines: list[str] = []
            print(f"\n{part}")
            bad += parts[part](partial(_tell, lines))
            write_between(PAGE, part, "\n".join(lines))
    print(f"\n{bad or 'nothing'} is wrong; {(time.monotonic() - started) / 60:.0f} minutes")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
