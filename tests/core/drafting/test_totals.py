"""Lines of totals among rows are told, with a rule that keeps them out; words and sums that are none are not."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lakeloop.drafting.totals import find_totals

NAMES = {"Region": "region", "EUR": "eur"}
TOLD: dict[str, tuple[dict[str, list[Any]], str]] = {
    "a last line": ({"Region": ["N", "S", "W", "Total"], "EUR": ["1", "2", "3", "6"]}, "Region is 'Total' in 1 row (the last row)"),
    "in another language": ({"Region": ["N", "S", "W", "Summe:"], "EUR": ["1", "2", "3", "6"]}, "\"region <> 'Summe:'\""),
    "of each group": (
        {"Region": ["N", "S", "Subtotal", "W", "O", "Subtotal"], "EUR": [1, 2, 3, 4, 5, 9]},
        "in 2 rows (row 3 first)",
    ),
    "without a word": (
        {"Region": ["N", "S", "W", None], "EUR": ["0.1", "0.2", "0.3", "0.6"]},
        "the last row has no Region, and its EUR is the sum of all others: taken for a total of the others, which goes to quarantine",
    ),
}
UNTOLD: dict[str, dict[str, list[Any]]] = {
    "a word within others": {"Region": ["Total War", "Sum 41", "W", "S"], "EUR": [1, 2, 3, 6]},
    "one of two answers": {"Region": ["all", "none", "all", "none"], "EUR": [1, 2, 3, 4]},
    "a missing region whose number is no sum": {"Region": ["N", "S", "W", None], "EUR": [1, 2, 3, 7]},
    "a last number that is the sum of the others, with a region": {"Region": ["N", "S", "W", "O"], "EUR": [1, 2, 3, 6]},
    "infinity": {"Region": ["N", "S", "W", "O", None], "EUR": ["inf", "-inf", "1", "nan", "7"]},
    "numbers of rows": {"Region": ["N", "S", "W", None], "EUR": [0, 1, 2, 3]},
    "three rows": {"Region": ["N", "S", None], "EUR": [1, 2, 3]},
    "nothing": {"Region": [None], "EUR": [None]},
}


@pytest.mark.parametrize("case", TOLD)
def test_rows_that_look_like_totals_are_told(case: str) -> None:
    columns, told = TOLD[case]
    (totals,) = find_totals(pa.table(columns), NAMES)
    assert told in totals.told


@pytest.mark.parametrize("case", UNTOLD)
def test_other_rows_are_not_told(case: str) -> None:
    assert find_totals(pa.table(UNTOLD[case]), NAMES) == []


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"Region": ["N", "S", "W", "Total"], "EUR": ["1", "2", "3", "6"]}, None),
        ({"Region": ["N", "S", "W", "Total"], "EUR": ["1", "2", "3", None]}, "region <> 'Total'"),
        ({"Region": ["N", "S", "W", None], "EUR": ["1", "2", "3", "6"]}, "region IS NOT NULL"),
    ],
)
def test_a_last_row_that_lacks_what_others_have_is_set_aside(columns: dict[str, list[Any]], rule: str | None) -> None:
    (totals,) = find_totals(pa.table(columns), NAMES)
    assert (totals.rule if totals.is_certain else None) == rule
