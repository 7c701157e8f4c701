"""The definition by brute force: a view's query over the inputs as they had landed by each landing, and the history that it has by that."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.known.views import Kind
from benchmarks.known.worlds import Row, World

Identity = tuple[Any, ...]
Value = tuple[Any, ...] | None
"""The features of a row; None where there is no row, or it is retracted."""


@dataclass(frozen=True)
class Step:
    """The values of a view from a landing on, and when the view's rule says that each is known."""

    at: datetime
    values: Mapping[Identity, tuple[Value, datetime]]


def compute_steps(world: World) -> dict[str, list[list[Step]]]:
    """By view, and by world of the group, its values after each landing and whenever an input row becomes complete.

    All states are computed by one query: the customers of each have names of their own, and no query reads across customers.
    """
    import duckdb

    states = list(world.states())
    steps: dict[str, list[list[Step]]] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in states[0].tables:
            connection.register(
                name,
                arrow_of(
                    name,
                    [
                        {**row, "customer": f"{n}|{row['customer']}"}
                        for n, state in enumerate(states)
                        for row in state.tables[name].values()
                    ],
                ),
            )
        for kind in world.views:
            connection.execute(f"CREATE TABLE {kind.name} AS {kind.sql}")
            if not kind.has_time:
                continue
            values: list[dict[Identity, tuple[Value, datetime]]] = [{} for _ in states]
            for row in connection.sql(f"SELECT * FROM {kind.name}").to_arrow_table().to_pylist():
                number, _, customer = row["customer"].partition("|")
                row["customer"] = customer
                values[int(number)][identity_of(kind, row)] = (features_of(kind, row), _rule(kind, row, world))
            steps[kind.name] = [[] for _ in range(world.count)]
            for state, value in zip(states, values, strict=True):
                steps[kind.name][state.place].append(Step(state.at, value))
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


def _rule(kind: Kind, row: Row, world: World) -> datetime:
    """When the row may be known at the earliest: by the view's own rule, and by when the rows of `orders` of its time are complete."""
    ordered_at: datetime = row["ordered_at"].astimezone(UTC)
    own: datetime = row[kind.known_at].astimezone(UTC) if kind.known_at else ordered_at + world.delay
    return max(own, ordered_at + world.known_delay)


def arrow_of(name: str, rows: Sequence[Row]) -> Any:
    """Rows of a table of a world."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    fields = {
        "orders": [("order_id", pa.string()), ("customer", pa.string()), ("ordered_at", moment), ("amount", pa.float64())],
        "customers": [("customer", pa.string()), ("signup", moment), ("tier", pa.int64())],
        "prices": [("customer", pa.string()), ("price", pa.float64())],
    }[name]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
