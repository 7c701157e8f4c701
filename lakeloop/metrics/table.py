"""Metrics with 95% intervals, differences on the same rows, and errors by slice.

A metric is two functions of truth and score: its value, and what each row adds to it (its influence, see `lakeloop.metrics.intervals`).
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
from lakeloop.metrics.intervals import LEVEL, Spread, interval, one_sided_p, spread, student_quantile
from lakeloop.metrics.metric import Metric
from lakeloop.metrics.quantiles import quantile_metrics
from lakeloop.metrics.regression import FORECAST_METRICS, REGRESSION_METRICS, ratio_influence
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import QUANTILES, Answer, answer_of

Array = np.ndarray
LEAST_SLICE_ROWS = 30
"""Smaller slices are shown, but marked: their interval is too wide to say anything."""


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
"""Names and directions per task. `metrics_of` has the metrics themselves: those of quantiles depend on which they are."""
BESIDE: Mapping[Task, Mapping[str, str]] = {
    "forecasting": {"mase": "Mean absolute error over that of the seasonal naive forecast on the same rows; below 1 is better than it."},
    "anomaly_detection": {
        "flagged_share": "Share of real rows of the test window that are flagged, at the threshold that flags `alert_rate` of the training rows.",
        "top_overlap": "Of the strangest rows by one seed, the share that another seed has among its strangest, too.",
        "labelled_roc_auc": "ROC AUC by the label, on real rows that have one.",
        "labelled_average_precision": "Average precision by the label, on real rows that have one.",
    },
}
"""Metrics that gates may name and that don't decide: against the reference on the same rows, or of other rows than those that decide."""


def relative_metrics(what: Task | Answer, y: Array, score: Array, reference: Array, *, clusters: Array | None = None) -> list[MetricValue]:
    """The metrics of a task that are relative to its reference, with 95% intervals."""
    found = []
    for name in ["mase"] if answer_of(what).kind.reference == "seasonal_naive" else []:
        own, other = np.abs(score - y), np.abs(reference - y)
        value = float(own.mean() / other.mean()) if len(y) and other.any() else math.nan
        varies = spread(ratio_influence(own, other), clusters) if math.isfinite(value) else Spread(math.nan, 0.0, 0.0, 0)
        found.append(MetricValue(name, value, *interval(value, varies, "plain", len(y)), len(y)))
    return found


def metrics_of(what: Task | Answer) -> Mapping[str, Metric]:
    """The metrics by which the models of a workflow are measured, by name, of truth and scores (see `lakeloop.spec.tasks`).

    Truth is 0 or 1 for a binary classification, the place of a class among the declared ones for one in several, else the value.
    """
    answer = answer_of(what)
    if answer.kind.label == "number" and answer.quantiles:
        return quantile_metrics(answer.quantiles)
    return METRICS[answer.task]


def reference_words(what: Task | Answer, primary: str) -> str:
    """In a sentence, what a model must know more than by a metric."""
    return "guesses as frequent as the classes" if metrics_of(what)[primary].guessed else answer_of(what).kind.reference_words


def row_loss(what: Task | Answer, y: Array, score: Array) -> Array:
    """What a slice is judged by: the task's loss, per row."""
    rows = metrics_of(what)[answer_of(what).kind.loss].rows
    assert rows
    return rows(y, score)


def check_metric(what: Task | Answer, name: str, *, decides: bool = True) -> None:
    """Raise a SpecError unless the task has the metric, with the nearest match, and, if it is to decide, a model can be chosen by it."""
    answer = answer_of(what)
    measures = metrics_of(answer)
    known = [*measures, *([] if decides else BESIDE.get(answer.task, {}))]
    if name not in known:
        raise SpecError(f"no metric {name!r} for {answer.task}; {nearest(name, known)}")
    if decides and not measures[name].decides:
        deciding = ", ".join(other.name for other in measures.values() if other.decides)
        raise SpecError(f"no model can be chosen by {name}, which a useless one may have at its best; wanted one of {deciding}")


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
        score: as `lakeloop.spec.tasks` says; same length.
        clusters: code of the group of each row; rows of different groups are taken as independent, all rows without it.

    Raises:
        DataError: lengths differ, or a score or a label is NaN or infinite.
    """
    _fits(y, score)
    return [measure(metric, y, score, clusters=clusters) for metric in metrics_of(what).values()]


def paired_difference(what: Task | Answer, name: str, y: Array, a: Array, b: Array, *, clusters: Array | None = None) -> Difference:
    """How much better `a` is than `b` on the same rows, with a 95% interval.

    Args:
        what: the task, or what is answered; decides the metrics.
        name: of the metric.
        y: truth, see `metrics_of`.
        a: the scores of one model, as `lakeloop.spec.tasks` says; as many as truths.
        b: those of the other one.
        clusters: code of the group of each row; rows of different groups are taken as independent, all rows without it.

    Raises:
        DataError: lengths differ, or a score or a label is NaN or infinite.
    """
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
    half = student_quantile(1 - (1 - LEVEL) / 2, found.degrees) * found.error if found.degrees >= 1 else math.nan
    return Difference(value, found.error, found.degrees, value - half, value + half, len(y), found.groups)


def measure_slices(
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


def _fits(y: Array, score: Array) -> None:
    if len(y) != len(score):
        raise DataError(f"wanted one score per row, found {len(score)} scores for {len(y)} rows")
    for what, values in (("scores", score), ("labels", y)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise DataError(f"{bad} of {values.size} {what} are NaN or infinite")
