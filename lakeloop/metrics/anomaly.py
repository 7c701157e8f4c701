"""Metrics of anomaly detection: truth is 1 for a planted row and 0 for a real one; the higher the score, the more anomalous the row."""

from __future__ import annotations

import math

import numpy as np

from lakeloop.metrics.binary import BINARY_METRICS, placements
from lakeloop.metrics.metric import index_by_name, mean_metric

Array = np.ndarray


def misranked(y: Array, score: Array) -> Array:
    """Share of the rows of the other kind that a row is on the wrong side of, mean over rows; 0.5 by chance."""
    below, above = placements(y, score)
    shares = np.full(len(y), math.nan)
    shares[y == 1], shares[y != 1] = 1 - below, 1 - above
    return shares


ANOMALY_METRICS = index_by_name(BINARY_METRICS["roc_auc"], BINARY_METRICS["average_precision"], mean_metric(misranked, False, most=1.0))
