"""Metrics against scikit-learn's, and their intervals against repeated draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics as sk

from lakeloop.errors import SpecError
from lakeloop.metrics.table import check_metric, evaluate, measure_slices, paired_difference
from lakeloop.spec.tables import parse_duration, render_duration

scores = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=4, max_size=60)


@given(scores)
def test_classification_metrics_equal_scikit_learn_ties_included(pairs):
    y = np.array([0, 1] + [p[0] for p in pairs], float)
    score = np.array([3, 3] + [p[1] for p in pairs]) / 10
    values = {v.name: v.value for v in evaluate("binary_classification", y, score)}
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(y, score))
    assert values["average_precision"] == pytest.approx(sk.average_precision_score(y, score))
    assert values["brier"] == pytest.approx(sk.brier_score_loss(y, score))
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(y, score >= 0.5))


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=3, max_size=60))
@example([(0.0, 0.0), (0.0, 0.0), (1.616078450195607e-155, 1.0)])
def test_regression_metrics_equal_scikit_learn(pairs):
    y, score = np.array(pairs).T
    values = {v.name: v.value for v in evaluate("regression", y, score)}
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(y, score))
    assert values["rmse"] == pytest.approx(sk.root_mean_squared_error(y, score))
    if np.var(y) > 1e-6:
        assert values["r2"] == pytest.approx(sk.r2_score(y, score))


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        y = rng.normal(0, 1, 400)
        (mae,) = [v for v in evaluate("regression", y, np.zeros(400)) if v.name == "mae"]
        covered += mae.low <= np.sqrt(2 / np.pi) <= mae.high
    assert 0.90 <= covered / 200 <= 0.99


def test_a_metric_of_one_class_is_nan_and_not_a_number_that_looks_good():
    values = {v.name: v.value for v in evaluate("binary_classification", np.ones(10), np.full(10, 0.5))}
    assert np.isnan(values["roc_auc"])


def test_a_paired_difference_is_positive_when_the_first_is_better_whatever_the_metric_prefers():
    rng = np.random.default_rng(1)
    y = rng.normal(0, 1, 500)
    good, bad = y + rng.normal(0, 0.1, 500), y + rng.normal(0, 1, 500)
    for metric in ("mae", "r2"):
        difference = paired_difference("regression", metric, y, good, bad)
        assert 0 < difference.low < difference.difference < difference.high


def test_slices_cover_every_row_once_nulls_included():
    y = np.array([0, 1, 0, 1, 1.0])
    rows = measure_slices("binary_classification", y, np.linspace(0, 1, 5), ["a", None, "a", "b", None], "accuracy")
    assert sum(row["n"] for row in rows) == 5


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(SpecError, match="roc_auc"):
        check_metric("binary_classification", "roc_auk")


@given(st.integers(0, 10_000_000))
def test_a_duration_is_written_as_it_is_read(seconds):
    from datetime import timedelta

    value = timedelta(seconds=seconds)
    assert parse_duration(render_duration(value)) == value
