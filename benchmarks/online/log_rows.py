"""CPU time of the inference log: of a row that is written before its answer is sent, and of one that is committed to the lake.

`python -m benchmarks.online.log_rows` measures a row with 15 columns and one like the flights' (26 inputs). CPU time, since a wall clock measures the disk and the neighbours.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from resources.lake.lake import Lake
from resources.serving.log.committer import Committer
from resources.serving.log.record import LogKind
from resources.serving.log.writer import LogWriter

ROWS = 100_000
SHAPES = {"15 columns": (10, 3), "a row of the flights": (22, 4)}
"""Numbers and texts beside an id and a time."""
NOON = 1_796_126_400_000_000


def measure(folder: Path, numbers: int, texts: int) -> tuple[float, float]:
    """CPU microseconds to write a row, and rows committed per second of CPU."""
    columns: list[tuple[str, LogKind]] = [("request_id", "string"), ("received_at", "time")]
    columns += [(f"text_{place}", "string") for place in range(texts)]
    columns += [(f"number_{place}", "double") for place in range(numbers)]
    writer = LogWriter(folder / "log", "shop/churn", "1", columns)
    codes = ("DL", "JFK", "SEA", "N123")[:texts]
    rows = [[(f"boot-{n:x}", NOON + n, *codes, *(n * 0.37 + k for k in range(numbers)))] for n in range(ROWS)]
    begin = time.process_time()
    for row in rows:
        writer.write(row)
    write_us = (time.process_time() - begin) / ROWS * 1e6
    assert writer.dropped == 0
    writer.close()
    committer = Committer(folder / "log", Lake(str(folder / "lake")))
    begin = time.process_time()
    committed = committer.step()
    seconds = time.process_time() - begin
    committer.close()
    assert committed == ROWS
    return write_us, committed / seconds


def main() -> None:
    """Print the figures of each shape, the median of three."""
    for name, (numbers, texts) in SHAPES.items():
        trials = []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                trials.append(measure(Path(folder), numbers, texts))
        write, commit = (sorted(values)[1] for values in zip(*trials, strict=True))
        print(f"{name}: {write:.1f} us of CPU to write a row, {commit:,.0f} rows committed per second of CPU", flush=True)


if __name__ == "__main__":
    main()
