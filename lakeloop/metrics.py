"""Metrics with 95% intervals, differences on the same rows, and errors by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakeloop.errors import DataError, SpecError, nearest
from lakeloop.spec import Task

Array = np.ndarray
RESAMPLES = 200
Z95 = 1.959963984540054
LEAST_SLICE_ROWS = 30
"""Smaller slices are shown, but marked: their interval is too wide to say anything."""
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Metric:
    """A measure of scores against truth. `weighted(y, score, w)` takes a weight per row, so that a bootstrap is a change of weights."""

    name: str
    greater_is_better: bool
    description: str
    weighted: Callable[[Array, Array, Array], float]


@dataclass(frozen=True)
class MetricValue:
    """A metric on some rows, with its 95% interval; NaN where the rows don't define it."""

    name: str
    value: float
    low: float
    high: float
    n: int


def roc_auc(y: Array, score: Array, w: Array) -> float:
    """Area under the ROC curve: the chance that a positive is scored above a negative, ties counted half (Hanley and McNeil 1982)."""
    order = np.argsort(score, kind="stable")
    s, weight, positive = score[order], w[order], w[order] * y[order]
    negative = weight - positive
    last = np.append(s[1:] != s[:-1], True)
    below = np.cumsum(negative)[last]
    ties_n = np.diff(below, prepend=0.0)
    ties_p = np.diff(np.cumsum(positive)[last], prepend=0.0)
    total = positive.sum() * negative.sum()
    return float((ties_p * (below - ties_n / 2)).sum() / total) if total > 0 else float("nan")


def average_precision(y: Array, score: Array, w: Array) -> float:
    """Mean precision over recall steps, from the highest score down."""
    order = np.argsort(-score, kind="stable")
    s, positive, weight = score[order], (w * y)[order], w[order]
    last = np.append(s[1:] != s[:-1], True)
    hits, seen = np.cumsum(positive)[last], np.cumsum(weight)[last]
    if not len(hits) or hits[-1] == 0:
        return float("nan")
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])


def log_loss(y: Array, score: Array, w: Array) -> float:
    """Mean negative log-likelihood, scores kept 1e-15 away from 0 and 1."""
    p = np.clip(score, 1e-15, 1 - 1e-15)
    return _mean(-(y * np.log(p) + (1 - y) * np.log1p(-p)), w)


def brier(y: Array, score: Array, w: Array) -> float:
    """Mean squared difference of score and outcome (Brier 1950)."""
    return _mean((score - y) ** 2, w)


def calibration_error(y: Array, score: Array, w: Array) -> float:
    """Mean distance of mean score and observed rate over ten bins of equal mass (Naeini et al. 2015, with quantile bins)."""
    order = np.argsort(score, kind="stable")
    mass = np.cumsum(w[order])
    if not len(mass) or mass[-1] == 0:
        return float("nan")
    bins = np.minimum((mass - w[order] / 2) / mass[-1] * CALIBRATION_BINS, CALIBRATION_BINS - 1).astype(int)
    total = np.bincount(bins, w[order], CALIBRATION_BINS)
    gap = np.bincount(bins, (w * (score - y))[order], CALIBRATION_BINS)
    return float(np.abs(gap).sum() / total.sum())


def accuracy(y: Array, score: Array, w: Array) -> float:
    """Share of rows on the right side of 0.5."""
    return _mean((score >= 0.5) == (y == 1), w)


def mae(y: Array, score: Array, w: Array) -> float:
    """Mean absolute error, in the label's unit."""
    return _mean(np.abs(score - y), w)


def rmse(y: Array, score: Array, w: Array) -> float:
    """Root of the mean squared error, in the label's unit."""
    return float(np.sqrt(_mean((score - y) ** 2, w)))


def r2(y: Array, score: Array, w: Array) -> float:
    """Share of the variance that is explained; 0 is the mean of these rows."""
    spread = _mean((y - _mean(y, w)) ** 2, w)
    return float(1 - _mean((score - y) ** 2, w) / spread) if spread > 0 else float("nan")


def bias(y: Array, score: Array, w: Array) -> float:
    """Mean of prediction less truth, in the label's unit."""
    return _mean(score - y, w)


def median_absolute_error(y: Array, score: Array, w: Array) -> float:
    """Median absolute error, in the label's unit."""
    error = np.abs(score - y)
    order = np.argsort(error)
    mass = np.cumsum(w[order])
    return float(error[order][np.searchsorted(mass, mass[-1] / 2)]) if len(mass) and mass[-1] > 0 else float("nan")


def _listed(*metrics: tuple[Callable[[Array, Array, Array], float], bool]) -> dict[str, Metric]:
    return {f.__name__: Metric(f.__name__, up, str(f.__doc__).strip(), f) for f, up in metrics}


