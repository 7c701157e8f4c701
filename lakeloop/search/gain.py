"""The gain of a search over the parameters that the model had before: the champion's, or those without a search; on rows that the search never saw."""

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
        before: its value with the parameters that the model had before.
        after: its value with the best parameters.
        difference: of the two on the same rows.
        low, high: the 95% interval of the difference.
        rows: the number of scored rows.
        where: which rows these are, in words.
        same: the best parameters are those that the model had before.
        against: whose parameters it had before, in words.
        kept: the model keeps them, because nothing was gained; in searches of releases before 0.4.0 it took the best ones all the same.
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
    against: str = "without it"
    kept: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether the best parameters are better than chance would have them."""
        return not self.same and self.low > 0

    def record(self) -> dict[str, Any]:
        """The gain as plain values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The gain in a sentence."""
        if self.same:
            return f"The search gained nothing: no other parameters were better in cross-validation ({self.metric} {format_number(self.after)} on {self.where})."
        figures = (
            f"{self.metric} {format_number(self.after)} against {format_number(self.before)} {self.against}, a difference of {format_plain_signed(self.difference)} "
            f"[{format_plain_signed(self.low)}, {format_plain_signed(self.high)}] (positive is better) on {self.rows:,} rows that the search never saw ({self.where})"
        )
        if self.low > 0:
            return f"The search gained: {figures}."
        keeps = " The model keeps the parameters that it had before." if self.kept else ""
        if self.high < 0:
            return f"The search gained nothing and made the model worse: {figures}. Remove `search`, or search on more rows.{keeps}"
        return f"The search gained nothing that could not be chance: {figures}.{keeps}"


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
    before: Mapping[str, Any] | None = None,
    against: str = "without it",
    clusters: np.ndarray | None = None,
) -> Gain:
    """Fit the model with the parameters that it had before and with the best ones, and score both on the same later rows.

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
        before: the parameters that the model had before; its own without them. Where they are the best ones, one fit is enough.
        against: whose these are, in words.
        clusters: rows that may depend on each other.

    Raises:
        DataError: predictions are NaN or infinite.
    """
    same = params == before
    variants: list[Mapping[str, Any]] = [params] if same else [before or {}, params]
    fitted = [fit_model(with_params(model, variant), kinds, answer, *fit, folder=folder) for variant in variants]
    scores = [scores_of(estimator, unseen[0], answer) for estimator in fitted]
    values = [measure(metrics_of(answer)[metric], unseen[1], score).value for score in scores]
    difference = paired_difference(answer, metric, unseen[1], scores[-1], scores[0], clusters=clusters)
    low, high = (0.0, 0.0) if same else (difference.low, difference.high)
    return Gain(
        metric, values[0], values[-1], difference.difference, low, high, len(unseen[1]), where, same, against, not (same or low > 0)
    )
