"""The last step of a fitted model as arithmetic on its columns: the same operations in the same order, without what scikit-learn checks around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from lakeloop.errors import DataError
from lakeloop.online.encoding import CannotCompile, Estimate

Head: TypeAlias = Callable[[Any, str], Estimate]
"""Takes a fitted estimator and the name of its method, and returns what that does to columns."""


def compile_head(estimator: Any, method: str) -> Estimate:
    """What a method of a fitted estimator does to columns; of an estimator that isn't known here, the method itself.

    Raises:
        CannotCompile: the estimator has no such method.
    """
    make = HEADS.get(type(estimator).__name__) if type(estimator).__module__.startswith("sklearn.") else None
    if make is not None:
        return make(estimator, method)
    own = getattr(estimator, method, None)
    if not callable(own):
        raise CannotCompile(f"its last step, a {type(estimator).__name__}, has no {method}")
    return _checked(own)


def _checked(own: Callable[[np.ndarray], Any]) -> Estimate:
    """A method of an estimator that is called with an array instead of the frame that it may have been fitted on."""
    return lambda columns: np.asarray(own(columns))


def dot(estimator: Any) -> Estimate:
    """The linear part of an estimator, its intercept added."""
    weights = estimator.coef_ if estimator.coef_.ndim == 1 else estimator.coef_.T
    intercept = estimator.intercept_

    def multiplied(columns: np.ndarray) -> np.ndarray:
        sums: np.ndarray = columns @ weights + intercept
        if not np.isfinite(sums).all() and not np.isfinite(columns).all():
            raise DataError("a number is too large for the model: wanted one that is finite when it is scaled")
        return sums

    return multiplied


def _regression(estimator: Any, method: str) -> Estimate:
    return dot(estimator)


def _logistic(estimator: Any, method: str) -> Estimate:
    from scipy.special import expit
    from sklearn.utils.extmath import softmax

    linear = dot(estimator)
    if method == "decision_function":
        return lambda columns: _flat(linear(columns))
    if method != "predict_proba":
        raise CannotCompile(f"its {method} gives classes")
    if len(estimator.classes_) > 2:
        return lambda columns: softmax(linear(columns), copy=False)
    return lambda columns: expit(_flat(linear(columns)))


def _flat(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] if sums.ndim == 2 and sums.shape[1] == 1 else sums


HEADS: Mapping[str, Head] = {
    "LogisticRegression": _logistic,
    "Ridge": _regression,
    "LinearRegression": _regression,
    "QuantileRegressor": _regression,
}
"""By the name of scikit-learn's class."""
