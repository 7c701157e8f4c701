"""The commands that change what the lake says: `upgrade`, and `release`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from lakeloop.cli.base import Name, as_json, command, print_json
from lakeloop.evaluation.orders import Ask
from lakeloop.records.release import Action
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


@command(
    "release",
    examples=[
        "lakeloop release rollback flights.flight_delay --reason 'nobody is late any more, it says'",
        "lakeloop release rollback flights.flight_delay --to 3 --reason 'the last one before the new timetable'",
        "lakeloop release promote flights.flight_delay 7 --reason 'the gate is from before the strike' --by ada",
        "lakeloop release void bikes.rides 3 --reason 'registered is counted after the ride'",
    ],
)
@click.argument("what", type=click.Choice(["rollback", "promote", "void"]))
@click.argument("workflow", type=Name("workflow"))
@click.argument("version", required=False)
@click.option("--to", metavar="VERSION", help="Of a rollback: the version to go back to; the last champion before this one unless named.")
@click.option("--reason", required=True, help="Why: it is kept with the decision.")
@click.option("--by", metavar="NAME", help="Who decides it; the login name unless said otherwise.")
def release_command(what: str, workflow: str, version: str | None, to: str | None, reason: str, by: str | None) -> int:
    """Roll back the released version, promote one past its gates, or void the evidence of one.

    `rollback` releases an earlier champion: MLflow's alias, the endpoint and the next batch predictions move together. The version that was rolled
    back is never released by its gates again, only by `promote`, which releases any version. With `void` the released version goes on serving
    until a successor is released, and counts in no comparison: an honest model has a lower score than one that knew the answers. Each decision, who
    made it and why, is a row of `reports/decisions`.
    """
    from lakeloop.project.names import find_named
    from platform_assets.loading import load_definitions

    if what == "rollback" and version is not None:
        raise click.UsageError(f"rollback takes its version as --to {version}")
    if what != "rollback" and version is None:
        raise click.UsageError(f"{what} wants a VERSION after {workflow}")
    if what != "rollback" and to is not None:
        raise click.UsageError("--to is of rollback only")
    project, _ = load_definitions(find_project().defs)
    located = find_named(project, workflow, kinds=["workflow"])
    if what == "void":
        from platform_assets.stages.release.orders import login_name
        from platform_assets.stages.release.voiding import void_release
        from resources.lake.lake import Lake

        assert version is not None
        lake = Lake(Settings.from_environment().lake_url)
        print(void_release(lake, located, version, reason, who=by or login_name(), at=datetime.now(UTC)))
        return 0
    from lakeloop.cli.materialize import carry_out_order
    from lakeloop.cli.up import prepare
    from platform_assets.stages.release.orders import login_name

    action: Action = "rollback" if what == "rollback" else "promote"
    return carry_out_order(located, Ask(action, to or version, reason.strip(), by or login_name()), prepare())
