"""Random worlds: tables that land again and again with corrections, retractions, late and returning rows, and the views over them.

A group of worlds shares the times of its landings, the runs of the platform and the settings of its tables and views, and one lake: the
customers of each have names of their own, and no view reads across customers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from benchmarks.known.views import KINDS, PRICED, Kind

HOUR = timedelta(hours=1)
START, LOADED, END = datetime(2024, 1, 25, tzinfo=UTC), datetime(2024, 2, 5, tzinfo=UTC), datetime(2024, 2, 15, tzinfo=UTC)
"""The first event, the landing that is loaded as history, and the end of what happens."""
CUSTOMERS = ("a", "b", "c", "d")
Row = dict[str, Any]
Rows = Mapping[Any, Row]
"""By key."""


@dataclass(frozen=True)
class Landing:
    """What landed at a moment: all rows of the tables that changed."""

    at: datetime
    tables: Mapping[str, Rows]


@dataclass(frozen=True)
class World:
    """Landings of a group of worlds, and how the platform is asked to deal with them.

    Attributes:
        seed: it is made from.
        count: of worlds.
        landings: in order; the first has all tables.
        kinds: of views.
        partitions: of tables and views.
        delay: of the views.
        known_delay: of `orders`.
        has_signup_time: whether `customers` has an event time.
        is_adopted: whether there is `prices`, a Delta table of another's.
        is_vacuumed: whether only its newest version can be read; the views are computed after the first landing then.
        runs: after which landings the platform runs; always after the last.
        computes: after which of these the views are computed.
        has_adopted_orders: whether `orders` is a Delta table of another's, too.
    """

    seed: int
    count: int
    landings: tuple[Landing, ...]
    kinds: tuple[Kind, ...]
    partitions: Literal["month", "day"] | None
    delay: timedelta
    known_delay: timedelta
    has_signup_time: bool
    is_adopted: bool
    is_vacuumed: bool
    runs: frozenset[int]
    computes: frozenset[int]
    has_adopted_orders: bool = False

    @property
    def views(self) -> list[Kind]:
        """All views, each after those that it reads."""
        return list(dict.fromkeys(each for kind in self.kinds for each in (*kind.views, kind)))

    def delay_of(self, kind: Kind) -> timedelta:
        """What a view states: one that reads views states none, and isn't known before theirs is over."""
        return timedelta(0) if any(each.has_time for each in kind.views) else self.delay

    def states(self) -> Iterator[State]:
        """What had landed of each world and was complete, after each landing and whenever a row becomes complete, in order."""
        for place in range(self.count):
            yield from self._states_of(place)

    def _states_of(self, place: int) -> Iterator[State]:
        landed: list[tuple[datetime, dict[str, Rows], dict[Any, datetime]]] = []
        tables: dict[str, Rows] = {}
        complete: dict[Any, datetime] = {}
        for landing in self.landings:
            own = {
                name: {key: row for key, row in rows.items() if row["customer"].startswith(f"{place}-")}
                for name, rows in landing.tables.items()
            }
            before, tables = tables.get("orders", {}), {**tables, **own}
            orders = tables["orders"]
            history = landing is self.landings[0]
            complete = {
                key: START if history else complete[key] if before.get(key) == row else row["ordered_at"] + self.known_delay
                for key, row in orders.items()
            }
            landed.append((landing.at, tables, complete))
        moments = {at for at, _, _ in landed} | {at for _, _, complete in landed for at in complete.values() if at > landed[0][0]}
        for moment in sorted(moments):
            _, tables, complete = [each for each in landed if each[0] <= moment][-1]
            yield State(place, moment, {**tables, "orders": {key: row for key, row in tables["orders"].items() if complete[key] <= moment}})


@dataclass(frozen=True)
class State:
    """What had landed of a world by a moment, without the rows that weren't complete yet."""

    place: int
    at: datetime
    tables: Mapping[str, Rows]


def make_world(seed: int, kinds: tuple[Kind, ...] | None = None, *, count: int = 1) -> World:
    """Make the worlds of a seed; with other kinds of views than the seed's, if given."""
    chance = random.Random(seed)
    chosen = kinds or tuple(chance.sample(KINDS, 2))
    partitions: Literal["month", "day"] | None = chance.choice([None, "month", "day"])
    gaps = [chance.choice([7, 24, 24, 49]) for _ in range(chance.randint(2, 5))]
    landings = _join_landings([list(_make_landings(random.Random(f"{seed}/{place}"), place, gaps)) for place in range(count)])
    last, mode = len(landings) - 1, chance.choice(["each", "once", "some"])
    places = range(len(landings))
    runs = {"each": set(places), "once": {last}, "some": {0, last} | {n for n in places if chance.random() < 0.5}}[mode]
    computes = runs if chance.random() < 0.6 else {n for n in runs if chance.random() < 0.5} | {last}
    delay, has_signup_time = chance.choice([timedelta(0), 2 * HOUR, 30 * HOUR]), chance.random() < 0.5
    known_delay = chance.choice([timedelta(0), timedelta(0), 3 * HOUR, 30 * HOUR])
    is_vacuumed = PRICED in chosen and chance.random() < 0.4
    first = {0} if is_vacuumed else set()
    return World(
        seed,
        count,
        landings,
        chosen,
        partitions,
        delay,
        known_delay,
        has_signup_time,
        PRICED in chosen,
        is_vacuumed,
        frozenset(runs | first),
        frozenset(computes | first),
    )


