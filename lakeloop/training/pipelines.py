"""The ready-made pipelines by name, and the estimator of a workflow: from one of them, from a file beside the definition, or from a user's class.

The pipelines themselves are files in `lakeloop/pipelines`, whose docstring says what such a file holds.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from lakeloop.errors import SpecError, nearest
from lakeloop.rows.types import Kind
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.model_code import ModelCode, check_code, import_file, import_model_code, reference_of
from lakeloop.training.preprocessing import preprocessing

TRUSTED_TYPES: tuple[str, ...] = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)
"""Types that a stored model may hold besides those that skops trusts: scikit-learn's own trees, calibration and voting consist of them. A partial
is only as trusted as the function in it, which must be trusted, too."""
TrainingRows: TypeAlias = "Callable[[Any, Any], tuple[Any, Any]]"
"""Takes the features and labels to fit on, and returns those to fit on instead."""
NAMES = ("anomaly", "forecasting", "gradient_boosting", "linear")
"""The ready-made pipelines, each a module of `lakeloop.pipelines`."""
_HERE = Path()


def pipelines_for(task: Task) -> list[str]:
    """The names of the ready-made pipelines for a task."""
    return [name for name in NAMES if task in ready_made_module(name).TASKS]


def ready_made_module(name: str) -> ModuleType:
    """The module of a ready-made pipeline, imported on first use: most processes need none of them."""
    return importlib.import_module(f"lakeloop.pipelines.{name}")


def pipeline_module(name: str, task: Task, folder: Path = _HERE) -> ModuleType:
    """The module of a ready-made pipeline, or of a file beside the definition.

    Args:
        name: of the pipeline, or `file.py`.
        task: that it must support.
        folder: of the definition.

    Raises:
        SpecError: there is no pipeline of that name, or it doesn't support the task; with those that exist.
        DataError: the file can't be imported.
    """
    if name.endswith(".py"):
        check_code(Model(pipeline=name), task, folder)
        return import_file(folder / name)
    if name not in NAMES:
        raise SpecError(f"no pipeline {name!r}; {nearest(name, NAMES)}; one of your own is file.py", key="pipeline")
    module = ready_made_module(name)
    if task not in module.TASKS:
        others = ", ".join(pipelines_for(task)) or "none"
        raise SpecError(f"the pipeline {name} is for {', '.join(module.TASKS)}, not for {task}; for that there is {others}", key="pipeline")
    return module


def check_model(model: Model, task: Task, folder: Path = _HERE) -> None:
    """Check without importing or fitting it that a model's code exists and keeps its contract.

    Args:
        model: as the workflow declares it.
        task: that it must support.
        folder: of the definition.

    Raises:
        SpecError: with the nearest match.
    """
    if model.pipeline is not None and not model.pipeline.endswith(".py"):
        module = pipeline_module(model.pipeline, task)
        if model.warm_start is not None and not hasattr(module, "continued"):
            continuable = [name for name in NAMES if hasattr(ready_made_module(name), "continued")]
            raise SpecError(f"the pipeline {model.pipeline} can't be continued; those that can: {', '.join(continuable)}", key="warm_start")
    elif model.registered is None:
        check_code(model, task, folder)


def build_estimator(model: Model, kinds: Mapping[str, Kind], answer: Answer, folder: Path = _HERE, *, code: ModelCode | None = None) -> Any:
    """An unfitted scikit-learn estimator that takes a frame as `feature_frame` makes it.

    Args:
        model: pipeline or estimator, parameters, seed.
        kinds: the features and their kinds, in order.
        answer: what the model predicts.
        folder: of the definition.
        code: the user's own code, if it has been imported already.

    Raises:
        SpecError: an unknown pipeline, class or parameter; or a model that is a function and has no estimator.
        DataError: the user's code can't be imported.
    """
    check_model(model, answer.task, folder)
    key, reference = reference_of(model)
    if model.pipeline is not None:
        return pipeline_module(reference, answer.task, folder).estimator(kinds, answer, dict(model.params), model.seed)
    if model.estimator is None:
        raise SpecError(f"{reference} is a function that fits the model itself: there is no estimator to build", key=f"model.{key}")
    from sklearn.pipeline import make_pipeline

    cls = (code or import_model_code(model, folder)).value  # type: ignore[union-attr]  # an estimator has code
    if not (hasattr(cls, "fit") and hasattr(cls, "predict")):
        raise SpecError(f"{model.estimator} has no fit and predict: wanted a scikit-learn-style estimator", key="model.estimator")
    return make_pipeline(preprocessing(kinds), make(cls, {}, dict(model.params), model.seed))


def most_rows(model: Model, answer: Answer, folder: Path = _HERE) -> int | None:
    """The most rows that a pipeline can be fitted on; None when it declares no limit."""
    if model.pipeline is None:
        return None
    limits: Mapping[Task, int] = getattr(pipeline_module(model.pipeline, answer.task, folder), "MOST_ROWS", {})
    return limits.get(answer.task)


def training_rows(model: Model, answer: Answer, folder: Path = _HERE) -> TrainingRows | None:
    """The function by which a pipeline changes the rows that it is fitted on; None where it takes them as they are."""
    return None if model.pipeline is None else getattr(pipeline_module(model.pipeline, answer.task, folder), "training_rows", None)


def make(cls: Any, defaults: Mapping[str, Any], params: Mapping[str, Any], seed: int) -> Any:
    """Make an instance from defaults, the user's parameters over them, and the seed if the class takes one.

    Raises:
        SpecError: the class has no such parameter.
    """
    parameters = inspect.signature(cls).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    for name in params:
        if name not in names and not takes_any:
            raise SpecError(f"{cls.__name__} has no parameter {name!r}; {nearest(name, names)}", key=f"model.params.{name}")
    seeds = {"random_state": seed} if "random_state" in names else {}
    return cls(**{**seeds, **defaults, **params})
