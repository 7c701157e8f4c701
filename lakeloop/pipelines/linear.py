"""A linear model: logistic regression or ridge. Use it as a baseline, or when a coefficient has to be explained.

Numbers are filled with their median (and a flag that says so) and scaled; strings become one column per frequent value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeloop.frames import Kind
from lakeloop.spec import Task
from lakeloop.tasks import Answer

TASKS: tuple[Task, ...] = ("binary_classification", "regression", "forecasting")
MOST_CATEGORIES = 50


def preprocessing(kinds: Mapping[str, Kind], *first: Any) -> Any:
    """Numbers filled and scaled (after what comes `first`), strings one-hot; unknown and rare values share a column."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name, kind in kinds.items() if kind == "double"]
    strings = [name for name, kind in kinds.items() if kind == "string"]
    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False)
    return ColumnTransformer([("numbers", make_pipeline(*first, fill, StandardScaler()), numbers), ("strings", encode, strings)])


def estimator(kinds: Mapping[str, Kind], answer: Answer, params: Mapping[str, Any], seed: int) -> Any:
    """Preprocessing, then LogisticRegression or Ridge with scikit-learn's parameters."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    from lakeloop.pipelines import make

    if answer.kind.label == "number":
        return make_pipeline(preprocessing(kinds), make(Ridge, {}, params, seed))
    return make_pipeline(preprocessing(kinds), make(LogisticRegression, {"max_iter": 500}, params, seed))


def search_space(task: Task) -> dict[str, Any]:
    """How strongly coefficients are held down, under the name that it has in each task."""
    if Answer(task).kind.label == "number":
        return {"alpha": {"low": 0.01, "high": 10_000.0, "log": True}}
    return {"C": {"low": 0.001, "high": 100.0, "log": True}}
