"""The steps of a fitted model as arithmetic on columns: the same operations in the same order, without what scikit-learn checks around them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np

from lakeloop.online.encoding import CannotCompile, Estimate
from lakeloop.online.forests import boosted, isolation
from lakeloop.online.linear import axes, gaussian, logistic, regression

Head: TypeAlias = Callable[[Any, str], Estimate]
"""Takes a fitted estimator and the name of its method, and returns what that does to columns."""
HEADS: Mapping[str, Head] = {
    "GaussianMixture": gaussian,
    "GradientBoostingRegressor": boosted,
    "IsolationForest": isolation,
    "LinearRegression": regression,
    "LogisticRegression": logistic,
    "QuantileRegressor": regression,
    "Ridge": regression,
}
"""By the name of scikit-learn's class."""
TRANSFORMS: Mapping[str, Callable[[Any], Estimate]] = {"PCA": axes}


def compile_head(estimator: Any, method: str) -> Estimate:
    """What a method of a fitted estimator does to columns; of an estimator that isn't known here, the method itself.

    Raises:
        CannotCompile: the estimator has no such method.
    """
    make = HEADS.get(type(estimator).__name__) if type(estimator).__module__.startswith("sklearn.") else None
    if make is not None:
        return make(estimator, method)
    return _own(estimator, method)


def compile_transform(step: Any) -> Estimate:
    """What a fitted step between columns and estimator does; one that isn't known here is called itself."""
    make = TRANSFORMS.get(type(step).__name__) if type(step).__module__.startswith("sklearn.") else None
    return _own(step, "transform") if make is None else make(step)


def _own(step: Any, method: str) -> Estimate:
    if not callable(getattr(step, method, None)):
        raise CannotCompile(f"its {type(step).__name__} has no {method}")
    nameless = copy.copy(step)
    # Fitted on a frame, it would warn at every row that an array has no names, and take longer over that than to predict.
    with suppress(AttributeError):
        del nameless.feature_names_in_
    own = getattr(nameless, method)
    return lambda columns: np.asarray(own(columns))
