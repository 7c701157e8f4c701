"""Warm start of boosted trees: add trees, fitted on newer rows, to a fitted model; the old trees stay bit for bit.

scikit-learn's own `warm_start=True` does something else: its `fit` learns bins and categories again from the rows that it gets (scikit-learn
1.9, `_hist_gradient_boosting/gradient_boosting.py`: `_preprocess_X(reset=True)` and a new `_BinMapper`), so on other rows the old trees are
read with borders and categories that they weren't grown with. Here both stay those of the old trees: a category that appeared later counts as
missing, and a number beyond the old range falls into the outermost bin. This costs accuracy, so a chain of continuations has an end.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakeloop.errors import LakeloopError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FIXED = ("loss", "quantile", "max_bins", "categorical_features", "monotonic_cst", "interaction_cst", "class_weight")
"""Parameters that old and new trees must share; the others may change from one continuation to the next."""
LEAST_ROWS = 100
"""On fewer rows than this, new trees would fit chance."""


class CannotContinue(LakeloopError):
    """Why a model is fitted from scratch instead of being continued: a result, not a failure."""


def continue_trees(champion: Any, fresh: Any, frame: pd.DataFrame, label: np.ndarray, *, trees: int, limit: int) -> Any:
    """Copy a fitted pipeline and add trees to its last step.

    Args:
        champion: preprocessing, then a fitted HistGradientBoosting, or one per quantile; it isn't changed.
        fresh: the same, unfitted, as the workflow declares it now: the new trees take its parameters.
        frame: features of rows that the champion wasn't fitted on.
        label: their labels.
        trees: how many are added, per class or quantile where there are several.
        limit: the most trees that there may be afterwards.

    Returns:
        A pipeline with the champion's preprocessing unchanged, and the champion's trees before the new ones.

    Raises:
        CannotContinue: the champion is another kind of model, has been continued too often, or its parameters or classes don't fit the new
            trees or rows.
    """
    import numpy as np
    from sklearn.pipeline import Pipeline

    old_boosters = _require_boosters(champion, "the champion")
    new_boosters = _require_boosters(fresh, "what the workflow asks for")
    if len(old_boosters) != len(new_boosters):
        raise CannotContinue(f"the champion has trees for {len(old_boosters)} quantiles, the workflow asks for {len(new_boosters)}")
    params = [_params_of_more(old, new, trees=trees, limit=limit) for old, new in zip(old_boosters, new_boosters, strict=True)]
    if len(label) < LEAST_ROWS:
        raise CannotContinue(f"only {len(label)} rows are newer than what the champion was trained on, wanted {LEAST_ROWS}")
    if any(hasattr(old, "classes_") and set(np.unique(label)) != set(old.classes_) for old in old_boosters):
        raise CannotContinue("the newer rows don't have the classes that the champion knows")
    table = champion[0].transform(frame)
    grown = [_grow(old, table, label, more) for old, more in zip(old_boosters, params, strict=True)]
    last = grown[0]
    if champion[-1] is not old_boosters[0]:
        last = copy.copy(champion[-1])
        last.estimators_ = grown
    return Pipeline([champion.steps[0], (champion.steps[1][0], last)])


def _require_boosters(pipeline: Any, what: str) -> list[Any]:
    boosters = _boosters(pipeline)
    if not boosters:
        raise CannotContinue(f"{what} isn't a preprocessing and boosted trees")
    return boosters


def _boosters(pipeline: Any) -> list[Any]:
    """The boosted trees that a pipeline of two steps ends in, one or one per quantile, fitted or not; none when it ends in another model."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, VotingRegressor
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import Pipeline

    if not (isinstance(pipeline, Pipeline) and len(pipeline) == 2):
        return []
    last = pipeline[-1]
    members = [last]
    if isinstance(last, VotingRegressor):
        members = [member for _, member in last.estimators]
    elif isinstance(last, MultiOutputRegressor):
        members = list(last.estimators_)
    return members if all(type(each) in (HistGradientBoostingClassifier, HistGradientBoostingRegressor) for each in members) else []


def _params_of_more(old: Any, new: Any, *, trees: int, limit: int) -> dict[str, Any]:
    """The parameters that the new trees are grown with."""
    if type(old) is not type(new):
        raise CannotContinue(f"the champion is a {type(old).__name__}, the workflow asks for a {type(new).__name__}")
    before, now = old.get_params(), new.get_params()
    changed = [name for name in FIXED if before.get(name) != now.get(name)]
    if changed:
        raise CannotContinue(f"{', '.join(changed)} is not the same as in the champion")
    if old.n_iter_ + trees > limit:
        raise CannotContinue(f"the champion has {old.n_iter_} trees, and {trees} more would be over the limit of {limit}")
    more = {name: value for name, value in now.items() if name not in (*FIXED, "max_iter", "warm_start")}
    return {**more, "max_iter": old.n_iter_ + trees}


def _grow(old: Any, table: Any, label: np.ndarray, params: Mapping[str, Any]) -> Any:
    """Copy boosted trees and add more to them, with the bins and categories of the old ones."""
    kind = type(old)
    bins = old._bin_mapper

    class Continued(kind):  # type: ignore[valid-type, misc]  # a base that is known at run time
        """The same with bins and categories that stay."""

        def _preprocess_X(self, X: Any, *, reset: bool) -> Any:
            processed = super()._preprocess_X(X, reset=False)
            return (processed, None) if reset else processed

        def _bin_data(self, X: Any, sample_weight: Any, is_training_data: bool) -> Any:
            self._bin_mapper = bins
            if is_training_data:
                return bins.transform(X)
            return super()._bin_data(X, sample_weight, is_training_data)

    growing: Any = object.__new__(Continued)
    growing.__dict__.update(copy.deepcopy(vars(old)))
    growing.set_params(**params, warm_start=True)
    growing.fit(table, label)
    grown: Any = object.__new__(kind)
    grown.__dict__.update(vars(growing))
    grown.set_params(warm_start=False)
    return grown
