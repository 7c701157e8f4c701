"""Checks of a workflow against the tables and views that it names, and of its parts against each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from lakeloop.checking.parts import check_expectations, check_query, locate_errors
from lakeloop.checking.settings import check_settings
from lakeloop.errors import SpecError, nearest
from lakeloop.evaluation.decisions import CHAMPION_GATE, LEAK_GATE
from lakeloop.project.known_floor import delayed_inputs
from lakeloop.project.project import Located, Project, TableRef, parse_sql_file, spec_of, usable_columns
from lakeloop.spec.tables import Column, is_number_type, render_duration
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.pipelines import check_model


def check_workflow(project: Project, workflow: Located[WorkflowSpec]) -> list[SpecError]:
    """Check that everything a workflow names exists and fits: spine, label, features, metrics, gates, model, search and expectations."""
    from lakeloop.metrics.table import check_metric

    spec, definition = workflow.spec, workflow.definition
    errors = check_query(project, workflow, spec.spine, [(key, ("keys",)) for key in spec.keys] + [(spec.predict_at, ("predict_at",))])
    label_ref = project.find(workflow.domain, spec.label.view) if spec.label else None
    errors += _check_label_view(project, workflow, label_ref)
    outputs, problems = _check_features(project, workflow, label_ref)
    errors += problems
    errors += _check_evaluation(workflow, outputs)
    errors += _check_forecast(project, workflow, outputs)
    errors += locate_errors(definition, ("evaluation", "primary"), lambda: check_metric(spec.answer, spec.evaluation.primary))
    errors += _check_gates(workflow)
    errors += _check_known_early(project, workflow) if not problems else []
    if spec.model.calibrate and not (spec.answer.kind.gives_probabilities and (spec.model.pipeline or spec.model.estimator)):
        errors.append(
            definition.error(f"this is for a pipeline or an estimator that classifies, this is a {spec.task}", "model", "calibrate")
        )
    problems = locate_errors(definition, ("model",), lambda: check_model(spec.model, spec.task, workflow.folder))
    if spec.search is not None and not problems:
        from lakeloop.search.space import check_search

        search = spec.search
        problems = locate_errors(definition, ("search",), lambda: check_search(spec.model, spec.answer, search, workflow.folder))
    errors += problems
    if not errors:
        errors += check_settings(project, workflow)
    for name in spec.answer.columns:
        if name in (*spec.keys, spec.predict_at):
            errors.append(
                definition.error(f"a column of the predictions is called {name}; rename the key in the spine and its views", "keys")
            )
    columns = {*spec.keys, spec.predict_at, *outputs}
    errors += check_expectations(
        workflow, "expectations.training_set", spec.expectations.get("training_set", []), {*columns, "label", "split"}
    )
    errors += check_expectations(
        workflow, "expectations.predictions", spec.expectations.get("predictions", []), {*columns, *spec.answer.columns}
    )
    return errors


def _check_gates(workflow: Located[WorkflowSpec]) -> list[SpecError]:
    """Check that gates name metrics of the task, with bounds, or the loss that is allowed against the champion."""
    from lakeloop.metrics.table import check_metric

    spec, definition, errors = workflow.spec, workflow.definition, []
    misplaced: tuple[str, ...]
    for name, gate in spec.gates.items():
        if name == LEAK_GATE:
            misplaced, message = (
                ("min", "max_drop", "error_rate"),
                "this is for other gates; the gate `leaks` has max, the findings that are let pass",
            )
            if gate.max is None:
                errors.append(definition.error("wanted max: 0, found none", "gates", name))
        elif name == CHAMPION_GATE:
            misplaced, message = ("min", "max"), "this bounds a metric; the gate `champion` has max_drop and error_rate"
        else:
            misplaced, message = ("max_drop", "error_rate"), "this is for the gate `champion`; bound a metric by min and max"
            problems = locate_errors(definition, ("gates", name), lambda name=name: check_metric(spec.answer, name, decides=False))  # type: ignore[misc]
            if gate.min is None and gate.max is None and not problems:
                problems = [definition.error("wanted min or max, or both, found neither", "gates", name)]
            errors += problems
        errors += [definition.error(message, "gates", name, key) for key in misplaced if getattr(gate, key) is not None]
    return errors


def _check_known_early(project: Project, workflow: Located[WorkflowSpec]) -> list[SpecError]:
    """Check that no view among the features counts as known always while what it reads isn't, where the gate `leaks` would refuse its releases.

    A workflow without this gate is told by LL102 alone: projects of before it have such views, and go on with the values that they had.
    """
    gate, errors = workflow.spec.gates.get(LEAK_GATE), list[SpecError]()
    if gate is None or gate.max != 0:
        return errors
    for name in workflow.spec.features:
        ref = project.find(workflow.domain, name)
        view = project.views.get((ref.domain, ref.name)) if ref is not None and ref.kind == "view" else None
        if view is None or view.spec.event_time is not None:
            continue
        try:
            delays = delayed_inputs(project, view)
        except SpecError:  # a query that can't be read is told by the check of its view
            continue
        if not delays:
            continue
        slowest = max(delays, key=lambda each: delays[each])
        time = spec_of(project, slowest).event_time or "<when it happened>"
        message = (
            f"without an event time its values count as known always, and of {slowest.domain}.{slowest.name}, which it reads, a row is known only "
            f"{render_duration(delays[slowest])} after its event, so that the gate leaks of {workflow.spec.name} would refuse every release. Wanted "
            f"`event_time: {time}`, with that column in the query, or `known_delay: ignored` where all that it reads is known before the whole row is"
        )
        errors.append(view.definition.error(message, "keys"))
    return errors


def _check_label_view(project: Project, workflow: Located[WorkflowSpec], label_ref: TableRef | None) -> list[SpecError]:
    """Check that the label's view exists and has its column and keys; without a label there is nothing to check."""
    spec, definition = workflow.spec, workflow.definition
    if spec.label is None:
        return []
    if label_ref is None or label_ref.kind != "view":
        return [definition.error(project.explain_missing(workflow.domain, spec.label.view, "feature view"), "label", "view")]
    view = spec_of(project, label_ref)
    if spec.label.column in view.columns:
        errors = _check_label(workflow, view.columns[spec.label.column])
    else:
        hint = nearest(spec.label.column, view.columns)
        errors = [definition.error(f"{spec.label.view} has no column {spec.label.column!r}; {hint}", "label", "column")]
    for key in view.keys:
        if key not in spec.keys:
            errors.append(
                definition.error(f"the label is keyed by {key!r}, which the spine's keys lack; {nearest(key, spec.keys)}", "keys")
            )
    return errors


