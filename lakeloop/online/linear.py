"""Heads that are sums of products: regressions, axes, and Gaussian distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lakeloop.errors import DataError
from lakeloop.online.encoding import CannotCompile, Estimate


def dot(estimator: Any) -> Estimate:
    """The linear part of an estimator, its intercept added."""
    return _multiplied(estimator.coef_ if estimator.coef_.ndim == 1 else estimator.coef_.T, estimator.intercept_)


def _multiplied(weights: np.ndarray, added: Any) -> Estimate:
    def multiplied(columns: np.ndarray) -> np.ndarray:
        sums: np.ndarray = columns @ weights + added
        if not np.isfinite(sums).all():
            require_finite(columns)
        return sums

    return multiplied


def require_finite(columns: np.ndarray) -> None:
    """Raise where a number overflowed on its way, as scikit-learn does.

    Raises:
        DataError: a number isn't finite.
    """
    if not np.isfinite(columns).all():
        raise DataError("a number is too large for the model: wanted one that is finite when it is scaled")


def in_single_precision(columns: np.ndarray) -> np.ndarray:
    """Columns as float32 in C order; NaN stays.

    Raises:
        DataError: a number is too large for that.
    """
    single = np.ascontiguousarray(columns, np.float32)
    if np.isinf(single).any():
        raise DataError("a number is too large for the model: wanted one that single precision holds, up to 3.4e38")
    return single


def regression(estimator: Any, method: str) -> Estimate:
    """A linear regression of any kind."""
    return dot(estimator)


def logistic(estimator: Any, method: str) -> Estimate:
    """A logistic regression: its sums, or the probability of the second class, or of each."""
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


def axes(step: Any) -> Estimate:
    """Principal components: columns turned, and scaled where they are whitened."""
    weights = step.components_.T
    centre = np.reshape(step.mean_, (1, -1)) @ weights
    scale = None
    if step.whiten:
        scale = np.sqrt(step.explained_variance_)
        scale[scale < np.finfo(scale.dtype).eps] = np.finfo(scale.dtype).eps

    def turned(columns: np.ndarray) -> np.ndarray:
        require_finite(columns)
        on_axes: np.ndarray = columns @ weights - centre
        return on_axes if scale is None else on_axes / scale

    return turned


def gaussian(estimator: Any, method: str) -> Estimate:
    """The log-likelihood of rows under a Gaussian mixture."""
    if method != "score_samples" or estimator.covariance_type != "full":
        raise CannotCompile(f"it is a Gaussian mixture whose {method} isn't known here")
    from scipy.special import logsumexp

    components = [(each, mean @ each) for each, mean in zip(estimator.precisions_cholesky_, estimator.means_, strict=True)]
    # A determinant by its logarithm: the sum of those of a triangular matrix's diagonal.
    log_determinants = np.array([np.log(np.diagonal(each)).sum() for each, _ in components])
    log_weights = np.log(estimator.weights_)

    def scored(columns: np.ndarray) -> np.ndarray:
        require_finite(columns)
        squares = np.empty((len(columns), len(components)))
        for place, (precision, centre) in enumerate(components):
            squares[:, place] = np.square(columns @ precision - centre).sum(axis=1)
        likelihoods = -0.5 * (columns.shape[1] * math.log(2 * math.pi) + squares) + log_determinants + log_weights
        scores: np.ndarray = likelihoods[:, 0] if len(components) == 1 else logsumexp(likelihoods, axis=1)
        return scores

    return scored