def _join_landings(worlds: list[list[Landing]]) -> tuple[Landing, ...]:
    """The landings of worlds that share their times as one; a table that one world changes lands with the rows of all."""
    standing: list[dict[str, Rows]] = [{} for _ in worlds]
    joined = []
    for landings in zip(*worlds, strict=True):
        changed = {name for landing in landings for name in landing.tables}
        standing = [{**tables, **landing.tables} for tables, landing in zip(standing, landings, strict=True)]
        joined.append(
            Landing(
                landings[0].at, {name: {key: row for tables in standing for key, row in tables[name].items()} for name in sorted(changed)}
            )
        )
    return tuple(joined)


def _make_landings(chance: random.Random, place: int, gaps: Sequence[int]) -> Iterator[Landing]:
    names = [f"{place}-{name}" for name in CUSTOMERS]
    tables: dict[str, dict[Any, Row]] = {"orders": {}, "customers": {}, "prices": {}}
    removed: dict[Any, Row] = {}
    for number in range(chance.randint(6, 12)):
        _add_order(chance, tables["orders"], f"{place}-o{number}", names, START, LOADED)
    # Both months always have an order.
    for name, at in ((f"{place}-first", START), (f"{place}-last", LOADED - 3 * HOUR)):
        tables["orders"][name] = {"order_id": name, "customer": names[0], "ordered_at": at, "amount": 30.0}
    for customer in chance.sample(names, 3):
        signup = START + HOUR * chance.randint(0, 240)
        tables["customers"][customer] = {"customer": customer, "signup": signup, "tier": chance.randint(1, 3)}
        tables["prices"][customer] = {"customer": customer, "price": float(chance.randint(1, 9))}
    at = LOADED
    yield Landing(at, {name: _copy(rows) for name, rows in tables.items()})
    for number, gap in enumerate(gaps, 1):
        before, at = at, at + HOUR * gap
        changed = [name for name in tables if chance.random() < 0.5] or ["orders"]
        for name in changed:
            for _ in range(chance.randint(1, 3)):
                if name == "orders":
                    _change_order(chance, tables["orders"], removed, (f"{place}-n{number}", names), before, at)
                else:
                    _change_customer(chance, name, tables[name], names, at)
        yield Landing(at, {name: _copy(tables[name]) for name in changed})


def _change_order(
    chance: random.Random, rows: dict[Any, Row], removed: dict[Any, Row], new: tuple[str, list[str]], before: datetime, now: datetime
) -> None:
    what = chance.choice(["add", "late", "correct", "correct", "retract", "return", "move"])
    label, names = new
    candidates = [key for key in rows if not key.endswith(("-first", "-last"))]
    if what == "return" and removed:
        key = chance.choice(sorted(removed))
        rows[key] = removed.pop(key)
        return
    if what in ("add", "late", "return") or not candidates:
        span = (before, now) if what == "add" else (START, before)
        _add_order(chance, rows, f"{label}-{chance.randint(0, 10**6)}", names, *span)
        return
    key = chance.choice(candidates)
    if what == "correct":
        rows[key] = {**rows[key], "amount": float(chance.randint(1, 60))}
        if chance.random() < 0.3:
            rows[key]["customer"] = chance.choice(names)
    elif what == "move":
        rows[key] = {**rows[key], "ordered_at": _moment(chance, START, now)}
    elif len(rows) > 4:
        removed[key] = rows.pop(key)


def _change_customer(chance: random.Random, name: str, rows: dict[Any, Row], names: list[str], now: datetime) -> None:
    what = chance.choice(["add", "correct", "correct", "retract"])
    absent = [customer for customer in names if customer not in rows]
    if what == "add" and absent:
        of_price = {"price": 5.0}
        of_customer = {"signup": _moment(chance, START, now), "tier": 1}
        rows[absent[0]] = {"customer": absent[0], **(of_price if name == "prices" else of_customer)}
    elif what == "retract" and len(rows) > 2:
        del rows[chance.choice(sorted(rows))]
    else:
        row = rows[chance.choice(sorted(rows))]
        row["price" if name == "prices" else "tier"] = float(chance.randint(1, 9)) if name == "prices" else chance.randint(1, 9)


def _add_order(chance: random.Random, rows: dict[Any, Row], label: str, names: list[str], start: datetime, end: datetime) -> None:
    rows[label] = {
        "order_id": label,
        "customer": chance.choice(names),
        "ordered_at": _moment(chance, start, end),
        "amount": float(chance.randint(1, 60)),
    }


def _moment(chance: random.Random, start: datetime, end: datetime) -> datetime:
    return start + timedelta(minutes=chance.randint(0, int((end - start) / timedelta(minutes=1)) - 1))


def _copy(rows: Mapping[Any, Row]) -> dict[Any, Row]:
    return {key: dict(row) for key, row in rows.items()}
