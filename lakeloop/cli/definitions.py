"""The commands on definition files alone: `check`, `lineage`, `copy-pipeline`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from lakeloop.cli.base import ColumnName, Name, as_json, command, defs_option, plural, print_json
from resources.host.dagster_home import describe_gaps
from resources.project import ProjectFolder, find_project


@command(
    "check", examples=["lakeloop check", "lakeloop check --sources", "lakeloop check --json", "lakeloop check --defs platform_assets/defs"]
)
@click.option("--sources", "ask", is_flag=True, help="Ask databases and stores, and call functions, for their first rows, too.")
@defs_option
@as_json
def check_command(ask: bool, defs: Path | None, as_json: bool) -> int:
    """Check every definition file, against the first rows of the files that tables are read from.

    Prints every error as `file:line: key: message`, then one line that sums up; exits with 1 where there are errors. Files that aren't on this machine
    are not looked for.
    """
    from lakeloop.project.project import base_of
    from platform_assets.loading import load_definitions
    from resources.sources.declared import check_sources

    started = time.perf_counter()
    folder = (defs or find_project().defs).resolve()
    if not folder.is_dir():
        print(f"no folder {folder}", file=sys.stderr)
        return 2
    project, errors = load_definitions(folder)
    look = check_sources(project, errors, ask=ask)
    errors = sorted([*errors, *look.errors], key=lambda e: (e.file, e.line or 0, str(e)))
    gaps = describe_gaps(ProjectFolder(base_of(folder), folder) if defs else find_project())
    counts = {"tables": len(project.tables), "views": len(project.views), "workflows": len(project.workflows), "files": project.files}
    if as_json:
        listed = [{"file": error.file, "line": error.line, "key": error.key, "message": error.message} for error in errors]
        print_json({"errors": listed, "unseen": look.unseen, "notes": gaps, **counts})
        return 1 if errors else 0
    for error in errors:
        print(error)
    for note in [*gaps, *(f"{name} wasn't held against its source: {why}" for name, why in look.unseen.items())]:
        print(note)
    summary = f"{{tables}} tables, {{views}} views, {{workflows}} workflows in {{files}} files, {time.perf_counter() - started:.1f} s"
    print(f"{plural(len(errors), 'error') if errors else 'all good'}: {summary.format(**counts)}")
    return 1 if errors else 0


@command(
    "lineage",
    examples=[
        "lakeloop lineage predictions.flights.flight_delay.prediction",
        "lakeloop lineage raw.flights.flights.dep_delay --downstream",
        "lakeloop lineage features.flights.route_delays --json",
    ],
)
@click.argument("column", type=ColumnName())
@click.option("--downstream", is_flag=True, help="What comes from the column, instead of what it comes from.")
@defs_option
@as_json
def lineage_command(column: str, downstream: bool, defs: Path | None, as_json: bool) -> int:
    """Name the raw columns that a column came from, or what comes from it.

    COLUMN is stage.domain.name.column, such as predictions.flights.flight_delay.prediction; without a column, each of the asset's. Domain and stage
    may be left out where only one asset can be meant; a table without a stage is the validated one.
    """
    from lakeloop.project.lineage import Lineage
    from lakeloop.project.lineage_tree import as_record, render
    from platform_assets.loading import read_project

    whole = Lineage(read_project(defs))
    refs = whole.find(column)
    if as_json:
        print_json([as_record(whole, ref, downstream=downstream) for ref in refs])
    else:
        print("\n\n".join(render(whole, ref, downstream=downstream) for ref in refs))
    return 0


@command("copy-pipeline", examples=["lakeloop copy-pipeline linear flights.flight_delay"])
@click.argument("pipeline")
@click.argument("workflow", type=Name("workflow"))
@defs_option
def copy_pipeline_command(pipeline: str, workflow: str, defs: Path | None) -> int:
    """Copy a ready-made pipeline beside a workflow, to be changed there.

    PIPELINE is one such as gradient_boosting.
    """
    from lakeloop.project.names import find_named
    from lakeloop.training.copy_pipeline import copy_pipeline
    from platform_assets.loading import load_definitions

    project, errors = load_definitions((defs or find_project().defs).resolve())
    folder = find_named(project, workflow, kinds=["workflow"], errors=errors).folder
    target = copy_pipeline(pipeline, folder)
    print(f"{target} is yours now. To use it, write in {folder / 'defs.yaml'}:\n\n  model: {{pipeline: {target.name}}}\n")
    return 0
