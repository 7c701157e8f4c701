"""The command that answers SQL: `sql`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lakeloop.cli.base import as_json, command, plural, print_json
from lakeloop.cli.listings import print_columns
from resources.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 100
"""Rows that are printed unless more are asked for; JSON has all."""


@command(
    "sql",
    examples=[
        "lakeloop sql \"SELECT version, metric, value, low, high FROM reports.metrics WHERE model = 'model'\"",
        'lakeloop sql "SELECT origin, avg(visibility_mi) AS mean FROM flights.weather GROUP BY origin"',
        'echo "SELECT count(*) AS n FROM raw.flights.flights" | lakeloop sql - --json',
    ],
)
@click.argument("query")
@click.option("--rows", "shown", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="Rows that are printed; JSON has all.")
@as_json
def sql_command(query: str, shown: int, as_json: bool) -> int:
    """Answer a SELECT over tables, views, predictions and reports; nothing can be changed.

    QUERY is one SELECT or WITH in Spark SQL, or - for standard input. Names are those of definitions: flights.weather, raw.flights.weather,
    training_sets.flights.flight_delay, reports.metrics. It reads what is published now. Values of personal columns are masked.
    """
    from platform_assets.loading import read_project
    from platform_assets.queries import answer_sql
    from platform_assets.stages.base import Platform
    from resources.lake.lake import Lake
    from resources.spark.sessions import SparkResource
    from resources.tracking.runs import Tracking

    settings = Settings.from_environment()
    lake = Lake(settings.lake_url)
    platform = Platform(settings, read_project(), lake, SparkResource(), Tracking(tracking_uri=settings.tracking_uri))
    answer = answer_sql(platform, lake.states(), sys.stdin.read() if query == "-" else query)
    if as_json:
        print_json({"columns": list(answer.rows.column_names), "masked": list(answer.masked), "rows": _records(answer.rows)})
        return 0
    print_columns(answer.rows.column_names, [[_text(value) for value in row] for row in _rows(answer.rows.slice(0, shown))])
    more = answer.rows.num_rows - shown
    print(f"{plural(answer.rows.num_rows, 'row')}" + (f", of which the first {shown} are shown; --rows shows more" if more > 0 else ""))
    if answer.masked:
        print(f"masked as personal: {', '.join(answer.masked)}")
    return 0


def _rows(rows: pa.Table) -> list[tuple[Any, ...]]:
    """By place, as a query may give two columns one name."""
    return list(zip(*[column.to_pylist() for column in rows.columns], strict=True))


def _records(rows: pa.Table) -> list[dict[str, Any]]:
    names: Sequence[str] = rows.column_names
    return [dict(zip(names, map(_json_value, row), strict=True)) for row in _rows(rows)]


def _json_value(value: Any) -> Any:
    """JSON has neither NaN nor infinity, and neither is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
