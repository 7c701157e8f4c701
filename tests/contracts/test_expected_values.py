"""Expectations as people write them, by a real run of Great Expectations: right, or refused by the check with a sentence; nothing in between."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import yaml

from lakeloop.checking.expectation_names import EXPECTATIONS
from lakeloop.errors import SpecError
from lakeloop.rows.expected_values import Meaning, typed_arguments
from lakeloop.spec.tables import Expectation
from resources.quality import quarantine_mask, run_suite

TABLE = pa.table(
    {
        "id": [1, 2, 3, 4],
        "day": [date(2024, 1, 1), date(2024, 1, 2), None, date(2024, 2, 1)],
        "at": pa.array(
            [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, 10, tzinfo=UTC), None, datetime(2024, 2, 1, tzinfo=UTC)],
            pa.timestamp("us", "UTC"),
        ),
        "price": pa.array([Decimal("1.10"), Decimal("2.20"), None, Decimal("0.30")], pa.decimal128(10, 2)),
        "text": ["a", "b", "a", None],
        "is_paid": [True, False, None, True],
        "number": [1.0, 2.0, None, 4.0],
    }
)
MEANINGS: dict[str, Meaning] = {
    "id": "number", "day": "date", "at": "timestamp", "price": "number", "text": "string", "is_paid": "boolean", "number": "number",
}  # fmt: skip
BETWEEN, IN_SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
CASES: list[tuple[str, str, str]] = [
    ("passed", BETWEEN, "{column: day, min_value: 2024-01-01, max_value: 2024-02-01}"),
    ("failed", BETWEEN, "{column: day, min_value: 2024-01-02}"),
    ("passed", BETWEEN, '{column: day, min_value: "2024-01-01"}'),
    ("passed", BETWEEN, "{column: day, max_value: 2024-02-01 00:00:00}"),
    ("refused", BETWEEN, "{column: day, max_value: 2024-02-01 10:00:00}"),
    ("refused", BETWEEN, "{column: day, min_value: 5}"),
    ("passed", BETWEEN, "{column: at, min_value: 2024-01-01, max_value: 2024-02-01}"),
    ("failed", BETWEEN, "{column: at, max_value: 2024-01-02}"),
    ("passed", BETWEEN, '{column: at, min_value: "2024-01-01T00:00:00Z"}'),
    ("failed", BETWEEN, "{column: at, min_value: 2024-01-01T01:00:00+00:00}"),
    ("passed", BETWEEN, "{column: at, min_value: 2024-01-01T01:00:00+01:00}"),
    ("refused", BETWEEN, "{column: at, min_value: yesterday}"),
    ("passed", BETWEEN, "{column: price, min_value: 0.30, max_value: 2.20}"),
    ("failed", BETWEEN, '{column: price, min_value: "0.31"}'),
    ("refused", BETWEEN, "{column: text, min_value: 1}"),
    ("refused", BETWEEN, "{column: number, min_value: many}"),
    ("refused", BETWEEN, "{column: number, min_value: true}"),
    ("passed", IN_SET, "{column: day, value_set: [2024-01-01, 2024-01-02, 2024-02-01]}"),
    ("passed", IN_SET, '{column: day, value_set: ["2024-01-01", "2024-01-02", "2024-02-01"]}'),
    ("failed", IN_SET, "{column: day, value_set: [2024-01-01]}"),
    ("passed", IN_SET, "{column: at, value_set: [2024-01-01, 2024-01-02T10:00:00Z, 2024-02-01]}"),
    ("failed", IN_SET, "{column: at, value_set: [2024-01-01, 2024-01-02, 2024-02-01]}"),
    ("passed", IN_SET, '{column: price, value_set: ["1.10", 2.2, 0.3]}'),
    ("passed", IN_SET, '{column: id, value_set: ["1", 2, 3.0, "4"]}'),
    ("passed", IN_SET, '{column: is_paid, value_set: ["true", false]}'),
    ("refused", IN_SET, "{column: text, value_set: [1, 2]}"),
    ("refused", IN_SET, "{column: text, value_set: [yes, no]}"),
    ("refused", IN_SET, "{column: number, value_set: [a]}"),
    ("failed", "expect_column_values_to_not_be_in_set", '{column: day, value_set: ["2024-01-01"]}'),
    ("passed", "expect_column_distinct_values_to_equal_set", "{column: day, value_set: [2024-01-01, 2024-01-02, 2024-02-01]}"),
    ("passed", "expect_column_distinct_values_to_contain_set", "{column: at, value_set: [2024-01-01]}"),
    ("passed", "expect_column_max_to_be_between", "{column: day, min_value: 2024-02-01, max_value: 2024-02-01}"),
    ("failed", "expect_column_max_to_be_between", "{column: at, max_value: 2024-01-01}"),
    ("passed", "expect_column_min_to_be_between", '{column: day, min_value: "2024-01-01"}'),
    ("passed", "expect_column_sum_to_be_between", "{column: price, min_value: 3.6, max_value: 3.6}"),
    ("refused", "expect_column_mean_to_be_between", "{column: day, min_value: 1}"),
    ("passed", BETWEEN, "{column: number, max_value: 2, row_condition: 'text == \"b\"', condition_parser: pandas}"),
    ("failed", BETWEEN, "{column: number, min_value: 3, row_condition: 'text == \"b\"'}"),
    ("passed", BETWEEN, "{column: number, max_value: 2, row_condition: 'col(\"text\") == \"b\"', condition_parser: great_expectations}"),
    ("failed", BETWEEN, "{column: number, max_value: 3, row_condition: 'day > \"2024-01-02\"'}"),
    ("passed", BETWEEN, "{column: number, max_value: 3, row_condition: 'at < \"2024-01-03\"'}"),
    ("passed", BETWEEN, "{column: number, max_value: 3, row_condition: 'price > 1 and not text.isnull()'}"),
    ("refused", BETWEEN, "{column: number, max_value: 3, row_condition: 'txt == 1'}"),
    ("refused", BETWEEN, "{column: number, max_value: 3, row_condition: \"text = 'b'\"}"),
    ("passed", "expect_table_row_count_to_be_between", "{min_value: 1, max_value: 1, row_condition: 'text == \"b\"'}"),
    ("passed", "expect_column_values_to_be_unique", "{column: text, row_condition: id < 3}"),
    ("passed", "expect_column_values_to_not_be_null", "{column: day, row_condition: id != 3}"),
    ("passed", "expect_column_pair_values_a_to_be_greater_than_b", "{column_A: at, column_B: day, or_equal: true}"),
    ("refused", "expect_column_pair_values_to_be_equal", "{column_A: at, column_B: text}"),
    ("passed", "expect_column_pair_values_to_be_in_set",
     "{column_A: day, column_B: text, value_pairs_set: [[2024-01-01, a], [2024-01-02, b]], ignore_row_if: either_value_is_missing}"),
    ("passed", "expect_column_values_to_be_of_type", "{column: day, type_: date}"),
    ("refused", "expect_column_values_to_be_dateutil_parseable", "{column: day}"),
]  # fmt: skip


def judge(kind: str, kwargs: dict[str, Any]) -> str:
    expectation = Expectation(type=kind, kwargs=kwargs)
    try:
        typed_arguments(expectation, MEANINGS)
    except SpecError as error:
        assert ": wanted" in str(error) or "is for" in str(error) or "no column" in str(error) or "can't be compared" in str(error)
        assert run_suite(TABLE, [expectation]).results[0].outcome == "could_not_run"
        return "refused"
    return run_suite(TABLE, [expectation]).results[0].outcome


@pytest.mark.parametrize(("outcome", "kind", "arguments"), CASES)
def test_an_expectation_is_judged_as_it_is_meant_or_refused(outcome: str, kind: str, arguments: str) -> None:
    assert judge(kind, yaml.safe_load(arguments)) == outcome


VALUES: dict[str, Any] = {"number": 1, "string": "a", "boolean": True, "date": date(2024, 1, 1), "timestamp": datetime(2024, 1, 1)}
ARGUMENTS: dict[str, Any] = {
    "regex": "^a", "regex_list": ["^a"], "strftime_format": "%Y", "json_schema": {"type": "string"}, "threshold": 3, "double_sided": True,
    "sum_total": 3, "value": 1, "type_": "str", "type_list": ["str"], "method": "iqr", "multiplier": 1.5,
    "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 9]]},
}  # fmt: skip
NOT_TRIED = ("like_pattern", "kl_divergence", "column_type_to_be", "json_schema")
"""Those that are for other engines, and one whose text must be JSON."""


def plausible(kind: str, column: str) -> dict[str, Any]:
    """Arguments that somebody could give an expectation of a column."""
    names, value = EXPECTATIONS[kind], VALUES[MEANINGS[column]]
    kwargs = {name: ARGUMENTS[name] for name in names if name in ARGUMENTS}
    kwargs |= {"value_set": [value]} if "value_set" in names else {}
    if "min_value" in names:
        of_column = kind.startswith((BETWEEN, "expect_column_max_", "expect_column_min_"))
        kwargs["min_value"] = value if of_column else 0
    if "column_list" in names:
        kwargs["column_list"] = [column, "id"] if "unique" in kind else [column, column]
    if "value_pairs_set" in names:
        kwargs["value_pairs_set"] = [(value, value)]
    return {**kwargs, **{name: column for name in ("column", "column_A", "column_B") if name in names}}


def test_whatever_passes_the_check_can_be_run_on_every_type() -> None:
    kinds = [kind for kind in EXPECTATIONS if not any(part in kind for part in NOT_TRIED)]
    wrong = []
    suite = [
        Expectation(type=kind, kwargs=plausible(kind, column)) for kind in kinds for column in ("day", "at", "price", "text", "is_paid")
    ]
    allowed = []
    for expectation in suite:
        try:
            typed_arguments(expectation, MEANINGS)
        except SpecError:
            continue
        allowed.append(expectation)
    for expectation, result in zip(allowed, run_suite(TABLE, allowed).results, strict=True):
        if result.outcome == "could_not_run":
            wrong.append(f"{expectation.type} {expectation.kwargs}: {result.message[:150]}")
    assert len(allowed) > 100 and not wrong, "\n".join(wrong)


def test_rows_that_fail_an_expectation_with_dates_are_set_aside() -> None:
    expectation = Expectation(type=BETWEEN, kwargs={"column": "at", "min_value": date(2024, 1, 2)}, quarantine=True)
    assert quarantine_mask(TABLE, expectation).tolist() == [True, False, False, False]


def test_what_was_observed_is_shown_as_it_is_in_the_table() -> None:
    suite = [
        Expectation(type="expect_column_max_to_be_between", kwargs={"column": name, "max_value": date(2023, 1, 1)})
        for name in ("day", "at")
    ]
    assert [result.observed for result in run_suite(TABLE, suite).results] == ["2024-02-01", "2024-02-01T00:00:00+00:00"]
