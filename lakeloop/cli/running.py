"""The commands that compute: `up`, `materialize`."""

from __future__ import annotations

import click

from lakeloop.cli.base import Name, command


@command("up", examples=["lakeloop up", "lakeloop up --once", "lakeloop up --no-materialize"])
@click.option("--once", is_flag=True, help="Stop when everything is materialised.")
@click.option("--no-materialize", is_flag=True, help="Materialise nothing at the start; sensors and schedules still do.")
def up_command(once: bool, no_materialize: bool) -> int:
    """Bring the platform up, materialise what is stale, stay until Ctrl-C.

    Starts MLflow, the Dagster UI and daemon and the prediction endpoint on loopback; Ctrl-C stops everything that it started.
    """
    from lakeloop.cli.up import up

    return up(once=once, materialize=not no_materialize)


@command(
    "materialize",
    examples=["lakeloop materialize flights.flight_delay", "lakeloop materialize flights", "lakeloop materialize"],
)
@click.argument("names", nargs=-1, type=Name(domains=True))
def materialize_command(names: tuple[str, ...]) -> int:
    """Materialise what is stale, with all that it reads, and say what was released.

    NAMES are tables, views, workflows or whole domains; without any it is everything that is stale. Partitions are the right ones by themselves.
    Workflows need MLflow, which `lakeloop up` runs.
    """
    from lakeloop.cli.materialize import materialize
    from lakeloop.cli.up import prepare

    return materialize(names, prepare())
