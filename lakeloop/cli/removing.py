"""The commands that take definitions away: `remove`, `rename`."""

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
    from lakeloop.cli.removal import Place, describe_removal, plan_removal, remove, take_back

    place = Place(find_project(), Settings.from_environment())
    if undo:
        removal = take_back(place, name)
        print(f"{removal.label} is back in {place.project.defs / removal.folder}")
        return 0
    removal = plan_removal(place, name)
    code = _ask(describe_removal(place, removal), yes=yes)
    if code is None:
        remove(place, removal)
        print(f"{removal.label} is removed; `lakeloop remove {removal.label} --undo` puts it back")
    return code or 0


@command("rename", examples=["lakeloop rename flights.flight_delay late_flight", "lakeloop rename flight_delay delays.flight_delay --yes"])
@click.argument("old", type=Name())
@click.argument("new")
@click.option("--yes", is_flag=True, help="Don't ask.")
def rename_command(old: str, new: str, yes: bool) -> int:
    """Rename a table, view or workflow, in two runs; nothing is deleted, and nothing is without it meanwhile.

    The first run copies the definition under the new name. Once it is computed there (`lakeloop materialize NEW`), and a workflow is released and
    served as before, the second run removes the old one, as `lakeloop remove` does. Each run prints first what it will do.
    """
    from lakeloop.cli.removal import Place, describe_removal, plan_removal, remove
    from lakeloop.cli.rename import copy_definition, plan_renaming

    place = Place(find_project(), Settings.from_environment())
    renaming = plan_renaming(place, old, new)
    before = ".".join(renaming.old.id)
    if renaming.step == "wait":
        print(f"{renaming.waiting_for}; run `lakeloop materialize {renaming.label}`, then this again", file=sys.stderr)
        return 1
    if renaming.step == "remove":
        removal = plan_removal(place, before)
        code = _ask([f"{renaming.label} has all that {before} has, which is removed now:", *describe_removal(place, removal)], yes=yes)
        if code is None:
            remove(place, removal)
            print(f"{before} is {renaming.label} now; `lakeloop remove {before} --undo` puts the old one back beside it")
        return code or 0
    told = [
        f"{renaming.old.folder} is copied to {renaming.target}, with name: {renaming.name}",
        f"{before} stays as it is until {renaming.label} is computed: then run this again",
    ]
    code = _ask(told, yes=yes)
    if code is None:
        copy_definition(place, renaming)
        print(f"Next: lakeloop materialize {renaming.label}; then change what reads {before}, and run this again")
    return code or 0


def _ask(lines: list[str], *, yes: bool) -> int | None:
    """Print what will be done, and ask; the exit code where it isn't to be done."""
    print("\n".join(lines), flush=True)
    if yes:
        return None
    if not sys.stdin.isatty():
        print("nothing was changed; add --yes to do it", file=sys.stderr)
        return 2
    if not click.confirm("Do it?"):
        print("nothing was changed")
        return 0
    return None
