"""Time-ordered cross-validation: folds that only ever look back, and an estimator's score on each, told while it is being fitted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import DataError
from lakeloop.metrics.table import metrics_of
from lakeloop.spec.tables import render_duration
from lakeloop.spec.tasks import Answer, scores_of

if TYPE_CHECKING:
    import pandas as pd

FIRST_ROUNDS = 50
"""A boosted estimator is scored after so many rounds, after twice as many, and so on while at least as many are still to come: each score costs one
more pass over the rows, so that few are taken, where there is much to save, and at the same rounds in every trial."""
_ROUNDS = {
    "HistGradientBoostingClassifier": "max_iter",
    "HistGradientBoostingRegressor": "max_iter",
    "GradientBoostingClassifier": "n_estimators",
    "GradientBoostingRegressor": "n_estimators",
}
"""Estimators that can be fitted round by round (a warm start gives the very model that one fit gives), and the parameter that counts them."""
_CALLING_BACK = ("LGBMClassifier", "LGBMRegressor")
"""Estimators that call back after each round of a fit (LightGBM's)."""
Report = Callable[[int, int | None, float], None]
"""Takes the fold (from 0), the rounds so far (None at the end of a fold), and the score of that fold alone."""


@dataclass(frozen=True)
class Fold:
    """Rows to fit on, later rows to score, as positions; and the window that is scored."""

    fit: np.ndarray
    score: np.ndarray
    start: datetime
    end: datetime


def time_folds(at: np.ndarray, folds: int, gap: timedelta) -> list[Fold]:
    """Folds of equal length in time, each fitted on everything before it but for the gap.

    The time from the first to the last row is cut into one part more than there are folds; the first part is only fitted on.

    Args:
        at: the time of each row, `datetime64[us]`, UTC, in any order.
        folds: how many.
        gap: between what is fitted on and what is scored.

    Raises:
        DataError: a fold has no row to fit on, or none to score.

    >>> days = np.arange("2024-01-01", "2024-01-13", dtype="datetime64[D]").astype("datetime64[us]")
    >>> [(len(fold.fit), len(fold.score)) for fold in time_folds(days, 3, timedelta(days=1))]
    [(2, 3), (5, 3), (8, 3)]
    """
    at = at.astype("datetime64[us]")
    if not len(at):
        raise DataError("there are no rows to search on")
    first, length = at.min(), at.max() + np.timedelta64(1, "us") - at.min()
    edges = [first + length * part // (folds + 1) for part in range(folds + 2)]
    found = []
    for number, (start, end) in enumerate(pairwise(edges[1:]), 1):
        fold = Fold(
            np.flatnonzero(at < start - np.timedelta64(gap // timedelta(microseconds=1), "us")),
            np.flatnonzero((at >= start) & (at < end)),
            _utc(start),
            _utc(end),
        )
        for what, rows in (("fit on", fold.fit), ("score", fold.score)):
            if not len(rows):
                raise DataError(
                    f"fold {number} of {folds} ({fold.start:%Y-%m-%d %H:%M} to {fold.end:%Y-%m-%d %H:%M}) has no row to {what} "
                    f"(of {len(at)} rows from {_utc(first):%Y-%m-%d %H:%M} on, gap {render_duration(gap)}); wanted fewer folds"
                )
        found.append(fold)
    return found


def check_folds(folds: Sequence[Fold], y: np.ndarray, answer: Answer, metric: str) -> None:
    """Check that the metric is defined on every fold, before anything is fitted.

    Raises:
        DataError: of a class that is asked for, a fold has rows of one kind only.
    """
    from lakeloop.training.baselines import constant_scores

    for number, fold in enumerate(folds, 1):
        fitted, scored = y[fold.fit], y[fold.score]
        where = f"fold {number} of {len(folds)} ({fold.start:%Y-%m-%d %H:%M} to {fold.end:%Y-%m-%d %H:%M})"
        if answer.kind.label != "number" and len(np.unique(fitted)) < 2:
            raise DataError(f"{where} has one class only to fit on ({len(fitted)} rows); wanted fewer folds, or more rows")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = metrics_of(answer)[metric].value(scored, constant_scores(fitted, answer, len(scored), metric))
        if not math.isfinite(value):
            kinds = len(np.unique(scored))
            why = "one class only" if kinds == 1 else f"{kinds} different labels"
            raise DataError(
                f"{where} has {why} in its {len(scored)} rows to score, on which {metric} is not defined; wanted fewer folds, or another metric"
            )


def cross_validate(
    build: Callable[[], Any], frames: Sequence[tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]], answer: Answer, metric: str,
    report: Report,
    *,
    rounds: bool = True,
) -> float:  # fmt: skip
    """The mean of a metric over folds.

    Args:
        build: makes an unfitted estimator.
        frames: per fold the rows to fit on, their labels, the rows to score, their labels.
        answer: what is answered.
        metric: of its task.
        report: is told every score; what it raises ends the trial.
        rounds: whether to score a boosted estimator on the way too.

    Raises:
        DataError: predictions or the metric are NaN or infinite.
    """
    values = []
    for number, (fit_rows, fit_y, rows, y) in enumerate(frames):

        def score(estimator: Any, fold: int = number, rows: pd.DataFrame = rows, y: np.ndarray = y) -> float:
            return _value(estimator, rows, y, answer, metric, fold)

        def told(passed: int, estimator: Any, fold: int = number, score: Callable[[Any], float] = score) -> None:
            report(fold, passed, score(estimator))

        value = score(fit_in_rounds(build(), fit_rows, fit_y, told) if rounds else build().fit(fit_rows, fit_y))
        report(number, None, value)
        values.append(value)
    return float(np.mean(values))


def fit_in_rounds(estimator: Any, rows: pd.DataFrame, y: np.ndarray, told: Callable[[int, Any], None]) -> Any:
    """Fit an estimator, alone or at the end of a pipeline; the model is the one that its own `fit` gives.

    Args:
        estimator: unfitted.
        rows: to fit on.
        y: their labels.
        told: takes the rounds so far and what has been fitted by then, after `FIRST_ROUNDS`, twice as many, …; what it raises ends the fit.

    Returns:
        The fitted estimator.
    """
    steps = hasattr(estimator, "steps")
    before, last = (estimator[:-1] if steps and len(estimator) > 1 else None), (estimator[-1] if steps else estimator)
    if type(last).__name__ in _CALLING_BACK:

        def look(env: Any) -> None:
            if _is_looked_at(env.iteration + 1, env.end_iteration):
                told(env.iteration + 1, _SoFar(before, env.model, np.unique(y)))

        last.fit(rows if before is None else before.fit_transform(rows, y), y, callbacks=[look])
        return estimator
    counted = _ROUNDS.get(type(last).__name__)
    if not counted or getattr(last, "early_stopping", False):
        return estimator.fit(rows, y)
    ready, total = rows if before is None else before.fit_transform(rows, y), getattr(last, counted)
    looks = [rounds for rounds in range(FIRST_ROUNDS, total + 1, FIRST_ROUNDS) if _is_looked_at(rounds, total)]
    last.set_params(warm_start=bool(looks))
    for rounds in looks:
        last.set_params(**{counted: rounds}).fit(ready, y)
        told(rounds, estimator)
    last.set_params(**{counted: total}).fit(ready, y)
    return estimator


def _is_looked_at(rounds: int, total: int) -> bool:
    doubled = rounds / FIRST_ROUNDS
    return 2 * rounds <= total and doubled >= 1 and math.log2(doubled).is_integer()


@dataclass(frozen=True)
class _SoFar:
    """What LightGBM has fitted in the middle of a fit, as an estimator."""

    before: Any
    booster: Any
    classes_: np.ndarray

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.booster.predict(rows if self.before is None else self.before.transform(rows)))

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        found = self.predict(rows)
        return found if found.ndim == 2 else np.column_stack([1 - found, found])


def _value(estimator: Any, rows: pd.DataFrame, y: np.ndarray, answer: Answer, metric: str, fold: int) -> float:
    scores = scores_of(estimator, rows, answer)
    wrong = int((~np.isfinite(scores)).sum())
    if wrong:
        raise DataError(f"fold {fold + 1}: {wrong} of {scores.size} predictions are NaN or infinite")
    value = float(metrics_of(answer)[metric].value(y, scores))
    if not math.isfinite(value):
        raise DataError(f"fold {fold + 1}: {metric} is {value}, wanted a finite number")
    return value


def _utc(moment: np.datetime64) -> datetime:
    value = moment.astype("datetime64[us]").item()
    assert isinstance(value, datetime)
    return value.replace(tzinfo=UTC)
