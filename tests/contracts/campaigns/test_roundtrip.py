"""Tables that others write, drafted, landed and read back: those that went wrong once, and as many more as fit in the time."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.roundtrip.cases import Case, is_same, run

SECONDS = 30
FIRST_NEW = 200_000
ONCE_WRONG = {
    3: "decimals in CSV with more digits than a double gives back",
    13: "a first column without a name, as pandas writes its index",
    20: "times without a zone in an adopted table",
    1454: "intervals of Parquet as DuckDB writes them",
    162: "a column named count with few words",
}


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_a_table_that_went_wrong_once_is_read_back(seed: int) -> None:
    outcome = run(Case(seed))
    assert outcome.kind == "equal", f"{Case(seed)}: {outcome.told}"


def test_random_tables_are_read_back_or_refused() -> None:
    end, seed = time.monotonic() + SECONDS, FIRST_NEW
    while seed == FIRST_NEW or time.monotonic() < end:
        outcome = run(Case(seed))
        assert outcome.kind != "wrong", f"{Case(seed)}: {outcome.told}"
        seed += 1


@pytest.mark.parametrize(
    ("written", "found", "same"),
    [
        (2**53 + 1, float(2**53 + 1), False),
        (2**53 + 1, 2**53 + 1, True),
        (Decimal("12345678901234567.89"), 12345678901234567.89, False),
        ("NA", None, False),
        ("10E1", 100.0, True),
        (float("nan"), None, False),
        (date(2024, 2, 29), date(2024, 2, 28), False),
    ],
)
def test_the_oracle_tells_values_apart(written: Any, found: Any, same: bool) -> None:
    assert is_same(written, found, is_text=False) == same
