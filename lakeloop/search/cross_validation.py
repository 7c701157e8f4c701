"""Time-ordered cross-validation: folds fitted on earlier rows only, and an estimator's score on each, reported while it is being fitted."""

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
from lakeloop.training.baselines import constant_scores
from lakeloop.training.groups import without_groups_of

if TYPE_CHECKING:
    import pandas as pd

FIRST_ROUNDS = 50
"""A boosted estimator is scored after this many rounds, after twice as many, and so on, as long as at least as many are still to come. Each score costs
one more pass over the rows, so there are few, placed where pruning saves much, and after the same rounds in every trial."""
_ROUNDS = {
    "HistGradientBoostingClassifier": "max_iter",
    "HistGradientBoostingRegressor": "max_iter",
    "GradientBoostingClassifier": "n_estimators",
    "GradientBoostingRegressor": "n_estimators",
}
"""Estimators that can be fitted round by round (a warm start gives exactly the model of a single fit), and their parameter for the number of rounds."""
_WITH_CALLBACKS = ("LGBMClassifier", "LGBMRegressor")
"""Estimators that call a function after each round of a fit (LightGBM's)."""
Report = Callable[[int, int | None, float], None]
"""Takes the fold (from 0), the rounds so far (None at the end of a fold), and the score of that fold alone."""


@dataclass(frozen=True)
class Fold:
    """Rows to fit on, later rows to score, as positions; and the window that is scored."""

    fit: np.ndarray
    score: np.ndarray
    start: datetime
    end: datetime


