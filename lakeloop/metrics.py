"""Metrics with 95% intervals, differences on the same rows, and errors by slice.

A metric is two functions of truth and score: its value, and what each row adds to it (its influence, see `lakeloop.intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lakeloop.calibration import calibration_bounds, calibration_error, calibration_influence
from lakeloop.errors import DataError, SpecError, nearest
from lakeloop.intervals import LEVEL, Scale, Spread, interval, one_sided_p, spread, student
from lakeloop.spec import Task
from lakeloop.tasks import Answer, answer_of

Array = np.ndarray
LEAST_SLICE_ROWS = 30
"""Smaller slices are shown, but marked: their interval is too wide to say anything."""


@dataclass(frozen=True)
class Metric:
    """A measure of scores against truth.

    Attributes:
        name: as users write it.
        greater_is_better: its direction.
        description: one sentence.
        value: of truth and score.
        influence: what each row adds, mean zero.
        scale: how its interval is laid.
        degrees: degrees of freedom of its standard error, where they are fewer than the rows.
        bounds: an interval of its own, from truth, score, clusters and level.
        rows: its value per row, where it is the mean of those.
    """

    name: str
    greater_is_better: bool
    description: str
    value: Callable[[Array, Array], float]
    influence: Callable[[Array, Array], Array]
    scale: Scale = "plain"
    degrees: Callable[[Array], float] | None = None
    bounds: Callable[[Array, Array, Array | None, float], tuple[float, float]] | None = None
    rows: Callable[[Array, Array], Array] | None = None

    def spread(self, y: Array, score: Array, clusters: Array | None = None) -> Spread:
        """How the metric varies on such rows."""
        return spread(self.influence(y, score), clusters, self.degrees(y) if self.degrees else None)


@dataclass(frozen=True)
class MetricValue:
    """A metric on some rows, with its 95% interval; NaN where the rows don't define it."""

    name: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same rows; positive is better whatever the metric's direction.

    Attributes:
        difference: of the metric.
        error: its standard error, paired by row.
        degrees: of freedom.
        low: of the 95% interval.
        high: of it.
        rows: compared.
        groups: rows, or clusters of rows, that are taken as independent.
    """

    difference: float
    error: float
    degrees: float
    low: float
    high: float
    rows: int
    groups: int

    def p_not_worse(self, margin: float = 0.0) -> float:
        """One-sided p-value of the hypothesis that the first model is worse by `margin` or more."""
        return one_sided_p(self.difference, self.error, self.degrees, margin)

    def p_worse(self) -> float:
        """One-sided p-value of the hypothesis that the first model is as good or better."""
        return one_sided_p(-self.difference, self.error, self.degrees)

    def lower_bound(self, error_rate: float) -> float:
        """The true difference is below this with probability `error_rate` at most."""
        if self.degrees < 1 or not math.isfinite(self.error):
            return -math.inf
        return self.difference - student(1 - error_rate, self.degrees) * self.error

    def record(self) -> dict[str, float]:
        """As plain values, with the keys of the attributes."""
        return asdict(self)


def roc_auc(y: Array, score: Array) -> float:
    """Area under the ROC curve: the chance that a positive is scored above a negative, ties counted half (Hanley and McNeil 1982)."""
    below, above = _placements(y, score)
    return float(below.mean()) if len(below) and len(above) else math.nan


def _roc_auc_influence(y: Array, score: Array) -> Array:
    """DeLong's placement values (1988), each class with its own degree of freedom."""
    below, above = _placements(y, score)
    found = np.full(len(y), math.nan)
    if len(below) > 1 and len(above) > 1:
        area = below.mean()
        for mask, part in ((y == 1, below - area), (y != 1, above - area)):
            found[mask] = part * len(y) / len(part) * math.sqrt(len(part) / (len(part) - 1))
    return found


def _smaller_class(y: Array) -> float:
    positives = int((y == 1).sum())
    return float(min(positives, len(y) - positives) - 1)