def _check_features(
    project: Project, workflow: Located[WorkflowSpec], label_ref: TableRef | None
) -> tuple[dict[str, str], list[SpecError]]:
    """Check that the tables and views of the features exist, fit the spine's keys, and have the selected columns.

    Returns:
        The model's inputs by name, as `<table>.<column>`, and the errors.
    """
    spec, definition = workflow.spec, workflow.definition
    outputs: dict[str, str] = {}
    errors: list[SpecError] = []
    for name, selection in spec.features.items():
        ref = project.find(workflow.domain, name)
        if ref is None:
            errors.append(definition.error(project.explain_missing(workflow.domain, name), "features", name))
            continue
        if label_ref is not None and ref == label_ref:
            errors.append(definition.error(f"{name} holds the label: its columns would leak it into the features", "features", name))
            continue
        source = spec_of(project, ref)
        if not source.keys:
            errors.append(definition.error(f"{name} has no key to look rows up by; read it in a view that has one", "features", name))
            continue
        for key in source.keys:
            if key not in spec.keys:
                errors.append(
                    definition.error(
                        f"{name} is keyed by {key!r}, which the spine's keys lack; {nearest(key, spec.keys)}", "features", name
                    )
                )
        if selection.max_age is not None and source.event_time is None:
            errors.append(
                definition.error(f"{name} is static (it has no event time), so its values have no age", "features", name, "max_age")
            )
        available = usable_columns(source)
        for column in available if selection.columns == ["*"] else dict.fromkeys(selection.columns):
            if column not in source.columns:
                errors.append(definition.error(f"{name} has no column {column!r}; {nearest(column, available)}", "features", name))
            elif column not in available:
                kind = f"a {source.columns[column].type}" if column not in source.keys else "a key"
                errors.append(
                    definition.error(
                        f"{name}.{column} is {kind}, which can't be an input of a model; derive a number in a view", "features", name
                    )
                )
            output = f"{ref.name}__{column}"
            if output in outputs:
                errors.append(definition.error(f"{name}.{column} and {outputs[output]} would both be called {output}", "features", name))
            outputs[output] = f"{name}.{column}"
    return outputs, errors


