"""What a model is compared with: a constant, a linear model on the same features, and the model itself with other seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model, seen_features
from lakeloop.training.frames import evenly_spaced
from lakeloop.training.pipelines import build_estimator

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BASELINE_ROWS = 50_000
"""Rows that the linear baseline is fitted on: more rows change its score by less than its interval."""
REFIT_ROWS, REFIT_SEEDS = 2_000, 3
"""Rows and number of the refits. With fewer rows the seed matters more, so a model that is stable here is more stable when fitted in full."""


def reference_scores(y_fit: np.ndarray, answer: Answer, frame: pd.DataFrame, metric: str, naive: str | None = None) -> np.ndarray:
    """The scores that a model must beat, per row of a frame: a constant, or the feature that holds the naive forecast where it is known."""
    import numpy as np

    constant = constant_scores(y_fit, answer, len(frame), metric)
    if naive is None:
        return constant
    forecast = frame[naive].to_numpy(dtype=float)
    return np.where(np.isfinite(forecast), forecast, constant)


def constant_scores(y_fit: np.ndarray, answer: Answer, count: int, metric: str) -> np.ndarray:
    """The scores of a model that knows only the labels: the share of each class, their quantiles, or the value that is best for the metric."""
    import numpy as np

    if answer.classes:
        shares = np.bincount(y_fit.astype(int), minlength=len(answer.classes)) / len(y_fit)
        return np.tile(shares, (count, 1))
    if answer.quantiles:
        return np.tile(np.quantile(y_fit, answer.quantiles), (count, 1))
    if answer.kind.label == "none":
        return np.zeros(count)
    if metric == "median_absolute_error":
        return np.full(count, _middle_of_half(y_fit))
    best = np.mean if answer.kind.gives_probabilities or metric in answer.kind.mean_is_best else np.median
    return np.full(count, float(best(y_fit)))


def guessed_scores(constant: np.ndarray) -> np.ndarray:
    """One class per row, each as often as its constant share, in an order that is random and the same every time.

    Args:
        constant: rows that all hold the same shares of the classes.
    """
    import numpy as np

    count, classes = constant.shape
    guesses = np.searchsorted(constant[0].cumsum(), (np.arange(count) + 0.5) / max(count, 1)).clip(0, classes - 1)
    return np.eye(classes)[np.random.default_rng(0).permutation(guesses)]


def _middle_of_half(values: np.ndarray) -> float:
    """The middle of the shortest interval that holds half of the values: no constant is nearer to half of them."""
    import numpy as np

    ordered, half = np.sort(values), len(values) // 2 + 1
    start = int(np.argmin(ordered[half - 1 :] - ordered[: len(ordered) - half + 1]))
    return float((ordered[start] + ordered[start + half - 1]) / 2)


def baseline_scores(frame: pd.DataFrame, y: np.ndarray, scored: pd.DataFrame, kinds: Mapping[str, Kind], answer: Answer) -> np.ndarray:
    """The scores of a linear model on the same features, fitted on evenly spaced rows."""
    picked = evenly_spaced(len(frame), BASELINE_ROWS)
    model = fit_model(Model(pipeline="linear"), kinds, answer, frame.iloc[picked], y[picked], folder=Path())
    return scores_of(model, scored, answer)


def seed_refits(
    model: Model, kinds: Mapping[str, Kind], answer: Answer, frame: pd.DataFrame, y: np.ndarray, scored: pd.DataFrame, *, folder: Path
) -> list[np.ndarray] | None:
    """The scores of refits on evenly spaced rows that differ only in the seed.

    Args:
        model: how it is built.
        kinds: the features.
        answer: what the model predicts.
        frame: features of the rows to fit on.
        y: their labels.
        scored: features of the rows to score.
        folder: of the definition.

    Returns:
        Scores per refit, fewer when the seed changes nothing; None when no part of the model takes a seed, as in one that was trained
        elsewhere, or when the rows have a single class.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    picked = evenly_spaced(len(frame), REFIT_ROWS)
    if model.registered is not None or (answer.kind.label != "number" and len(np.unique(y[picked])) < 2):
        return None
    refits = []
    for seed in range(REFIT_SEEDS):
        with threadpool_limits(1):  # on so few rows threads wait for each other longer than they work
            if model.train is not None:
                estimator = fit_model(model, kinds, answer, frame.iloc[picked], y[picked], folder=folder, seed=seed)
            else:
                estimator = build_estimator(model, seen_features(kinds, frame.iloc[picked]), answer, folder)
                seeds = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
                if not seeds:
                    return None
                estimator.set_params(**dict.fromkeys(seeds, seed)).fit(frame.iloc[picked], y[picked])
        refits.append(scores_of(estimator, scored, answer))
        if len(refits) > 1 and np.array_equal(refits[0], refits[1]):
            break  # the seed changes nothing
    return refits
