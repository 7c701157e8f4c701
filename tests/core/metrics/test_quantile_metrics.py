"""Metrics of quantiles by hand: the loss of each level, coverage, width and the median's error."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.metrics.quantiles import pinball, quantile_metrics

LEVELS = (0.1, 0.5, 0.9)
METRICS = quantile_metrics(LEVELS)
Y = np.array([0.0, 5.0, 10.0, 20.0])
SCORE = np.array([[-1.0, 0.0, 1.0], [4.0, 6.0, 8.0], [11.0, 12.0, 13.0], [0.0, 10.0, 20.0]])


def test_a_level_costs_its_share_for_each_unit_above_and_the_rest_below() -> None:
    loss = pinball(np.array([3.0, -3.0]), np.zeros((2, 1)), np.array([0.9]))
    assert loss.ravel().tolist() == pytest.approx([2.7, 0.3])
    # No value costs less on average than the quantile itself.
    values = np.random.default_rng(0).exponential(1, 4000)
    costs = [pinball(values, np.full((4000, 1), at), np.array([0.9])).mean() for at in np.quantile(values, (0.8, 0.9, 0.95))]
    assert min(costs) == costs[1]


@pytest.mark.parametrize(
    ("name", "value"), [("coverage", 0.75), ("coverage_error", 0.05), ("width", 7.0), ("mae", (0 + 1 + 2 + 10) / 4), ("pinball_loss", (0.2 / 3 + 0.9 / 3 + 2.2 / 3 + 7 / 3) / 4)]
)  # fmt: skip
def test_metrics_are_as_by_hand(name: str, value: float) -> None:
    assert METRICS[name].value(Y, SCORE) == pytest.approx(value)


def test_the_distance_from_the_nominal_coverage_may_be_none_when_its_interval_holds_it() -> None:
    metric = METRICS["coverage_error"]
    assert metric.bounds is not None
    inside = np.tile([[-1.0, 0.0, 1.0]], (100, 1))
    y = np.where(np.arange(100) < 80, 0.0, 5.0)
    low, high = metric.bounds(y, inside, None, 0.95)
    assert low == 0.0 < high < 0.15
    low, high = metric.bounds(np.zeros(100), inside, None, 0.95)
    assert 0.1 < low < high == pytest.approx(0.2)
    assert np.isnan(metric.value(np.zeros(0), np.zeros((0, 3))))


def test_which_metrics_may_decide() -> None:
    assert {name for name, metric in METRICS.items() if metric.decides} == {"pinball_loss", "mae"}
