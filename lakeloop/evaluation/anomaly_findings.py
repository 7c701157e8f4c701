"""Metrics of an anomaly detector on real rows, besides how well it separates planted ones: how much it flags, how stable its top is, labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lakeloop.metrics.intervals import Spread, interval, share_of, spread
from lakeloop.metrics.table import METRICS, MetricValue, measure

Array = np.ndarray
TOP_SHARE = 0.01
"""Share of the rows that are the top where the workflow declares no alert rate."""
LEAST_TOP = 10
FLAGGED, STEADY = "flagged_share", "top_overlap"
LABELLED = {"labelled_roc_auc": "roc_auc", "labelled_average_precision": "average_precision"}


@dataclass(frozen=True)
class PlantedRows:
    """Which of the scored rows are planted, and what is known about the real ones.

    Attributes:
        kinds: how each row was planted; empty for a real one.
        alert_rate: share of rows to flag, as the workflow declares it.
        threshold: of the score; rows above it are flagged.
        labelled: the number of real rows with a label.
        anomalies: how many of those are anomalies by their label.
    """

    kinds: Array
    alert_rate: float | None
    threshold: float | None
    labelled: int = 0
    anomalies: int = 0


def real_row_metrics(
    score: Array, refits: Sequence[Array] | None, some: Array, labels: Array, planted: PlantedRows, *, clusters: Array | None = None
) -> list[MetricValue]:
    """Metrics that are measured on real rows.

    Args:
        score: of each real row.
        refits: scores of the rows `some` by refits that differ only in the seed; None where the seed changes nothing.
        some: positions of the rows that the refits score.
        labels: of each real row, NaN where there is none.
        planted: alert rate and threshold.
        clusters: of each real row.
    """
    metrics = []
    if planted.threshold is not None:
        metrics.append(MetricValue(FLAGGED, *share_of(score > planted.threshold, clusters=clusters), len(score)))
    if refits is not None and len(refits) > 1:
        metrics.append(top_overlap(refits, planted.alert_rate or TOP_SHARE, None if clusters is None else clusters[some]))
    is_labelled = np.isfinite(labels)
    if is_labelled.any():
        for name, metric in LABELLED.items():
            value = measure(
                METRICS["binary_classification"][metric],
                labels[is_labelled],
                score[is_labelled],
                clusters=None if clusters is None else clusters[is_labelled],
            )
            metrics.append(MetricValue(name, value.value, value.low, value.high, value.n))
    return metrics


def top_overlap(refits: Sequence[Array], rate: float, clusters: Array | None = None) -> MetricValue:
    """The share of the top rows by one seed that are also among the top rows by another seed, over all pairs of seeds."""
    n = len(refits[0])
    top = min(max(round(n * rate), LEAST_TOP), n)
    is_top = np.zeros((len(refits), n), bool)
    for index, score in enumerate(refits):
        is_top[index, np.argsort(-score, kind="stable")[:top]] = True
    times = is_top.sum(0)
    rows = times > 0
    # A row that k of s seeds have in their top is shared by k (k - 1) of the k (s - 1) pairs that could share it.
    shared, possible = (times * (times - 1.0))[rows], (times * (len(refits) - 1.0))[rows]
    value = float(shared.sum() / possible.sum())
    influence = (shared - value * possible) / possible.mean()
    error = spread(influence, None if clusters is None else clusters[rows]) if rows.sum() > 1 else Spread(math.nan, 0.0, 0.0, 0)
    return MetricValue(STEADY, value, *interval(value, error, "share", int(rows.sum())), top)


def separation_by_kind(y: Array, score: Array, kinds: Array) -> Mapping[str, float]:
    """The ROC AUC of each kind of planted rows against all real rows."""
    is_real = y == 0
    metric = METRICS["binary_classification"]["roc_auc"]
    return {str(kind): metric.value(y[is_real | (kinds == kind)], score[is_real | (kinds == kind)]) for kind in np.unique(kinds[~is_real])}
