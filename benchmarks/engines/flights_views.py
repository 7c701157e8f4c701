"""The flights' views with their guards and our own windows, against the embedded engine alone, in one run.

`python -m benchmarks.engines.flights_views`. The engine alone subtracts what leaves a frame, so that its values may be others; only its time counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import resources.host.fewer_collections  # noqa: F401
from benchmarks.page import Tell, show
from benchmarks.stages import made_project, run_stage
from resources.project import PLATFORM_ROOT

STAGES = ("raw", "validated", "features")
LIMIT, TURNS = 1.5, 5


def measure(tell: Tell) -> None:
    """Tell the ratio of each view, and of all together."""
    from benchmarks.run import mlflow_server

    with tempfile.TemporaryDirectory() as name:
        defs = made_project(Path(name), 1)
        with mlflow_server(Path(name) / "home") as environment:
            for stage in (*STAGES, "views"):
                command = [sys.executable, "-m", "benchmarks.engines.flights_views", stage, str(defs)]
                done = subprocess.run(command, cwd=PLATFORM_ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"{stage} ended with {done.returncode}:\n{done.stderr[-3000:]}")
            seconds: dict[str, tuple[float, float]] = json.loads(done.stdout.splitlines()[-1])
    for view, (ours, alone) in seconds.items():
        tell(f"view {view}", ours, alone, None, "a year of the view's rows against the embedded engine alone")
    together = [sum(both) for both in zip(*seconds.values(), strict=True)]
    tell("views", together[0], together[1], LIMIT, "all views of the flights together")


def time_views(defs: Path) -> dict[str, tuple[float, float]]:
    """Seconds of each view's query, computed by the platform and by the engine alone, in turns; the fastest of each."""
    from lakeloop.project.project import upstream
    from platform_assets.graph import views_in_order
    from platform_assets.loading import read_project
    from platform_assets.stages import inputs
    from platform_assets.stages.base import Platform
    from platform_assets.stages.features.results import compute_result
    from resources.lake.lake import Lake
    from resources.settings import Settings
    from resources.spark.sessions import SparkResource
    from resources.spark.windows import query_rows
    from resources.tracking.runs import Tracking

    settings, project = Settings.from_environment(), read_project(defs)
    platform = Platform(settings, project, Lake(settings.lake_url), SparkResource(), Tracking(), run_id="bench")

    def alone(spark: Any, text: str, *, has_nan: bool = False) -> Any:
        return spark.sql(text).toArrow()

    seconds = {}
    for view in views_in_order(project):
        refs = upstream(project, view)
        states = platform.lake.states()
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(TURNS + 1):
            for place, run in enumerate((query_rows, alone)):
                with mock.patch.object(inputs, "query_rows", run):
                    started = time.perf_counter()
                    compute_result(platform, states, view, refs, ["whole"])
                    if turn:
                        times[place].append(time.perf_counter() - started)
        seconds[view.spec.name] = (min(times[0]), min(times[1]))
    return seconds


def main() -> None:
    """Measure alone, or run one stage for `measure`."""
    if len(sys.argv) == 1:
        measure(show)
    elif sys.argv[1] == "views":
        print(json.dumps(time_views(Path(sys.argv[2]))))
    else:
        run_stage(sys.argv[1], Path(sys.argv[2]))


if __name__ == "__main__":
    main()
