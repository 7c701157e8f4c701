"""The metrics of each task with 95% intervals, differences on the same rows, and metrics by slice.

A metric is two functions of truth and scores: its value, and the influence of each row (see `lakeloop.metrics.intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lakeloop.errors import DataError, SpecError, nearest
from lakeloop.metrics.anomaly import ANOMALY_METRICS
from lakeloop.metrics.binary import BINARY_METRICS
from lakeloop.metrics.classes import CLASS_METRICS
from lakeloop.metrics.doubts import doubt
from lakeloop.metrics.intervals import LEVEL, Spread, interval, one_sided_p, spread, student_quantile
from lakeloop.metrics.metric import Metric
from lakeloop.metrics.quantiles import quantile_metrics
from lakeloop.metrics.regression import FORECAST_METRICS, REGRESSION_METRICS, ratio_influence
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import QUANTILES, Answer, answer_of

Array = np.ndarray
LEAST_SLICE_ROWS = 30
"""Smaller slices are shown, but marked: their intervals are too wide to conclude anything."""


@dataclass(frozen=True)
class MetricValue:
    """A metric on some rows, with its 95% interval; NaN where the rows don't define it.

    `doubt` says why there is no interval, or why it can't be trusted; empty where it can.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    doubt: str = ""


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same rows; positive is better whatever the metric's direction.

    Attributes:
        difference: the difference of the metric.
        error: its standard error, paired by row.
        degrees: its degrees of freedom.
        low: the lower end of its 95% interval.
        high: the upper end.
        rows: the number of compared rows.
        groups: the number of rows, or clusters of rows, that count as independent.
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

    def record(self) -> dict[str, float]:
        """As plain values, with the keys of the attributes."""
        return asdict(self)


METRICS: Mapping[Task, Mapping[str, Metric]] = {
    "binary_classification": BINARY_METRICS,
    "multiclass_classification": CLASS_METRICS,
    "regression": REGRESSION_METRICS,
    "quantile_regression": quantile_metrics(QUANTILES),
    "forecasting": FORECAST_METRICS,
    "anomaly_detection": ANOMALY_METRICS,
}
"""Names and directions per task. `metrics_of` returns the metrics to measure by: those of quantiles depend on the levels."""
BESIDE: Mapping[Task, Mapping[str, str]] = {
    "forecasting": {"mase": "Mean absolute error over that of the seasonal naive forecast on the same rows; below 1 is better than it."},
    "anomaly_detection": {
        "flagged_share": "Share of real rows of the test window that are flagged, at the threshold that flags `alert_rate` of the training rows.",
        "top_overlap": "Of the strangest rows by one seed, the share that another seed has among its strangest, too.",
        "labelled_roc_auc": "ROC AUC by the label, on real rows that have one.",
        "labelled_average_precision": "Average precision by the label, on real rows that have one.",
    },
}
"""Metrics that gates may name and that don't decide: relative to the reference on the same rows, or on other rows than those that decide."""


def relative_metrics(task: Task | Answer, y: Array, score: Array, reference: Array, *, clusters: Array | None = None) -> list[MetricValue]:
    """The metrics of a task that are relative to its reference, with 95% intervals."""
    values = []
    for name in ["mase"] if answer_of(task).kind.reference == "seasonal_naive" else []:
        errors, reference_errors = np.abs(score - y), np.abs(reference - y)
        value = float(errors.mean() / reference_errors.mean()) if len(y) and reference_errors.any() else math.nan
        variation = spread(ratio_influence(errors, reference_errors), clusters) if math.isfinite(value) else Spread(math.nan, 0.0, 0.0, 0)
        values.append(MetricValue(name, value, *interval(value, variation, "plain", len(y)), len(y)))
    return values


def metrics_of(task: Task | Answer) -> Mapping[str, Metric]:
    """The metrics of a workflow's models by name; they take truth and scores (see `lakeloop.spec.tasks`).

    Truth is 0 or 1 for a binary classification, the position among the declared classes for a multiclass one, else the value.
    """
    answer = answer_of(task)
    if answer.kind.label == "number" and answer.quantiles:
        return quantile_metrics(answer.quantiles)
    return METRICS[answer.task]


def reference_words(task: Task | Answer, primary: str) -> str:
    """In words, what a model must beat by a metric."""
    return "guesses as frequent as the classes" if metrics_of(task)[primary].guessed else answer_of(task).kind.reference_words


def row_loss(task: Task | Answer, y: Array, score: Array) -> Array:
    """The task's loss per row, which judges slices."""
    rows = metrics_of(task)[answer_of(task).kind.loss].rows
    assert rows
    return rows(y, score)


def check_metric(task: Task | Answer, name: str, *, decides: bool = True) -> None:
    """Check that the task has a metric and, if it is to decide, that a model can be chosen by it.

    Raises:
        SpecError: the task has no such metric (the message names the nearest one), or it can't decide.
    """
    answer = answer_of(task)
    measures = metrics_of(answer)
    names = [*measures, *([] if decides else BESIDE.get(answer.task, {}))]
    if name not in names:
        raise SpecError(f"no metric {name!r} for {answer.task}; {nearest(name, names)}")
    if decides and not measures[name].decides:
        deciding = ", ".join(other.name for other in measures.values() if other.decides)
        raise SpecError(f"no model can be chosen by {name}, which a useless one may have at its best; wanted one of {deciding}")


