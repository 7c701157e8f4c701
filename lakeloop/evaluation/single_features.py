"""How well one feature predicts the label by itself: means of the label per value or range of values, or a straight line."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lakeloop.metrics.classes import one_hot
from lakeloop.metrics.table import METRICS
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import Answer, answer_of

Array = np.ndarray
LEAST_FEATURE_ROWS = 10
"""Test rows, for a classification those of the rarest class, that are needed to score single features."""
CUTS = (0.001, 0.002, 0.005, 0.01, *np.linspace(0, 1, 51)[1:-1], 0.99, 0.995, 0.998, 0.999)
"""Quantiles of a feature between which the label is averaged: fiftieths, and finer ones in the tails."""


def single_feature_scores(
    what: Task | Answer, fit: Mapping[str, Array], fit_y: Array, test: Mapping[str, Array], y: Array
) -> dict[str, float]:
    """How well each feature predicts the label by itself: means of the label per category or per fiftieth, from `fit`, scored on `test`.

    For a label that is a number a straight line is tried, too, and the better score is taken. NaN where the test rows are too few.
    """
    answer = answer_of(what)
    is_number = answer.kind.label == "number"
    fewest = len(y) if is_number else int(np.unique(y, return_counts=True)[1].min(initial=len(y)))
    if fewest < LEAST_FEATURE_ROWS:
        return dict.fromkeys(fit, math.nan)
    metric = METRICS["regression" if is_number else answer.task][answer.kind.leak_limit[0]]
    fit_target = one_hot(fit_y, len(answer.classes)) if answer.classes else fit_y
    scores = {feature: metric.value(y, means_by_value(fit[feature], fit_target, test[feature])) for feature in fit}
    if is_number:
        lines = {feature: metric.value(y, _line(fit[feature], fit_y, test[feature])) for feature in fit if fit[feature].dtype != object}
        scores |= {feature: max(value, scores[feature]) for feature, value in lines.items() if math.isfinite(value)}
    return scores


def share_given(answer: Answer, fit: Array, fit_y: Array, test: Array, y: Array) -> float:
    """The share of the variance of some classes that the means of a feature's values give, from `fit`, on `test`; 0 where the label is constant."""
    fit_target, target = (one_hot(labels, len(answer.classes)) if answer.classes else labels.reshape(-1, 1) for labels in (fit_y, y))
    means = means_by_value(fit, fit_target, test)
    spread = float(((target - target.mean(axis=0)) ** 2).sum())
    return 1 - float(((target - means) ** 2).sum()) / spread if spread else 0.0


def _line(fit: Array, y: Array, test: Array) -> Array:
    """A straight line fitted to the label; the mean of the label where the feature is null."""
    is_finite = np.isfinite(fit)
    if is_finite.sum() < 2 or not np.ptp(fit[is_finite]):
        return np.full(len(test), y.mean())
    slope, intercept = np.polyfit(fit[is_finite], y[is_finite], 1)
    return np.asarray(np.where(np.isfinite(test), intercept + slope * test, y.mean()))


def means_by_value(fit: Array, y: Array, test: Array) -> Array:
    """The mean of the label per category or per bin of the feature, shrunk towards the overall mean, looked up for the test rows."""
    import pandas as pd

    fit_bins, test_bins = pd.Series(fit), pd.Series(test)
    if fit_bins.dtype != object:
        cuts = np.unique(np.nanquantile(fit_bins, CUTS)) if fit_bins.notna().any() else np.array([])
        # A value that is a cut has a bin of its own: all cuts of a rare flag are 0.
        fit_bins, test_bins = (
            pd.Series(np.where(values.isna(), -1, np.searchsorted(cuts, values, "left") + np.searchsorted(cuts, values, "right")))
            for values in (fit_bins, test_bins)
        )
    fit_bins, test_bins = (values.where(values.notna(), "(missing)") for values in (fit_bins, test_bins))
    # Compared as strings, so that a number is never compared with "(missing)".
    distinct, codes = np.unique(fit_bins.astype(str), return_inverse=True)
    wide = y.reshape(len(y), -1)
    sums = np.stack([np.bincount(codes, column, len(distinct)) for column in wide.T], axis=1)
    overall = wide.mean(axis=0)
    means = np.vstack([(sums + 10 * overall) / (np.bincount(codes, minlength=len(distinct))[:, None] + 10), overall])
    rows = pd.Index(distinct).get_indexer(pd.Index(test_bins.astype(str)))  # -1, a new category, is the last row
    return np.asarray(means[rows].reshape(len(test_bins), *y.shape[1:]))
