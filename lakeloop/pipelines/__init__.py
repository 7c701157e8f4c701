"""Ready-made pipelines: one short file each, which a user may copy and own.

Such a file says in its docstring when to use it, and holds `TASKS` (what it can do), `estimator(kinds, answer, params, seed)` (an unfitted
scikit-learn estimator) and `search_space(task)` (what a search tries unless the workflow says otherwise).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from lakeloop.errors import SpecError, nearest
from lakeloop.frames import Kind
from lakeloop.python_code import load, problem_with
from lakeloop.spec import Task
from lakeloop.tasks import Answer
from lakeloop.workflow_spec import Model

TRUSTED_TYPES: tuple[str, ...] = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
"""What may stand in a stored model beside the types that skops trusts: what scikit-learn's own gradient boosting is made of. A partial
is only as trusted as the function in it, which has to be trusted too."""


def names() -> list[str]:
    """The ready-made pipelines."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def pipeline(name: str, task: Task) -> ModuleType:
    """The module of a ready-made pipeline.

    Raises:
        SpecError: there is none of that name, or it isn't made for the task; with the nearest that is.
    """
    if name not in names():
        raise SpecError(f"no pipeline {name!r}; {nearest(name, names())}", key="pipeline")
    module = importlib.import_module(f"lakeloop.pipelines.{name}")
    if task not in module.TASKS:
        raise SpecError(f"the pipeline {name} is for {', '.join(module.TASKS)}, not for {task}", key="pipeline")
    return module


def check_model(model: Model, task: Task) -> None:
    """Check what can be checked of a model without fitting it: its pipeline or import path exists.

    Raises:
        SpecError: with the nearest match.
    """
    if model.pipeline is not None:
        pipeline(model.pipeline, task)
        return
    problem = problem_with(str(model.estimator), Path())
    if problem:
        raise SpecError(f"wanted module:Class of an installed module: {problem}", key="estimator")


def build_estimator(model: Model, kinds: Mapping[str, Kind], answer: Answer) -> Any:
    """An unfitted scikit-learn estimator that takes a frame as `feature_frame` makes it.

    Args:
        model: pipeline or estimator, parameters, seed.
        kinds: the features and what they are, in order.
        answer: what it has to answer.

    Raises:
        SpecError: an unknown pipeline, class or parameter.
    """
    check_model(model, answer.task)
    if model.pipeline is not None:
        return pipeline(model.pipeline, answer.task).estimator(kinds, answer, dict(model.params), model.seed)
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