METRICS: Mapping[Task, Mapping[str, Metric]] = {
    "binary_classification": _listed(
        (roc_auc, True), (average_precision, True), (log_loss, False), (brier, False), (calibration_error, False), (accuracy, True)
    ),
    "regression": _listed((mae, False), (rmse, False), (r2, True), (median_absolute_error, False), (bias, False)),
}


def check_metric(task: Task, name: str) -> None:
    """Raise a SpecError with the nearest match unless the task has the metric."""
    if name not in METRICS[task]:
        raise SpecError(f"no metric {name!r} for {task}; {nearest(name, METRICS[task])}")


def evaluate(task: Task, y: Array, score: Array, *, seed: int = 0, resamples: int = RESAMPLES) -> list[MetricValue]:
    """All metrics of a task with 95% intervals.

    Intervals are value +- 1.96 standard errors, the error from a Poisson bootstrap over rows (Hanley and MacGibbon 2006), which is valid
    for all metrics alike and keeps ties and class shares as they vary; rows are taken as independent.

    Args:
        task: decides the metrics.
        y: truth; 0 or 1 for a classification.
        score: probability of 1, or the predicted value; same length.
        seed: of the bootstrap.
        resamples: how many.

    Raises:
        DataError: lengths differ, or a score is NaN.
    """
    _fits(y, score)
    draws = _draws(len(y), seed, resamples)
    ones = np.ones(len(y))
    found = []
    for metric in METRICS[task].values():
        value = metric.weighted(y, score, ones) if len(y) else float("nan")
        error = _standard_error([metric.weighted(y, score, w) for w in draws]) if np.isfinite(value) else float("nan")
        found.append(MetricValue(metric.name, value, value - Z95 * error, value + Z95 * error, len(y)))
    return found


def paired_difference(
    task: Task, name: str, y: Array, a: Array, b: Array, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """How much better `a` is than `b` on the same rows, with a 95% interval; positive is better whatever the metric's direction."""
    _fits(y, a)
    _fits(y, b)
    metric = METRICS[task][name]
    sign = 1.0 if metric.greater_is_better else -1.0
    ones = np.ones(len(y))
    value = sign * (metric.weighted(y, a, ones) - metric.weighted(y, b, ones))
    error = _standard_error([metric.weighted(y, a, w) - metric.weighted(y, b, w) for w in _draws(len(y), seed, resamples)])
    return value, value - Z95 * error, value + Z95 * error


def by_slice(task: Task, y: Array, score: Array, values: Sequence[Any], name: str, *, seed: int = 0) -> list[dict[str, Any]]:
    """A metric per value of a column, largest slices first; null is the slice `(missing)`.

    Returns:
        Rows of slice, n, metric, value, low, high, and `small` for slices of fewer than 30 rows.
    """
    metric = METRICS[task][name]
    labels = np.array(["(missing)" if v is None else str(v) for v in values], dtype=object)
    unique, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rows = []
    for index in np.argsort(-counts, kind="stable"):
        mask = inverse == index
        part, truth = score[mask], y[mask]
        value = metric.weighted(truth, part, np.ones(len(part)))
        error = (
            _standard_error([metric.weighted(truth, part, w) for w in _draws(len(part), seed, RESAMPLES // 2)])
            if np.isfinite(value)
            else float("nan")
        )
        rows.append(
            {
                "slice": str(unique[index]), "n": int(counts[index]), "metric": name, "value": value,
                "low": value - Z95 * error, "high": value + Z95 * error, "small": bool(counts[index] < LEAST_SLICE_ROWS),
            }
        )  # fmt: skip
    return rows


def _mean(values: Array, w: Array) -> float:
    total = w.sum()
    return float((values * w).sum() / total) if total > 0 else float("nan")


def _draws(n: int, seed: int, resamples: int) -> list[Array]:
    """Weights of a Poisson bootstrap. Large samples take fewer draws: their standard error is stable sooner."""
    rng = np.random.default_rng(seed)
    count = resamples if n <= 20_000 else max(50, resamples // 4)
    return [rng.poisson(1.0, n).astype(np.float64) for _ in range(count)]


def _standard_error(values: Sequence[float]) -> float:
    finite = np.array([v for v in values if np.isfinite(v)])
    return float(finite.std(ddof=1)) if len(finite) > 1 else float("nan")


def _fits(y: Array, score: Array) -> None:
    if len(y) != len(score):
        raise DataError(f"wanted one score per row, found {len(score)} scores for {len(y)} rows")
    if len(score) and not np.isfinite(score).all():
        raise DataError(f"{int((~np.isfinite(score)).sum())} of {len(score)} scores are NaN or infinite")
