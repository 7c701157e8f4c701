"""The `lakeloop` command line: `check` the definitions, see what is stale with `plan`, bring everything `up`.

The one module of this package that may import everything.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code is 0 when all is well, 1 when something was found, 2 when the command itself is wrong."""
    parser = argparse.ArgumentParser(prog="lakeloop", description="An ML platform on Dagster.")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="check every definition file")
    checking.add_argument("--defs", type=Path, default=None, help="folder of definitions (default: platform_assets/defs)")
    commands.add_parser("plan", help="list the assets that are stale, computing nothing")
    starting = commands.add_parser("up", help="bring the platform up, materialise what is stale, stay until Ctrl-C")
    starting.add_argument("--once", action="store_true", help="stop when everything is materialised")
    starting.add_argument("--no-materialize", action="store_true", help="only bring the servers up")
    options = parser.parse_args(arguments)
    if options.command == "check":
        return check(options.defs)
    if options.command == "plan":
        return plan()
    from lakeloop.up import up

    return up(once=options.once, materialize=not options.no_materialize)


def check(defs: Path | None = None) -> int:
    """Print every error of the definitions as `file:line: key: message`, then one line that sums up."""
    from platform_assets.loading import DEFS, load_definitions

    started = time.perf_counter()
    folder = (defs or DEFS).resolve()
    if not folder.is_dir():
        print(f"no folder {folder}", file=sys.stderr)
        return 2
    project, errors = load_definitions(folder)
    for error in errors:
        print(error)
    found = f"{len(project.tables)} tables, {len(project.views)} views, {len(project.workflows)} workflows in {project.files} files"
    seconds = f"{time.perf_counter() - started:.1f} s"
    if errors:
        print(f"{len(errors)} error{'s' if len(errors) > 1 else ''}: {found}, {seconds}")
        return 1
    print(f"all good: {found}, {seconds}")
    return 0


def plan() -> int:
    """Print each stale asset with its stale partitions."""
    from platform_assets.loading import read_project
    from platform_assets.plan import stale_assets
    from resources.lake import Lake
    from resources.settings import Settings

    stale = stale_assets(read_project(), Lake(Settings.from_environment().lake_url).states())
    for key, partitions in stale.items():
        print(f"{key}  {partitions[0]} to {partitions[-1]}" if len(partitions) > 1 else f"{key}  {partitions[0]}")
    print(f"{len(stale)} stale" if stale else "everything is fresh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
