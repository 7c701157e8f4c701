"""One run of a project in a process of its own: what the crash tests start, kill, and start again.

`start` forks that process from one that has imported everything, so that a trial pays for its work and not for imports; run as a
command, a new interpreter does the same.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

PATIENCE_S = 300


def run_stale(defs: Path, stages: Sequence[str] = ()) -> int:
    """Materialise everything stale below a folder of definitions, or some stages of it; 1 if a run failed."""
    import dagster as dg

    from platform_assets.assets import asset_key
    from platform_assets.definitions import build_defs
    from platform_assets.loading import read_project
    from platform_assets.plan import runs_for, stale_assets
    from resources.lake.lake import Lake
    from resources.settings import Settings

    job = build_defs(defs=defs).resolve_implicit_global_asset_job_def()
    stale = stale_assets(read_project(defs), Lake(Settings.from_environment().lake_url).states())
    with dg.DagsterInstance.get() as instance:
        for run in runs_for(read_project(defs), stale):
            keys = [asset_key(key) for key in run.assets if not stages or key.stage in stages]
            if not keys:
                continue
            done = job.execute_in_process(instance=instance, tags=run.tags, asset_selection=keys, raise_on_error=False)
            if not done.success:
                return 1
    return 0


def forkserver() -> ForkServerContext:
    """Where processes are forked from one that has imported everything; there is one such process for all of them."""
    from platform_assets.definitions import PRELOADED

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(
    defs: Path, environment: Mapping[str, str], log: Path, watch: Callable[[str], None] | None = None, stages: Sequence[str] = ()
) -> ForkServerProcess:
    """Start such a run; `watch` is called there at every passing of a crash point."""
    process = forkserver().Process(target=_forked, args=(defs, dict(environment), log, watch, stages))
    process.start()
    return process


def code_of(process: ForkServerProcess) -> int:
    """Wait for the end of such a run; its exit code, negative for a signal."""
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"the run did not end within {PATIENCE_S} s")
    return int(process.exitcode)


def _forked(defs: Path, environment: dict[str, str], log: Path, watch: Callable[[str], None] | None, stages: Sequence[str]) -> None:
    from resources.host import crash_points
    from resources.host.tether import end_with_parent

    end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    crash_points.watch = watch
    sys.exit(run_stale(defs, stages))


if __name__ == "__main__":
    sys.exit(run_stale(Path(sys.argv[1])))
