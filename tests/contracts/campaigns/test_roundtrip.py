"""Tables that others write, drafted, landed and read back: those that went wrong once, and as many more as fit in the time."""

from __future__ import annotations

import shutil
import time
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.roundtrip.cases import Case, is_same, run
from benchmarks.roundtrip.programs import postgres_writers, r

SECONDS = 30
FIRST_NEW = 200_000
FEW = 8
"""Tables of a program that has to be asked for each."""
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


def test_what_copy_writes_is_read_back(postgres: str) -> None:
    writers = postgres_writers(postgres)
    for seed in range(FIRST_NEW, FIRST_NEW + FEW):
        outcome = run(Case(seed, writers=writers))
        assert outcome.kind in ("equal", "quarantined"), f"{Case(seed, writers=writers)}: {outcome.told}"


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="no `Rscript` on the path: what only R can show is left out")
def test_what_r_writes_is_read_back() -> None:
    with r() as writers:
        for seed in range(FIRST_NEW, FIRST_NEW + FEW):
            outcome = run(Case(seed, writers=writers))
            assert outcome.kind in ("equal", "quarantined"), f"{Case(seed, writers=writers)}: {outcome.told}"


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
