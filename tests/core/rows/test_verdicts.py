"""Expectations that every table has, their names, and what stops a batch."""

from __future__ import annotations

from typing import Any

import pytest

from lakeloop.rows.verdicts import (
    ExpectationResult,
    allow_empty_beside,
    check_names,
    describe_expectation,
    generate_expectations,
    suite_hash,
)
from lakeloop.spec.tables import Expectation


def kinds(expectations: list[Expectation]) -> list[tuple[str, str]]:
    return [(e.type.removeprefix("expect_"), e.severity) for e in expectations]


@pytest.mark.parametrize(
    ("severity", "outcome", "blocks"),
    [("blocking", "failed", True), ("blocking", "could_not_run", True), ("blocking", "passed", False), ("warning", "failed", False), ("warning", "could_not_run", False)],
)  # fmt: skip
def test_a_crash_stops_a_batch_as_a_failure_does_and_a_warning_never(severity: Any, outcome: Any, blocks: bool) -> None:
    assert ExpectationResult("n", "t", severity, outcome).blocks == blocks


def test_rows_come_first_then_exactly_the_columns_then_keys_that_are_there_and_unique() -> None:
    one = generate_expectations(["id", "v"], ["id"])
    assert kinds(one) == [
        ("table_row_count_to_be_between", "blocking"), ("table_columns_to_match_set", "blocking"), ("column_values_to_not_be_null", "blocking"),
        ("column_values_to_be_unique", "blocking"),
    ]  # fmt: skip
    assert one[1].kwargs == {"column_set": ["id", "v"], "exact_match": True}
    two = generate_expectations(["a", "b"], ["a", "b"], min_rows=None, unique="warning")
    assert kinds(two) == [("table_columns_to_match_set", "blocking"), ("compound_columns_to_be_unique", "warning")]


def test_a_partition_may_be_empty_where_other_rows_stand_and_a_table_may_not() -> None:
    suite = generate_expectations(["id"], ["id"], min_rows=5)
    assert allow_empty_beside(suite, 0) == suite
    count, *others = allow_empty_beside(suite, 1)
    assert count.kwargs["min_value"] == 0 and others == suite[1:] and suite[0].kwargs["min_value"] == 5


@pytest.mark.parametrize(
    ("types", "names"),
    [
        (["expect_column_values_to_be_between", "expect_column_values_to_be_between", "expect_column_values_to_not_be_null"], ["between__v", "between__v_2", "not_be_null__v"]),
        (["expect_compound_columns_to_be_unique", "expect_table_row_count_to_be_between"], ["unique__v", "row_count_to_be_between__v"]),
        (["expect_column_max_to_be_between"], ["max_to_be_between__v"]),
        (["something_else"], ["something_else__v"]),
    ],
)  # fmt: skip
def test_names_of_checks_are_short_and_never_the_same(types: list[str], names: list[str]) -> None:
    assert check_names([Expectation(type=kind, kwargs={"column": "v"}) for kind in types]) == names


def test_names_are_plain_whatever_a_column_is_called() -> None:
    (name,) = check_names([Expectation(type="expect_column_values_to_be_unique", kwargs={"column": "größe (cm)"})])
    assert name == "unique__gr__e__cm_" and name.isascii()


def test_a_suite_is_another_by_any_of_its_parts() -> None:
    base = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "v", "min_value": 1}}
    others = [
        {**base, "kwargs": {"column": "v", "min_value": 2}},
        {**base, "severity": "warning"},
        {**base, "type": "expect_column_max_to_be_between"},
    ]
    prints = [suite_hash([Expectation.model_validate(each)]) for each in (base, *others)]
    assert len({*prints, suite_hash([])}) == 5 and suite_hash([Expectation.model_validate(base)]) == prints[0]


def test_what_is_wanted_is_said_in_words() -> None:
    assert describe_expectation(Expectation(type="expect_table_row_count_to_be_between", kwargs={})) == "table row count to be between"