def _check_label(workflow: Located[WorkflowSpec], column: Column) -> list[SpecError]:
    """Check that the task fits the label's type, and that classes are declared where they are needed."""
    spec, definition = workflow.spec, workflow.definition
    assert spec.label is not None
    classes, task, kind = spec.label.classes, spec.task, spec.answer.kind.label
    name = f"{spec.label.view}.{spec.label.column}"
    several = "multiclass_classification takes a text or an integer, and its classes"
    if kind != "class":
        errors = [definition.error(f"classes are for multiclass_classification, this is a {task}", "label", "classes")] if classes else []
        if column.type != "boolean" and not is_number_type(column.type):
            errors.append(definition.error(f"{task} takes a number or a boolean, {name} is a {column.type}; {several}", "label", "column"))
        return errors
    class_type = "integer" if classes and isinstance(classes[0], int) else "string"
    if column.type not in ("string", "integer"):
        return [definition.error(f"{several}, {name} is a {column.type}", "label", "column")]
    if len(classes) < 2:
        count = len(classes) or "none"
        return [
            definition.error(
                f"wanted the classes of {name}, two at least, such as classes: [small, large]; found {count}", "label", "classes"
            )
        ]
    if column.type != class_type:
        return [definition.error(f"the classes are {class_type}s, {name} is a {column.type}", "label", "classes")]
    return []


def _check_evaluation(workflow: Located[WorkflowSpec], outputs: Mapping[str, str]) -> list[SpecError]:
    """Check that slices, cluster and groups of the split name keys or features, and that costs are given for a binary classification only."""
    spec, definition, errors = workflow.spec, workflow.definition, []
    if spec.quantiles and not spec.answer.quantiles:
        errors.append(definition.error(f"quantiles are for quantile_regression, this is a {spec.task}", "quantiles"))
    names = {*spec.keys, *(output.split("__", 1)[1] for output in outputs)}
    references: list[tuple[str, tuple[str | int, ...]]] = [(column, ("slices", i)) for i, column in enumerate(spec.evaluation.slices)]
    if spec.evaluation.cluster not in (None, "day", "week"):
        references.append((str(spec.evaluation.cluster), ("cluster",)))
    named = [(column, ("evaluation", *key)) for column, key in references]
    named += [(column, ("split", "group")) for column in spec.split.group or ()]
    for column, place in named:
        if column not in names:
            errors.append(definition.error(f"no key or feature {column!r}; {nearest(column, names)}", *place))
    if spec.evaluation.costs is not None and not spec.answer.kind.costs:
        errors.append(definition.error(f"costs are for a binary classification, this is a {spec.task}", "evaluation", "costs"))
    return errors


def _check_forecast(project: Project, workflow: Located[WorkflowSpec], outputs: Mapping[str, str]) -> list[SpecError]:
    """Check that a forecast names existing keys and an existing feature, and that the gap covers its horizon."""
    spec, definition, errors = workflow.spec, workflow.definition, []
    if spec.forecast is None:
        return []
    references = [(name, ("series", i)) for i, name in enumerate(spec.forecast.series)]
    references += [(spec.forecast.target, ("target",)), (spec.forecast.ahead, ("ahead",))]  # type: ignore[list-item]
    for name, key in references:
        if name not in spec.keys:
            errors.append(definition.error(f"no key {name!r}; {nearest(name, spec.keys)}", "forecast", *key))
    features = [output.split("__", 1)[1] for output in outputs]
    if spec.forecast.naive not in features:
        errors.append(
            definition.error(f"no feature {spec.forecast.naive!r}; {nearest(spec.forecast.naive, features)}", "forecast", "naive")
        )
    errors += _check_zone(workflow)
    label = project.find(workflow.domain, spec.label.view) if spec.label else None
    delay = getattr(spec_of(project, label), "delay", timedelta(0)) if label else timedelta(0)
    least_gap = spec.forecast.reach + delay
    if spec.split.gap < least_gap:
        delay_note = f" and the label's delay of {render_duration(delay)}" if delay else ""
        errors.append(
            definition.error(
                f"wanted at least {render_duration(least_gap)} (the horizon of {spec.forecast.horizon} steps of {spec.forecast.every}{delay_note}), found "
                f"{render_duration(spec.split.gap)}: the model would learn from values of the next window",
                "split",
                "gap",
            )
        )
    return errors


_ZONE = re.compile(r"\b(?:from|to)_utc_timestamp\s*\([^']*'([^']+)'\s*\)", re.IGNORECASE)
"""The time zone of a function in SQL."""


def _check_zone(workflow: Located[WorkflowSpec]) -> list[SpecError]:
    """Check that a forecast names the zone in which its spine counts days, where both name one."""
    spec = workflow.spec
    if spec.forecast is None or spec.forecast.timezone is None:
        return []
    try:
        zones = sorted(set(_ZONE.findall(parse_sql_file(workflow, spec.spine).text)))
    except SpecError:
        return []  # told by the check of the query
    if not zones or spec.forecast.timezone in zones:
        return []
    message = f"wanted {' or '.join(zones)}, in which {spec.spine} counts, found {spec.forecast.timezone}; draft again with --timezone to change all"
    return [workflow.definition.error(message, "forecast", "timezone")]
