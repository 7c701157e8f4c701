"""Cron schedules: what Dagster refuses is refused when definitions are checked, and nothing else."""

from __future__ import annotations

import random

import pytest
from dagster._utils.schedules import is_valid_cron_schedule

from lakeloop.spec.cron import MACROS, check_cron


def is_accepted(text: str) -> bool:
    try:
        check_cron(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("61 2 * * *", "wanted a minute from 0 to 59, found '61'"),
        ("0 24 * * *", "wanted an hour from 0 to 23, found '24'"),
        ("@weakly", "did you mean '@weekly'"),
        ("0 2 * *", "wanted minute, hour, day, month and day of the week"),
        ("0 0 2 * * *", "wanted minute, hour, day, month and day of the week"),
        ("0 2 * * mo", "from 0 to 7, or sun to sat, found 'mo'"),
        ("0 2 30 2 *", "a day that some month has"),
        ("0 2 * * fri-mon", "from a lower to a higher one"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_cron(text)


def random_field(chance: random.Random, lowest: int, highest: int) -> str:
    def number() -> int:
        return chance.randint(lowest - (chance.random() < 0.12), highest + (chance.random() < 0.1))

    def part() -> str:
        low, high = sorted((number(), number()))
        return chance.choice(["*", f"{low}", f"{low}", f"{low}-{high}", f"*/{chance.randint(1, 9)}", f"{low}-{high}/2"])

    return ",".join(part() for _ in range(chance.choice([1, 1, 1, 2])))


def test_dagster_takes_what_is_accepted_and_refuses_what_is_not() -> None:
    chance = random.Random(0)
    counts = {True: 0, False: 0}
    for _ in range(3_000):
        text = " ".join(random_field(chance, low, high) for low, high in ((0, 59), (0, 23), (1, 28), (1, 12), (0, 7)))
        assert is_accepted(text) == is_valid_cron_schedule(text), text
        counts[is_accepted(text)] += 1
    assert min(counts.values()) > 200
    assert all(is_accepted(macro) and is_valid_cron_schedule(macro) for macro in MACROS if macro != "@annually")
