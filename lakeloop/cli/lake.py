"""The commands that change what the lake says: `upgrade`, and `release void`."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import click

from lakeloop.cli.base import Name, as_json, command, print_json
from resources.project import find_project
from resources.settings import Settings


@command("upgrade", examples=["lakeloop upgrade --dry-run", "lakeloop upgrade", "lakeloop upgrade --dry-run --json"])
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@as_json
def upgrade_command(dry_run: bool, as_json: bool) -> int:
    """Convert a lake that an older version wrote.

    Prints what this version changes in the lake, then changes it, one step after the other.
    """
    from resources.lake.format import steps_to, upgrade

    url = Settings.from_environment().lake_url
    steps = steps_to(url)
    if not as_json:
        for step in steps:
            print(f"format {step.format}: {step.description}")
    if steps and not dry_run:
        upgrade(url, steps)
    if as_json:
        listed = [{"format": step.format, "description": step.description} for step in steps]
        print_json({"lake": url, "steps": listed, "changed": bool(steps) and not dry_run})
    elif not steps:
        print(f"the lake at {url} has the format of this version; nothing to change")
    elif dry_run:
        print(f"nothing was changed in the lake at {url}")
    else:
        print(f"the lake at {url} has format {steps[-1].format} now")
    return 0


@command("release", examples=["lakeloop release void bikes.rides 3 --reason 'registered is counted after the ride'"])
@click.argument("what", type=click.Choice(["void"]))
@click.argument("workflow", type=Name("workflow"))
@click.argument("version")
@click.option("--reason", required=True, help="Why its evidence is void: a leak that was found, labels that were wrong.")
def release_command(what: str, workflow: str, version: str, reason: str) -> int:
    """Void the evidence of a released version, so that an honest one can take its place.

    It goes on serving until a successor is released, and counts in no comparison: an honest model has a lower score than one that knew the
    answers. The decision and its reason are a row of `reports/decisions`.
    """
    from lakeloop.project.names import find_named
    from platform_assets.loading import load_definitions
    from platform_assets.stages.release.voiding import void_release
    from resources.lake.lake import Lake

    settings = Settings.from_environment()
    project, _ = load_definitions(find_project().defs)
    located = find_named(project, workflow, kinds=["workflow"])
    print(void_release(Lake(settings.lake_url), located, version, reason, who=os.environ.get("USER"), at=datetime.now(UTC)))
    return 0
