"""Folds that look back only, and scores on the way: the same as those of one fit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.metrics.binary import roc_auc
from lakeloop.search.cross_validation import Fold, check_folds, cross_validate, fit_in_rounds, time_folds
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.pipelines import build_estimator

BINARY = Answer("binary_classification")
START = np.datetime64("2024-01-01", "us")


def made(rows: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Features, labels and times of a question that can be learned."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.random(rows), "b": rng.random(rows), "c": rng.choice(["x", "y"], rows)})
    y = (rng.random(rows) < 0.1 + 0.8 * (frame["a"] > 0.5)).astype(float).to_numpy()
    return frame, y, START + np.arange(rows) * np.timedelta64(1, "h")


@given(st.lists(st.integers(0, 10_000), min_size=30, max_size=200), st.integers(1, 4), st.integers(0, 50))
def test_no_fold_is_fitted_on_what_it_is_scored_on_or_later(hours: list[int], folds: int, gap: int) -> None:
    at = START + np.array(hours) * np.timedelta64(1, "h")
    try:
        folds_found = time_folds(at, folds, timedelta(hours=gap))
    except DataError as error:
        assert "has no row to" in str(error) and "wanted fewer folds" in str(error)
        return
    assert len(folds_found) == folds
    for fold in folds_found:
        assert at[fold.fit].max() < at[fold.score].min() - np.timedelta64(gap, "h")
    scored = np.concatenate([fold.score for fold in folds_found])
    assert len(set(scored)) == len(scored), "no row is scored twice"
    assert at.argmax() in scored or at.max() in at[scored], "the newest rows are scored"


def test_an_empty_fold_is_told_with_its_window() -> None:
    at = START + np.array([0, 1, 2, 3, 99, 100]) * np.timedelta64(1, "D")
    with pytest.raises(DataError, match=r"fold 1 of 3 \(2024-01-26 .* has no row to score .*wanted fewer folds"):
        time_folds(at, 3, timedelta(0))
    with pytest.raises(DataError, match="has no row to fit on"):
        time_folds(START + np.arange(10) * np.timedelta64(1, "D"), 4, timedelta(days=5))


def test_one_class_only_in_a_fold_is_told_before_anything_is_fitted() -> None:
    _, y, at = made(100)
    folds = time_folds(at, 2, timedelta(0))
    check_folds(folds, y, BINARY, "roc_auc")
    one = y.copy()
    one[folds[0].score] = 0
    with pytest.raises(DataError, match=r"fold 1 of 2 .* has a single class in its \d+ rows to score, on which roc_auc is not defined"):
        check_folds(folds, one, BINARY, "roc_auc")
    check_folds(folds, one, BINARY, "log_loss")
    one = y.copy()
    one[folds[0].fit] = 1
    with pytest.raises(DataError, match=r"fold 1 of 2 .* has a single class to fit on \(\d+ rows\)"):
        check_folds(folds, one, BINARY, "log_loss")


@pytest.mark.parametrize("params", [{"max_iter": 210}, {"max_iter": 210, "max_features": 0.5}, {"max_iter": 99}])
def test_a_fit_in_rounds_gives_the_very_model_that_one_fit_gives(params: dict[str, float]) -> None:
    frame, y, _ = made()
    kinds = {"a": "double", "b": "double", "c": "string"}
    model = Model(pipeline="gradient_boosting", params=params, seed=3)
    rounds: list[int] = []
    fitted = fit_in_rounds(build_estimator(model, kinds, BINARY), frame, y, lambda number, _: rounds.append(number))
    assert rounds == ([50, 100] if params["max_iter"] > 99 else [])
    assert np.array_equal(scores_of(fitted, frame, BINARY), scores_of(build_estimator(model, kinds, BINARY).fit(frame, y), frame, BINARY))


@pytest.mark.parametrize(
    ("answer", "estimator"),
    [
        (BINARY, "LGBMClassifier"),
        (Answer("multiclass_classification", classes=("red", "green", "blue")), "LGBMClassifier"),
        (Answer("regression"), "LGBMRegressor"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.task,
)
def test_lightgbm_shows_on_the_way_what_a_fit_of_so_many_rounds_gives(answer: Answer, estimator: str) -> None:
    frame, y, _ = made()
    y = y + (frame["b"] > 0.7).to_numpy() * (1 - y) * 2 if answer.classes else y

    def build(rounds: int) -> Any:
        params = {"n_estimators": rounds, "num_leaves": 7, "verbose": -1, "n_jobs": 1}
        return build_estimator(
            Model(estimator=f"lightgbm:{estimator}", params=params), {"a": "double", "b": "double", "c": "string"}, answer
        )

    seen: dict[int, np.ndarray] = {}
    fitted = fit_in_rounds(build(230), frame, y, lambda rounds, so_far: seen.update({rounds: scores_of(so_far, frame, answer)}))
    assert list(seen) == [50, 100]
    for rounds, scores in (*seen.items(), (230, scores_of(fitted, frame, answer))):
        assert np.allclose(scores, scores_of(build(rounds).fit(frame, y), frame, answer), rtol=0, atol=1e-12), rounds


def test_a_trial_of_lightgbm_is_pruned_in_the_middle_of_a_fold() -> None:
    import optuna

    frame, y, at = made()
    model = Model(estimator="lightgbm:LGBMClassifier", params={"n_estimators": 400, "verbose": -1, "n_jobs": 1})
    frames = [(frame.iloc[f.fit], y[f.fit], frame.iloc[f.score], y[f.score]) for f in time_folds(at, 2, timedelta(hours=1))]

    def objective(trial: optuna.Trial) -> float:
        def report(fold: int, rounds: int | None, value: float) -> None:
            trial.report(value, 1000 * fold + (rounds or 999))
            if trial.should_prune():
                raise optuna.TrialPruned

        kinds = {"a": "double", "b": "double", "c": "string"}
        return cross_validate(lambda rows: build_estimator(model, kinds, BINARY), frames, BINARY, "roc_auc", report)

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=2.0, n_warmup_steps=100))
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert (trial.state.name, list(trial.intermediate_values)) == ("PRUNED", [50, 100])


def test_the_value_is_the_mean_over_folds_and_every_score_is_reported() -> None:
    frame, y, at = made()
    kinds = {"a": "double", "b": "double", "c": "string"}
    model = Model(pipeline="gradient_boosting", params={"max_iter": 100})
    folds = time_folds(at, 2, timedelta(hours=1))
    frames = [(frame.iloc[f.fit], y[f.fit], frame.iloc[f.score], y[f.score]) for f in folds]
    told: list[tuple[int, int | None, float]] = []
    value = cross_validate(lambda rows: build_estimator(model, kinds, BINARY), frames, BINARY, "roc_auc", lambda *what: told.append(what))
    assert [(fold, rounds) for fold, rounds, _ in told] == [(0, 50), (0, None), (1, 50), (1, None)]
    by_hand = [
        roc_auc(y[f.score], scores_of(build_estimator(model, kinds, BINARY).fit(frame.iloc[f.fit], y[f.fit]), frame.iloc[f.score], BINARY))
        for f in folds
    ]
    assert [score for _, rounds, score in told if rounds is None] == by_hand
    assert value == np.mean(by_hand)


def test_predictions_that_are_not_finite_are_told_with_their_fold() -> None:
    class Broken:
        def fit(self, *_: object) -> Broken:
            return self

        def predict(self, rows: pd.DataFrame) -> np.ndarray:
            return np.where(np.arange(len(rows)) < 2, np.inf, 1.0)

    frame, y, at = made(60)
    fold: Fold = time_folds(at, 1, timedelta(0))[0]
    frames = [(frame.iloc[fold.fit], y[fold.fit], frame.iloc[fold.score], y[fold.score])]
    with pytest.raises(DataError, match="fold 1: 2 of 30 predictions are NaN or infinite"):
        cross_validate(lambda rows: Broken(), frames, Answer("regression"), "mae", lambda *_: None)