def time_folds(at: np.ndarray, folds: int, gap: timedelta, groups: np.ndarray | None = None) -> list[Fold]:
    """Folds of equal length in time, each fitted on all earlier rows except those in the gap.

    The time from the first to the last row is divided into one part more than there are folds; the first part is never scored.

    Args:
        at: the time of each row, `datetime64[us]`, UTC, in any order.
        folds: the number of folds.
        gap: between the rows to fit on and the rows to score.
        groups: of the rows: none is both fitted on and scored in a fold.

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
    result = []
    for number, (start, end) in enumerate(pairwise(edges[1:]), 1):
        earlier = np.flatnonzero(at < start - np.timedelta64(gap // timedelta(microseconds=1), "us"))
        scored = np.flatnonzero((at >= start) & (at < end))
        fold = Fold(without_groups_of(earlier, scored, groups), scored, _utc(start), _utc(end))
        for what, rows in (("fit on", fold.fit), ("score", fold.score)):
            if not len(rows):
                raise DataError(
                    f"fold {number} of {folds} ({fold.start:%Y-%m-%d %H:%M} to {fold.end:%Y-%m-%d %H:%M}) has no row to {what} "
                    f"(of {len(at)} rows from {_utc(first):%Y-%m-%d %H:%M} on, gap {render_duration(gap)}); wanted fewer folds"
                )
        result.append(fold)
    return result


def check_folds(folds: Sequence[Fold], y: np.ndarray, answer: Answer, metric: str) -> None:
    """Check that the metric is defined on every fold, before anything is fitted.

    Raises:
        DataError: a fold has rows of a single class, or the metric is undefined on its rows.
    """
    for number, fold in enumerate(folds, 1):
        fitted, scored = y[fold.fit], y[fold.score]
        where = f"fold {number} of {len(folds)} ({fold.start:%Y-%m-%d %H:%M} to {fold.end:%Y-%m-%d %H:%M})"
        if answer.kind.label != "number" and len(np.unique(fitted)) < 2:
            raise DataError(f"{where} has a single class to fit on ({len(fitted)} rows); wanted fewer folds, or more rows")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = metrics_of(answer)[metric].value(scored, constant_scores(fitted, answer, len(scored), metric))
        if not math.isfinite(value):
            distinct = len(np.unique(scored))
            why = "a single class" if distinct == 1 else f"{distinct} different labels"
            raise DataError(
                f"{where} has {why} in its {len(scored)} rows to score, on which {metric} is not defined; wanted fewer folds, or another metric"
            )


def cross_validate(
    build: Callable[[pd.DataFrame], Any], frames: Sequence[tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]], answer: Answer, metric: str,
    report: Report,
    *,
    rounds: bool = True,
) -> float:  # fmt: skip
    """The mean of a metric over folds.

    Args:
        build: makes an unfitted estimator for rows to fit on.
        frames: per fold the rows to fit on, their labels, the rows to score, their labels.
        answer: what the model predicts.
        metric: of its task.
        report: is called with every score; an exception from it ends the trial.
        rounds: whether to also score a boosted estimator while it is being fitted.

    Raises:
        DataError: predictions or the metric are NaN or infinite.
    """
    values = []
    for number, (fit_rows, fit_y, rows, y) in enumerate(frames):

        def score(estimator: Any, fold: int = number, rows: pd.DataFrame = rows, y: np.ndarray = y) -> float:
            return _value(estimator, rows, y, answer, metric, fold)

        def report_rounds(passed: int, estimator: Any, fold: int = number, score: Callable[[Any], float] = score) -> None:
            report(fold, passed, score(estimator))

        estimator = build(fit_rows)
        value = score(fit_in_rounds(estimator, fit_rows, fit_y, report_rounds) if rounds else estimator.fit(fit_rows, fit_y))
        report(number, None, value)
        values.append(value)
    return float(np.mean(values))


def fit_in_rounds(estimator: Any, rows: pd.DataFrame, y: np.ndarray, on_rounds: Callable[[int, Any], None]) -> Any:
    """Fit an estimator, alone or at the end of a pipeline; the result equals that of its own `fit`.

    Args:
        estimator: unfitted.
        rows: to fit on.
        y: their labels.
        on_rounds: is called with the rounds so far and the estimator fitted by then, after `FIRST_ROUNDS`, twice as many, …; an exception
            from it ends the fit.

    Returns:
        The fitted estimator.
    """
    is_pipeline = hasattr(estimator, "steps")
    before, last = (estimator[:-1] if is_pipeline and len(estimator) > 1 else None), (estimator[-1] if is_pipeline else estimator)
    if type(last).__name__ in _WITH_CALLBACKS:

        def after_round(env: Any) -> None:
            if _is_scored_after(env.iteration + 1, env.end_iteration):
                on_rounds(env.iteration + 1, _PartialFit(before, env.model, np.unique(y)))

        last.fit(rows if before is None else before.fit_transform(rows, y), y, callbacks=[after_round])
        return estimator
    parameter = _ROUNDS.get(type(last).__name__)
    if not parameter or getattr(last, "early_stopping", False):
        return estimator.fit(rows, y)
    transformed, total = rows if before is None else before.fit_transform(rows, y), getattr(last, parameter)
    stops = [rounds for rounds in range(FIRST_ROUNDS, total + 1, FIRST_ROUNDS) if _is_scored_after(rounds, total)]
    last.set_params(warm_start=bool(stops))
    for rounds in stops:
        last.set_params(**{parameter: rounds}).fit(transformed, y)
        on_rounds(rounds, estimator)
    last.set_params(**{parameter: total}).fit(transformed, y)
    return estimator


def _is_scored_after(rounds: int, total: int) -> bool:
    doubled = rounds / FIRST_ROUNDS
    return 2 * rounds <= total and doubled >= 1 and math.log2(doubled).is_integer()


@dataclass(frozen=True)
class _PartialFit:
    """What LightGBM has fitted so far, in the middle of a fit, as an estimator."""

    before: Any
    booster: Any
    classes_: np.ndarray

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.booster.predict(rows if self.before is None else self.before.transform(rows)))

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        scores = self.predict(rows)
        return scores if scores.ndim == 2 else np.column_stack([1 - scores, scores])


def _value(estimator: Any, rows: pd.DataFrame, y: np.ndarray, answer: Answer, metric: str, fold: int) -> float:
    scores = scores_of(estimator, rows, answer)
    not_finite = int((~np.isfinite(scores)).sum())
    if not_finite:
        raise DataError(f"fold {fold + 1}: {not_finite} of {scores.size} predictions are NaN or infinite")
    value = float(metrics_of(answer)[metric].value(y, scores))
    if not math.isfinite(value):
        raise DataError(f"fold {fold + 1}: {metric} is {value}, wanted a finite number")
    return value


def _utc(moment: np.datetime64) -> datetime:
    value = moment.astype("datetime64[us]").item()
    assert isinstance(value, datetime)
    return value.replace(tzinfo=UTC)
