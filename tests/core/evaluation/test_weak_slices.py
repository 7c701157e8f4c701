"""The search for weak slices: what was planted is found, and noise no more often than stated."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.evaluation.weak_slices import find_weak_slices


def slice_rows(rng: np.random.Generator, n: int = 4000) -> dict[str, np.ndarray]:
    columns = {f"x{k}": rng.normal(0, 1, n) for k in range(8)}
    return {**columns, "kind": rng.choice(np.array(["a", "b", "c", None], dtype=object), n)}


def test_a_planted_weak_slice_is_found_and_named() -> None:
    rng = np.random.default_rng(5)
    columns = slice_rows(rng)
    loss = rng.exponential(1, 4000) * np.where((columns["kind"] == "b") & (columns["x1"] > 0.9), 2.5, 1)
    best = find_weak_slices(loss, columns)[0]
    assert best.confirmed and "kind = b" in best.name and "x1" in best.name
    assert 1.6 < best.loss / best.rest < 3.2


def test_where_no_slice_is_weak_one_is_confirmed_no_more_often_than_stated() -> None:
    rng, wrong, repeats = np.random.default_rng(6), 0, 120
    for seed in range(repeats):
        wrong += any(item.confirmed for item in find_weak_slices(rng.exponential(1, 1500), slice_rows(rng, 1500), seed=seed))
    assert wrong / repeats <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / repeats)


def test_values_that_are_missing_are_a_slice_of_their_own_and_numbers_are_cut_at_fifths() -> None:
    rng = np.random.default_rng(1)
    number = rng.normal(0, 1, 3000)
    word = rng.choice(np.array(["a", None], dtype=object), 3000)
    number[:600] = np.nan
    loss = rng.exponential(1, 3000) + 3.0 * np.isnan(number) + 2.0 * (number > np.nanquantile(number, 0.8))
    names = [item.name for item in find_weak_slices(loss, {"n": number, "w": word}) if item.confirmed]
    assert names[0].startswith("n ") and any("≤ n" in name for name in names)


def test_rows_of_a_cluster_stay_together_so_that_one_bad_day_confirms_nothing() -> None:
    rng, day = np.random.default_rng(3), np.repeat(np.arange(40), 150)
    loss = rng.exponential(1, 6000) + 4.0 * (day == 7)
    # Of the day itself nothing can be confirmed in the half that doesn't have it; taken as independent rows it would be.
    columns = {"day": day.astype(str).astype(object), "is_seventh": np.where(day == 7, "yes", "no").astype(object)}
    assert not any(item.confirmed for item in find_weak_slices(loss, columns, clusters=day))
    assert any(item.confirmed for item in find_weak_slices(loss, columns))


@pytest.mark.parametrize("rows", [0, 1, 60])
def test_too_few_rows_have_no_slices(rows: int) -> None:
    assert find_weak_slices(np.arange(float(rows)), {"w": ["a", "b", "c"] * (rows // 3) + ["a"] * (rows % 3)}) == []


def test_figures_of_a_slice_are_those_of_the_confirming_half_and_the_worst_confirmed_comes_first() -> None:
    rng = np.random.default_rng(5)
    columns = slice_rows(rng)
    loss = rng.exponential(1, 4000) * np.where(columns["kind"] == "b", 2.0, 1.0)
    slices = find_weak_slices(loss, columns)
    assert all(0 <= item.p <= 1 and item.confirmed == (item.p <= 0.05) and item.rows < 2200 for item in slices)
    order = [(not item.confirmed, item.rest - item.loss) for item in slices]
    assert order == sorted(order) and slices[0].columns == ("kind",) and len(slices) <= 10


@pytest.mark.parametrize("kinds", [2, 3])
def test_a_slice_where_a_rare_outcome_is_frequent_is_weak_only_where_the_model_knows_less_of_it(kinds: int) -> None:
    rng = np.random.default_rng(3)
    risk, group = rng.normal(0, 1, 6_000), rng.random(6_000) < 0.4
    chance = 1 / (1 + np.exp(4 - 2 * risk))
    y = (rng.random(6_000) < chance).astype(int)
    columns = {"risk": risk, "group": group.astype(float)}

    def weak(probability: np.ndarray) -> set[str]:
        target = np.eye(kinds)[y]
        scores = np.column_stack([1 - probability, probability, *[np.zeros(len(y))] * (kinds - 2)])
        loss = ((scores - target) ** 2).sum(axis=1)
        slices = find_weak_slices(loss, columns, target=target if kinds > 2 else y.astype(float))
        assert all(np.isfinite([each.loss, each.rest, each.p]).all() for each in slices)
        assert probability is not chance or any(each.confirmed and each.loss >= 1.2 * each.rest for each in slices)
        return {name for each in slices if each.confirmed and each.loss >= 1.2 * max(each.harder, 1) * each.rest for name in each.columns}

    assert weak(chance) == set()
    # In the group all rows get one probability, and a wrong one.
    assert "group" in weak(np.where(group, 0.3, chance))
