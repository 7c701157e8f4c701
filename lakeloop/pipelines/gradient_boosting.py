"""Gradient boosted trees on tables: the first pipeline to try. Handles missing values and categories natively.

scikit-learn's histogram implementation: it needs no system library on any platform, and its models are stored without pickle. Each quantile
has its own trees; the `transform` of the voting regressor returns all quantiles.

An unknown value (a category that no training row has, a value that is missing) means the answer without that feature: for each feature, some
training rows are repeated without its value, so that the trees learn that answer also where no value was missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeloop.pipeline_api import MEDIAN, Answer, Kind, Task, continue_trees, make, repeat_without_values

TASKS: tuple[Task, ...] = ("binary_classification", "multiclass_classification", "regression", "quantile_regression")
MOST_CATEGORIES = 250
"""The trees take at most 255 categories a column; rarer values share one."""
DEFAULTS: dict[str, Any] = {
    "max_iter": 200,
    "learning_rate": 0.08,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 100,
    "l2_regularization": 1.0,
    "early_stopping": False,  # its validation rows would be drawn at random, across time
}


def estimator(kinds: Mapping[str, Kind], answer: Answer, params: Mapping[str, Any], seed: int) -> Any:
    """Ordinal codes for strings, then HistGradientBoosting with scikit-learn's parameters."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, VotingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    strings = [name for name, kind in kinds.items() if kind == "string"]
    numbers = [name for name, kind in kinds.items() if kind == "double"]
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, max_categories=MOST_CATEGORIES
    )
    columns = ColumnTransformer([("strings", encode, strings), ("numbers", "passthrough", numbers)])
    defaults = {**DEFAULTS, "categorical_features": list(range(len(strings)))}
    if answer.quantiles:
        members = [
            (name, make(HistGradientBoostingRegressor, {**defaults, "loss": "quantile", "quantile": level}, params, seed))
            for name, level in zip(answer.numbers, answer.quantiles, strict=True)
        ]
        return make_pipeline(columns, VotingRegressor(members, weights=[float(level == MEDIAN) for level in answer.quantiles]))
    if answer.kind.label == "number":
        return make_pipeline(columns, make(HistGradientBoostingRegressor, {**defaults, "loss": "squared_error"}, params, seed))
    return make_pipeline(columns, make(HistGradientBoostingClassifier, defaults, params, seed))


def training_rows(frame: Any, label: Any) -> tuple[Any, Any]:
    """The rows to fit on, some of them repeated without a value: scikit-learn sends what it never saw missing down the larger branch."""
    return repeat_without_values(frame, label)


def continued(champion: Any, fresh: Any, frame: Any, label: Any, *, trees: int, limit: int) -> Any:
    """The champion with more trees, for `warm_start`; a pipeline without this function is trained in full each time."""
    return continue_trees(champion, fresh, frame, label, trees=trees, limit=limit)


def search_space(task: Task) -> dict[str, Any]:
    """How fast it learns, how long, and how fine its trees may be."""
    return {
        "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
        "max_iter": {"low": 50, "high": 500, "log": True},
        "max_leaf_nodes": {"low": 7, "high": 127, "log": True},
        "min_samples_leaf": {"low": 10, "high": 500, "log": True},
        "l2_regularization": {"low": 0.001, "high": 100.0, "log": True},
        "max_features": {"low": 0.3, "high": 1.0},
    }
