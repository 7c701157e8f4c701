"""Leaks of features alone, by their absence, and together; the power that "clean" needs; over worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeloop.evaluation.leaks import LeakFindings, find_leaks
from lakeloop.evaluation.model_checks import Overlap, check_entity_overlap, check_leakage, check_relations, check_time_overlap
from lakeloop.evaluation.power import LEAST_POWER, entity_power, relation_power
from lakeloop.evaluation.relations import Scope, find_relations
from lakeloop.metrics.classes import one_hot
from lakeloop.spec.tasks import Answer

N = 1_200
BINARY, REGRESSION = Answer("binary_classification"), Answer("regression")
CLASSES = Answer("multiclass_classification", classes=("a", "b", "c"))


def world(seed: int = 0) -> dict[str, np.ndarray]:
    """Honest features of every kind, which say nothing."""
    rng = np.random.default_rng(seed)
    return {
        **{f"x{n}": rng.normal(0, 1, N) for n in range(4)},
        **{f"p{n}": rng.lognormal(0, 0.5, N) for n in range(3)},
        **{f"d{n}": rng.integers(0, 4, N).astype(float) for n in range(3)},
        "word": np.array(list("abc"))[rng.integers(0, 3, N)].astype(object),
        "gaps": np.where(rng.random(N) < 0.2, np.nan, rng.normal(0, 1, N)),
    }


def look(columns: dict[str, np.ndarray], y: np.ndarray, answer: Answer = BINARY) -> LeakFindings:
    half = N // 2
    fit, test = ({name: values[part] for name, values in columns.items()} for part in (slice(half), slice(half, None)))
    return find_leaks(answer, fit, y[:half], test, y[half:])


def x(n: int) -> np.ndarray:
    return world()[f"x{n}"]


def p(n: int) -> np.ndarray:
    return world()[f"p{n}"]


def d(n: int) -> np.ndarray:
    return world()[f"d{n}"]


@pytest.mark.parametrize(
    ("y", "is_class", "columns", "text"),
    [
        (x(0) + x(1), False, {"x0", "x1"}, "x0 + x1"),
        (x(0) - 2 * x(1) + x(2), False, {"x0", "x1", "x2"}, "x0 - 2 x1 + x2"),
        (p(0) * p(1), False, {"p0", "p1"}, "p0 * p1"),
        (p(0) / p(1) ** 2, False, {"p0", "p1"}, "p0 / p1^2"),
        (np.exp(x(0) + x(3)), False, {"x0", "x3"}, "x0 + x3"),
        (x(0) * x(1), False, {"x0", "x1"}, "x0 * x1"),
        (np.maximum(x(0), x(1)), False, {"x0", "x1"}, "the larger of x0 and x1"),
        (np.floor(2 * (x(0) + x(1))), False, {"x0", "x1"}, "x0 + x1"),
        ((x(0) - x(1) > 0) * 1.0, True, {"x0", "x1"}, "x0 - x1"),
        ((np.abs(x(0) - x(1)) < 0.5) * 1.0, True, {"x0", "x1"}, "|x0 - x1|"),
        ((p(0) / p(1) ** 2 > 1.5) * 1.0, True, {"p0", "p1"}, ""),
        ((d(0) + d(1) + d(2) >= 5) * 1.0, True, {"d0", "d1", "d2"}, "d0 + d1 + d2"),
        ((d(0) + d(1)) % 2, True, {"d0", "d1"}, "a map of d0 and d1"),
        (np.where(d(0) > d(1), 2.0, d(0) % 2), True, {"d0", "d1"}, "a map of d0 and d1"),
    ],
)
def test_all_columns_of_a_relation_are_named(y: np.ndarray, is_class: bool, columns: set[str], text: str) -> None:
    (relation,) = find_relations(world(), y, is_class=is_class)
    assert set(relation.columns) == columns and relation.exactness >= 0.9995
    assert relation.text == text or not text
    assert " and ".join(relation.columns) in relation.sentence


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["coin", "classes", "noisy sum", "noisy threshold"]))
def test_what_is_only_near_is_no_relation(seed: int, kind: str) -> None:
    columns, rng = world(seed), np.random.default_rng(seed)
    y = {
        "coin": rng.integers(0, 2, N).astype(float),
        "classes": rng.integers(0, 3, N).astype(float),
        "noisy sum": columns["x0"] + columns["x1"] + rng.normal(0, 0.2, N),
        "noisy threshold": (columns["x0"] + columns["x1"] + rng.normal(0, 0.5, N) > 0) * 1.0,
    }[kind]
    assert find_relations(columns, y, is_class=kind != "noisy sum") == []


def test_two_relations_are_both_named_and_a_copy_hides_none() -> None:
    columns = world() | {"copy": x(0) + x(1), "left": x(0) + x(1) - x(3), "right": x(3)}
    relations = find_relations(columns, x(0) + x(1), is_class=False)
    assert {name for relation in relations for name in relation.columns} >= {"x0", "x1"}


def test_a_wide_table_takes_bounded_time_and_few_rows_make_no_relation() -> None:
    rng = np.random.default_rng(3)
    wide = {f"w{n}": rng.normal(0, 1, 600) for n in range(400)}
    assert {r.columns for r in find_relations(wide, wide["w3"] + wide["w300"], is_class=False)} == {("w3", "w300")}
    assert find_relations(wide, (rng.random(600) < 0.5) * 1.0, is_class=True) == []
    assert find_relations({name: values[:80] for name, values in wide.items()}, wide["w3"][:80] + wide["w4"][:80], is_class=False) == []


def test_what_is_missing_where_it_happens_is_found_and_what_goes_along_is_not() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(N) < 0.1) * 1.0
    gone = (y == 1) & (rng.random(N) < 0.7)
    tail = np.where(gone, np.nan, rng.normal(0, 1, N))
    often = np.where(rng.random(N) < np.where(y == 1, 0.6, 0.2), np.nan, rng.normal(0, 1, N))
    words = np.array([None if each else "w" for each in gone], dtype=object)
    findings = look(world() | {"tail": tail, "often": often, "words": words}, y)
    assert set(findings.suspects(0.95)) == {"tail", "words"}
    result = check_leakage(BINARY, findings)
    assert result.outcome == "found" and set(result.evidence["columns"]) == {"tail", "words"}
    assert f"tail says it by its absence: in {int(gone.sum())} rows it is missing, and all of them are True" in result.message


@pytest.mark.parametrize("answer", [BINARY, CLASSES, REGRESSION], ids=["two classes", "three classes", "a number"])
def test_the_label_in_half_of_the_rows_is_found(answer: Answer) -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(0, 1, N) if answer is REGRESSION else rng.integers(0, len(answer.classes) or 2, N).astype(float)
    noted = np.where(rng.random(N) < 0.5, y, np.nan)
    assert set(look(world() | {"noted": noted}, y, answer).suspects(answer.kind.leak_limit[1])) == {"noted"}
    honest = look(world(), y, answer)
    assert honest.suspects(answer.kind.leak_limit[1]) == {} and honest.power >= LEAST_POWER
    assert check_leakage(answer, honest).outcome == "clean" and "100% are found" in check_leakage(answer, honest).message


def test_ranges_of_a_number_as_codes_are_found() -> None:
    y = np.random.default_rng(5).lognormal(0, 1.5, N)
    ranges = np.searchsorted(np.quantile(y, np.linspace(0, 1, 13)[1:-1]), y)
    findings = look(world() | {"code": np.array([f"c{each}" for each in ranges], object)}, y, REGRESSION)
    assert set(findings.suspects(0.9)) == {"code"} and "% of the pairs of rows in order" in check_leakage(REGRESSION, findings).message


def test_too_few_rows_are_not_enough_to_tell() -> None:
    rng = np.random.default_rng(4)
    y = np.zeros(N)
    y[rng.choice(N // 2, 11, replace=False)] = 1
    y[N // 2 + rng.choice(N // 2, 11, replace=False)] = 1
    findings = look(world(), y)
    assert findings.power < LEAST_POWER
    result = check_leakage(BINARY, findings)
    assert result.outcome == "not_applicable" and result.message.startswith("not enough to tell: of features that give the label in half")


def test_relations_have_three_outcomes_and_say_what_was_looked_at() -> None:
    made = check_relations(look(world(), x(0) + x(1), REGRESSION))
    assert made.outcome == "found" and made.evidence["columns"] == ["x0", "x1"]
    clean = check_relations(look(world(), np.random.default_rng(6).normal(0, 1, N), REGRESSION))
    assert clean.outcome == "clean"
    assert "sums and products of 11 numbers, pairs of 11 and maps of 9 columns of few values, in 1,200 rows" in clean.message
    assert check_relations(LeakFindings(900, {})).outcome == "not_applicable"


def test_features_that_count_as_known_too_early_are_found() -> None:
    moments = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]").astype("datetime64[us]")
    result = check_time_overlap(moments, None, moments[-1] + 1, {"x.inputs has no event time": ["a", "b"]})
    assert result.outcome == "found" and result.evidence["columns"] == ["a", "b"]


@pytest.mark.parametrize(("base", "gap", "expected"), [(0.03, 2.7, "clean"), (0.5, 2.6, "found"), (0.03, 3.6, "found")])
def test_a_feature_that_ranks_a_rare_outcome_and_leaves_most_of_it_open_is_no_leak(base: float, gap: float, expected: str) -> None:
    rng = np.random.default_rng(7)
    y = (rng.random(20_000) < base) * 1.0
    columns = {"balance": rng.normal(gap * y, 1), "other": rng.normal(0, 1, len(y))}
    findings = find_leaks(
        BINARY, {n: v[:10_000] for n, v in columns.items()}, y[:10_000], {n: v[10_000:] for n, v in columns.items()}, y[10_000:]
    )
    result = check_leakage(BINARY, findings)
    assert findings.alone["balance"] >= 0.95 and result.outcome == expected, result.message
    if expected == "clean":
        assert "balance" in result.message and "% of the label open" in result.message


@pytest.mark.parametrize("answer", [BINARY, CLASSES, REGRESSION], ids=["two classes", "three classes", "a number"])
def test_many_rows_tell_of_entities_and_relations_and_few_do_not(answer: Answer) -> None:
    rng = np.random.default_rng(2)

    def labels(rows: int) -> np.ndarray:
        return rng.normal(0, 1, rows) if answer is REGRESSION else rng.integers(0, len(answer.classes) or 2, rows).astype(float)

    def target(y: np.ndarray) -> np.ndarray:
        return one_hot(y, len(answer.classes)) if answer.classes else y

    many, few = labels(1_000), labels(60)
    assert entity_power(target(many)) >= LEAST_POWER and relation_power(many, is_class=answer is not REGRESSION) >= LEAST_POWER
    assert entity_power(target(few)) < LEAST_POWER and not relation_power(few, is_class=answer is not REGRESSION) >= LEAST_POWER


def test_of_a_rare_outcome_clean_needs_more_rows() -> None:
    rare = np.zeros(1_000)
    rare[:30] = 1
    assert entity_power(rare) < LEAST_POWER
    none = Overlap(np.zeros(300, bool), False, power=entity_power(rare))
    result = check_entity_overlap(BINARY, "roc_auc", none, rare[:300], rare[:300])
    assert result.outcome == "not_applicable" and result.message.startswith("not enough to tell: of planted entities")
    assert check_entity_overlap(BINARY, "roc_auc", replace(none, power=0.95), rare[:300], rare[:300]).outcome == "clean"
    told = LeakFindings(1_000, {"a": 0.6}, scope=Scope(1_000, 3, 3, 2), power=1.0, relation_power=0.7)
    assert check_relations(told).message.startswith("not enough to tell: of planted features")
