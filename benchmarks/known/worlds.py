"""Random worlds: tables that land again and again with corrections, retractions and late rows, and the views over them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
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
    """Landings, and how the platform is asked to deal with them.

    Attributes:
        seed: it is made from.
        landings: in order; the first has all tables.
        kinds: of views.
        partitions: of tables and views.
        delay: of the views.
        has_signup_time: whether `customers` has an event time.
        is_adopted: whether there is `prices`, a Delta table of another's.
        is_vacuumed: whether only its newest version can be read; the views are computed after the first landing then.
        runs: after which landings the platform runs; always after the last.
        computes: after which of these the views are computed.
    """

    seed: int
    landings: tuple[Landing, ...]
    kinds: tuple[Kind, ...]
    partitions: Literal["month", "day"] | None
    delay: timedelta
    has_signup_time: bool
    is_adopted: bool
    is_vacuumed: bool
    runs: frozenset[int]
    computes: frozenset[int]

    @property
    def views(self) -> list[Kind]:
        """All views, each after those that it reads."""
        return list(dict.fromkeys(each for kind in self.kinds for each in (*kind.views, kind)))

    def states(self) -> Iterator[tuple[datetime, dict[str, Rows]]]:
        """What had landed of all tables after each landing."""
        tables: dict[str, Rows] = {}
        for landing in self.landings:
            tables = {**tables, **landing.tables}
            yield landing.at, tables


def make_world(seed: int, kinds: tuple[Kind, ...] | None = None) -> World:
    """Make the world of a seed; with other kinds of views than the seed's, if given."""
    chance = random.Random(seed)
    chosen = kinds or tuple(chance.sample(KINDS, 2))
    partitions: Literal["month", "day"] | None = chance.choice([None, "month", "month"])
    landings = tuple(_make_landings(chance, chance.randint(3, 6)))
    last, mode = len(landings) - 1, chance.choice(["each", "once", "some"])
    places = range(len(landings))
    runs = {"each": set(places), "once": {last}, "some": {0, last} | {n for n in places if chance.random() < 0.5}}[mode]
    computes = runs if chance.random() < 0.6 else {n for n in runs if chance.random() < 0.5} | {last}
    delay, has_signup_time = chance.choice([timedelta(0), 2 * HOUR, 30 * HOUR]), chance.random() < 0.5
    is_vacuumed = PRICED in chosen and chance.random() < 0.4
    first = {0} if is_vacuumed else set()
    return World(
        seed,
        landings,
        chosen,
        partitions,
        delay,
        has_signup_time,
        PRICED in chosen,
        is_vacuumed,
        frozenset(runs | first),
        frozenset(computes | first),
    )


def _make_landings(chance: random.Random, count: int) -> Iterator[Landing]:
    tables: dict[str, dict[Any, Row]] = {"orders": {}, "customers": {}, "prices": {}}
    for number in range(chance.randint(6, 12)):
        _add_order(chance, tables["orders"], f"o{number}", START, LOADED)
    # Both months always have an order.
    for name, at in (("first", START), ("last", LOADED - 3 * HOUR)):
        tables["orders"][name] = {"order_id": name, "customer": "a", "ordered_at": at, "amount": 30.0}
    for customer in chance.sample(CUSTOMERS, 3):
        signup = START + HOUR * chance.randint(0, 240)
        tables["customers"][customer] = {"customer": customer, "signup": signup, "tier": chance.randint(1, 3)}
        tables["prices"][customer] = {"customer": customer, "price": float(chance.randint(1, 9))}
    at = LOADED
    yield Landing(at, {name: _copy(rows) for name, rows in tables.items()})
    for number in range(1, count):
        before, at = at, at + HOUR * chance.choice([7, 24, 24, 49])
        changed = [name for name in tables if chance.random() < 0.5] or ["orders"]
        for name in changed:
            for _ in range(chance.randint(1, 3)):
                _change(chance, name, tables[name], number, before, at)
        yield Landing(at, {name: _copy(tables[name]) for name in changed})


def _change(chance: random.Random, name: str, rows: dict[Any, Row], number: int, before: datetime, now: datetime) -> None:
    what = chance.choice(["add", "late", "correct", "correct", "retract", "move"])
    if name == "orders":
        candidates = [key for key in rows if key not in ("first", "last")]
        if what in ("add", "late") or not candidates:
            label = f"n{number}-{chance.randint(0, 10**6)}"
            _add_order(chance, rows, label, *((before, now) if what == "add" else (START, before)))
            return
        key = chance.choice(candidates)
        if what == "correct":
            rows[key]["amount"] = float(chance.randint(1, 60))
            if chance.random() < 0.3:
                rows[key]["customer"] = chance.choice(CUSTOMERS)
        elif what == "move":
            rows[key]["ordered_at"] = _moment(chance, START, now)
        elif len(rows) > 4:
            del rows[key]
        return
    absent = [customer for customer in CUSTOMERS if customer not in rows]
    if what in ("add", "late") and absent and not any("gone" in row for row in rows.values()):
        customer = absent[0]
        new = (
            {"customer": customer, "price": 5.0}
            if name == "prices"
            else {"customer": customer, "signup": _moment(chance, START, now), "tier": 1}
        )
        rows[customer] = new
    elif what == "retract" and len(rows) > 3:
        del rows[sorted(rows)[-1]]
        next(iter(rows.values()))["gone"] = True
    else:
        row = rows[chance.choice(sorted(rows))]
        if name == "prices":
            row["price"] = float(chance.randint(1, 9))
        else:
            row["tier"] = chance.randint(1, 9)


def _add_order(chance: random.Random, rows: dict[Any, Row], label: str, start: datetime, end: datetime) -> None:
    rows[label] = {
        "order_id": label,
        "customer": chance.choice(CUSTOMERS),
        "ordered_at": _moment(chance, start, end),
        "amount": float(chance.randint(1, 60)),
    }


def _moment(chance: random.Random, start: datetime, end: datetime) -> datetime:
    return start + timedelta(minutes=chance.randint(0, int((end - start) / timedelta(minutes=1)) - 1))


def _copy(rows: Mapping[Any, Row]) -> dict[Any, Row]:
    return {key: {name: value for name, value in row.items() if name != "gone"} for key, row in rows.items()}
