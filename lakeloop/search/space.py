"""What a search tries: the space of a workflow, checked against its estimator, drawn from by a trial, and the pipeline's own values in it."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lakeloop.errors import SpecError, nearest
from lakeloop.metrics.table import check_metric
from lakeloop.spec.search import Named, Parameter, Search, in_order
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.frames import Kind
from lakeloop.training.model_code import reference_of
from lakeloop.training.pipelines import build_estimator, pipeline_module

Space = Mapping[str, Parameter]
_NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}
"""Samplers that want a package which Optuna doesn't bring."""


class Fits(Protocol):
    """What gives a fitted estimator: an unfitted one, or a function of the user's own."""

    def fit(self, rows: Any, y: Any) -> Any: ...


@dataclass(frozen=True)
class _ByFunction:
    """A model that a function of the user's own fits."""

    model: Model
    kinds: Mapping[str, Kind]
    answer: Answer
    folder: Path

    def fit(self, rows: Any, y: Any) -> Any:
        return fit_model(self.model, self.kinds, self.answer, rows, y, folder=self.folder)


class Draws(Protocol):
    """The part of an Optuna trial that draws values."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


def space_of(model: Model, answer: Answer, search: Search, folder: Path) -> dict[str, Parameter]:
    """The space of a search, its parameters in an order in which each stands after those that it depends on.

    Raises:
        SpecError: the workflow names none, and neither does its pipeline.
    """
    if search.space is not None:
        return {name: search.space[name] for name in in_order(search.space)}
    reference = reference_of(model)[1]
    if model.pipeline is None:
        raise SpecError(
            f"{reference} has no search space of its own: wanted one, such as {{C: {{low: 0.01, high: 100, log: true}}}}", key="space"
        )
    module = pipeline_module(model.pipeline, answer.task, folder)
    space = {name: Parameter.model_validate(values) for name, values in module.search_space(answer.task).items()}
    return {name: space[name] for name in in_order(space)}


def draw(trial: Draws, space: Space) -> dict[str, Any]:
    """The parameters of a trial; one whose condition isn't met is left out."""
    drawn: dict[str, Any] = {}
    for name, values in space.items():
        if not all(other in drawn and drawn[other] in wanted for other, wanted in values.when.items()):
            continue
        if values.choices is not None:
            drawn[name] = trial.suggest_categorical(name, values.choices)
        elif values.integers:
            drawn[name] = trial.suggest_int(name, values.low, values.high, step=values.step or 1, log=values.log)  # type: ignore[arg-type]
        else:
            drawn[name] = trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)  # type: ignore[arg-type]
    return drawn


def own_values(model: Model, answer: Answer, space: Space, folder: Path) -> dict[str, Any]:
    """What the model's parameters are without a search, where they lie in the space; the first trial tries them."""
    made: Any = None if model.train is not None else build_estimator(model, {}, answer, folder)
    known = {name.split("__")[-1]: value for name, value in made.get_params().items()} if hasattr(made, "get_params") else {}
    found: dict[str, Any] = {}
    for name, values in space.items():
        value = model.params.get(name, known.get(name))
        met = all(other in found and found[other] in wanted for other, wanted in values.when.items())
        if met and _holds(values, value):
            found[name] = value
    return found


def unfitted(model: Model, kinds: Mapping[str, Kind], answer: Answer, folder: Path) -> Fits:
    """What a trial fits."""
    found: Fits = _ByFunction(model, kinds, answer, folder) if model.train is not None else build_estimator(model, kinds, answer, folder)
    return found


def with_params(model: Model, params: Mapping[str, Any]) -> Model:
    """The model with parameters that a search found, over its own."""
    return model.model_copy(update={"params": {**model.params, **params}})


def check_search(model: Model, answer: Answer, search: Search, folder: Path) -> None:
    """Check what can be checked of a search without fitting anything.

    Raises:
        SpecError: a metric that the task doesn't have, a parameter that the estimator doesn't have, an argument that the sampler or pruner doesn't
            take, or a package that it lacks; `key` is the place below `search`.
    """
    key, reference = reference_of(model)
    if key == "registered":
        raise SpecError(f"{reference} is not trained here, so that there is nothing to search")
    if answer.kind.label == "none":
        raise SpecError(f"the task {answer.task} has no label to search by; take search out")
    if search.metric is not None:
        try:
            check_metric(answer, search.metric)
        except SpecError as error:
            raise SpecError(error.message, key="metric") from error
    _check_arguments("sampler", search.sampler)
    _check_arguments("pruner", search.pruner)
    space = space_of(model, answer, search, folder)
    for name, values in space.items() if search.space is not None and model.train is None else ():
        tried = values.choices[0] if values.choices is not None else values.low
        try:
            build_estimator(with_params(model, {name: tried}), {}, answer, folder)
        except SpecError as error:
            raise SpecError(error.message, key=f"space.{name}" if error.key.endswith(f".{name}") else error.key) from error


def _check_arguments(what: str, named: Named) -> None:
    needed = _NEEDS.get(named.name)
    if needed and importlib.util.find_spec(needed) is None:
        raise SpecError(f"{named.name} needs the package {needed}, which isn't installed", key=what)
    if named in (Search.model_fields["sampler"].default, Search.model_fields["pruner"].default):
        return  # so that the usual case doesn't pay for importing Optuna
    import optuna

    shelf: Any = optuna.samplers if what == "sampler" else optuna.pruners
    signature = inspect.signature(getattr(shelf, named.name))
    known = [name for name in signature.parameters if name != "seed"]
    for name in named.arguments:
        if name == "seed":
            raise SpecError("the seed of the sampler is `search.seed`", key=f"{what}.{named.name}.seed")
        if name not in known:
            raise SpecError(f"{named.name} has no argument {name!r}; {nearest(name, known)}", key=f"{what}.{named.name}.{name}")
    try:
        signature.bind(**named.arguments)
    except TypeError as error:
        raise SpecError(f"{named.name}: {error}", key=f"{what}.{named.name}") from error


def _holds(values: Parameter, value: Any) -> bool:
    """Whether a value can be drawn from a parameter."""
    if values.choices is not None:
        return any(value is c or (value == c and type(value) is type(c)) for c in values.choices)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (values.integers and value != int(value)):
        return False
    assert values.low is not None and values.high is not None
    if not values.low <= value <= values.high:
        return False
    steps = (value - values.low) / values.step if values.step is not None else 0
    return abs(steps - round(steps)) < 1e-9