def average_precision(y: Array, score: Array) -> float:
    """Mean precision over recall steps, from the highest score down."""
    at, hits, seen = _ranked(y, score)
    positives = (y == 1).sum()
    return float((y * hits[at] / seen[at]).sum() / positives) if positives else math.nan


def _average_precision_influence(y: Array, score: Array) -> Array:
    """The jackknife: how the metric moves when a row is left out, which is exact for every row in two cumulative sums."""
    n, positives = len(y), float((y == 1).sum())
    if positives < 2:
        return np.full(n, math.nan)
    at, hits, seen = _ranked(y, score)
    found = np.bincount(at, y, len(hits))
    others = np.maximum(seen - 1, 1)
    higher = np.cumsum(found * hits / seen) - found * hits / seen
    # A row that is left out is missing from the hits and the seen of every positive scored as it is or lower.
    lower_than_positive = np.cumsum((found * (hits - 1) / others)[::-1])[::-1]
    lower_than_negative = np.cumsum((found * hits / others)[::-1])[::-1]
    own = (hits - 1) / others
    without = np.where(
        y == 1, (higher[at] + lower_than_positive[at] - own[at]) / (positives - 1), (higher[at] + lower_than_negative[at]) / positives
    )
    return np.asarray((n - 1) * (without.mean() - without))


def log_loss(y: Array, score: Array) -> Array:
    """Mean negative log-likelihood, scores kept 1e-15 away from 0 and 1."""
    p = np.clip(score, 1e-15, 1 - 1e-15)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


def brier(y: Array, score: Array) -> Array:
    """Mean squared difference of score and outcome (Brier 1950)."""
    return np.asarray((score - y) ** 2)


def accuracy(y: Array, score: Array) -> Array:
    """Share of rows on the right side of 0.5."""
    return np.asarray((score >= 0.5) == (y == 1), float)


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
    return _ratio_influence(np.abs(score - y), np.abs(y))


def _ratio_influence(above: Array, below: Array) -> Array:
    """Of a ratio of two means."""
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
    variance = float(y.var()) if len(y) else 0.0
    return float(1 - ((score - y) ** 2).mean() / variance) if variance > 0 else math.nan


def _r2_influence(y: Array, score: Array) -> Array:
    variance = float(y.var()) if len(y) else 0.0
    if not variance:
        return np.full(len(y), math.nan)
    ratio = float(((score - y) ** 2).mean()) / variance
    return np.asarray((ratio * (y - y.mean()) ** 2 - (score - y) ** 2) / variance)


def median_absolute_error(y: Array, score: Array) -> float:
    """Median absolute error, in the label's unit."""
    return float(np.median(np.abs(score - y))) if len(y) else math.nan


def _median_influence(y: Array, score: Array) -> Array:
    """By the density at the median, read off an interval of quantiles around it."""
    error = np.abs(score - y)
    low, high = _median_bounds(y, score, None, LEVEL)
    below = (error <= np.median(error)).astype(float)
    width = 2 * student(1 - (1 - LEVEL) / 2, math.inf) * 0.5 / math.sqrt(len(y))
    return np.asarray((below.mean() - below) * (high - low) / width)


def _median_bounds(y: Array, score: Array, clusters: Array | None, level: float) -> tuple[float, float]:
    """Quantiles at the ends of an interval for the share of errors below the median (Woodruff 1952)."""
    error = np.abs(score - y)
    if len(error) < 2:
        return math.nan, math.nan
    found = spread((error <= np.median(error)) - 0.5, clusters)
    half = student(1 - (1 - level) / 2, max(found.degrees, 1.0)) * found.error
    low, high = np.quantile(error, [max(0.5 - half, 0), min(0.5 + half, 1)], method="linear")
    return float(low), float(high)


