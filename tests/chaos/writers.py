"""Many processes that write one Delta table at once and are killed all the time: nothing acknowledged is lost, nothing doubled.

Each writer has its own numbers to write, one commit each, and writes a line of its own file once a commit is acknowledged; after a kill
it is started again and goes on at the first number that it doesn't find there, so that it tries again what it may have written already.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState, TableKey
from tests.chaos.step import forkserver

APPENDED = "reports/written"
PUBLISHED = TableKey("validated", "chaos", "written")
Write = Callable[[Lake, int, int], None]


def append(lake: Lake, writer: int, number: int) -> None:
    """One row, under an id."""
    import pyarrow as pa

    lake.append(APPENDED, pa.table({"writer": [writer], "number": [number]}), once=f"{writer}:{number}")


def publish(lake: Lake, writer: int, number: int) -> None:
    """One row more in a partition that everybody rewrites: read it, add a row, publish it unless somebody else has meanwhile."""
    import pyarrow as pa

    row = pa.table({"writer": [writer], "number": [number]})
    lake.settle(PUBLISHED)
    states = lake.states().get(PUBLISHED, {})
    rows = lake.read(lake.current(PUBLISHED, {PUBLISHED: states})) if states else row.slice(0, 0)
    if {"writer": writer, "number": number} not in rows.to_pylist():
        state = PartitionState(WHOLE, f"{writer}:{number}", rows=rows.num_rows + 1)
        lake.publish(PUBLISHED, pa.concat_tables([rows, row]), [state], after=states)


def _write_on(url: str, acknowledged: Path, write: Write, writer: int, count: int) -> None:
    from lakeloop.errors import Conflict
    from resources.host.tether import end_with_parent

    end_with_parent()
    lake = Lake(url)
    with acknowledged.open("a") as stream:
        for number in range(len(acknowledged.read_text().splitlines()), count):
            while True:
                try:
                    write(lake, writer, number)
                    break
                except Conflict:
                    time.sleep(random.random() * 0.05)
            stream.write(f"{number}\n")
            stream.flush()


@dataclass(frozen=True)
class Written:
    """What came of it."""

    commits: int
    kills: int
    lost: int
    doubled: int
    foreign: int
    seconds: float


def disturbed(folder: Path, write: Write, *, writers: int, commits: int, kills: int, seed: int = 7) -> Written:
    """Have `writers` processes make `commits` commits while `kills` SIGKILLs hit them, and count what isn't there once.

    Raises:
        RuntimeError: writers end by themselves, again and again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = forkserver()
    chance, started, count = random.Random(seed), time.monotonic(), commits // writers
    url, files = str(folder / "lake"), [folder / f"acknowledged-{writer}" for writer in range(writers)]

    def begin(writer: int) -> ForkServerProcess:
        process = context.Process(target=_write_on, args=(url, files[writer], write, writer, count))
        process.start()
        return process

    def acknowledged() -> int:
        return sum(file.read_text().count("\n") for file in files if file.exists())

    running, killed, failed = {writer: begin(writer) for writer in range(writers)}, 0, 0
    while running:
        time.sleep(0.005)
        for writer, process in list(running.items()):
            if process.exitcode == 0:
                del running[writer]
            elif process.exitcode is not None:
                failed += process.exitcode > 0
                if failed > commits:
                    raise RuntimeError(f"the writers ended by themselves {failed} times, with {acknowledged()} commits of {commits} made")
                running[writer] = begin(writer)
        # The kills are spread over the commits, so that all of them happen however fast the machine is.
        alive = [process for process in running.values() if process.exitcode is None]
        if alive and killed < kills and acknowledged() >= killed * commits * 0.9 / kills:
            chance.choice(alive).kill()
            killed += 1
    lake = Lake(url)
    table = lake.open(APPENDED if write is append else PUBLISHED)
    assert table is not None
    counts = Counter((row["writer"], row["number"]) for row in table.to_pyarrow_table().to_pylist())
    wanted = {(writer, number) for writer in range(writers) for number in range(count)}
    return Written(
        commits=len(wanted),
        kills=killed,
        lost=len(wanted - counts.keys()),
        doubled=sum(times - 1 for times in counts.values()),
        foreign=len(counts.keys() - wanted),
        seconds=time.monotonic() - started,
    )
