"""Metrics of predicted quantiles: truth is a value, scores are its quantiles, `(rows, quantiles)`, both in the label's unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lakeloop.metrics.intervals import interval, spread
from lakeloop.metrics.metric import Metric, index_by_name, mean_metric

Array = np.ndarray


def quantile_metrics(quantiles: Sequence[float]) -> dict[str, Metric]:
    """The metrics of some quantiles (increasing, 0.5 among them)."""
    levels, middle = np.asarray(quantiles), list(quantiles).index(0.5)
    nominal = float(levels[-1] - levels[0])

    def is_inside(y: Array, score: Array) -> Array:
        return np.asarray((score[:, 0] <= y) & (y <= score[:, -1]), float)

    def coverage_error(y: Array, score: Array) -> float:
        return float(abs(is_inside(y, score).mean() - nominal)) if len(y) else float("nan")

    def error_influence(y: Array, score: Array) -> Array:
        covered = is_inside(y, score)
        return np.asarray(np.sign(covered.mean() - nominal) * (covered - covered.mean()))

    def error_bounds(y: Array, score: Array, clusters: Array | None, level: float) -> tuple[float, float]:
        """All distances that the interval of the coverage allows."""
        covered = is_inside(y, score)
        variation = spread(covered - covered.mean(), clusters)
        low, high = interval(float(covered.mean()), variation, "share", len(y), level)
        ends = abs(low - nominal), abs(high - nominal)
        return (0.0 if low <= nominal <= high else min(ends)), max(ends)

    return index_by_name(
        mean_metric(
            lambda y, score: pinball(y, score, levels).mean(axis=1), False, name="pinball_loss",
            description="Mean pinball loss over the quantiles, in the label's unit (Koenker and Bassett 1978).",
        ),
        mean_metric(
            is_inside, True, "share", name="coverage", decides=False,
            description=f"Share of rows from the lowest to the highest quantile; {nominal:g} is nominal.",
        ),
        Metric(
            "coverage_error", False, f"Distance of the coverage from its nominal {nominal:g}.", coverage_error, error_influence, bounds=error_bounds, decides=False, most=1.0,
        ),
        mean_metric(
            lambda y, score: score[:, -1] - score[:, 0], False, name="width", decides=False,
            description="Mean distance of the lowest and the highest quantile, in the label's unit.",
        ),
        mean_metric(
            lambda y, score: np.abs(score[:, middle] - y), False, name="mae", description="Mean absolute error of the median, in the label's unit.",
        ),
    )  # fmt: skip


def pinball(y: Array, score: Array, levels: Array) -> Array:
    """Pinball loss per row and quantile."""
    below = y[:, None] - score
    return np.asarray(np.maximum(levels * below, (levels - 1) * below))
