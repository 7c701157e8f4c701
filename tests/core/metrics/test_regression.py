"""Metrics of a regression and the influence of each row on them, against scikit-learn and SciPy, and where there is no answer."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from lakeloop.metrics.metric import Metric
from lakeloop.metrics.regression import FORECAST_METRICS, REGRESSION_METRICS, ratio_influence
from lakeloop.metrics.table import evaluate, metrics_of

Array = np.ndarray
Weighted = Callable[[Array, Array, Array], float]
EVERY = {**REGRESSION_METRICS, **FORECAST_METRICS}


def wape(y: Array, score: Array, weights: Array) -> float:
    return float((weights * np.abs(score - y)).sum() / (weights * np.abs(y)).sum())


BY_DEFINITION: dict[str, Weighted] = {
    "mae": lambda y, score, weights: sk.mean_absolute_error(y, score, sample_weight=weights),
    "rmse": lambda y, score, weights: sk.root_mean_squared_error(y, score, sample_weight=weights),
    "r2": lambda y, score, weights: sk.r2_score(y, score, sample_weight=weights),
    "bias": lambda y, score, weights: float(np.average(score, weights=weights) - np.average(y, weights=weights)),
    "wape": wape,
}


def draw(seed: int, n: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    y = rng.gamma(2.0, 3.0, n)
    return y, y + rng.normal(0.5, 1.0, n)


@pytest.mark.parametrize("name", BY_DEFINITION)
@pytest.mark.parametrize(("seed", "n"), [(0, 2), (1, 3), (2, 40), (3, 41)])
def test_a_metric_is_what_its_definition_says_and_the_influence_of_a_row_is_the_change_by_its_weight(name: str, seed: int, n: int) -> None:
    (y, score), metric, by_definition = draw(seed, n), EVERY[name], BY_DEFINITION[name]
    even, step = np.full(n, 1 / n), 1e-6
    value = by_definition(y, score, even)
    assert metric.value(y, score) == pytest.approx(value)
    changes = [(by_definition(y, score, even * (1 - step) + step * np.eye(n)[row]) - value) / step for row in range(n)]
    assert metric.influence(y, score) == pytest.approx(changes, abs=1e-4 * max(map(abs, changes)))


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_the_median_absolute_error_is_that_of_scikit_learn(n: int) -> None:
    y, score = draw(4, n)
    assert REGRESSION_METRICS["median_absolute_error"].value(y, score) == pytest.approx(sk.median_absolute_error(y, score))


@pytest.mark.parametrize("n", [50, 400, 5_000])
def test_the_interval_of_a_median_is_that_of_the_binomial_test_within_two_ranks(n: int) -> None:
    y, score = draw(5, n)
    errors = np.sort(np.abs(score - y))
    metric = REGRESSION_METRICS["median_absolute_error"]
    assert metric.bounds is not None
    low, high = metric.bounds(y, score, None, 0.95)
    exact = stats.quantile_test(errors, q=0, p=0.5).confidence_interval(0.95)
    for bound, wanted in ((low, exact.low), (high, exact.high)):
        assert abs(np.searchsorted(errors, bound) - np.searchsorted(errors, wanted)) <= 2
    narrower = metric.bounds(y, score, None, 0.8)
    assert low < narrower[0] < narrower[1] < high


def test_the_interval_of_a_median_is_that_of_its_clusters_where_rows_come_in_clusters() -> None:
    y, score = draw(6, 40)
    clusters = np.repeat(np.arange(40), 10)
    metric = REGRESSION_METRICS["median_absolute_error"]
    assert metric.bounds is not None
    alone = metric.bounds(y, score, None, 0.95)
    repeated = metric.bounds(np.repeat(y, 10), np.repeat(score, 10), clusters, 0.95)
    assert repeated == pytest.approx(alone, rel=0.1)
    assert metric.bounds(y, score, np.zeros(40, int), 0.95) == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_the_influence_on_a_median_is_half_the_spacing_of_the_errors_below_and_above_it() -> None:
    # Errors spread evenly from 0 to 4 have the density 1/4 at their median, so its influence is 0.5 / (1 / 4) to either side.
    score = np.linspace(0, 4, 2_001)
    influence = REGRESSION_METRICS["median_absolute_error"].influence(np.zeros(2_001), score)
    assert influence[0] == pytest.approx(-2, rel=0.01) and influence[-1] == pytest.approx(2, rel=0.01)
    assert np.unique(influence.round(9)).size == 2 and influence.mean() == pytest.approx(0, abs=1e-9)


NONE = np.zeros(0)


@pytest.mark.parametrize(
    ("name", "y", "score", "value"),
    [
        *((name, NONE, NONE, math.nan) for name in EVERY),
        ("r2", np.full(4, 2.0), np.arange(4.0), math.nan),  # nothing varies that could be explained
        ("r2", np.array([0.0, 0.0, 1.6e-155]), np.array([0.0, 0.0, 1.0]), math.nan),  # so little that the share overflows
        ("r2", np.arange(4.0), np.full(4, 1.5), 0.0),
        ("r2", np.arange(4.0), np.arange(4.0), 1.0),
        ("wape", np.zeros(3), np.ones(3), math.nan),
        ("wape", np.array([-1.0, 1.0]), np.array([0.0, 0.0]), 1.0),
        ("rmse", np.ones(3), np.ones(3), 0.0),
    ],
)
def test_without_rows_variance_or_level_there_is_no_number(name: str, y: Array, score: Array, value: float) -> None:
    assert EVERY[name].value(y, score) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("metric", "y", "score", "influence"),
    [
        (EVERY["rmse"], np.ones(3), np.ones(3), [0.0] * 3),  # at its least, so that no weight makes it less
        (EVERY["r2"], np.ones(2), np.zeros(2), [math.nan] * 2),
        (EVERY["wape"], np.zeros(2), np.ones(2), [math.nan] * 2),
    ],
)
def test_where_there_is_no_number_rows_have_no_influence_on_it(metric: Metric, y: Array, score: Array, influence: list[float]) -> None:
    assert metric.influence(y, score) == pytest.approx(influence, nan_ok=True)


def test_a_ratio_of_no_rows_has_no_influences() -> None:
    assert ratio_influence(NONE, NONE).tolist() == []


def test_what_a_forecast_is_judged_by_has_the_share_of_the_level_and_bias_decides_nowhere() -> None:
    assert list(REGRESSION_METRICS) == ["mae", "rmse", "r2", "median_absolute_error", "bias"]
    assert list(FORECAST_METRICS) == ["mae", "rmse", "wape", "bias", "r2"]
    assert {name for name, metric in EVERY.items() if not metric.decides} == {"bias"}
    assert {name for name, metric in EVERY.items() if metric.greater_is_better} == {"r2"}


@pytest.mark.parametrize("task", ["regression", "binary_classification"])
def test_an_interval_of_few_clusters_ends_where_the_metric_does(task: str) -> None:
    rng, days = np.random.default_rng(0), np.repeat(np.arange(12), 30)
    y = rng.normal(0, 1, len(days)) if task == "regression" else (rng.random(len(days)) < 0.3) * 1.0
    # All errors are of two of the days.
    score = np.where(days < 2, rng.random(len(days)), y * 0.98 + 0.01)
    for value in evaluate(task, y, score, clusters=days):  # type: ignore[arg-type]
        least, most = metrics_of(task)[value.name].limits  # type: ignore[arg-type]
        assert not (value.low < least or value.high > most), value
