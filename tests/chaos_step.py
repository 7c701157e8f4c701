"""One run of a project in this process: what the crash tests start, kill, and start again."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Materialise everything stale below the folder of definitions that the first argument names."""
    import dagster as dg

    from platform_assets.assets import asset_key
    from platform_assets.definitions import build_defs
    from platform_assets.loading import read_project
    from platform_assets.plan import runs_for, stale_assets
    from resources.lake import Lake
    from resources.settings import Settings

    defs = Path(sys.argv[1])
    job = build_defs(defs=defs).resolve_implicit_global_asset_job_def()
    stale = stale_assets(read_project(defs), Lake(Settings.from_environment().lake_url).states())
    with dg.DagsterInstance.get() as instance:
        for run in runs_for(read_project(defs), stale):
            keys = [asset_key(key) for key in run.assets]
            done = job.execute_in_process(instance=instance, tags=run.tags, asset_selection=keys, raise_on_error=False)
            if not done.success:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
