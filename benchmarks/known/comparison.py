"""The platform's histories and look-ups against the definition's: how often a value is equal, known later, or known too early."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pyarrow as pa

from benchmarks.known.oracle import Identity, Step, Value, compute_steps, features_of, identity_of, value_at, values_until
from benchmarks.known.platform import run_world, without_checks
from benchmarks.known.views import Kind
from benchmarks.known.worlds import World, make_world
from lakeloop.rows.asof import FeatureRows, point_in_time_join
from lakeloop.rows.history import RETRACTED

TICK = timedelta(microseconds=1)
SLACK = 10 * TICK
"""A version is known a microsecond after the one that it replaces, if both are known by the same rule."""
MOST_EXAMPLES = 3
Versions = Sequence[tuple[datetime, Value]]


@dataclass(frozen=True)
class Counts:
    """Of rows at moments of their history at which the platform or the definition says something new.

    Attributes:
        equal: the platform says what the definition says.
        later: it says what the definition said before.
        early: it says something that the definition says only later, or never.
        examples: of what is early.
    """

    equal: int = 0
    later: int = 0
    early: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        examples = (*self.examples, *other.examples)[:MOST_EXAMPLES]
        return Counts(self.equal + other.equal, self.later + other.later, self.early + other.early, examples)

    def __str__(self) -> str:
        return f"{self.equal} equal, {self.later} later, {self.early} too early"


@dataclass(frozen=True)
class Compared:
    """What the comparison of a group of worlds gave, by the name of the view."""

    worlds: int
    by_kind: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """Of all views."""
        return sum(self.by_kind.values(), Counts())


def compare_world(seed: int, kinds: tuple[Kind, ...] | None = None, *, count: int = 1, adopted: bool = False) -> Compared:
    """Run the worlds of a seed in a temporary folder and compare all their histories; with `orders` as a Delta table of another's, if wanted."""
    world = make_world(seed, kinds, count=count)
    if adopted:
        world = replace(world, partitions=None, has_adopted_orders=True)
    with tempfile.TemporaryDirectory() as folder, without_checks():
        histories = run_world(world, Path(folder))
    steps = compute_steps(world)
    by_kind = {}
    for kind in world.views:
        if not kind.has_time:
            continue
        rows = _by_place(histories[kind.name], world.count)
        total = Counts()
        for place in range(world.count):
            counts = compare_history(world, kind, rows[place], steps[kind.name][place])
            if place == 0 and counts.later == counts.early == 0:
                counts += compare_lookups(world, kind, rows[place], steps[kind.name][place])
            total += counts
        by_kind[kind.name] = total
    return Compared(world.count, by_kind)


def _by_place(rows: pa.Table, count: int) -> list[pa.Table]:
    """The rows of each world."""
    import pyarrow.compute as pc

    places = pc.cast(pc.list_element(pc.split_pattern(rows["customer"], "-"), 0), pa.int64())
    return [rows.filter(pc.equal(places, place)) for place in range(count)]


def compare_history(world: World, kind: Kind, rows: pa.Table, steps: Sequence[Step]) -> Counts:
    """Compare each row of a view at every moment at which the platform or the definition says something new of it."""
    versions: dict[Identity, list[tuple[datetime, Value]]] = {}
    for row in rows.to_pylist():
        value = None if row[RETRACTED] else features_of(kind, row)
        known = max(row["known_at"].astimezone(UTC), row["ordered_at"].astimezone(UTC))
        versions.setdefault(identity_of(kind, row), []).append((known, value))
    total = Counts()
    for identity in versions.keys() | {each for step in steps for each in step.values}:
        known = sorted(versions.get(identity, []), key=lambda version: version[0])
        for change, offset in product(_changes(identity, known, steps), (-TICK, timedelta(0), SLACK)):
            moment = change + offset
            versions_then = [value for at, value in known if at <= moment]
            said: Value = versions_then[-1] if versions_then else None
            wanted = value_at(steps, identity, moment)
            if versions_then and said != wanted and said not in values_until(steps, identity, moment):
                example = f"{kind.name} {identity}: at {moment} {said}, wanted {wanted}; known {known}"
                total += Counts(early=1, examples=(f"seed {world.seed}: {example}",))
            elif offset == SLACK:
                total += Counts(equal=1) if said == wanted else Counts(later=1)
    return total


def _changes(identity: Identity, known: Versions, steps: Sequence[Step]) -> Iterable[datetime]:
    """The moments at which the platform's value of a row changes, or the definition's."""
    changes, before = {at for at, _ in known}, None
    for step in steps:
        now = step.values.get(identity)
        if now != before:
            changes |= {step.at, *([now[1]] if now else [])}
        before = now
    return sorted(changes)


def compare_lookups(world: World, kind: Kind, rows: pa.Table, steps: Sequence[Step]) -> Counts:
    """Compare what a training set looks up for each entity at every moment at which a value changes, of a view whose history is equal.

    Of an entity's rows the one with the newest event time counts that was ever known by then, also when it isn't there any more.
    """
    identities: dict[Identity, list[Identity]] = {}
    for identity in {each for step in steps for each in step.values}:
        identities.setdefault(identity[:-1], []).append(identity)
    moments = {step.at + SLACK for step in steps} | {value[1] + SLACK for step in steps for value in step.values.values()}
    asked = list(product(identities, sorted(moments)))
    spine = pa.table(
        {name: [entity[place] for entity, _ in asked] for place, name in enumerate(kind.keys)}
        | {"asked_at": pa.array([moment for _, moment in asked], pa.timestamp("us", tz="UTC"))}
    )
    features = FeatureRows(
        kind.name, rows, kind.keys, {name: f"{name}_then" for name in kind.columns}, event_time="ordered_at", known_at="known_at"
    )
    total = Counts()
    for (entity, moment), found in zip(asked, point_in_time_join(spine, [features], at="asked_at").to_pylist(), strict=True):
        known = [each for each in identities[entity] if values_until(steps, each, moment) - {None}]
        newest = max(known, key=lambda each: each[-1], default=None)
        wanted = value_at(steps, newest, moment) if newest is not None else None
        said = features_of(kind, {name: found[f"{name}_then"] for name in kind.columns})
        if said == (wanted or (None,) * len(kind.columns)):
            total += Counts(equal=1)
        else:
            example = f"seed {world.seed}: {kind.name} of {entity} asked for at {moment}: {said}, wanted {wanted}"
            total += Counts(early=1, examples=(example,))
    return total
