"""Thresholds: counted as by hand, their intervals, and the cheapest under given costs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.metrics.thresholds import evaluate_threshold, find_cheapest, threshold_curve
from lakeloop.spec.workflow import Costs


def test_thresholds_count_as_by_hand_and_the_cheapest_follows_the_costs() -> None:
    y, score = np.array([1.0, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.4, 0.3, 0.1])
    rows = threshold_curve(y, score, Costs(false_positive=1, false_negative=10))
    half = next(row for row in rows if row.threshold == 0.5)
    assert (half.flagged, half.precision, half.recall, half.false_positives, half.false_negatives) == (0.4, 0.5, 0.5, 1, 1)
    assert half.cost == pytest.approx(11 / 5)
    assert find_cheapest(rows).threshold == 0.31
    assert find_cheapest(threshold_curve(y, score, Costs(false_positive=10, false_negative=1))).threshold == 0.81
    assert find_cheapest(threshold_curve(y, score)) is None


def test_days_that_are_bad_as_a_whole_make_the_intervals_of_a_threshold_wider() -> None:
    rng, day = np.random.default_rng(0), np.arange(6000) // 100
    score = rng.uniform(0.1, 0.9, 6000)
    y = (rng.random(6000) < np.clip(score + rng.normal(0, 0.3, 60)[day], 0, 1)).astype(float)
    costs = Costs(false_positive=1, false_negative=3)
    alone, daily = (threshold_curve(y, score, costs, clusters)[49] for clusters in (None, day))
    for name in ("precision", "recall", "cost"):
        at, low, high = (getattr(daily, name + end) for end in ("", "_low", "_high"))
        assert low < at < high and at == getattr(alone, name)
        assert high - low > 1.5 * (getattr(alone, f"{name}_high") - getattr(alone, f"{name}_low"))


def test_the_cheapest_threshold_of_a_rare_class_lies_among_its_scores() -> None:
    rng = np.random.default_rng(0)
    score = 1 / (1 + np.exp(-rng.normal(-7, 1.2, 50_000)))
    y = (rng.random(50_000) < score).astype(float)
    best = find_cheapest(threshold_curve(y, score, Costs(false_positive=1, false_negative=500)))
    assert 0.001 < best.threshold < 0.005
    assert best.cost < min(1 - y.mean(), 500 * y.mean())


def test_where_nothing_is_flagged_or_positive_a_share_is_unknown_and_costs_stay() -> None:
    costs = Costs(false_positive=1, false_negative=10)
    nothing = evaluate_threshold(np.array([1.0, 0]), np.array([0.2, 0.1]), 0.5, costs)
    assert np.isnan(nothing.precision) and (nothing.recall, nothing.flagged, nothing.cost) == (0.0, 0.0, 5.0)
    negative = evaluate_threshold(np.zeros(2), np.array([0.9, 0.5]), 0.5)
    assert np.isnan(negative.recall) and (negative.precision, negative.flagged, negative.cost) == (0.0, 1.0, None)
    empty = evaluate_threshold(np.zeros(0), np.zeros(0), 0.5, costs)
    assert (empty.flagged, empty.cost, empty.false_positives) == (0.0, 0.0, 0) and np.isnan(empty.precision)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_a_higher_threshold_flags_fewer_rows_and_misses_more(rows: list[tuple[bool, float]]) -> None:
    y, score = np.array([float(hit) for hit, _ in rows]), np.array([value for _, value in rows])
    curve = threshold_curve(y, score, Costs(false_positive=1, false_negative=3))
    assert all(a.threshold < b.threshold and a.flagged >= b.flagged for a, b in pairwise(curve))
    assert all(a.false_positives >= b.false_positives and a.false_negatives <= b.false_negatives for a, b in pairwise(curve))
    best = find_cheapest(curve)
    assert best is not None and best.cost == min(row.cost for row in curve if row.cost is not None)
    assert all(row.cost == pytest.approx((row.false_positives + 3 * row.false_negatives) / len(rows)) for row in curve)
