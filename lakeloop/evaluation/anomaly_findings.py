"""What can be said of a detector beside how it tells planted anomalies from real rows: how much it flags, how steady its top is, and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lakeloop.metrics.intervals import Spread, interval, share_of, spread
from lakeloop.metrics.table import METRICS, MetricValue, measure

Array = np.ndarray
TOP_SHARE = 0.01
"""The top of the list where the workflow names no rate of alerts."""
LEAST_TOP = 10
FLAGGED, STEADY = "flagged_share", "top_overlap"
LABELLED = {"labelled_roc_auc": "roc_auc", "labelled_average_precision": "average_precision"}


@dataclass(frozen=True)
class PlantedRows:
    """Which of the judged rows are planted, and what is known of the real ones.

    Attributes:
        kinds: of each row: empty for a real one, else how it was planted.
        alert_rate: share of rows that may be flagged, as the workflow says.
        threshold: of the score; what is above it is flagged.
        labelled: real rows with a label.
        anomalies: of those, how many the label calls one.
    """

    kinds: Array
    alert_rate: float | None
    threshold: float | None
    labelled: int = 0
    anomalies: int = 0


def beside(
    score: Array, refits: Sequence[Array] | None, some: Array, labels: Array, planted: PlantedRows, *, clusters: Array | None = None
) -> list[MetricValue]:
    """Metrics of real rows.

    Args:
        score: of each real row.
        refits: scores of the rows `some` by refits that differ in the seed alone; None where the seed decides nothing.
        some: positions of those rows.
        labels: of each real row, NaN where there is none.
        planted: rate, threshold.
        clusters: of each real row.
    """
    found = []
    if planted.threshold is not None:
        found.append(MetricValue(FLAGGED, *share_of(score > planted.threshold, clusters=clusters), len(score)))
    if refits is not None and len(refits) > 1:
        found.append(top_overlap(refits, planted.alert_rate or TOP_SHARE, None if clusters is None else clusters[some]))
    known = np.isfinite(labels)
    if known.any():
        for name, metric in LABELLED.items():
            value = measure(
                METRICS["binary_classification"][metric],
                labels[known],
                score[known],
                clusters=None if clusters is None else clusters[known],
            )
            found.append(MetricValue(name, value.value, value.low, value.high, value.n))
    return found


def top_overlap(refits: Sequence[Array], rate: float, clusters: Array | None = None) -> MetricValue:
    """Of the strangest rows by one seed, the share that another seed also has among its strangest, over all pairs of seeds."""
    n = len(refits[0])
    top = min(max(round(n * rate), LEAST_TOP), n)
    chosen = np.zeros((len(refits), n), bool)
    for index, score in enumerate(refits):
        chosen[index, np.argsort(-score, kind="stable")[:top]] = True
    times = chosen.sum(0)
    rows = times > 0
    # A row that k of s seeds choose is shared in k (k - 1) of the k (s - 1) pairs that it could be shared in.
    shared, possible = (times * (times - 1.0))[rows], (times * (len(refits) - 1.0))[rows]
    value = float(shared.sum() / possible.sum())
    influence = (shared - value * possible) / possible.mean()
    varies = spread(influence, None if clusters is None else clusters[rows]) if rows.sum() > 1 else Spread(math.nan, 0.0, 0.0, 0)
    return MetricValue(STEADY, value, *interval(value, varies, "share", int(rows.sum())), top)


def found_by_kind(y: Array, score: Array, kinds: Array) -> Mapping[str, float]:
    """The ROC AUC of each kind of planted rows against all real ones."""
    real = y == 0
    metric = METRICS["binary_classification"]["roc_auc"]
    return {str(kind): metric.value(y[real | (kinds == kind)], score[real | (kinds == kind)]) for kind in np.unique(kinds[~real])}
