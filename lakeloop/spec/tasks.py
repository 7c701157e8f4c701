"""What differs from task to task, one row of `TASKS` each, and what a workflow's model answers. No other module compares names of tasks.

To add a task: name it in `lakeloop.spec.tables.Task`; give it a row in `TASKS`; give it metrics in `lakeloop.metrics.table` (in `METRICS`, or
in `metrics_of` if they depend on the workflow); name it in `TASKS` of the pipelines that support it. Scores are float64: one per row, or a row
of numbers per row. Whatever a workflow must define beside the task becomes a field of `Answer`, filled in by `WorkflowSpec.answer`. A section
of the report that only this task has is a function in `lakeloop.report.task_sections.SECTIONS`.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import DataError
from lakeloop.spec.tables import Column, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PREDICTION, MEDIAN = "prediction", 0.5
ALERT = "is_alert"
"""The column beside the prediction that flags rows above the alert threshold."""
QUANTILES = (0.05, 0.5, 0.95)
"""What a quantile regression predicts by default: the median, and a 90% interval."""
LabelKind = Literal["binary", "class", "number", "none"]
"""A label is 0 or 1, one of the declared classes, or a number in its own unit; or the task learns without one."""


@dataclass(frozen=True)
class TaskKind:
    """The properties of a task that the handling of its models depends on.

    Attributes:
        label: the kind of its label.
        methods: the methods of an estimator that may give the scores; the first that it has is called (a vote's `transform` returns every
            member's prediction).
        primary: the metric that decides in a drafted workflow.
        mean_is_best: metrics by which the mean of the labels is the best constant; by the others it is the median. For probabilities it is
            always the mean.
        loss: the metric whose value per row judges slices (it must have `Metric.rows`).
        loss_words: that metric in words.
        leak_limit: a metric and the value that one feature alone hardly reaches on a question worth asking (LL104); a regression's metric for a
            numeric label.
        gives_probabilities: whether its numbers are probabilities, from 0 to 1.
        costs: whether `evaluation.costs` and thresholds apply.
        prediction: the content of the column `prediction`, as a sentence.
        sections: sections of the report, by name in `lakeloop.report.task_sections.SECTIONS`, between those of the champion and of importance.
        beside: metrics that are followed over time beside the primary one.
        reference: what a model must beat: `constant`, or `seasonal_naive`.
    """

    label: LabelKind
    methods: tuple[str, ...]
    primary: str
    mean_is_best: tuple[str, ...]
    loss: str
    loss_words: str
    leak_limit: tuple[str, float]
    gives_probabilities: bool
    costs: bool
    prediction: str
    sections: tuple[str, ...]
    beside: tuple[str, ...] = ()
    reference: Literal["constant", "seasonal_naive"] = "constant"

    @property
    def reference_words(self) -> str:
        """The reference in a sentence."""
        return {"constant": "a constant", "seasonal_naive": "the seasonal naive forecast"}[self.reference]


TASKS: Mapping[Task, TaskKind] = {
    "binary_classification": TaskKind(
        label="binary",
        methods=("predict_proba",),
        primary="roc_auc",
        mean_is_best=(),
        loss="brier",
        loss_words="squared error of the probability",
        leak_limit=("roc_auc", 0.95),
        gives_probabilities=True,
        costs=True,
        prediction="Probability of the positive class.",
        sections=("calibration", "thresholds"),
    ),
    "multiclass_classification": TaskKind(
        label="class",
        methods=("predict_proba",),
        primary="log_loss",
        mean_is_best=(),
        loss="brier",
        loss_words="squared error of the probabilities",
        leak_limit=("roc_auc", 0.95),
        gives_probabilities=True,
        costs=False,
        prediction="The most probable class.",
        sections=("classes", "class_calibration"),
    ),
    "regression": TaskKind(
        label="number",
        methods=("predict",),
        primary="mae",
        mean_is_best=("rmse", "r2", "bias"),
        loss="mae",
        loss_words="absolute error",
        leak_limit=("r2", 0.9),
        gives_probabilities=False,
        costs=False,
        prediction="Predicted value, in the label's unit.",
        sections=("calibration", "residuals"),
    ),
    "quantile_regression": TaskKind(
        label="number",
        methods=("transform", "predict"),
        primary="pinball_loss",
        mean_is_best=(),
        loss="pinball_loss",
        loss_words="pinball loss",
        leak_limit=("r2", 0.9),
        gives_probabilities=False,
        costs=False,
        prediction="Predicted median, in the label's unit.",
        sections=("coverage", "reliability", "residuals"),
        beside=("coverage", "width"),
    ),
    "forecasting": TaskKind(
        label="number",
        methods=("predict",),
        primary="mae",
        mean_is_best=("rmse", "r2", "bias"),
        loss="mae",
        loss_words="absolute error",
        leak_limit=("r2", 0.999),  # the last value may well say most of the next
        gives_probabilities=False,
        costs=False,
        prediction="Forecast of the value at the target time, in the label's unit.",
        sections=("horizons", "calibration", "residuals"),
        reference="seasonal_naive",
    ),
    "anomaly_detection": TaskKind(
        label="none",
        methods=("score_samples",),
        primary="roc_auc",
        mean_is_best=("roc_auc", "average_precision", "misranked"),
        loss="misranked",
        loss_words="share of the other kind that is ranked wrongly",
        leak_limit=("roc_auc", 0.95),
        gives_probabilities=False,
        costs=False,
        prediction="How strange the row is; higher is stranger, the scale is the pipeline's.",
        sections=("planted",),
    ),
}


@dataclass(frozen=True)
class Answer:
    """What a model answers for each row, by its task and the settings beside it. It is stored in the model.

    Attributes:
        task: the task.
        classes: the classes of a multiclass classification, in the order of the scores.
        quantiles: the quantiles of a quantile regression, increasing.
    """

    task: Task
    classes: tuple[str | int, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def kind(self) -> TaskKind:
        """The task's row of the table."""
        return TASKS[self.task]

    @property
    def numbers(self) -> dict[str, str]:
        """Name -> description of the columns of `(rows, numbers)` scores; empty where a row has one score."""
        if self.classes:
            names = _class_names(self.classes)
            return {name: f"Probability of {label}." for name, label in zip(names, self.classes, strict=True)}
        return {
            PREDICTION
            if level == MEDIAN
            else f"{PREDICTION}_q{f'{level:.10f}'[2:].rstrip('0').ljust(2, '0')}": f"{_percent(level)} of values are below."
            for level in self.quantiles
        }

    @property
    def columns(self) -> dict[str, Column]:
        """The columns of a prediction, `prediction` first."""
        kind: Any = "integer" if self.classes and isinstance(self.classes[0], int) else "string" if self.classes else "double"
        columns = {PREDICTION: Column(type=kind, nullable=False, description=self.kind.prediction)}
        for name, description in self.numbers.items():
            columns.setdefault(name, Column(type="double", nullable=False, description=description))
        return columns

    def point(self, scores: np.ndarray) -> np.ndarray:
        """One number per row: the score, or the median among quantiles."""
        return scores[:, self.quantiles.index(MEDIAN)] if self.quantiles else scores

    def values(self, scores: np.ndarray) -> dict[str, list[Any] | np.ndarray]:
        """Scores as the columns of a prediction; `prediction` is the most probable class (the first of equals), or the median quantile."""
        if not self.numbers:
            return {PREDICTION: scores}
        columns: dict[str, Any] = {name: scores[:, position] for position, name in enumerate(self.numbers)}
        if self.classes:
            columns[PREDICTION] = [self.classes[position] for position in scores.argmax(axis=1)]
        return {name: columns[name] for name in self.columns}

    def record(self) -> dict[str, Any]:
        """As plain values, to be stored with a model."""
        settings = {"classes": list(self.classes), "quantiles": list(self.quantiles)}
        return {"task": self.task, **{name: values for name, values in settings.items() if values}}

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> Answer:
        """The answer of a stored model."""
        return cls(stored["task"], tuple(stored.get("classes", ())), tuple(stored.get("quantiles", ())))


def answer_of(task: Task | Answer) -> Answer:
    """The answer of a task that needs no settings; an answer is returned as it is."""
    return task if isinstance(task, Answer) else Answer(task)


def scoring_method(estimator: Any, answer: Answer) -> str:
    """The method of an estimator that gives its scores."""
    return next((name for name in answer.kind.methods if hasattr(estimator, name)), answer.kind.methods[-1])


def scores_of(estimator: Any, frame: pd.DataFrame, answer: Answer) -> np.ndarray:
    """The scores of a fitted estimator: float64, in the order of the rows."""
    return to_scores(getattr(estimator, scoring_method(estimator, answer))(frame), answer, fitted_classes(estimator))


def fitted_classes(estimator: Any) -> list[int] | None:
    """The positions of the classes that a classifier was fitted on, in the order of its probabilities; None if it doesn't list them."""
    classes = getattr(estimator, "classes_", None)
    return None if classes is None else [int(position) for position in classes]


def to_scores(raw: Any, answer: Answer, fitted: Sequence[int] | None = None) -> np.ndarray:
    """Turn an estimator's output into scores.

    Of two probabilities the second is taken; a class that it wasn't fitted on has probability 0; quantiles that cross are sorted, which never
    makes them worse (Chernozhukov, Fernández-Val and Galichon 2010).

    Args:
        raw: a number or a row of numbers per row.
        answer: what the model answers.
        fitted: see `fitted_classes`; all classes if None.

    Raises:
        DataError: the output has another number of columns.
    """
    import numpy as np

    output, width = np.asarray(raw, dtype=np.float64), len(answer.numbers)
    if not width:
        scores = output[:, -1] if output.ndim == 2 else output
        return -scores if answer.kind.label == "none" else scores  # scikit-learn's are higher for ordinary rows
    positions = list(range(width)) if fitted is None or not answer.classes else list(fitted)
    if output.ndim != 2 or output.shape[1] != len(positions):
        raise DataError(f"wanted {len(positions)} numbers a row ({', '.join(answer.numbers)}), found an answer of shape {output.shape}")
    if answer.quantiles:
        return np.sort(output, axis=1)
    by_class = np.zeros((len(output), width))
    by_class[:, positions] = output
    return by_class


def _class_names(classes: Sequence[str | int]) -> list[str]:
    """Name the columns of classes, `probability_<class>`: plain letters, digits and `_`, numbered where two would be equal.

    >>> _class_names(["Iris setosa", "iris-setosa", "größer", "+", 3, -1])
    ['probability_iris_setosa', 'probability_iris_setosa_2', 'probability_grosser', 'probability_class_4', 'probability_3', 'probability_minus_1']
    """
    names: list[str] = []
    for number, label in enumerate(classes, 1):
        text = f"minus_{-label}" if isinstance(label, int) and label < 0 else str(label).replace("ß", "ss")
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        stem = f"probability_{re.sub('[^a-z0-9]+', '_', plain).strip('_')[:40] or f'class_{number}'}"
        candidates = itertools.chain([stem], (f"{stem}_{suffix}" for suffix in itertools.count(2)))
        names.append(next(name for name in candidates if name not in names))
    return names


def _percent(level: float) -> str:
    """A level in percent.

    >>> _percent(0.05), _percent(0.975)
    ('5%', '97.5%')
    """
    return f"{100 * level:.10g}%"
