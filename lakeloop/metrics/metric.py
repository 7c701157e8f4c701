"""The metric record: a value, and the influence of each row on it (see `lakeloop.metrics.intervals`). The metrics are in other modules."""

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
        value: its value, from truth and scores.
        influence: the influence of each row, mean zero.
        scale: how its interval is computed.
        degrees: degrees of freedom of its standard error, if they are fewer than the rows.
        bounds: an interval of its own, from truth, scores, clusters and level.
        rows: its value per row, if it is the mean of those.
        decides: whether a model can be chosen by it; not if more of it isn't better, or a useless model has the best value.
        guessed: whether guessing classes by their frequency is the best that one can do without features, rather than a constant.
        least: the least value that it can have.
        most: the greatest one; 1 for an area or a share.
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
    least: float = 0.0
    most: float = math.inf

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest value that it can have."""
        return self.least, min(self.most, 1.0) if self.scale in ("logit", "share") else self.most

    def spread(self, y: Array, score: Array, clusters: Array | None = None) -> Spread:
        """The variation of the metric on such rows."""
        return spread(self.influence(y, score), clusters, self.degrees(y) if self.degrees else None)


def mean_metric(rows: Callable[[Array, Array], Array], up: bool, scale: Scale = "plain", **more: Any) -> Metric:
    """A metric that is the mean of a value per row; name and description are those of the function by default."""

    def value(y: Array, score: Array) -> float:
        return float(rows(y, score).mean()) if len(y) else math.nan

    def influence(y: Array, score: Array) -> Array:
        values = rows(y, score)
        return np.asarray(values - values.mean())

    name, description = more.pop("name", rows.__name__), more.pop("description", str(rows.__doc__).strip())
    return Metric(name, up, description, value, influence, scale, rows=rows, **more)


def value_metric(value: Callable[[Array, Array], float], up: bool, influence: Callable[[Array, Array], Array], **more: Any) -> Metric:
    """Any other metric; name and description are those of the function of its value by default."""
    name, description = more.pop("name", value.__name__), more.pop("description", str(value.__doc__).strip())
    return Metric(name, up, description, value, influence, **more)


def index_by_name(*metrics: Metric) -> dict[str, Metric]:
    """Index metrics by their names."""
    return {metric.name: metric for metric in metrics}
