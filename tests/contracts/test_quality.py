"""Great Expectations' traps, and our answers to them; the static list of names against the library."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakeloop.checking.expectation_names import EXPECTATIONS
from lakeloop.rows.verdicts import generate_expectations
from lakeloop.spec.tables import Expectation
from lakeloop.spec.workflow import Gate
from resources.quality import judge_gates, quarantine_mask, run_suite

BETWEEN = Expectation(type="expect_column_values_to_be_between", kwargs={"column": "n", "min_value": 1, "max_value": 3})


def test_the_static_list_is_what_the_library_has():
    from great_expectations.expectations.registry import get_expectation_impl, list_registered_expectation_implementations

    registered = set(list_registered_expectation_implementations())
    assert set(EXPECTATIONS) <= registered
    for name, arguments in EXPECTATIONS.items():
        fields = set(
            get_expectation_impl(name).model_fields
            if hasattr(get_expectation_impl(name), "model_fields")
            else get_expectation_impl(name).__fields__
        )
        assert set(arguments) <= fields, name


def test_zero_rows_do_not_pass():
    from lakeloop.spec.tables import Column

    suite = [*generate_expectations({"n": Column(type="integer")}, ["n"]), BETWEEN]
    verdict = run_suite(pa.table({"n": pa.array([], pa.int64())}), suite)
    assert not verdict.passed
    assert verdict.results[0].outcome == "failed"


def test_a_column_without_a_single_value_does_not_pass():
    verdict = run_suite(pa.table({"n": pa.array([None, None], pa.int64())}), [BETWEEN])
    assert (verdict.results[0].outcome, verdict.passed) == ("failed", False)
    assert "all 2 values" in verdict.results[0].message


def test_an_expectation_that_cannot_run_is_neither_passed_nor_failed():
    verdict = run_suite(pa.table({"n": ["a", "b"]}), [BETWEEN])
    assert verdict.results[0].outcome == "could_not_run"
    assert verdict.results[0].message
    assert not verdict.passed


def test_a_warning_does_not_stop_publication_and_shows_rows_with_their_keys():
    warning = BETWEEN.model_copy(update={"severity": "warning"})
    verdict = run_suite(pa.table({"k": ["a", "b", "c"], "n": [1, 9, 2]}), [warning], keys=["k"])
    assert verdict.passed
    (result,) = verdict.results
    assert (result.outcome, result.unexpected_count, list(result.unexpected_examples)) == ("failed", 1, [{"k": "b", "n": 9}])


def test_personal_values_are_masked_in_examples():
    verdict = run_suite(pa.table({"k": ["a"], "n": [9]}), [BETWEEN], keys=["k"], personal=["n"])
    assert list(verdict.results[0].unexpected_examples) == [{"k": "a", "n": "***"}]


@pytest.mark.parametrize("condition", [{}, {"row_condition": 'col("shop") == "b"', "condition_parser": "great_expectations"}])
def test_keys_that_are_only_told_apart_are_judged_as_their_text_is(condition: dict):
    table = pa.table({"shop": ["a", "b", None, "b", "c", "b"], "name": ["x", "x", "x", "y", "x", "x"]})
    suite = [
        Expectation(type="expect_compound_columns_to_be_unique", kwargs={"column_list": ["shop", "name"], **condition}),
        Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "shop", "mostly": 0.5}),
        Expectation(type="expect_column_values_to_be_in_set", kwargs={"column": "name", "value_set": ["x", "y"]}),
    ]
    twice, there, named = run_suite(table, suite, keys=["shop", "name"]).results
    assert (twice.outcome, there.outcome, named.outcome) == ("failed", "passed", "passed")
    assert twice.unexpected_count == 2 and list(twice.unexpected_examples) == [{"shop": "b", "name": "x"}] * 2


def test_the_quarantine_mask_is_the_librarys_own_judgement():
    assert quarantine_mask(pa.table({"n": [0, 1, None, 4]}), BETWEEN).tolist() == [True, False, False, True]


def test_rows_set_aside_are_judged_by_their_share():
    expectation = Expectation(type=BETWEEN.type, kwargs={**BETWEEN.kwargs, "mostly": 0.9}, quarantine=True)
    table = pa.table({"n": [1, 2]})
    assert run_suite(table, [expectation], quarantined={"between__n": (1, 10)}).passed
    assert not run_suite(table, [expectation], quarantined={"between__n": (2, 10)}).passed


@pytest.mark.parametrize(
    ("metrics", "outcome"),
    [({"auc": 0.8}, "passed"), ({"auc": 0.6}, "failed"), ({"auc": float("nan")}, "failed"), ({}, "could_not_run")],
)
def test_a_gate_has_three_outcomes(metrics: dict, outcome: str):
    (result,) = judge_gates(metrics, {"auc": Gate(min=0.7)})
    assert result.outcome == outcome
