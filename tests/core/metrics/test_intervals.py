"""The intervals of metrics against repeated draws: they cover what they say they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.metrics.binary import average_precision
from lakeloop.metrics.intervals import share_of
from lakeloop.metrics.table import METRICS, evaluate, measure
from tests.worlds.questions import BINARY, REGRESSION, binary


def held(task: str, name: str, truth: float, draw, repeats: int = 1500) -> float:
    rng, count = np.random.default_rng(3), 0
    for _ in range(repeats):
        y, score, clusters = draw(rng)
        measured = measure(METRICS[task][name], y, score, clusters=clusters)
        count += measured.low <= truth <= measured.high
    return count / repeats


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier", "accuracy"])
def test_coverage_of_a_classification_metric_is_nominal(name: str) -> None:
    truth = METRICS[BINARY][name].value(*binary(np.random.default_rng(1), 2_000_000))
    assert 0.935 <= held(BINARY, name, truth, lambda rng: (*binary(rng, 500), None)) <= 0.965


@pytest.mark.parametrize(
    ("name", "truth"), [("mae", np.sqrt(2 / np.pi)), ("rmse", 1.0), ("r2", 0.5), ("median_absolute_error", 0.67449), ("bias", 0.0)]
)
def test_coverage_of_a_regression_metric_is_nominal(name: str, truth: float) -> None:
    def draw(rng: np.random.Generator):
        score = rng.normal(0, 1, 300)
        return score + rng.normal(0, 1, 300), score, None

    assert 0.935 <= held(REGRESSION, name, truth, draw) <= 0.965


def test_coverage_under_days_that_rows_share_needs_the_cluster() -> None:
    day = np.repeat(np.arange(60), 20)

    def draw(rng: np.random.Generator, clusters):
        return rng.normal(0, 1, 1200) + rng.normal(0, 0.5, 60)[day], np.zeros(1200), clusters

    assert 0.935 <= held(REGRESSION, "bias", 0.0, lambda rng: draw(rng, day)) <= 0.965
    assert held(REGRESSION, "bias", 0.0, lambda rng: draw(rng, None), 300) < 0.75


def test_a_perfectly_calibrated_model_is_not_told_to_be_wrong() -> None:
    assert held(BINARY, "calibration_error", 0.0, lambda rng: (*binary(rng, 1000), None), 400) >= 0.93


def test_average_precision_of_all_rows_but_one_is_what_the_influence_says() -> None:
    rng = np.random.default_rng(0)
    y, score = (rng.random(30) < 0.4).astype(float), np.round(rng.random(30), 1)
    without = np.array([average_precision(np.delete(y, k), np.delete(score, k)) for k in range(30)])
    assert METRICS[BINARY]["average_precision"].influence(y, score) == pytest.approx(29 * (without.mean() - without))


@given(st.integers(0, 10_000))
def test_the_order_of_rows_changes_no_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, score = binary(rng, 60)
    order = rng.permutation(60)
    for a, b in zip(evaluate(BINARY, y, score), evaluate(BINARY, y[order], score[order]), strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), nan_ok=True)


def test_days_that_all_agree_are_as_many_rows_as_there_are_days() -> None:
    share, low, high = share_of(np.ones(1000), clusters=np.arange(1000) // 100)
    assert (share, high) == (1.0, 1.0) and low == pytest.approx(share_of(np.ones(10))[1]) and low < 0.8
