"""The commands on the lake as a whole: `upgrade`."""

from __future__ import annotations

import click

from lakeloop.cli.base import as_json, command, print_json
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
