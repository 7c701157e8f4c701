"""What a step's process is forked from: definitions and modules that are ready, and nothing used that can't be forked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.worlds.places import ROOT

SCRIPT = """
import multiprocessing, sys
from pathlib import Path


def work(queue, folder):
    import deltalake, lightgbm, numpy, polars, pyarrow
    from platform_assets import definitions

    # Built by the fork server: nothing is read again.
    built = definitions.ready is not None and definitions.defs() is definitions.ready
    from dagster._core.definitions.assets.job import asset_job
    asset_job.build_asset_job = None
    definitions.ready.get_repository_def().get_implicit_global_asset_job_def()
    import dagster as dg
    with dg.DagsterInstance.local_temp(folder):
        pass
    from resources.host.dagster_sqlite import _migrations
    rng = numpy.random.default_rng(0)
    frame = polars.DataFrame({"a": rng.integers(0, 3, 1000), "b": rng.random(1000)})
    groups = frame.group_by("a").agg(polars.col("b").mean()).height
    deltalake.write_deltalake(folder + "/table", frame.to_arrow())
    rows = deltalake.DeltaTable(folder + "/table").to_pyarrow_table().num_rows
    data = lightgbm.Dataset(frame.select("b").to_numpy(), frame["a"].to_numpy())
    trees = lightgbm.train({"verbose": -1}, data, 5).num_trees()
    queue.put((built, groups, rows, trees, len(_migrations)))


if __name__ == "__main__":
    from platform_assets.definitions import PRELOADED

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    for number in range(2):
        folder = Path(sys.argv[1]) / str(number)
        folder.mkdir()
        queue = context.Queue()
        child = context.Process(target=work, args=(queue, str(folder)))
        child.start()
        print(queue.get(timeout=120))
        child.join(60)
        assert child.exitcode == 0, child.exitcode
"""


def test_a_forked_step_finds_the_definitions_built_and_can_use_every_library(tmp_path: Path) -> None:
    script = tmp_path / "forks.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(True, 3, 1000, 5, 3)"] * 2


def test_an_unfinished_definition_leaves_the_fork_server_standing(tmp_path: Path) -> None:
    code = (
        "import platform_assets.definitions as d; from lakeloop.errors import SpecError\n"
        "def broken(**_): raise SpecError('unfinished')\n"
        "d.build_defs = broken\n"
        "import platform_assets.step_process\n"
        "print(d.ready)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr


def test_the_collector_runs_less_often_where_the_platform_starts_and_nowhere_else() -> None:
    code = (
        "import gc; before = gc.get_threshold()\n"
        "import resources.settings, resources.lake.lake\n"
        "assert gc.get_threshold() == before\n"
        "import platform_assets.definitions as d\n"
        "print(d.PRELOADED[0], gc.get_threshold()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.split() == ["resources.host.fewer_collections", "50000"]


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
