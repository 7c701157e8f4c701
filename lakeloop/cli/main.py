"""The `lakeloop` command line: `check`, `plan`, `up`, `lineage`, `copy-pipeline`, `upgrade`.

The one module of this package that may import everything.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import resources.host.fewer_collections  # noqa: F401
from lakeloop.errors import LakeloopError
from lakeloop.project.lineage import Lineage
from lakeloop.project.lineage_tree import as_record, render
from lakeloop.training import copy_pipeline as copying
from platform_assets.loading import load_definitions, read_project
from resources.lake.format import steps_to
from resources.lake.format import upgrade as apply_steps
from resources.lake.lake import Lake
from resources.project import environment, find_project
from resources.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code is 0 when all is well, 1 when something was found, 2 when the command itself is wrong."""
    parser = argparse.ArgumentParser(prog="lakeloop", description="An ML platform on Dagster.")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="check every definition file")
    checking.add_argument("--defs", type=Path, default=None, help="folder of definitions (default: the project's)")
    commands.add_parser("plan", help="list the assets that are stale, computing nothing")
    starting = commands.add_parser("up", help="bring the platform up, materialise what is stale, stay until Ctrl-C")
    starting.add_argument("--once", action="store_true", help="stop when everything is materialised")
    starting.add_argument("--no-materialize", action="store_true", help="materialise nothing at the start; sensors and schedules still do")
    asking = commands.add_parser("lineage", help="name the raw columns that a column came from, or what comes from it")
    asking.add_argument("column", help="stage.domain.name.column, such as predictions.flights.flight_delay.prediction")
    asking.add_argument("--downstream", action="store_true", help="what comes from the column, instead of what it comes from")
    asking.add_argument("--json", action="store_true", help="for machines")
    asking.add_argument("--defs", type=Path, default=None, help="folder of definitions (default: the project's)")
    copying = commands.add_parser("copy-pipeline", help="copy a ready-made pipeline beside a workflow's definition, to be changed there")
    copying.add_argument("pipeline", help="such as gradient_boosting")
    copying.add_argument("workflow", help="<domain>/<name>")
    copying.add_argument("--defs", type=Path, default=None, help="folder of definitions (default: the project's)")
    upgrading = commands.add_parser("upgrade", help="convert a lake that an older version wrote; prints first what changes")
    upgrading.add_argument("--dry-run", action="store_true", help="only print what would change")
    options = parser.parse_args(arguments)
    try:
        os.environ.update(environment())
        return run(options)
    except LakeloopError as error:
        print(f"lakeloop: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Run the command that was asked for; returns its exit code.

    Raises:
        LakeloopError: it can't be done; the message says why.
    """
    if options.command == "upgrade":
        return upgrade(dry_run=options.dry_run)
    if options.command == "copy-pipeline":
        return copy_pipeline(options.pipeline, options.workflow, options.defs)
    if options.command == "lineage":
        return lineage(options.column, downstream=options.downstream, as_json=options.json, defs=options.defs)
    if options.command == "check":
        return check(options.defs)
    if options.command == "plan":
        return plan()
    from lakeloop.cli.up import up

    return up(once=options.once, materialize=not options.no_materialize)


def check(defs: Path | None = None) -> int:
    """Print every error of the definitions as `file:line: key: message`, then one line that sums up."""
    started = time.perf_counter()
    folder = (defs or find_project().defs).resolve()
    if not folder.is_dir():
        print(f"no folder {folder}", file=sys.stderr)
        return 2
    project, errors = load_definitions(folder)
    for error in errors:
        print(error)
    counts = f"{len(project.tables)} tables, {len(project.views)} views, {len(project.workflows)} workflows in {project.files} files"
    seconds = f"{time.perf_counter() - started:.1f} s"
    if errors:
        print(f"{len(errors)} error{'s' if len(errors) > 1 else ''}: {counts}, {seconds}")
        return 1
    print(f"all good: {counts}, {seconds}")
    return 0


def plan() -> int:
    """Print each stale asset with its stale partitions, and each table whose database can't be asked whether it is."""
    from platform_assets.plan import stale_assets, unasked
    from platform_assets.stages.training.registered import taken_versions

    project, settings = read_project(), Settings.from_environment()
    taken = taken_versions(project, settings.tracking_uri)
    states = Lake(settings.lake_url).states()
    silent = unasked(project, states)
    stale = stale_assets(project, states, taken=taken, silent=silent)
    for key, partitions in stale.items():
        print(f"{key}  {partitions[0]} to {partitions[-1]}" if len(partitions) > 1 else f"{key}  {partitions[0]}")
    for key, why in silent.items():
        print(f"{key}: can't be asked, taken as it was: {why}")
    print(f"{len(stale)} stale" if stale else f"everything {'else ' if silent else ''}is fresh")
    return 0


def lineage(column: str, *, downstream: bool = False, as_json: bool = False, defs: Path | None = None) -> int:
    """Print where a column comes from, down to raw columns, or what comes from it; of an asset, for each of its columns."""
    import json

    whole = Lineage(read_project(defs))
    refs = whole.find(column)
    if as_json:
        print(json.dumps([as_record(whole, ref, downstream=downstream) for ref in refs], indent=2))
    else:
        print("\n\n".join(render(whole, ref, downstream=downstream) for ref in refs))
    return 0


def copy_pipeline(name: str, workflow: str, defs: Path | None = None) -> int:
    """Copy a ready-made pipeline into a workflow's folder, and say which line uses it."""
    folder = (defs or find_project().defs).resolve() / workflow
    target = copying.copy_pipeline(name, folder)
    print(f"{target} is yours now. To use it, write in {folder / 'defs.yaml'}:\n\n  model: {{pipeline: {target.name}}}\n")
    return 0


def upgrade(*, dry_run: bool = False) -> int:
    """Print what this version changes in the lake, then change it, one step after the other."""
    url = Settings.from_environment().lake_url
    steps = steps_to(url)
    for step in steps:
        print(f"format {step.format}: {step.description}")
    if not steps:
        print(f"the lake at {url} has the format of this version; nothing to change")
    elif dry_run:
        print(f"nothing was changed in the lake at {url}")
    else:
        apply_steps(url, steps)
        print(f"the lake at {url} has format {steps[-1].format} now")
    return 0
