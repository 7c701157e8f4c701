"""Heads that are trees of scikit-learn's own kind, which compare in single precision: boosted ones, and isolation forests."""

from __future__ import annotations

from typing import Any

import numpy as np

from lakeloop.online.encoding import CannotCompile, Estimate
from lakeloop.online.linear import dot, in_single_precision, require_finite
from lakeloop.online.tree import Tree
from lakeloop.online.trees import TreeSums


def boosted(estimator: Any, method: str) -> Estimate:
    """A GradientBoostingRegressor, its trees added to what it begins from by scikit-learn's own function: one call for all of them."""
    from sklearn.ensemble._gradient_boosting import predict_stages

    begin, trees, rate = _beginning(estimator), estimator.estimators_, estimator.learning_rate

    def predicted(columns: np.ndarray) -> np.ndarray:
        single = in_single_precision(columns)
        require_finite(single)
        sums = begin(single)
        predict_stages(trees, single, rate, sums)
        flat: np.ndarray = sums[:, 0]
        return flat

    return predicted


def _beginning(estimator: Any) -> Estimate:
    """What boosted trees begin from, in float64, `(rows, 1)`."""
    begin = estimator.init_
    if estimator.n_trees_per_iteration_ != 1 or type(estimator._loss.link).__name__ != "IdentityLink":
        raise CannotCompile("its boosted trees predict something else than a number")
    if isinstance(begin, str):
        return lambda columns: np.zeros((len(columns), 1))
    name = type(begin).__name__
    if name == "DummyRegressor":
        constant = float(np.asarray(begin.constant_).reshape(-1)[0])
        return lambda columns: np.full((len(columns), 1), constant)
    if name in ("Ridge", "LinearRegression"):
        linear = dot(begin)
        return lambda columns: linear(columns).astype(np.float64).reshape(-1, 1)
    raise CannotCompile(f"its boosted trees begin from a {name}, which isn't known here")


def isolation(estimator: Any, method: str) -> Estimate:
    """An IsolationForest's scores: trees whose leaves hold the length of the path to them."""
    if method != "score_samples":
        raise CannotCompile(f"its {method} only tells outliers from the others")
    from sklearn.ensemble._iforest import _average_path_length

    paths, more = estimator._decision_path_lengths, estimator._average_path_length_per_tree
    all_columns = estimator._max_features == estimator.n_features_in_
    trees = [
        _tree(tree.tree_, None if all_columns else features, length + rest - 1.0)
        for tree, features, length, rest in zip(estimator.estimators_, estimator.estimators_features_, paths, more, strict=True)
    ]
    depths = TreeSums([trees], estimator.n_features_in_)
    denominator = len(trees) * float(_average_path_length([estimator._max_samples])[0])
    if not denominator:
        raise CannotCompile("its trees hold a single row each")

    def scored(columns: np.ndarray) -> np.ndarray:
        # Compared in single precision, and by LightGBM in double, which is the same for numbers that are single; infinite ones are taken.
        sums = depths(columns.astype(np.float32).astype(np.float64))[:, 0]
        scores: np.ndarray = -(2 ** -(sums / denominator))
        return scores

    return scored


def _tree(tree: Any, features: np.ndarray | None, values: np.ndarray) -> Tree:
    nodes = tree.__getstate__()["nodes"]
    left, right = nodes["left_child"].astype(np.int64), nodes["right_child"].astype(np.int64)
    is_leaf = left < 0
    feature = np.where(is_leaf, 0, nodes["feature"])
    return Tree(
        is_leaf,
        values,
        feature if features is None else np.asarray(features)[feature],
        nodes["threshold"],
        left,
        right,
        nodes["missing_go_to_left"].astype(bool),
    )
