"""Great Expectations' traps, and our answers to them; the static list of names against the library."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from lakeloop.checking.expectation_names import EXPECTATIONS
from lakeloop.rows.plain_expectations import judge_plainly
from lakeloop.rows.verdicts import MANY, generate_expectations
from lakeloop.spec.tables import Expectation
from lakeloop.spec.workflow import Gate
from resources.quality import MOST_COLUMNS, judge_gates, quarantine_mask, run_suite

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


def _column(rng: random.Random, count: int) -> pa.Array:
    kinds = {
        pa.int64(): (0, 1, -3, 7, 2**40),
        pa.int32(): (0, 5, -5),
        pa.float64(): (0.0, 0.5, -2.5, 1e300, math.inf, math.nan),
        pa.string(): ("a", "b", "", "NA"),
        pa.bool_(): (True, False),
        pa.timestamp("us", "UTC"): (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
    }
    kind = rng.choice(list(kinds))
    share = rng.choice((0, 0, 0.3, 1))
    return pa.array([None if rng.random() < share else rng.choice(kinds[kind]) for _ in range(count)], kind)


def _expectation(rng: random.Random, names: list[str]) -> Expectation:
    kind, kwargs = rng.choice(
        (
            ("expect_column_to_exist", {}),
            ("expect_column_values_to_not_be_null", {}),
            ("expect_column_values_to_be_between", {"min_value": rng.choice((0, -2.5, 1)), "max_value": rng.choice((3, 0.5, 2**41))}),
            ("expect_column_values_to_be_between", {"min_value": rng.choice((0, 0.5))}),
            ("expect_column_values_to_be_in_set", {"value_set": rng.choice((["a", "b"], ["NA"], ["", "a"]))}),
            ("expect_column_values_to_be_in_set", {"value_set": [1, 7]}),
        )
    )
    mostly = rng.choice(({}, {"mostly": 0.5}, {"mostly": 0.99})) if kind != "expect_column_to_exist" else {}
    return Expectation(type=kind, kwargs={"column": rng.choice(names), **kwargs, **mostly}, severity=rng.choice(("blocking", "warning")))


@pytest.mark.parametrize("seed", range(8))
def test_a_wide_tables_suite_is_judged_as_the_library_does(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.choice((0, 1, 2, 7, 30))
    table = pa.table({f"c{number}": _column(rng, count) for number in range(40)})
    suite = [_expectation(rng, [*table.column_names, "absent"]) for _ in range(60)]
    library = [replace(result, name="") for result in run_suite(table, suite).results]
    wide = run_suite(table, [*suite, *[Expectation(type="expect_column_to_exist", kwargs={"column": "c0"})] * MANY], keys=()).results
    for expectation, judged, own in zip(suite, library, wide, strict=False):
        assert replace(own, name="") == judged, expectation
    assert judge_plainly(table, suite)


def test_few_columns_at_a_time_are_judged_as_all_together() -> None:
    rng = random.Random(5)
    table = pa.table({f"c{number}": _column(rng, 25) for number in range(MOST_COLUMNS + 5)})
    suite = [
        *(_expectation(rng, [*table.column_names, "absent"]) for _ in range(80)),
        Expectation(type="expect_table_columns_to_match_set", kwargs={"column_set": table.column_names, "exact_match": True}),
        Expectation(type="expect_column_pair_values_to_be_equal", kwargs={"column_A": "c0", "column_B": "c1"}),
    ]
    by_few = run_suite(table, suite).results
    for number, expectation in enumerate(suite):
        needed = [name for name in ("column", "column_A", "column_B") if name in expectation.kwargs]
        few = table if not needed else table.select([n for n in {expectation.kwargs[name] for name in needed} if n in table.column_names])
        assert replace(run_suite(few, [expectation]).results[0], name="") == replace(by_few[number], name="")
