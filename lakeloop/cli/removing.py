"""The commands that take definitions away: `remove`."""

from __future__ import annotations

import sys

import click

from lakeloop.cli.base import Name, command
from resources.project import find_project
from resources.settings import Settings


@command(
    "remove", examples=["lakeloop remove flights.flight_delay", "lakeloop remove flight_delay --yes", "lakeloop remove flight_delay --undo"]
)
@click.argument("name", type=Name())
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--undo", is_flag=True, help="Put back what was removed last under this name.")
def remove_command(name: str, yes: bool, undo: bool) -> int:
    """Remove a table, view or workflow, with all that stands for it; nothing is deleted.

    Prints first what it will do: the definition's folder moves to `.lakeloop/<environment>/removed`, a model isn't served any more, Dagster forgets
    its schedules and sensors, the registered model is tagged as retired. Tables stay in the lake. A removal that was cut off goes on when the
    command runs again.
    """
    from lakeloop.cli.remove import Place, describe_removal, plan_removal, remove, take_back

    place = Place(find_project(), Settings.from_environment())
    if undo:
        removal = take_back(place, name)
        print(f"{removal.label} is back in {place.project.defs / removal.folder}")
        return 0
    removal = plan_removal(place, name)
    print("\n".join(describe_removal(place, removal)), flush=True)
    if not yes:
        if not sys.stdin.isatty():
            print("nothing was changed; add --yes to do it", file=sys.stderr)
            return 2
        if not click.confirm("Do it?"):
            print("nothing was changed")
            return 0
    remove(place, removal)
    print(f"{removal.label} is removed; `lakeloop remove {removal.label} --undo` puts it back")
    return 0
