"""Checks of a workflow's settings by themselves and against each other: values that can't mean anything, and pairs that contradict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from lakeloop.errors import SpecError
from lakeloop.evaluation.decisions import CHAMPION_GATE, LEAK_GATE
from lakeloop.project.project import Located, Project, spec_of
from lakeloop.spec.tables import ViewSpec, render_duration
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.pipelines import build_estimator


def check_settings(project: Project, workflow: Located[WorkflowSpec]) -> Iterator[SpecError]:
    """Check the parameters of a ready-made pipeline, the ranges of gates, the windows of the split, and when the model is trained again."""
    spec, definition = workflow.spec, workflow.definition
    yield from _check_params(workflow)
    yield from _check_space(workflow)
    yield from _check_ranges(workflow)
    yield from _check_split(project, workflow)
    if spec.retrain is not None and not (spec.retrain.causes or spec.retrain.schedule):
        yield definition.error("wanted a schedule, or causes: [data]; with neither the model is never trained again", "retrain")


def _check_params(workflow: Located[WorkflowSpec]) -> Iterator[SpecError]:
    """Check the parameters of a ready-made pipeline by building it without data; a user's own code isn't imported here."""
    model, answer, definition = workflow.spec.model, workflow.spec.answer, workflow.definition
    if not model.params or model.pipeline is None or model.pipeline.endswith(".py"):
        return
    try:
        estimator = build_estimator(model, {"number": "double", "text": "string"}, answer, workflow.folder)
        _check_values(estimator)
    except SpecError as error:
        yield definition.error(error.message, *(error.key or "model").split("."))
    except (TypeError, ValueError) as error:
        told = str(error)
        name = next((name for name in model.params if f"{name!r}" in told), "")
        yield definition.error(told, "model", "params", *([name] if name else []))


def _check_space(workflow: Located[WorkflowSpec]) -> Iterator[SpecError]:
    """Check that a ready-made pipeline takes the ends of each range of its search, and each choice."""
    spec = workflow.spec
    if spec.search is None or spec.search.space is None or spec.model.pipeline is None or spec.model.pipeline.endswith(".py"):
        return
    for name, parameter in spec.search.space.items():
        ends = {"low": parameter.low, "high": parameter.high} if parameter.choices is None else dict(enumerate(parameter.choices))
        for key, value in ends.items():
            model = spec.model.model_copy(update={"params": {**spec.model.params, name: value}})
            try:
                _check_values(build_estimator(model, {"number": "double", "text": "string"}, spec.answer, workflow.folder))
            except SpecError:
                return  # told of the whole search
            except (TypeError, ValueError) as error:
                place = ("choices", key) if isinstance(key, int) else (key,)
                yield workflow.definition.error(str(error), "search", "space", name, *place)


def _check_values(estimator: Any) -> None:
    """Raise scikit-learn's own error for the first parameter, of an estimator or of one within it, that has an impossible value."""
    for part in (estimator, *estimator.get_params(deep=True).values()):
        if hasattr(part, "_validate_params"):
            part._validate_params()


def _check_ranges(workflow: Located[WorkflowSpec]) -> Iterator[SpecError]:
    """Check that the bounds of gates are values that their metric can have."""
    from lakeloop.metrics.table import metric_range

    spec, definition = workflow.spec, workflow.definition
    for name, gate in spec.gates.items():
        if name == LEAK_GATE:
            continue
        metric = spec.evaluation.primary if name == CHAMPION_GATE else name
        limits = metric_range(spec.answer, metric)
        if limits is None:
            continue
        least, most = limits
        for key in ("min", "max"):
            bound = getattr(gate, key)
            if bound is not None and not least <= bound <= most:
                yield definition.error(f"{metric} is {_words(least, most)}, found {bound:g}", "gates", name, key)
        if gate.min is not None and gate.max is not None and gate.min > gate.max:
            yield definition.error(f"wanted min up to max, found {gate.min:g} and {gate.max:g}", "gates", name)
        if gate.max_drop is not None and gate.max_drop > most - least:
            yield definition.error(
                f"{metric} is {_words(least, most)}, so that no model loses {gate.max_drop:g}", "gates", name, "max_drop"
            )


def _words(least: float, most: float) -> str:
    if math.isinf(most):
        return f"at least {least:g}"
    return f"at most {most:g}" if math.isinf(least) else f"between {least:g} and {most:g}"


def _check_split(project: Project, workflow: Located[WorkflowSpec]) -> Iterator[SpecError]:
    """Check that windows have a length, that they fit into the data, and that a label is known when the window after it begins."""
    spec, definition = workflow.spec, workflow.definition
    split = spec.split
    for key, window in (("train", split.train), ("test", split.test)):
        if not window:
            yield definition.error("wanted a window such as 30d, found 0s", "split", key)
    grid = spec.partitions
    if grid is not None and grid.end is not None:
        whole = timedelta(days=(grid.end - grid.start).days)
        wanted = split.train + split.validation + split.test + split.gap * (2 if split.validation else 1)
        if wanted > whole:
            yield definition.error(
                f"wanted windows that fit into the partitions, which have {render_duration(whole)}, found {render_duration(wanted)} with the gaps",
                "split",
            )
    label = project.find(workflow.domain, spec.label.view) if spec.label else None
    view = spec_of(project, label) if label else None
    if spec.forecast is None and not split.gap and isinstance(view, ViewSpec) and (view.known_at or view.delay):
        how = f"known_at: {view.known_at}" if view.known_at else f"delay: {render_duration(view.delay)}"
        yield definition.error(
            f"wanted how long it takes until a label is known ({view.name} has {how}), found 0s: the model would learn from labels that weren't "
            "known yet when the next window began",
            "split",
            "gap",
        )
