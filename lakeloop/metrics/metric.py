"""What a metric is: its value, and what each row adds to it (its influence, see `lakeloop.metrics.intervals`). The metrics themselves stand elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakeloop.metrics.intervals import Scale, Spread, spread

Array = np.ndarray


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
        decides: whether a model can be chosen by it; not where more of it isn't better, or nothing is the best.
        guessed: what knows nothing does best by guessing the classes as often as they come, not by saying the same of every row.
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
    decides: bool = True
    guessed: bool = False

    def spread(self, y: Array, score: Array, clusters: Array | None = None) -> Spread:
        """How the metric varies on such rows."""
        return spread(self.influence(y, score), clusters, self.degrees(y) if self.degrees else None)


def mean_metric(rows: Callable[[Array, Array], Array], up: bool, scale: Scale = "plain", **more: Any) -> Metric:
    """A metric that is the mean of a value per row; named and described as the function is, unless told otherwise."""

    def value(y: Array, score: Array) -> float:
        return float(rows(y, score).mean()) if len(y) else math.nan

    def influence(y: Array, score: Array) -> Array:
        found = rows(y, score)
        return np.asarray(found - found.mean())

    name, description = more.pop("name", rows.__name__), more.pop("description", str(rows.__doc__).strip())
    return Metric(name, up, description, value, influence, scale, rows=rows, **more)


def value_metric(value: Callable[[Array, Array], float], up: bool, influence: Callable[[Array, Array], Array], **more: Any) -> Metric:
    """Any other metric; named and described as the function of its value is, unless told otherwise."""
    name, description = more.pop("name", value.__name__), more.pop("description", str(value.__doc__).strip())
    return Metric(name, up, description, value, influence, **more)


def index_by_name(*metrics: Metric) -> dict[str, Metric]:
    """Metrics by their names."""
    return {found.name: found for found in metrics}
