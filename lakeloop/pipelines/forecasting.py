"""Forecasts of time series, all horizons by one model: a linear model on the newest values, boosted trees on its residuals.

Use it for series with a season, a trend and a calendar. The linear part extrapolates trends, which trees alone can't; the trees add what
isn't linear. `params: {log: true}` learns ratios instead of differences: for values that are never negative and vary more at higher levels,
or for series of very different size. The linear pipeline is the simpler choice, and often as good on short histories.

A number that is missing counts as the training rows' median, a category that no training row has as the rare values, or as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeloop.pipeline_api import Answer, Kind, Task, make, preprocessing

TASKS: tuple[Task, ...] = ("forecasting",)
DEFAULTS: dict[str, Any] = {
    "n_estimators": 100,
    "learning_rate": 0.05,
    "max_depth": 4,
    "min_samples_leaf": 20,
    "subsample": 0.5,  # rows of neighbouring origins differ little
    "max_features": 0.5,
}


def estimator(kinds: Mapping[str, Kind], answer: Answer, params: Mapping[str, Any], seed: int) -> Any:
    """Numbers scaled and texts one-hot, then GradientBoosting with scikit-learn's parameters, begun from a ridge regression."""
    import numpy as np
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    own = dict(params)
    log = bool(own.pop("log", False))
    trees = make(GradientBoostingRegressor, {**DEFAULTS, "init": Ridge()}, own, seed)
    if not log:
        return make_pipeline(preprocessing(kinds), trees)
    # The inverse of the hyperbolic sine: a logarithm that also takes zero and what is below it.
    columns = preprocessing(kinds, FunctionTransformer(np.arcsinh))
    return TransformedTargetRegressor(regressor=make_pipeline(columns, trees), func=np.arcsinh, inverse_func=np.sinh, check_inverse=False)


def search_space(task: Task) -> dict[str, Any]:
    """How many trees, how deep, and how much each adds; and whether differences or ratios are learnt."""
    return {
        "n_estimators": {"low": 20, "high": 300, "log": True},
        "learning_rate": {"low": 0.01, "high": 0.2, "log": True},
        "max_depth": {"low": 2, "high": 6},
        "min_samples_leaf": {"low": 5, "high": 200, "log": True},
        "max_features": {"low": 0.2, "high": 1.0},
        "log": {"choices": [False, True]},
    }
