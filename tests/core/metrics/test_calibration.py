"""Bins of equal numbers, curves and the error that is left: by hand, and whatever the order of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.metrics.calibration import (
    CALIBRATION_BINS,
    binned_error,
    calibration_bounds,
    calibration_curve,
    calibration_error,
    equal_mass_bins,
)


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(1, 12))
def test_bins_rise_with_the_score_and_rows_of_one_score_share_a_bin(scores: list[int], bins: int) -> None:
    score = np.array(scores, float)
    actual = equal_mass_bins(score, bins)
    assert len(actual) == len(score) and (not len(actual) or (actual.min() >= 0 and actual.max() < bins))
    order = np.argsort(score, kind="stable")
    assert np.all(np.diff(actual[order]) >= 0)
    assert all(len(set(actual[score == value])) == 1 for value in set(scores))


def test_without_equal_scores_every_bin_has_as_many_rows() -> None:
    assert np.bincount(equal_mass_bins(np.random.default_rng(0).random(1000))).tolist() == [100] * CALIBRATION_BINS
    assert equal_mass_bins(np.arange(3.0)).tolist() == [0, 3, 6]  # fewer rows than bins: spread over them


def test_a_curve_has_the_means_of_its_bins_lowest_first() -> None:
    score = np.repeat([0.1, 0.9], 50)
    y = np.concatenate([np.zeros(40), np.ones(10), np.ones(50)])
    low, high = calibration_curve(y, score, output="late")
    assert (low.predicted, low.observed, low.n, low.output) == (pytest.approx(0.1), 0.2, 50, "late")
    assert (high.observed, high.n) == (1.0, 50) and low.low < 0.2 < low.high and high.low < high.high == 1.0


def test_the_error_is_the_distance_less_what_chance_adds() -> None:
    y, score = np.tile([0.0, 1.0], 500), np.full(1000, 0.8)
    assert calibration_error(y, score) == pytest.approx(0.3, abs=0.001)
    assert calibration_error(y, np.full(1000, 0.5)) == 0.0
    noisy = np.random.default_rng(1)
    right = noisy.random(2000)
    assert calibration_error((noisy.random(2000) < right).astype(float), right) < 0.02
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0)))


def test_bounds_hold_the_error_and_one_cluster_gives_none() -> None:
    rng = np.random.default_rng(2)
    score = rng.uniform(0.2, 0.8, 1000)
    y = (rng.random(1000) < np.clip(score - 0.1, 0, 1)).astype(float)
    low, high = calibration_bounds(y, score, None, 0.95)
    assert 0 < low < calibration_error(y, score) < high < 0.2
    assert np.all(np.isnan(calibration_bounds(y, score, np.zeros(1000, int), 0.95)))
    wider = calibration_bounds(y, score, np.arange(1000) // 50, 0.95)
    assert wider[1] - wider[0] > 0 and wider[0] <= calibration_error(y, score) <= wider[1]


def test_the_plain_error_is_the_distance_of_the_bins_by_hand() -> None:
    score = np.repeat([0.1, 0.9], 50)
    y = np.concatenate([np.zeros(40), np.ones(10), np.ones(50)])
    assert binned_error(y, score) == pytest.approx(np.sqrt(0.5 * 0.1**2 + 0.5 * 0.1**2))
    assert np.isnan(binned_error(np.zeros(0), np.zeros(0)))
    right = np.random.default_rng(1).random(500)
    drawn = (np.random.default_rng(2).random(500) < right).astype(float)
    assert binned_error(drawn, right) > calibration_error(drawn, right)


@pytest.mark.parametrize("distance", [3.0, 10.0, 30.0, 1000.0])
@pytest.mark.parametrize("clusters", [None, np.arange(400) // 20])
def test_scores_that_nearly_separate_have_bounds_within_0_and_1(distance: float, clusters: np.ndarray | None) -> None:
    rng = np.random.default_rng(5)
    z = np.concatenate([rng.normal(-distance, 1, 380), rng.normal(distance, 1, 20)])
    y, score = (z > 0).astype(float), 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    for shift in (0.0, 1e-9, 1e-3):
        low, high = calibration_bounds(y, np.clip(score + shift, 0, 1), clusters, 0.95)
        assert 0 <= low <= high <= 1, (low, high)
        assert high <= (0.2 if clusters is None else 1)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=12, max_size=60))
def test_bounds_of_outcomes_of_0_and_1_are_within_0_and_1(rows: list[tuple[bool, float]]) -> None:
    y, score = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows])
    low, high = calibration_bounds(y, score, None, 0.95)
    assert 0 <= low <= high <= 1
