"""The definition by brute force: a view's query over the inputs as they had landed by each landing, and the history that it has by that."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.known.views import Kind
from benchmarks.known.worlds import Row, Rows, World

Identity = tuple[Any, ...]
Value = tuple[Any, ...] | None
"""The features of a row; None where there is no row, or it is retracted."""


@dataclass(frozen=True)
class Step:
    """The values of a view from a landing on, and when the view's rule says that each is known."""

    at: datetime
    values: Mapping[Identity, tuple[Value, datetime]]


def compute_steps(world: World) -> dict[str, list[Step]]:
    """By view its values after each landing."""
    import duckdb

    steps: dict[str, list[Step]] = {kind.name: [] for kind in world.views}
    for at, tables in world.states():
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name, rows in tables.items():
                connection.register(name, arrow_of(name, rows))
            for kind in world.views:
                connection.execute(f"CREATE TABLE {kind.name} AS {kind.sql}")
                result = connection.sql(f"SELECT * FROM {kind.name}").to_arrow_table().to_pylist()
                if kind.has_time:
                    steps[kind.name].append(
                        Step(at, {identity_of(kind, row): (features_of(kind, row), _rule(kind, row, world.delay)) for row in result})
                    )
    return steps


def identity_of(kind: Kind, row: Row) -> Identity:
    """Keys and event time."""
    return (*(row[name] for name in kind.keys), row["ordered_at"].astimezone(UTC))


def features_of(kind: Kind, row: Row) -> Value:
    """The features, doubles rounded to what sums in another order have in common."""
    values = (row[name] for name in kind.columns)
    return tuple(float(f"{value:.9g}") if isinstance(value, float) and math.isfinite(value) else value for value in values)


def value_at(steps: Sequence[Step], identity: Identity, moment: datetime) -> Value:
    """The value of a row at a moment, by the definition: over all that had landed, once the rule says that it is known."""
    place = max(bisect_right([step.at for step in steps], moment) - 1, 0)
    value, known = steps[place].values.get(identity, (None, moment))
    return value if known <= moment and identity[-1] <= moment else None


def values_until(steps: Sequence[Step], identity: Identity, moment: datetime) -> set[Value]:
    """Every value that could be known by a moment: of each landing up to then, unless its rule says later; None if one had no such row."""
    landed = [step for place, step in enumerate(steps) if place == 0 or step.at <= moment]
    known = [step.values.get(identity, (None, moment)) for step in landed]
    return {value for value, rule in known if rule <= moment and identity[-1] <= moment}


def _rule(kind: Kind, row: Row, delay: timedelta) -> datetime:
    known: datetime = row[kind.known_at] if kind.known_at else row["ordered_at"] + delay
    ordered_at: datetime = row["ordered_at"]
    return max(known.astimezone(UTC), ordered_at.astimezone(UTC))


def arrow_of(name: str, rows: Rows) -> Any:
    """Rows of a table of a world."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    fields = {
        "orders": [("order_id", pa.string()), ("customer", pa.string()), ("ordered_at", moment), ("amount", pa.float64())],
        "customers": [("customer", pa.string()), ("signup", moment), ("tier", pa.int64())],
        "prices": [("customer", pa.string()), ("price", pa.float64())],
    }[name]
    return pa.Table.from_pylist(list(rows.values()), schema=pa.schema(fields))
