"""The space of a search: declared by the workflow or its pipeline, checked against the estimator, drawn from by a trial."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lakeloop.errors import SpecError, nearest
from lakeloop.metrics.table import check_metric
from lakeloop.rows.types import Kind
from lakeloop.spec.search import Named, Parameter, Search, order_parameters
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.model_code import reference_of
from lakeloop.training.pipelines import build_estimator, pipeline_module

Space = Mapping[str, Parameter]
_NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}
"""Samplers that need a package which Optuna doesn't install."""


class Fittable(Protocol):
    """What returns a fitted estimator: an unfitted one, or a function of the user."""

    def fit(self, rows: Any, y: Any) -> Any: ...


@dataclass(frozen=True)
class _FunctionModel:
    """A model that a function of the user fits."""

    model: Model
    kinds: Mapping[str, Kind]
    answer: Answer
    folder: Path

    def fit(self, rows: Any, y: Any) -> Any:
        return fit_model(self.model, self.kinds, self.answer, rows, y, folder=self.folder)


class TrialDraws(Protocol):
    """The part of an Optuna trial that draws values."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


def space_of(model: Model, answer: Answer, search: Search, folder: Path) -> dict[str, Parameter]:
    """The space of a search, with each parameter after those that it depends on.

    Raises:
        SpecError: neither the workflow nor its pipeline declares one.
    """
    if search.space is not None:
        return {name: search.space[name] for name in order_parameters(search.space)}
    reference = reference_of(model)[1]
    if model.pipeline is None:
        raise SpecError(
            f"{reference} has no search space of its own: wanted one, such as {{C: {{low: 0.01, high: 100, log: true}}}}", key="space"
        )
    module = pipeline_module(model.pipeline, answer.task, folder)
    space = {name: Parameter.model_validate(values) for name, values in module.search_space(answer.task).items()}
    return {name: space[name] for name in order_parameters(space)}


def draw(trial: TrialDraws, space: Space) -> dict[str, Any]:
    """Draw the parameters of a trial; one whose condition isn't met is left out."""
    params: dict[str, Any] = {}
    for name, values in space.items():
        if not all(other in params and params[other] in allowed for other, allowed in values.when.items()):
            continue
        if values.choices is not None:
            params[name] = trial.suggest_categorical(name, values.choices)
            continue
        assert values.low is not None and values.high is not None
        if values.is_integer:
            params[name] = trial.suggest_int(name, int(values.low), int(values.high), step=int(values.step or 1), log=values.log)
        else:
            params[name] = trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)
    return params


def own_values(model: Model, answer: Answer, space: Space, folder: Path) -> dict[str, Any]:
    """The parameters that the model has without a search, where they lie in the space; the first trial tries them."""
    estimator: Any = None if model.train is not None else build_estimator(model, {}, answer, folder)
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    defaults = {name.split("__")[-1]: value for name, value in params.items()}
    own: dict[str, Any] = {}
    for name, values in space.items():
        value = model.params.get(name, defaults.get(name))
        is_active = all(other in own and own[other] in allowed for other, allowed in values.when.items())
        if is_active and _is_within(values, value):
            own[name] = value
    return own


def build_unfitted(model: Model, kinds: Mapping[str, Kind], answer: Answer, folder: Path) -> Fittable:
    """Build what a trial fits."""
    if model.train is not None:
        return _FunctionModel(model, kinds, answer, folder)
    estimator: Fittable = build_estimator(model, kinds, answer, folder)
    return estimator


def with_params(model: Model, params: Mapping[str, Any]) -> Model:
    """The model with the parameters of a search over its own."""
    return model.model_copy(update={"params": {**model.params, **params}})


def check_search(model: Model, answer: Answer, search: Search, folder: Path) -> None:
    """Check as much of a search as is possible without fitting anything.

    Raises:
        SpecError: a metric that the task doesn't have, a parameter that the estimator doesn't have, an argument that the sampler or pruner doesn't
            take, or a package that isn't installed; `key` is the place below `search`.
    """
    key, reference = reference_of(model)
    if key == "registered":
        raise SpecError(f"{reference} is not trained here, so there is nothing to search")
    if answer.kind.label == "none":
        raise SpecError(f"the task {answer.task} has no label to search by; remove search")
    if search.metric is not None:
        try:
            check_metric(answer, search.metric)
        except SpecError as error:
            raise SpecError(error.message, key="metric") from error
    _check_arguments("sampler", search.sampler)
    _check_arguments("pruner", search.pruner)
    space = space_of(model, answer, search, folder)
    for name, values in space.items() if search.space is not None and model.train is None else ():
        example = values.choices[0] if values.choices is not None else values.low
        try:
            build_estimator(with_params(model, {name: example}), {}, answer, folder)
        except SpecError as error:
            raise SpecError(error.message, key=f"space.{name}" if error.key.endswith(f".{name}") else error.key) from error


def _check_arguments(what: str, named: Named) -> None:
    package = _NEEDS.get(named.name)
    if package and importlib.util.find_spec(package) is None:
        raise SpecError(f"{named.name} needs the package {package}, which isn't installed", key=what)
    if named in (Search.model_fields["sampler"].default, Search.model_fields["pruner"].default):
        return  # the usual case doesn't pay for importing Optuna
    import optuna

    module: Any = optuna.samplers if what == "sampler" else optuna.pruners
    signature = inspect.signature(getattr(module, named.name))
    names = [name for name in signature.parameters if name != "seed"]
    for name in named.arguments:
        if name == "seed":
            raise SpecError("the seed of the sampler is `search.seed`", key=f"{what}.{named.name}.seed")
        if name not in names:
            raise SpecError(f"{named.name} has no argument {name!r}; {nearest(name, names)}", key=f"{what}.{named.name}.{name}")
    try:
        signature.bind(**named.arguments)
    except TypeError as error:
        raise SpecError(f"{named.name}: {error}", key=f"{what}.{named.name}") from error


def _is_within(values: Parameter, value: Any) -> bool:
    """Whether a value can be drawn from a parameter."""
    if values.choices is not None:
        return any(value is c or (value == c and type(value) is type(c)) for c in values.choices)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (values.is_integer and value != int(value)):
        return False
    assert values.low is not None and values.high is not None
    if not values.low <= value <= values.high:
        return False
    steps = (value - values.low) / values.step if values.step is not None else 0
    return abs(steps - round(steps)) < 1e-9
