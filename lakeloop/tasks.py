"""What differs from task to task, a row of `TASKS` each, and what a model of a workflow answers. No other module compares names of tasks.

To add a task: name it in `lakeloop.spec.Task`; give it a row in `TASKS`; give it metrics in `lakeloop.metrics` (`METRICS`; or in `metrics_of`, where
they depend on what the workflow says); name it in `TASKS` of the pipelines that can do it. Scores are float64: one per row, or a row of
numbers per row. What a workflow must say beside the task becomes a field of `Answer`, filled in by `WorkflowSpec.answer`. A section of the
report that only it has is a function in `lakeloop.evaluation_report.SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.spec import Column, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PREDICTION = "prediction"
LabelKind = Literal["binary", "number"]
"""A label is 0 or 1, or a number in its own unit."""


@dataclass(frozen=True)
class TaskKind:
    """What a task means for everything that is done with its models.

    Attributes:
        label: what its label is.
        asks: the method of an estimator that gives the scores; the first of these that it has.
        primary: the metric that decides unless the workflow names another.
        mean_is_best: metrics by which the mean of the labels is the best constant; by the others the median is. Of shares it is always the mean.
        loss: the metric whose value per row judges slices (it must have `Metric.rows`).
        loss_words: what that is, in a sentence.
        alone: metric and value that one feature hardly reaches by itself on a question worth asking (LL104).
        shares: its numbers are probabilities, from 0 to 1.
        costs: `evaluation.costs` and thresholds apply.
        prediction: what the column `prediction` holds, as a sentence.
        sections: of the report, by name in `lakeloop.evaluation_report.SECTIONS`, between the champion's and the importance's.
        reference: what a model must know more than: `constant`, or `seasonal_naive`.
    """

    label: LabelKind
    asks: tuple[str, ...]
    primary: str
    mean_is_best: tuple[str, ...]
    loss: str
    loss_words: str
    alone: tuple[str, float]
    shares: bool
    costs: bool
    prediction: str
    sections: tuple[str, ...]
    reference: Literal["constant", "seasonal_naive"] = "constant"

    @property
    def reference_words(self) -> str:
        """The reference in a sentence."""
        return {"constant": "a constant", "seasonal_naive": "the seasonal naive forecast"}[self.reference]


TASKS: Mapping[Task, TaskKind] = {
    "binary_classification": TaskKind(
        label="binary",
        asks=("predict_proba",),
        primary="roc_auc",
        mean_is_best=(),
        loss="brier",
        loss_words="squared error of the probability",
        alone=("roc_auc", 0.95),
        shares=True,
        costs=True,
        prediction="Probability of the positive class.",
        sections=("calibration", "thresholds"),
    ),
    "regression": TaskKind(
        label="number",
        asks=("predict",),
        primary="mae",
        mean_is_best=("rmse", "r2", "bias"),
        loss="mae",
        loss_words="absolute error",
        alone=("r2", 0.9),
        shares=False,
        costs=False,
        prediction="Predicted value, in the label's unit.",
        sections=("calibration", "residuals"),
    ),
    "forecasting": TaskKind(
        label="number",
        asks=("predict",),
        primary="mae",
        mean_is_best=("rmse", "r2", "bias"),
        loss="mae",
        loss_words="absolute error",
        alone=("r2", 0.999),  # the last value may well say most of the next
        shares=False,
        costs=False,
        prediction="Forecast of the value at the target time, in the label's unit.",
        sections=("horizons", "calibration", "residuals"),
        reference="seasonal_naive",
    ),
}


@dataclass(frozen=True)
class Answer:
    """What a model says of each row: decided by the task and by what the workflow says beside it. It travels in the model."""

    task: Task

    @property
    def kind(self) -> TaskKind:
        """The task's row of the table."""
        return TASKS[self.task]

    @property
    def columns(self) -> dict[str, Column]:
        """The columns of a prediction."""
        return {PREDICTION: Column(type="double", nullable=False, description=self.kind.prediction)}

    def record(self) -> dict[str, Any]:
        """As plain values, to be stored with a model."""
        return {"task": self.task}

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> Answer:
        """The answer of a stored model."""
        return cls(stored["task"])


def answer_of(what: Task | Answer) -> Answer:
    """A task that needs nothing said beside it, as an answer."""
    return what if isinstance(what, Answer) else Answer(what)


def asked_method(estimator: Any, answer: Answer) -> str:
    """The method of an estimator that gives its scores."""
    return next((name for name in answer.kind.asks if hasattr(estimator, name)), answer.kind.asks[-1])


def scores_of(estimator: Any, frame: pd.DataFrame, answer: Answer) -> np.ndarray:
    """The scores of a fitted estimator: float64, in the order of the rows."""
    return as_scores(getattr(estimator, asked_method(estimator, answer))(frame), answer)


def as_scores(raw: Any, answer: Answer) -> np.ndarray:
    """What an estimator answered as scores: of two probabilities the second."""
    import numpy as np

    found = np.asarray(raw, dtype=np.float64)
    return found[:, -1] if found.ndim == 2 else found
