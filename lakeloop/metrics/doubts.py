"""Why a metric has no interval, or one that can't be trusted, in a sentence."""

from __future__ import annotations

import math

import numpy as np

from lakeloop.metrics.intervals import Scale, Spread

Array = np.ndarray
LEAST_TAIL_ROWS = 200
"""With fewer rows the tail can't be told from the rest."""
MOST_SHAPE = 0.5
"""The shape of a tail from which on the variance of the terms is infinite, so that no standard error tells how far a mean may be off."""


def doubt(influence: Array, variation: Spread, scale: Scale, most: float, low: float) -> str:
    """What to say beside an interval, or instead of one; empty where it can be trusted.

    Args:
        influence: of each row on the metric.
        variation: of the metric.
        scale: how its interval is computed.
        most: how far the metric can be from zero; terms that are bounded have no long tail.
        low: the lower end of the interval; NaN where there is none.
    """
    clusters = variation.clusters
    if variation.groups < 2:
        return (
            "there is no interval: all rows may depend on each other"
            if len(influence) > 1
            else "there is no interval: one row tells no spread"
        )
    if scale != "share" and variation.error == 0:
        return "there is no interval: every row says the same, so that nothing tells how the figure varies"
    if clusters is not None and math.isnan(low):
        return f"too few effective clusters for an interval: {clusters.clusters} of unequal size tell no more than {clusters.effective:.1f} of one size do"
    if scale in ("plain", "squared") and math.isinf(most) and len(influence) >= LEAST_TAIL_ROWS:
        shape = tail_shape(influence)
        if shape > MOST_SHAPE:
            return (
                "the interval can't be trusted: a few rows are so far out that nothing tells how far those of the next window may be (tail index "
                f"{1 / shape:.1f}; below 2 the variance of what rows contribute is infinite)"
            )
    return ""


def tail_shape(values: Array) -> float:
    """The shape of the upper tail of the absolute values: 0 for exponential ones, the inverse of the tail index for powers.

    The moment estimator (Dekkers, Einmahl and de Haan 1989) on the largest values, as many as the number of rows to the power 0.6.
    """
    sizes = np.abs(values)
    count = int(len(sizes) ** 0.6)
    top = np.sort(np.partition(sizes, len(sizes) - count - 1)[len(sizes) - count - 1 :])
    if top[0] <= 0:
        return 0.0
    logs = np.log(top[1:] / top[0])
    first, second = float(logs.mean()), float((logs**2).mean())
    return first + 1 - 0.5 / (1 - first**2 / second) if second > first**2 else 0.0
