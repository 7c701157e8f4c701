"""A linear model: logistic regression, ridge, or linear quantiles; for anomalies a Gaussian mixture. Use it as a baseline, or for its coefficients.

Numbers are imputed with their median (with an indicator of missing values) and scaled; strings are one-hot encoded per frequent value. Each
quantile has its own coefficients; the `transform` of the voting regressor returns all quantiles.

A number that is missing counts as the training rows' median. A category that no training row has counts as the rare values, or, where there were
none, as none of the categories: the answer lies between theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeloop.pipeline_api import MEDIAN, Answer, Kind, Task, make, preprocessing

TASKS: tuple[Task, ...] = (
    "binary_classification",
    "multiclass_classification",
    "regression",
    "quantile_regression",
    "forecasting",
    "anomaly_detection",
)
MOST_ROWS: dict[Task, int] = {"quantile_regression": 4_000}
"""Rows to fit on, evenly spaced. A quantile's linear program takes 2 s on 5,000 rows of 40 columns and 10 s on 10,000."""


def estimator(kinds: Mapping[str, Kind], answer: Answer, params: Mapping[str, Any], seed: int) -> Any:
    """Preprocessing, then LogisticRegression, Ridge or QuantileRegressor with scikit-learn's parameters."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import VotingRegressor
    from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge
    from sklearn.mixture import GaussianMixture
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if answer.quantiles:
        # Its penalty is on coefficients in the label's unit, so the label is scaled for it.
        members = [
            (
                name,
                TransformedTargetRegressor(
                    make(QuantileRegressor, {"quantile": q, "alpha": 0.001}, params, seed), transformer=StandardScaler()
                ),
            )
            for name, q in zip(answer.numbers, answer.quantiles, strict=True)
        ]
        return make_pipeline(preprocessing(kinds), VotingRegressor(members, weights=[float(q == MEDIAN) for q in answer.quantiles]))
    if answer.kind.label == "none":
        # With one component the log-likelihood is a squared Mahalanobis distance from the centre of the training rows.
        return make_pipeline(preprocessing(kinds), make(GaussianMixture, {"n_components": 1, "reg_covar": 0.01}, params, seed))
    if answer.kind.label == "number":
        return make_pipeline(preprocessing(kinds), make(Ridge, {}, params, seed))
    return make_pipeline(preprocessing(kinds), make(LogisticRegression, {"max_iter": 500}, params, seed))


def search_space(task: Task) -> dict[str, Any]:
    """The strength of the regularisation, under its name in each task."""
    if Answer(task).kind.label == "none":
        return {"reg_covar": {"low": 0.001, "high": 1.0, "log": True}, "n_components": {"low": 1, "high": 5}}
    if Answer(task).kind.label != "number":
        return {"C": {"low": 0.001, "high": 100.0, "log": True}}
    low, high = (1e-5, 0.1) if task in MOST_ROWS else (0.01, 10_000.0)
    return {"alpha": {"low": low, "high": high, "log": True}}
