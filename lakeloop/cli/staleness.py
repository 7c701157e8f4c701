"""The commands on what is stale: `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakeloop.cli.base import as_json, command, print_json
from resources.settings import Settings

if TYPE_CHECKING:
    from lakeloop.project.project import Project


@command("plan", examples=["lakeloop plan", "lakeloop plan --why", "lakeloop plan --why --json"])
@click.option("--why", is_flag=True, help="Say of each what changed: its definition, a file, code, an upstream, a source, a condition.")
@as_json
def plan_command(why: bool, as_json: bool) -> int:
    """List the assets that are stale, computing nothing.

    Names the stale partitions of each; exits with 0 whether or not something is stale.
    """
    from platform_assets.loading import read_project

    print_plan(read_project(), Settings.from_environment(), why=why, as_json=as_json)
    return 0


def print_plan(project: Project, settings: Settings, *, why: bool = False, as_json: bool = False) -> None:
    """Print each stale asset with its stale partitions (and `why`), and each table whose database can't be asked whether it is."""
    from platform_assets.plan import stale_assets, unasked
    from platform_assets.reasons import reasons_for
    from platform_assets.stages.training.registered import taken_versions
    from resources.lake.lake import Lake

    taken = taken_versions(project, settings.tracking_uri)
    states = Lake(settings.lake_url).states()
    silent = unasked(project, states)
    stale = stale_assets(project, states, taken=taken, silent=silent)
    reasons = reasons_for(project, states, stale, taken=taken) if why else {}
    if as_json:
        assets = [
            {"asset": str(key), "partitions": list(names), **({"why": [r.record() for r in reasons[key]]} if why else {})}
            for key, names in stale.items()
        ]
        print_json({"stale": assets, "cannot_be_asked": {str(key): answer for key, answer in silent.items()}})
        return
    for key, partitions in stale.items():
        print(f"{key}  {partitions[0]} to {partitions[-1]}" if len(partitions) > 1 else f"{key}  {partitions[0]}")
        for reason in reasons.get(key, ()):
            print(f"    {reason.text}")
    for key, answer in silent.items():
        print(f"{key}: can't be asked, taken as it was: {answer}")
    print(f"{len(stale)} stale" if stale else f"everything {'else ' if silent else ''}is fresh")
