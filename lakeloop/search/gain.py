"""What a search gained over the parameters that the model had without it, on rows that the search never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.metrics.table import measure, metrics_of, paired_difference
from lakeloop.metrics.wording import number, signed
from lakeloop.search.space import with_params
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lakeloop.training.frames import Kind


@dataclass(frozen=True)
class Gain:
    """How much better the parameters found are; positive is better whatever the metric's direction.

    Attributes:
        metric: that was searched for.
        before: its value without the search.
        after: with the best parameters.
        difference: after against before on the same rows, and its 95% interval.
        low: of it.
        high: of it.
        rows: that were scored.
        where: which rows these are.
        same: the best parameters are those that the model had anyway.
    """

    metric: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    rows: int
    where: str
    same: bool = False

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        if self.same:
            return f"The search gained nothing: no other parameters were better in cross-validation ({self.metric} {number(self.after)} on {self.where})."
        figures = (
            f"{self.metric} {number(self.after)} against {number(self.before)} without it, a difference of {signed(self.difference)} "
            f"[{signed(self.low)}, {signed(self.high)}] (positive is better) on {self.rows:,} rows that it never saw ({self.where})"
        )
        if self.low > 0:
            return f"The search gained: {figures}."
        if self.high < 0:
            return f"The search gained nothing, it lost: {figures}. Take `search` out, or search on more rows."
        return f"The search gained nothing that can be told from chance: {figures}."


def measure_gain(
    model: Model,
    params: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    answer: Answer,
    metric: str,
    fit: tuple[pd.DataFrame, np.ndarray],
    unseen: tuple[pd.DataFrame, np.ndarray],
    *,
    folder: Path,
    where: str,
    same: bool = False,
    clusters: np.ndarray | None = None,
) -> Gain:
    """Fit the model without and with what was found, and score both on the same later rows.

    Args:
        model: as written.
        params: found by the search.
        kinds: the features.
        answer: what is answered.
        metric: that was searched for.
        fit: features and labels to fit on.
        unseen: features and labels of rows that the search never saw.
        folder: of the definition.
        where: which rows these are, in words.
        same: that the parameters found are the model's own, so that one fit is enough.
        clusters: rows that may depend on each other.

    Raises:
        DataError: predictions are NaN or infinite.
    """
    tried: list[Mapping[str, Any]] = [params] if same else [{}, params]
    fitted = [fit_model(with_params(model, found), kinds, answer, *fit, folder=folder) for found in tried]
    scores = [scores_of(estimator, unseen[0], answer) for estimator in fitted]
    values = [measure(metrics_of(answer)[metric], unseen[1], score).value for score in scores]
    difference = paired_difference(answer, metric, unseen[1], scores[-1], scores[0], clusters=clusters)
    low, high = (0.0, 0.0) if same else (difference.low, difference.high)
    return Gain(metric, values[0], values[-1], difference.difference, low, high, len(unseen[1]), where, same)
