"""Ready-made pipelines: one short file each, with a function `estimator(kinds, task, params, seed)` that a user may copy and own."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import SpecError, nearest
from lakeloop.frames import Kind
from lakeloop.python_code import load, problem_with
from lakeloop.spec import Model, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TRUSTED_TYPES: tuple[str, ...] = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
"""What may stand in a stored model beside the types that skops trusts: what scikit-learn's own gradient boosting is made of. A partial
is only as trusted as the function in it, which has to be trusted too."""
BASELINE_ROWS = 50_000
"""Rows that the linear baseline is fitted on: more change its score by less than its interval."""


def names() -> list[str]:
    """The ready-made pipelines."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def check_model(model: Model, task: Task) -> None:
    """Check what can be checked of a model without fitting it: its pipeline or import path exists.

    Raises:
        SpecError: with the nearest match.
    """
    if model.pipeline is not None:
        if model.pipeline not in names():
            raise SpecError(f"no pipeline {model.pipeline!r}; {nearest(model.pipeline, names())}", key="pipeline")
        return
    problem = problem_with(str(model.estimator), Path())
    if problem:
        raise SpecError(f"wanted module:Class of an installed module: {problem}", key="estimator")


def build_estimator(model: Model, kinds: Mapping[str, Kind], task: Task) -> Any:
    """An unfitted scikit-learn estimator that takes a frame as `feature_frame` makes it.

    Args:
        model: pipeline or estimator, parameters, seed.
        kinds: the features and what they are, in order.
        task: classification or regression.

    Raises:
        SpecError: an unknown pipeline, class or parameter.
    """
    check_model(model, task)
    if model.pipeline is not None:
        module = importlib.import_module(f"lakeloop.pipelines.{model.pipeline}")
        return module.estimator(kinds, task, dict(model.params), model.seed)
    from sklearn.pipeline import make_pipeline

    from lakeloop.pipelines.linear import preprocessing

    cls = load(str(model.estimator), Path())
    if not (hasattr(cls, "fit") and hasattr(cls, "predict")):
        raise SpecError(f"{model.estimator} has no fit and predict: wanted a scikit-learn-style estimator", key="model.estimator")
    return make_pipeline(preprocessing(kinds), make(cls, {}, dict(model.params), model.seed))


def make(cls: Any, defaults: Mapping[str, Any], params: Mapping[str, Any], seed: int) -> Any:
    """An instance with defaults, the user's parameters over them, and the seed where it takes one."""
    known = inspect.signature(cls).parameters
    for name in params:
        if name not in known:
            raise SpecError(f"{cls.__name__} has no parameter {name!r}; {nearest(name, known)}", key=f"model.params.{name}")
    seeded = {"random_state": seed} if "random_state" in known else {}
    return cls(**{**seeded, **defaults, **params})


def constant_scores(y_fit: np.ndarray, task: Task, count: int) -> np.ndarray:
    """What a model that knows only the labels would say: the share of positives, or the median (which is best for absolute error)."""
    import numpy as np

    return np.full(count, float(np.mean(y_fit) if task == "binary_classification" else np.median(y_fit)))


def baseline_scores(frame: pd.DataFrame, y: np.ndarray, scored: pd.DataFrame, kinds: Mapping[str, Kind], task: Task) -> np.ndarray:
    """What a linear model on the same features says, fitted on evenly spaced rows."""
    import numpy as np

    picked = np.linspace(0, len(frame) - 1, min(len(frame), BASELINE_ROWS)).astype(int)
    model = build_estimator(Model(pipeline="linear"), kinds, task)
    model.fit(frame.iloc[picked], y[picked])
    return np.asarray(model.predict_proba(scored)[:, 1] if task == "binary_classification" else model.predict(scored), dtype=float)