def _mean(rows: Callable[[Array, Array], Array], up: bool, scale: Scale = "plain") -> Metric:
    """A metric that is the mean of a value per row."""

    def value(y: Array, score: Array) -> float:
        return float(rows(y, score).mean()) if len(y) else math.nan

    def influence(y: Array, score: Array) -> Array:
        found = rows(y, score)
        return np.asarray(found - found.mean())

    return Metric(rows.__name__, up, str(rows.__doc__).strip(), value, influence, scale, rows=rows)


def _metric(value: Callable[[Array, Array], float], up: bool, influence: Callable[[Array, Array], Array], **more: Any) -> Metric:
    return Metric(value.__name__, up, str(value.__doc__).strip(), value, influence, **more)


def _by_name(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: Mapping[Task, Mapping[str, Metric]] = {
    "binary_classification": _by_name(
        _metric(roc_auc, True, _roc_auc_influence, scale="logit", degrees=_smaller_class),
        _metric(average_precision, True, _average_precision_influence, scale="logit", degrees=_smaller_class),
        _mean(log_loss, False),
        _mean(brier, False),
        _metric(calibration_error, False, calibration_influence, bounds=calibration_bounds),
        _mean(accuracy, True, "share"),
    ),
    "regression": _by_name(
        _mean(mae, False),
        _metric(rmse, False, _rmse_influence, scale="squared"),
        _metric(r2, True, _r2_influence),
        _metric(median_absolute_error, False, _median_influence, bounds=_median_bounds),
        _mean(bias, False),
    ),
    "forecasting": _by_name(
        _mean(mae, False),
        _metric(rmse, False, _rmse_influence, scale="squared"),
        _metric(wape, False, _wape_influence),
        _mean(bias, False),
        _metric(r2, True, _r2_influence),
    ),
}
RELATIVE: Mapping[Task, Mapping[str, str]] = {
    "forecasting": {"mase": "Mean absolute error over that of the seasonal naive forecast on the same rows; below 1 is better than it."}
}
"""Metrics against the reference on the same rows: they can be gates, and what they are made of can decide."""


def relative(what: Task | Answer, y: Array, score: Array, reference: Array, *, clusters: Array | None = None) -> list[MetricValue]:
    """The metrics of a task that are relative to its reference, with 95% intervals."""
    found = []
    for name in RELATIVE.get(answer_of(what).task, {}):
        own, other = np.abs(score - y), np.abs(reference - y)
        value = float(own.mean() / other.mean()) if len(y) and other.any() else math.nan
        varies = spread(_ratio_influence(own, other), clusters) if math.isfinite(value) else Spread(math.nan, 0.0, 0.0, 0)
        found.append(MetricValue(name, value, *interval(value, varies, "plain", len(y)), len(y)))
    return found


def metrics_of(what: Task | Answer) -> Mapping[str, Metric]:
    """The metrics by which the models of a workflow are measured, by name, of truth and scores (see `lakeloop.tasks`).

    Truth is 0 or 1 for a binary classification, the value for a regression.
    """
    return METRICS[answer_of(what).task]


def row_loss(what: Task | Answer, y: Array, score: Array) -> Array:
    """What a slice is judged by: the task's loss, per row."""
    metric = metrics_of(what)[answer_of(what).kind.loss]
    assert metric.rows
    return metric.rows(y, score)


def check_metric(what: Task | Answer, name: str, *, decides: bool = True) -> None:
    """Raise a SpecError with the nearest match unless the task has the metric; one that only gates may name, if it doesn't decide."""
    known = [*metrics_of(what), *([] if decides else RELATIVE.get(answer_of(what).task, {}))]
    if name not in known:
        raise SpecError(f"no metric {name!r} for {answer_of(what).task}; {nearest(name, known)}")


def measure(metric: Metric, y: Array, score: Array, *, clusters: Array | None = None) -> MetricValue:
    """One metric with its 95% interval."""
    value = metric.value(y, score) if len(y) else math.nan
    if not math.isfinite(value):
        return MetricValue(metric.name, math.nan, math.nan, math.nan, len(y))
    if metric.bounds:
        return MetricValue(metric.name, value, *metric.bounds(y, score, clusters, LEVEL), len(y))
    with np.errstate(all="ignore"):  # numbers near the ends of what a double holds have no interval
        low, high = interval(value, metric.spread(y, score, clusters), metric.scale, len(y))
    return MetricValue(metric.name, value, low, high, len(y))


def evaluate(what: Task | Answer, y: Array, score: Array, *, clusters: Array | None = None) -> list[MetricValue]:
    """All metrics of a task with 95% intervals.

    Args:
        what: the task, or what is answered; decides the metrics.
        y: truth, see `metrics_of`.
        score: as `lakeloop.tasks` says; same length.
        clusters: code of the group of each row; rows of different groups are taken as independent, all rows without it.

    Raises:
        DataError: lengths differ, or a score is NaN.
    """
    _fits(y, score)
    return [measure(metric, y, score, clusters=clusters) for metric in metrics_of(what).values()]


def paired_difference(what: Task | Answer, name: str, y: Array, a: Array, b: Array, *, clusters: Array | None = None) -> Difference:
    """How much better `a` is than `b` on the same rows, with a 95% interval."""
    _fits(y, a)
    _fits(y, b)
    metric = metrics_of(what)[name]
    sign = 1.0 if metric.greater_is_better else -1.0
    value = sign * (metric.value(y, a) - metric.value(y, b)) if len(y) else math.nan
    found = (
        spread(sign * (metric.influence(y, a) - metric.influence(y, b)), clusters, metric.degrees(y) if metric.degrees else None)
        if math.isfinite(value)
        else Spread(math.nan, 0.0, 0.0, 0)
    )
    half = student(1 - (1 - LEVEL) / 2, found.degrees) * found.error if found.degrees >= 1 else math.nan
    return Difference(value, found.error, found.degrees, value - half, value + half, len(y), found.groups)


def by_slice(
    what: Task | Answer, y: Array, score: Array, values: Sequence[Any], name: str, *, clusters: Array | None = None
) -> list[dict[str, Any]]:
    """A metric per value of a column, largest slices first; null is the slice `(missing)`.

    Returns:
        Rows of slice, n, metric, value, low, high, and `small` for slices of fewer than 30 rows.
    """
    labels = np.array(["(missing)" if v is None else str(v) for v in values], dtype=object)
    unique, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rows = []
    for index in np.argsort(-counts, kind="stable"):
        mask = inverse == index
        found = measure(metrics_of(what)[name], y[mask], score[mask], clusters=None if clusters is None else clusters[mask])
        small = bool(counts[index] < LEAST_SLICE_ROWS)
        rows.append(
            {
                "slice": str(unique[index]), "n": int(counts[index]), "metric": name, "value": found.value,
                "low": found.low, "high": found.high, "small": small,
            }
        )  # fmt: skip
    return rows


def _placements(y: Array, score: Array) -> tuple[Array, Array]:
    """Share of negatives below each positive, and of positives above each negative, ties counted half."""
    positive, negative = score[y == 1], score[y != 1]
    a, b = np.sort(positive), np.sort(negative)
    below = (np.searchsorted(b, positive, "left") + np.searchsorted(b, positive, "right")) / (2 * max(len(b), 1))
    above = 1 - (np.searchsorted(a, negative, "left") + np.searchsorted(a, negative, "right")) / (2 * max(len(a), 1))
    return below, above


def _ranked(y: Array, score: Array) -> tuple[Array, Array, Array]:
    """The rank of each row's score among the distinct ones, highest first; positives and rows scored as high or higher, per rank."""
    _, at = np.unique(-score, return_inverse=True)
    return at, np.cumsum(np.bincount(at, y)), np.cumsum(np.bincount(at)).astype(float)


def _fits(y: Array, score: Array) -> None:
    if len(y) != len(score):
        raise DataError(f"wanted one score per row, found {len(score)} scores for {len(y)} rows")
    if len(score) and not np.isfinite(score).all():
        raise DataError(f"{int((~np.isfinite(score)).sum())} of {len(score)} scores are NaN or infinite")
