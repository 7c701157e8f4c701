"""Clusters of unequal size, and days that depend on their neighbours: intervals cover what they say, or say why they can't."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from lakeloop.metrics.clusters import cluster_numbers, cluster_variance
from lakeloop.metrics.doubts import tail_shape
from lakeloop.metrics.intervals import interval, spread
from lakeloop.metrics.quantiles import quantile_metrics
from lakeloop.metrics.table import METRICS, measure, paired_difference
from tests.worlds.questions import REGRESSION

MAE, BIAS, RMSE = (METRICS[REGRESSION][name] for name in ("mae", "bias", "rmse"))
FIRST_DAY = np.datetime64("2024-01-01", "D")


def days_alike(rng: np.random.Generator, days: int, following: float) -> np.ndarray:
    """Effects of days, each like the one before."""
    effect = np.zeros(days + 50)
    for day in range(1, days + 50):
        effect[day] = following * effect[day - 1] + rng.normal(0, math.sqrt(1 - following**2))
    return effect[50:]


def test_clusters_of_one_size_have_student_s_interval_of_their_means() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(12), 7)
    values = rng.normal(0, 1, 84) + rng.normal(0, 1, 12)[clusters]
    means = values.reshape(12, 7).mean(axis=1)
    variation = spread(values - values.mean(), clusters)
    assert variation.error == pytest.approx(means.std(ddof=1) / math.sqrt(12))
    known = cluster_variance(values - values.mean(), clusters)
    plain = spread(values - values.mean(), clusters)
    low, high = interval(values.mean(), plain, "plain", 84)
    width = student.ppf(0.975, min(2 * 12 / (known.kurtosis - 1), 11)) * variation.error
    assert high - low == pytest.approx(2 * width, rel=0.03)  # but for the correction for skewness
    assert ttest_1samp(means, 0).pvalue == pytest.approx(2 * student.sf(abs(means.mean()) / variation.error, 11))
    assert (known.effective, known.clusters, known.widened) == (pytest.approx(12.0), 12, 1.0)


def test_a_mean_over_clusters_of_very_unequal_size_is_covered() -> None:
    rng, held, naive, counted = np.random.default_rng(1), 0, 0, 0
    while counted < 800:
        sizes = ((rng.pareto(1.5, 80) + 1) * 5).astype(int).clip(max=3000)
        clusters = np.repeat(np.arange(80), sizes)
        values = rng.normal(0, 0.7, 80)[clusters] + rng.normal(0, 1, len(clusters))
        if sizes.sum() ** 2 / (sizes**2).sum() < 20:
            continue
        counted += 1
        measured = measure(BIAS, np.zeros(len(values)), values, clusters=clusters)
        held += measured.low <= 0 <= measured.high
        sums = np.bincount(clusters, values - values.mean())
        naive += abs(values.mean()) <= 1.99 * math.sqrt((sums**2).sum() * 80 / 79) / len(values)
    assert naive / 800 < 0.935  # what the usual formula covers
    assert 0.93 <= held / 800 <= 0.97


def test_few_clusters_that_hold_most_rows_have_a_sentence_instead_of_an_interval() -> None:
    clusters = np.repeat(np.arange(80), [5000, *[10] * 79])
    values = np.random.default_rng(2).normal(size=len(clusters))
    measured = measure(MAE, np.zeros(len(values)), values, clusters=clusters)
    assert math.isnan(measured.low) and math.isnan(measured.high)
    assert measured.doubt == "too few effective clusters for an interval: 80 of unequal size tell no more than 1.3 of one size do"


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_days_that_depend_on_their_neighbours_widen_the_interval(noise: float) -> None:
    rng, held, as_codes = np.random.default_rng(3), 0, 0
    days = np.repeat(np.arange(90), 4)
    for _ in range(400):
        values = days_alike(rng, 90, 0.7)[days] + rng.normal(0, 1 + 2 * noise, 360)
        measured = [measure(BIAS, np.zeros(360), values, clusters=clusters) for clusters in (FIRST_DAY + days, days)]
        held += measured[0].low <= 0 <= measured[0].high
        as_codes += measured[1].low <= 0 <= measured[1].high
    assert held / 400 >= 0.91 and as_codes / 400 < 0.85


def test_days_that_are_independent_are_hardly_widened() -> None:
    rng, held, widened = np.random.default_rng(4), 0, []
    days = np.repeat(np.arange(90), 4)
    for _ in range(400):
        values = rng.normal(0, 1, 90)[days] + rng.normal(0, 1, 360)
        measured = measure(BIAS, np.zeros(360), values, clusters=FIRST_DAY + days)
        held += measured.low <= 0 <= measured.high
        widened.append(cluster_variance(values - values.mean(), FIRST_DAY + days).widened)
    assert 0.93 <= held / 400 <= 0.985 and np.median(widened) == 1 and np.mean(widened) < 1.12


def test_a_difference_over_days_that_depend_is_as_uncertain() -> None:
    rng = np.random.default_rng(5)
    days = np.repeat(np.arange(120), 5)
    truth = rng.normal(0, 1, 600)
    a, b = truth + days_alike(rng, 120, 0.9)[days], truth + days_alike(rng, 120, 0.9)[days]
    by_day, by_code = (paired_difference(REGRESSION, "mae", truth, a, b, clusters=clusters) for clusters in (FIRST_DAY + days, days))
    assert by_day.difference == by_code.difference and by_day.error > 1.5 * by_code.error and by_day.degrees < by_code.degrees


def test_days_keep_their_distance_and_codes_their_numbers() -> None:
    days = np.array(["2024-03-01", "2024-03-04", "2024-02-29"], dtype="datetime64[D]")
    assert cluster_numbers(days).tolist() == [1, 4, 0]
    assert cluster_numbers(days[:0]).tolist() == [] and cluster_numbers(np.array([3, 1])).tolist() == [3, 1]


def test_errors_without_a_fourth_moment_are_told_of() -> None:
    rng = np.random.default_rng(6)
    for draw, is_told in ((rng.standard_t(2.1, 5000), True), (rng.normal(size=5000), False), (rng.laplace(size=5000), False)):
        doubt = measure(RMSE, np.zeros(5000), draw).doubt
        assert ("the interval can't be trusted" in doubt) == is_told, doubt
    assert tail_shape(rng.pareto(2.0, 50_000)) == pytest.approx(0.5, abs=0.12)
    assert tail_shape(rng.exponential(size=50_000)) == pytest.approx(0.0, abs=0.12)


def test_what_every_row_says_alike_has_a_sentence_instead_of_an_interval() -> None:
    width = quantile_metrics((0.1, 0.5, 0.9))["width"]
    y = np.random.default_rng(7).normal(size=300)
    for clusters in (None, np.arange(300) // 10):
        measured = measure(width, y, np.tile([-1.0, 0.0, 1.0], (300, 1)), clusters=clusters)
        assert measured.value == 2 and math.isnan(measured.low)
        assert measured.doubt == "there is no interval: every row says the same, so that nothing tells how the figure varies"
    assert "all rows may depend on each other" in measure(MAE, y, y + y, clusters=np.zeros(300, int)).doubt
