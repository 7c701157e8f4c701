"""The commands that compute: `up`."""

from __future__ import annotations

import click

from lakeloop.cli.base import command


@command("up", examples=["lakeloop up", "lakeloop up --once", "lakeloop up --no-materialize"])
@click.option("--once", is_flag=True, help="Stop when everything is materialised.")
@click.option("--no-materialize", is_flag=True, help="Materialise nothing at the start; sensors and schedules still do.")
def up_command(once: bool, no_materialize: bool) -> int:
    """Bring the platform up, materialise what is stale, stay until Ctrl-C.

    Starts MLflow, the Dagster UI and daemon and the prediction endpoint on loopback; Ctrl-C stops everything that it started.
    """
    from lakeloop.cli.up import up

    return up(once=once, materialize=not no_materialize)
