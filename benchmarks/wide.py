"""A table of 2,000 columns and 100,000 rows: drafted, landed and validated, against reading and writing it bare.

Run `python -m benchmarks.wide` (some minutes, 1 GB of disk and 10 GB of memory); `--rows` and `--columns` for another size.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import resources.host.fewer_collections  # noqa: F401

T = TypeVar("T")
DRAFT_S, RATIO = 120, 3.0


def write_wide(path: Path, columns: int, rows: int) -> None:
    """Write a Parquet file of numbers, numbers with gaps, whole numbers and words, with an id and a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    words = pa.array(["north", "south", "east", "west"])
    minutes = np.datetime64("2024-01-01T00:00:00", "us") + np.arange(rows) * np.timedelta64(60_000_000, "us")
    table = {"id": pa.array(np.arange(rows)), "measured_at": pa.array(minutes, pa.timestamp("us", "UTC"))}
    for number in range(columns - 2):
        numbers = rng.normal(size=rows)
        table[f"sensor_{number}"] = (
            pa.array(numbers),
            pa.array(rng.integers(0, 1000, rows)),
            pa.array(np.where(rng.random(rows) < 0.05, np.nan, numbers), from_pandas=True),
            words.take(pa.array(rng.integers(0, 4, rows))),
        )[number % 4]
    pq.write_table(pa.table(table), path)


def measure(columns: int, rows: int) -> dict[str, float]:
    """Seconds of each part, by name."""
    import deltalake
    import pyarrow.parquet as pq

    from lakeloop.checking.project import load_checked
    from lakeloop.spec.partitions import partition_keys
    from platform_assets.components.scaffolders import LakeTableParams, draft_table_files
    from platform_assets.loading import read_project
    from platform_assets.stages.base import Platform
    from platform_assets.stages.tables import raw, validated
    from resources.lake.lake import Lake
    from resources.settings import Settings

    seconds: dict[str, float] = {}

    def timed(name: str, do: Callable[[], T]) -> T:
        began = time.monotonic()
        result = do()
        seconds[name] = time.monotonic() - began
        return result

    place = Path(tempfile.mkdtemp(prefix="wide-"))
    try:
        source, folder = place / "wide.parquet", place / "defs" / "x" / "wide"
        folder.mkdir(parents=True)
        write_wide(source, columns, rows)
        files, _ = timed("draft", lambda: draft_table_files(LakeTableParams.model_validate({"source": str(source)}), folder, place))
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        errors = load_checked(place / "defs")[1]
        assert not errors, errors[0]
        project = read_project(place / "defs")
        platform = Platform(Settings.from_environment(), project, Lake(str(place / "lake")), None, None, "run", {}, logging.getLogger())  # type: ignore[arg-type]  # tables need no more
        (located,) = project.tables.values()
        now = datetime.now(UTC)
        names = partition_keys(located.spec.partitions, now) if located.spec.partitions else ["whole"]
        for name, result in (
            ("raw", timed("raw", lambda: raw.land(platform, located, now=now))),
            ("validated", timed("validated", lambda: validated.validate(platform, located, names))),
        ):
            assert not result.refused and result.rows == rows, (name, result.refused, result.rows)
        timed("bare", lambda: deltalake.write_deltalake(str(place / "bare"), pq.read_table(source)))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return seconds


def main() -> int:
    """Measure; the exit code says whether a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    seconds = measure(options.columns, options.rows)
    ratio = (seconds["raw"] + seconds["validated"]) / seconds["bare"]
    print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
    print(f"draft {seconds['draft']:.0f} s (at most {DRAFT_S}); raw and validated {ratio:.2f} x the bare read and write (at most {RATIO})")
    return int(seconds["draft"] > DRAFT_S or ratio > RATIO)


if __name__ == "__main__":
    raise SystemExit(main())
