"""Permutation importance: how much worse a model scores on the test rows when one feature is shuffled, with an interval.

It measures what a model uses, not what causes anything. Of two features that hold the same information, each looks less important than the
pair is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.metrics.intervals import LEVEL, spread, student_quantile
from lakeloop.metrics.metric import Metric
from lakeloop.metrics.table import metrics_of
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import Answer

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
REPEATS = 2
MOST_ROWS = 4_000
"""Rows that are shuffled and scored; an importance that matters is many times the error that remains with this many."""


@dataclass(frozen=True)
class Importance:
    """The loss of a metric when a feature is shuffled (positive: the model needs it), with its 95% interval."""

    feature: str
    value: float
    low: float
    high: float
    rows: int


def permutation_importance(
    what: Task | Answer,
    name: str,
    predict: Callable[[pd.DataFrame], Array],
    frame: pd.DataFrame,
    y: Array,
    *,
    clusters: Array | None = None,
    seed: int = 0,
) -> list[Importance]:
    """Shuffle each feature in turn, score, and compare with the scores of the unshuffled rows.

    A row counts twice in a shuffled score: by its own truth, and by the value that it lends to another row. The interval includes both parts
    (Hoeffding 1948, for statistics of pairs).

    Args:
        what: the task or the answer; decides the metrics.
        name: of the metric.
        predict: scores of a frame.
        frame: the features, one row per truth.
        y: truth.
        clusters: rows that may depend on each other, see `lakeloop.metrics.intervals.spread`.
        seed: of the shuffles.

    Returns:
        The most important feature first.
    """
    metric = metrics_of(what)[name]
    sign = 1.0 if metric.greater_is_better else -1.0
    scores = predict(frame)
    base, influence = metric.value(y, scores), metric.influence(y, scores)
    rng, n = np.random.default_rng(seed), len(y)
    importance = []
    for feature in frame.columns:
        value, change = _shuffled_change(metric, predict, frame, y, influence, feature, rng)
        error = spread(change, clusters, metric.degrees(y) if metric.degrees else None)
        half = student_quantile(1 - (1 - LEVEL) / 2, error.degrees) * error.error if error.degrees >= 1 else float("nan")
        drop = sign * (base - value)
        importance.append(Importance(feature, drop, drop - half, drop + half, n))
    return sorted(importance, key=lambda item: -item.value)


def _shuffled_change(
    metric: Metric, predict: Callable[[pd.DataFrame], Array], frame: pd.DataFrame, y: Array, influence: Array, feature: str,
    rng: np.random.Generator,
) -> tuple[float, Array]:  # fmt: skip
    """The mean metric over shuffles of one feature, and the change of each row's influence on the metric."""
    import pandas as pd
    from threadpoolctl import threadpool_limits

    n = len(y)
    orders = [rng.permutation(n) for _ in range(REPEATS)]
    stacked = pd.concat([frame] * REPEATS, ignore_index=True)
    stacked[feature] = frame[feature].to_numpy()[np.concatenate(orders)]
    with threadpool_limits(1):  # trees predict one after the other, and the threads would wait for each other at each tree
        scores = np.split(predict(stacked), REPEATS)
    value, total = 0.0, np.zeros(n)
    for order, score in zip(orders, scores, strict=True):
        value += metric.value(y, score) / REPEATS
        change = (influence - metric.influence(y, score)) / REPEATS
        total += change
        total[order] += change
    return value, total