def metric_range(task: Task | Answer, name: str) -> tuple[float, float] | None:
    """The least and the greatest value that a metric of a task can have, with infinities; None for a name that is no metric of it."""
    answer = answer_of(task)
    metric = metrics_of(answer).get(name)
    if metric is None:
        return None if name not in BESIDE.get(answer.task, {}) else (0.0, math.inf if name == "mase" else 1.0)
    return metric.limits


def measure(metric: Metric, y: Array, score: Array, *, clusters: Array | None = None) -> MetricValue:
    """One metric with its 95% interval."""
    value = metric.value(y, score) if len(y) else math.nan
    if not math.isfinite(value):
        return MetricValue(metric.name, math.nan, math.nan, math.nan, len(y))
    if metric.bounds:
        return MetricValue(metric.name, value, *metric.bounds(y, score, clusters, LEVEL), len(y))
    with np.errstate(all="ignore"):  # numbers near the limits of a double have no interval
        influence = metric.influence(y, score)
        variation = spread(influence, clusters, metric.degrees(y) if metric.degrees else None)
        low, high = interval(value, variation, metric.scale, len(y))
        why = doubt(influence, variation, metric.scale, max(metric.most, -metric.least), low)
    # Of few clusters the plain scale may lead beyond what the metric can be: an R² above 1.
    least, most = metric.limits
    return MetricValue(metric.name, value, max(low, least), min(high, most), len(y), why)


def evaluate(task: Task | Answer, y: Array, score: Array, *, clusters: Array | None = None) -> list[MetricValue]:
    """All metrics of a task with 95% intervals.

    Args:
        task: the task or the answer; decides the metrics.
        y: truth, see `metrics_of`.
        score: scores as in `lakeloop.spec.tasks`; same length.
        clusters: code of the group of each row; rows of different groups count as independent, without it all rows do.

    Raises:
        DataError: lengths differ, or a score or a label is NaN or infinite.
    """
    _check_inputs(y, score)
    return [measure(metric, y, score, clusters=clusters) for metric in metrics_of(task).values()]


def paired_difference(task: Task | Answer, name: str, y: Array, a: Array, b: Array, *, clusters: Array | None = None) -> Difference:
    """How much better `a` is than `b` on the same rows, with a 95% interval.

    Args:
        task: the task or the answer; decides the metrics.
        name: the metric.
        y: truth, see `metrics_of`.
        a: the scores of one model, as in `lakeloop.spec.tasks`; as many as truths.
        b: those of the other one.
        clusters: code of the group of each row; rows of different groups count as independent, without it all rows do.

    Raises:
        DataError: lengths differ, or a score or a label is NaN or infinite.
    """
    _check_inputs(y, a)
    _check_inputs(y, b)
    metric = metrics_of(task)[name]
    sign = 1.0 if metric.greater_is_better else -1.0
    value = sign * (metric.value(y, a) - metric.value(y, b)) if len(y) else math.nan
    variation = (
        spread(sign * (metric.influence(y, a) - metric.influence(y, b)), clusters, metric.degrees(y) if metric.degrees else None)
        if math.isfinite(value)
        else Spread(math.nan, 0.0, 0.0, 0)
    )
    half_width = student_quantile(1 - (1 - LEVEL) / 2, variation.degrees) * variation.error if variation.degrees >= 1 else math.nan
    return Difference(value, variation.error, variation.degrees, value - half_width, value + half_width, len(y), variation.groups)


def measure_slices(
    task: Task | Answer, y: Array, score: Array, values: Sequence[Any], name: str, *, clusters: Array | None = None
) -> list[dict[str, Any]]:
    """Measure a metric per value of a column, largest slices first; null is the slice `(missing)`.

    Returns:
        Rows of slice, n, metric, value, low, high, and `small` for slices of fewer than 30 rows.
    """
    labels = np.array(["(missing)" if v is None else str(v) for v in values], dtype=object)
    unique, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rows = []
    for index in np.argsort(-counts, kind="stable"):
        mask = inverse == index
        measured = measure(metrics_of(task)[name], y[mask], score[mask], clusters=None if clusters is None else clusters[mask])
        small = bool(counts[index] < LEAST_SLICE_ROWS)
        rows.append(
            {
                "slice": str(unique[index]), "n": int(counts[index]), "metric": name, "value": measured.value,
                "low": measured.low, "high": measured.high, "small": small,
            }
        )  # fmt: skip
    return rows


def _check_inputs(y: Array, score: Array) -> None:
    if len(y) != len(score):
        raise DataError(f"wanted one score per row, found {len(score)} scores for {len(y)} rows")
    for name, values in (("scores", score), ("labels", y)):
        count = int((~np.isfinite(values)).sum())
        if count:
            raise DataError(f"{count} of {values.size} {name} are NaN or infinite")
