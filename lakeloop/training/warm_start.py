"""Warm start of boosted trees: more trees on top of a fitted model's, fitted on newer rows; the old trees stay bit for bit.

scikit-learn's own `warm_start=True` is not that: its `fit` learns bins and categories anew from the rows it is given (scikit-learn 1.9,
`_hist_gradient_boosting/gradient_boosting.py`: `_preprocess_X(reset=True)` and a new `_BinMapper`), so that on other rows the old trees
are read with borders and categories that they weren't grown with. Here both stay as the old trees know them: a category that came later
counts as missing, and a number beyond the old range falls into the outermost bin. That is the price, and why a chain of continuations
has an end.
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
"""Parameters that old and new trees have to share; the others may differ from one continuation to the next."""
LEAST_ROWS = 100
"""New trees on fewer rows than this would follow chance."""


class CannotContinue(LakeloopError):
    """Why a model is fitted anew instead of continued: an answer, not an accident."""


def continue_trees(champion: Any, fresh: Any, frame: pd.DataFrame, label: np.ndarray, *, trees: int, limit: int) -> Any:
    """A copy of a fitted pipeline whose last step has more trees.

    Args:
        champion: preprocessing, then a fitted HistGradientBoosting, or one a quantile; it isn't changed.
        fresh: the same, unfitted, as the workflow asks for it now: the new trees take its parameters.
        frame: features of rows that the champion wasn't fitted on.
        label: their labels.
        trees: how many are added, per class or quantile where there are several.
        limit: how many there may be then.

    Returns:
        A pipeline with the champion's preprocessing as it is, and the champion's trees before the new ones.

    Raises:
        CannotContinue: the champion is something else, has been continued too often, or was grown in a way that doesn't go with the new rows.
    """
    import numpy as np
    from sklearn.pipeline import Pipeline

    both = []
    for what, pipeline in (("the champion", champion), ("what the workflow asks for", fresh)):
        both.append(_boosters(pipeline))
        if not both[-1]:
            raise CannotContinue(f"{what} isn't a preprocessing and boosted trees")
    if len(both[0]) != len(both[1]):
        raise CannotContinue(f"the champion has trees for {len(both[0])} quantiles, the workflow asks for {len(both[1])}")
    asked = [(old, _params_of_more(old, new, trees=trees, limit=limit)) for old, new in zip(*both, strict=True)]
    if len(label) < LEAST_ROWS:
        raise CannotContinue(f"only {len(label)} rows are newer than what the champion was trained on, wanted {LEAST_ROWS}")
    if any(hasattr(old, "classes_") and set(np.unique(label)) != set(old.classes_) for old, _ in asked):
        raise CannotContinue("the newer rows don't have the classes that the champion knows")
    table = champion[0].transform(frame)
    grown = [_grown(old, table, label, params) for old, params in asked]
    last = grown[0]
    if champion[-1] is not asked[0][0]:
        last = copy.copy(champion[-1])
        last.estimators_ = grown
    return Pipeline([champion.steps[0], (champion.steps[1][0], last)])


def _boosters(pipeline: Any) -> list[Any]:
    """The boosted trees that a pipeline of two steps ends in: one, or one a quantile, fitted or not; none where it ends in something else."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, VotingRegressor
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import Pipeline

    if not (isinstance(pipeline, Pipeline) and len(pipeline) == 2):
        return []
    last = pipeline[-1]
    found = [last]
    if isinstance(last, VotingRegressor):
        found = [member for _, member in last.estimators]
    elif isinstance(last, MultiOutputRegressor):
        found = list(last.estimators_)
    return found if all(type(each) in (HistGradientBoostingClassifier, HistGradientBoostingRegressor) for each in found) else []


def _params_of_more(old: Any, new: Any, *, trees: int, limit: int) -> dict[str, Any]:
    """What the new trees are grown with."""
    if type(old) is not type(new):
        raise CannotContinue(f"the champion is a {type(old).__name__}, the workflow asks for a {type(new).__name__}")
    before, now = old.get_params(), new.get_params()
    changed = [name for name in FIXED if before.get(name) != now.get(name)]
    if changed:
        raise CannotContinue(f"{', '.join(changed)} is not as in the champion")
    if old.n_iter_ + trees > limit:
        raise CannotContinue(f"the champion has {old.n_iter_} trees, and {trees} more would be over the limit of {limit}")
    more = {name: value for name, value in now.items() if name not in (*FIXED, "max_iter", "warm_start")}
    return {**more, "max_iter": old.n_iter_ + trees}


def _grown(old: Any, table: Any, label: np.ndarray, params: Mapping[str, Any]) -> Any:
    kind = type(old)
    bins = old._bin_mapper

    class Continued(kind):  # type: ignore[valid-type, misc]
        """The same with bins and categories that stay."""

        def _preprocess_X(self, X: Any, *, reset: bool) -> Any:
            found = super()._preprocess_X(X, reset=False)
            return (found, None) if reset else found

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
