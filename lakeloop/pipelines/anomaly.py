"""Anomaly detection without labels: an isolation forest. Use it where nobody can say yet which rows are wrong.

A row's score reflects how few random cuts separate it from the others, from 0 to 1: about 0.5 for an ordinary row, higher for a more
anomalous one. Numbers are imputed and scaled, strings one-hot encoded per frequent value; rare values share a column that is itself rare.
The axes are then rotated and scaled (principal components), so that a row that breaks a relation between columns is an outlier, too. The
linear pipeline is the simpler choice: one Gaussian distribution, distances from its centre; it is better where the rows form a single group.

A number that is missing counts as the training rows' median, a category that no training row has as the rare values, or as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeloop.pipeline_api import Answer, Kind, Task, make, preprocessing

TASKS: tuple[Task, ...] = ("anomaly_detection",)
DEFAULTS: dict[str, Any] = {"n_estimators": 200}
VARIANCE = 0.99999
"""Share of the variance whose axes are kept; the rest are redundant columns, such as the two of a yes and no."""


def estimator(kinds: Mapping[str, Kind], answer: Answer, params: Mapping[str, Any], seed: int) -> Any:
    """The linear pipeline's preprocessing, turned axes, then IsolationForest with scikit-learn's parameters; labels are ignored."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline

    axes = PCA(n_components=VARIANCE, whiten=True, svd_solver="covariance_eigh")
    return make_pipeline(preprocessing(kinds), axes, make(IsolationForest, DEFAULTS, params, seed))


def search_space(task: Task) -> dict[str, Any]:
    """How many trees, of how many rows and columns each."""
    return {
        "n_estimators": {"low": 50, "high": 400, "log": True},
        "max_samples": {"low": 64, "high": 2048, "log": True},
        "max_features": {"low": 0.3, "high": 1.0},
    }
