"""The gain of a search over the parameters that the model has without it, on rows that the search never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.metrics.table import measure, metrics_of, paired_difference
from lakeloop.metrics.wording import format_number, format_plain_signed
from lakeloop.search.space import with_params
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lakeloop.rows.types import Kind


@dataclass(frozen=True)
class Gain:
    """How much better the best parameters of a search are; positive is better whatever the metric's direction.

    Attributes:
        metric: that the search optimised.
        before: its value without the search.
        after: its value with the best parameters.
        difference: of the two on the same rows.
        low, high: the 95% interval of the difference.
        rows: the number of scored rows.
        where: which rows these are, in words.
        same: the best parameters are those that the model has without the search.
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
        """The gain as plain values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The gain in a sentence."""
        if self.same:
            return f"The search gained nothing: no other parameters were better in cross-validation ({self.metric} {format_number(self.after)} on {self.where})."
        figures = (
            f"{self.metric} {format_number(self.after)} against {format_number(self.before)} without it, a difference of {format_plain_signed(self.difference)} "
            f"[{format_plain_signed(self.low)}, {format_plain_signed(self.high)}] (positive is better) on {self.rows:,} rows that the search never saw ({self.where})"
        )
        if self.low > 0:
            return f"The search gained: {figures}."
        if self.high < 0:
            return f"The search gained nothing and made the model worse: {figures}. Remove `search`, or search on more rows."
        return f"The search gained nothing that could not be chance: {figures}."


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
    """Fit the model without and with the best parameters, and score both on the same later rows.

    Args:
        model: as the workflow declares it.
        params: the best parameters of the search.
        kinds: the features.
        answer: what the model predicts.
        metric: that the search optimised.
        fit: features and labels to fit on.
        unseen: features and labels of rows that the search never saw.
        folder: of the definition.
        where: which rows these are, in words.
        same: whether these parameters are the model's own, so that one fit is enough.
        clusters: rows that may depend on each other.

    Raises:
        DataError: predictions are NaN or infinite.
    """
    variants: list[Mapping[str, Any]] = [params] if same else [{}, params]
    fitted = [fit_model(with_params(model, variant), kinds, answer, *fit, folder=folder) for variant in variants]
    scores = [scores_of(estimator, unseen[0], answer) for estimator in fitted]
    values = [measure(metrics_of(answer)[metric], unseen[1], score).value for score in scores]
    difference = paired_difference(answer, metric, unseen[1], scores[-1], scores[0], clusters=clusters)
    low, high = (0.0, 0.0) if same else (difference.low, difference.high)
    return Gain(metric, values[0], values[-1], difference.difference, low, high, len(unseen[1]), where, same)
