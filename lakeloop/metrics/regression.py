"""Metrics of a regression: truth and score are in the label's unit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lakeloop.metrics.intervals import LEVEL, spread, standard_errors, student_quantile
from lakeloop.metrics.metric import index_by_name, mean_metric, value_metric

Array = np.ndarray


def mae(y: Array, score: Array) -> Array:
    """Mean absolute error, in the label's unit."""
    return np.asarray(np.abs(score - y))


def bias(y: Array, score: Array) -> Array:
    """Mean of prediction less truth, in the label's unit."""
    return np.asarray(score - y)


def wape(y: Array, score: Array) -> float:
    """Sum of absolute errors over the sum of absolute values: the mean absolute error as a share of the mean level."""
    total = float(np.abs(y).sum())
    return float(np.abs(score - y).sum()) / total if total else math.nan


def _wape_influence(y: Array, score: Array) -> Array:
    return ratio_influence(np.abs(score - y), np.abs(y))


def ratio_influence(above: Array, below: Array) -> Array:
    """The influence of each row on a ratio of two means."""
    mean = float(below.mean()) if len(below) else 0.0
    return np.asarray((above - above.mean() / mean * below) / mean) if mean else np.full(len(below), math.nan)


def rmse(y: Array, score: Array) -> float:
    """Root of the mean squared error, in the label's unit."""
    return math.sqrt(float(((score - y) ** 2).mean())) if len(y) else math.nan


def _rmse_influence(y: Array, score: Array) -> Array:
    squares, value = (score - y) ** 2, rmse(y, score)
    return np.asarray((squares - value**2) / (2 * value)) if value else np.zeros(len(y))


def r2(y: Array, score: Array) -> float:
    """Share of the variance that is explained; 0 is the mean of these rows."""
    return 1 - _unexplained(y, score)


def _unexplained(y: Array, score: Array) -> float:
    """Mean squared error over variance; NaN without variance, or with so little that the ratio overflows."""
    variance = float(y.var()) if len(y) else 0.0
    ratio = float(((score - y) ** 2).mean()) / variance if variance else math.nan
    return ratio if math.isfinite(ratio) else math.nan


def _r2_influence(y: Array, score: Array) -> Array:
    ratio = _unexplained(y, score)
    if math.isnan(ratio):
        return np.full(len(y), math.nan)
    return np.asarray((ratio * (y - y.mean()) ** 2 - (score - y) ** 2) / float(y.var()))


def median_absolute_error(y: Array, score: Array) -> float:
    """Median absolute error, in the label's unit."""
    return float(np.median(np.abs(score - y))) if len(y) else math.nan


def _median_influence(y: Array, score: Array) -> Array:
    """From the density at the median, estimated by an interval of quantiles around it."""
    error = np.abs(score - y)
    low, high = _median_bounds(y, score, None, LEVEL)
    below = (error <= np.median(error)).astype(float)
    width = 2 * student_quantile(1 - (1 - LEVEL) / 2, math.inf) * 0.5 / math.sqrt(len(y))
    return np.asarray((below.mean() - below) * (high - low) / width)


def _median_bounds(y: Array, score: Array, clusters: Array | None, level: float) -> tuple[float, float]:
    """Quantiles at the ends of an interval for the share of errors below the median (Woodruff 1952)."""
    error = np.abs(score - y)
    if len(error) < 2:
        return math.nan, math.nan
    variation = spread((error <= np.median(error)) - 0.5, clusters)
    if not math.isfinite(variation.error):
        return math.nan, math.nan
    left, right = standard_errors(replace(variation, degrees=max(variation.degrees, 1.0)), 1 - (1 - level) / 2)
    if math.isnan(left):
        return math.nan, math.nan
    # Where the true median lies farther right than ours, fewer of our errors than half seem to be below it: the sides change places.
    ends = [max(0.5 - right * variation.error, 0), min(0.5 + left * variation.error, 1)]
    low, high = np.quantile(error, ends, method="linear")
    return float(low), float(high)


REGRESSION_METRICS = index_by_name(
    mean_metric(mae, False),
    value_metric(rmse, False, _rmse_influence, scale="squared"),
    value_metric(r2, True, _r2_influence, least=-math.inf, most=1.0),
    value_metric(median_absolute_error, False, _median_influence, bounds=_median_bounds),
    mean_metric(bias, False, decides=False, least=-math.inf),
)
FORECAST_METRICS = index_by_name(
    mean_metric(mae, False),
    value_metric(rmse, False, _rmse_influence, scale="squared"),
    value_metric(wape, False, _wape_influence),
    mean_metric(bias, False, decides=False, least=-math.inf),
    value_metric(r2, True, _r2_influence, least=-math.inf, most=1.0),
)
