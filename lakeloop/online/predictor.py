"""Compiled predictors: a fitted model as arithmetic on rows of numbers, without a frame, equal to what the model itself predicts.

A model that isn't understood step by step isn't compiled, and the reason is a sentence for the user. Whoever compiles one proves it against the model
(`lakeloop.online.proof`): what is understood here is scikit-learn's code as it is today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lakeloop.online.encoding import Borders, CannotCompile, Encoding, Estimate, Input
from lakeloop.online.wrapped import understand
from lakeloop.spec.tasks import Answer, scoring_method, to_scores


class Predictor(Protocol):
    """Scores of rows that are encoded."""

    @property
    def encoding(self) -> Encoding:
        """How values become rows."""

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """The scores, as `ServableModel.predict` gives them for the same rows: float64, `(rows,)` or `(rows, numbers)`.

        Args:
            rows: float64 in C order, `(rows, inputs)`, as `encoding` says.

        Raises:
            DataError: a number is one that the model can't take.
        """


@dataclass(frozen=True)
class Compiled:
    """A model that was compiled.

    Attributes:
        encoding: of its inputs.
        estimate: what its method gives for encoded rows.
        finish: makes scores of that.
        borders: where its trees part rows, by input.
    """

    encoding: Encoding
    estimate: Estimate
    finish: Estimate
    borders: Borders = field(default_factory=dict)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """See `Predictor.scores`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.finish(self.estimate(rows))


def compile_model(
    raw: Any, inputs: Sequence[Input], answer: Answer, *, fitted: Sequence[int] | None = None, method: str | None = None
) -> Predictor | str:
    """Compile a fitted model.

    Args:
        raw: the fitted estimator.
        inputs: the model's inputs, in its order.
        answer: what it answers.
        fitted: the classes that it was fitted on, by position; all of them if None.
        method: of the estimator that gives its scores; by default the one that the task calls.

    Returns:
        The predictor, or a sentence that says why there is none.
    """
    try:
        part = understand(raw, inputs, method or scoring_method(raw, answer))
    except CannotCompile as reason:
        return str(reason)
    return Compiled(part.encoding, part.estimate, _finish(answer, fitted), part.borders)


def _finish(answer: Answer, fitted: Sequence[int] | None) -> Estimate:
    """`to_scores`, of which most is decided before the first row: it takes 9 µs of a row's 50."""
    width = len(answer.numbers)
    if not width:
        sign = -1.0 if answer.kind.label == "none" else 1.0
        return lambda output: sign * (output[:, -1] if output.ndim == 2 else output).astype(np.float64, copy=False)
    if answer.classes and fitted is not None and list(fitted) == list(range(width)):
        return lambda output: output.astype(np.float64, copy=False) if output.shape[1] == width else to_scores(output, answer, fitted)
    return lambda output: to_scores(output, answer, fitted)
