"""What can only be seen with all definitions at hand: that names, columns, keys, metrics and code they refer to are there, and fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from lakeloop.definition_files import Definition
from lakeloop.errors import SpecError, nearest
from lakeloop.project import ID, Located, Project, TableRef, columns_of, parsed, spec_of, upstream, usable_columns
from lakeloop.python_code import problem_with
from lakeloop.spec import Column, Expectation, PythonFunction, TableSpec, ViewSpec, render_duration
from lakeloop.workflow_spec import WorkflowSpec


def check(project: Project) -> list[SpecError]:
    """Everything that can only be seen with all definitions at hand."""
    errors: list[SpecError] = []
    for table in project.tables.values():
        errors += _check_expectations(table, "expectations", table.spec.expectations, table.spec.columns)
        errors += _check_rules(table)
        if isinstance(table.spec.source, PythonFunction):
            errors += _check_code(table, table.spec.source.function, "source", "function")
    for view in project.views.values():
        errors += _check_view(project, view)
    if not errors:
        errors += _check_cycles(project)
    for workflow in project.workflows.values():
        errors += _check_workflow(project, workflow)
    from lakeloop.personal import check_personal

    return errors + check_personal(project)


def _check_query(project: Project, located: Located[Any], file: str, needed: Iterable[tuple[str, tuple[str, ...]]]) -> list[SpecError]:
    """A query's tables and columns exist, the engine takes it, and it gives the columns that are needed (name, key in the file), each once."""
    from lakeloop.sql import output_columns
    from lakeloop.sql_refusals import refusals

    try:
        query = parsed(located, file)
    except SpecError as error:
        return [error]
    errors, schemas = [], {}
    for table in query.tables:
        name = ".".join(table.parts)
        ref = project.find(located.domain, name)
        if ref is None or len(table.parts) > 2:
            errors.append(
                SpecError(
                    f"no table or view {name!r}; {nearest(name, [f'{d}.{n}' for d, n in [*project.tables, *project.views]])}",
                    file=query.file,
                    line=table.line,
                )
            )
        else:
            schemas[table.parts] = columns_of(project, ref)
    if errors:
        return errors
    try:
        given = output_columns(query, schemas)
    except SpecError as error:
        available = sorted({column for columns in schemas.values() for column in columns})
        words = [word.strip("'.,") for word in error.message.split()]
        unknown = next(
            (w for w in words if w.isidentifier() and difflib.get_close_matches(w, available, 1, 0.6) and w not in available), None
        )
        hint = f"; {nearest(unknown, available)}" if unknown else ""
        return [SpecError(error.message + hint, file=error.file, line=error.line)]
    errors += refusals(query, schemas)
    for name, path in needed:
        if name not in given:
            errors.append(located.definition.error(f"{file} has no column {name!r}; {nearest(name, given)}", *path))
        elif given.count(name) > 1:
            errors.append(
                located.definition.error(f"{file} has {given.count(name)} columns {name!r}; wanted one, name the others apart", *path)
            )
    return errors


def _check_view(project: Project, view: Located[ViewSpec]) -> list[SpecError]:
    spec = view.spec
    needed = [(key, ("keys",)) for key in spec.keys] + [(name, ("columns", name)) for name in spec.columns]
    needed += [(name, (field_,)) for field_, name in (("event_time", spec.event_time), ("known_at", spec.known_at)) if name]
    errors = _check_expectations(view, "expectations", spec.expectations, {*spec.columns, *spec.keys, spec.event_time, "known_at"})
    if spec.sql is not None:
        errors += _check_query(project, view, spec.sql, needed)
    for index, name in enumerate(spec.inputs):
        if project.find(view.domain, name) is None:
            errors.append(view.definition.error(f"no table or view {name!r}; {nearest(name, project.names(view.domain))}", "inputs", index))
    errors += _check_lineage(project, view)
    if spec.function is not None:
        errors += _check_code(view, spec.function, "function")
    if spec.known_at and not spec.event_time:
        errors.append(view.definition.error("a view without an event_time is static: it has no known time either", "known_at"))
    if spec.partitions and not spec.event_time:
        errors.append(view.definition.error("a partitioned view needs an event_time", "partitions"))
    if not errors and spec.partitions:
        for ref in upstream(project, view):
            other = spec_of(project, ref).partitions
            if other and other.grain != spec.partitions.grain:
                errors.append(
                    view.definition.error(f"wanted the grain of {ref.name} ({other.grain}), found {spec.partitions.grain}", "partitions")
                )
    return errors


def _check_lineage(project: Project, view: Located[ViewSpec]) -> list[SpecError]:
    """What a view by function declares of its columns' origin: its own columns, all of them, from columns that its inputs have."""
    spec, errors = view.spec, []
    own = [*spec.columns, *spec.keys, *filter(None, (spec.event_time, spec.known_at))]
    inputs = {name: ref for name in spec.inputs if (ref := project.find(view.domain, name)) is not None}
    for column, sources in spec.lineage.items():
        if column not in own:
            errors.append(view.definition.error(f"the view has no column {column!r}; {nearest(column, own)}", "lineage", column))
        for index, text in enumerate(sources):
            table, _, name = text.rpartition(".")
            place = ("lineage", column, index)
            if table not in inputs:
                errors.append(view.definition.error(f"wanted <input>.<column>, found {text!r}; {nearest(table, inputs)}", *place))
            elif name not in (available := columns_of(project, inputs[table])):
                errors.append(view.definition.error(f"{table} has no column {name!r}; {nearest(name, available)}", *place))
    missing = [name for name in spec.columns if name not in spec.lineage] if spec.lineage else []
    if missing:
        errors.append(view.definition.error(f"wanted every column of the view, {', '.join(missing)} missing; [] for a constant", "lineage"))
    return errors


def _check_code(located: Located[Any], reference: str, *path: str) -> list[SpecError]:
    problem = problem_with(reference, located.folder)
    return [located.definition.error(problem, *path)] if problem else []


def _check_cycles(project: Project) -> list[SpecError]:
    state: dict[ID, int] = {}
    errors: list[SpecError] = []

    def visit(view: Located[ViewSpec], trail: tuple[str, ...]) -> None:
        if state.get(view.id) == 2:
            return
        if state.get(view.id) == 1:
            errors.append(view.definition.error(f"views read each other in a circle: {' -> '.join([*trail, view.spec.name])}", "sql"))
            return
        state[view.id] = 1
        for ref in upstream(project, view):
            if ref.kind == "view":
                visit(project.views[(ref.domain, ref.name)], (*trail, view.spec.name))
        state[view.id] = 2

    for view in project.views.values():
        visit(view, ())
    return errors


def _check_workflow(project: Project, workflow: Located[WorkflowSpec]) -> list[SpecError]:
    from lakeloop.metrics import check_metric
    from lakeloop.pipelines import check_model

    spec, at = workflow.spec, workflow.definition
    errors = _check_query(project, workflow, spec.spine, [(key, ("keys",)) for key in spec.keys] + [(spec.predict_at, ("predict_at",))])
    label_ref = project.find(workflow.domain, spec.label.view) if spec.label else None
    errors += _check_label_view(project, workflow, label_ref)
    outputs, problems = _check_features(project, workflow, label_ref)
    errors += problems
    errors += _check_evaluation(workflow, outputs)
    errors += _check_forecast(project, workflow, outputs)
    errors += _told(at, ("evaluation", "primary"), lambda: check_metric(spec.answer, spec.evaluation.primary))
    errors += _check_gates(workflow)
    if spec.model.calibrate and not (spec.answer.kind.shares and (spec.model.pipeline or spec.model.estimator)):
        errors.append(at.error(f"this is for a pipeline or an estimator that classifies, this is a {spec.task}", "model", "calibrate"))
    problems = _told(at, ("model",), lambda: check_model(spec.model, spec.task, workflow.folder))
    if spec.search is not None and not problems:
        from lakeloop.search_space import check_search

        search = spec.search
        problems = _told(at, ("search",), lambda: check_search(spec.model, spec.answer, search, workflow.folder))
    errors += problems
    for name in spec.answer.columns:
        if name in (*spec.keys, spec.predict_at):
            errors.append(
                at.error(f"a column of the predictions is called {name}; name the key otherwise in the spine and its views", "keys")
            )
    columns = {*spec.keys, spec.predict_at, *outputs}
    errors += _check_expectations(
        workflow, "expectations.training_set", spec.expectations.get("training_set", []), {*columns, "label", "split"}
    )
    errors += _check_expectations(
        workflow, "expectations.predictions", spec.expectations.get("predictions", []), {*columns, *spec.answer.columns}
    )
    return errors


def _check_gates(workflow: Located[WorkflowSpec]) -> list[SpecError]:
    """Gates name metrics of the task, and each says what it can: bounds of a metric, or what a champion may lose."""
    from lakeloop.decisions import CHAMPION_GATE
    from lakeloop.metrics import check_metric

    spec, at, errors = workflow.spec, workflow.definition, []
    for name, gate in spec.gates.items():
        if name == CHAMPION_GATE:
            strange, told = ("min", "max"), "this bounds a metric; the gate `champion` has max_drop and error_rate"
        else:
            strange, told = ("max_drop", "error_rate"), "this is for the gate `champion`; bound a metric by min and max"
            problems = _told(at, ("gates", name), lambda name=name: check_metric(spec.answer, name, decides=False))  # type: ignore[misc]
            if gate.min is None and gate.max is None and not problems:
                problems = [at.error("wanted min or max, or both, found neither", "gates", name)]
            errors += problems
        errors += [at.error(told, "gates", name, key) for key in strange if getattr(gate, key) is not None]
    return errors


def _check_label_view(project: Project, workflow: Located[WorkflowSpec], label_ref: TableRef | None) -> list[SpecError]:
    """The label's view is there and has its column and keys; nothing to check without a label."""
    spec, at = workflow.spec, workflow.definition
    if spec.label is None:
        return []
    if label_ref is None or label_ref.kind != "view":
        hint = nearest(spec.label.view, [n for _, n in project.views])
        return [at.error(f"no feature view {spec.label.view!r}; {hint}", "label", "view")]
    view = spec_of(project, label_ref)
    if spec.label.column in view.columns:
        errors = _check_label(workflow, view.columns[spec.label.column])
    else:
        hint = nearest(spec.label.column, view.columns)
        errors = [at.error(f"{spec.label.view} has no column {spec.label.column!r}; {hint}", "label", "column")]
    for key in view.keys:
        if key not in spec.keys:
            errors.append(at.error(f"the label is keyed by {key!r}, which the spine's keys lack; {nearest(key, spec.keys)}", "keys"))
    return errors


def _check_features(
    project: Project, workflow: Located[WorkflowSpec], label_ref: TableRef | None
) -> tuple[dict[str, str], list[SpecError]]:
    """Tables and views of the features are there, fit the spine's keys, and have the columns that are taken.

    Returns:
        The model's inputs by name, as `<table>.<column>`, and the errors.
    """
    spec, at = workflow.spec, workflow.definition
    outputs: dict[str, str] = {}
    errors: list[SpecError] = []
    for name, wanted in spec.features.items():
        ref = project.find(workflow.domain, name)
        if ref is None:
            errors.append(at.error(f"no table or view {name!r}; {nearest(name, project.names(workflow.domain))}", "features", name))
            continue
        if label_ref is not None and ref == label_ref:
            errors.append(at.error(f"{name} holds the label: its columns would leak it into the features", "features", name))
            continue
        source = spec_of(project, ref)
        for key in source.keys:
            if key not in spec.keys:
                errors.append(
                    at.error(f"{name} is keyed by {key!r}, which the spine's keys lack; {nearest(key, spec.keys)}", "features", name)
                )
        if wanted.max_age is not None and source.event_time is None:
            errors.append(at.error(f"{name} is static (it has no event time), so its values have no age", "features", name, "max_age"))
        available = usable_columns(source)
        for column in available if wanted.columns == ["*"] else wanted.columns:
            if column not in source.columns:
                errors.append(at.error(f"{name} has no column {column!r}; {nearest(column, available)}", "features", name))
            elif column not in available:
                why = f"a {source.columns[column].type}" if column not in source.keys else "a key"
                errors.append(
                    at.error(f"{name}.{column} is {why}, which can't be an input of a model; derive a number in a view", "features", name)
                )
            output = f"{ref.name}__{column}"
            if output in outputs:
                errors.append(at.error(f"{name}.{column} and {outputs[output]} would both be called {output}", "features", name))
            outputs[output] = f"{name}.{column}"
    return outputs, errors


def _check_label(workflow: Located[WorkflowSpec], column: Column) -> list[SpecError]:
    """The task fits the label's type, and what has to be said of the label is said."""
    spec, at = workflow.spec, workflow.definition
    assert spec.label is not None
    classes, task, kind = spec.label.classes, spec.task, spec.answer.kind.label
    name = f"{spec.label.view}.{spec.label.column}"
    several = "multiclass_classification takes a text or an integer, and its classes"
    if kind != "class":
        errors = [at.error(f"classes are for multiclass_classification, this is a {task}", "label", "classes")] if classes else []
        if column.type not in ("boolean", "integer", "double"):
            errors.append(at.error(f"{task} takes a number or a boolean, {name} is a {column.type}; {several}", "label", "column"))
        return errors
    wanted = "integer" if classes and isinstance(classes[0], int) else "string"
    if column.type not in ("string", "integer"):
        return [at.error(f"{several}, {name} is a {column.type}", "label", "column")]
    if len(classes) < 2:
        found = f"found {len(classes)}" if classes else "found none"
        return [at.error(f"wanted the classes of {name}, two at least, such as classes: [small, large]; {found}", "label", "classes")]
    if column.type != wanted:
        return [at.error(f"the classes are {wanted}s, {name} is a {column.type}", "label", "classes")]
    return []


def _told(definition: Definition, path: tuple[str, ...], attempt: Any) -> list[SpecError]:
    """Errors of a check that doesn't know the file, told with the place."""
    try:
        attempt()
    except SpecError as error:
        return [definition.error(error.message, *path, *(error.key.split(".") if error.key else []))]
    return []


def _check_expectations(
    located: Located[Any], path: str, expectations: Iterable[Expectation], columns: Iterable[str | None] | Mapping[str, Any]
) -> list[SpecError]:
    from lakeloop.expectation_names import EXPECTATIONS

    available = sorted(c for c in columns if c)
    errors = []
    for index, expectation in enumerate(expectations):
        place: tuple[str | int, ...] = (*path.split("."), index)
        if expectation.type not in EXPECTATIONS:
            errors.append(
                located.definition.error(f"no expectation {expectation.type!r}; {nearest(expectation.type, EXPECTATIONS)}", *place)
            )
            continue
        for name in expectation.kwargs:
            if name not in EXPECTATIONS[expectation.type]:
                errors.append(
                    located.definition.error(
                        f"{expectation.type} has no {name!r}; {nearest(name, EXPECTATIONS[expectation.type])}", *place, expectation.type
                    )
                )
        named = [expectation.kwargs.get(k) for k in ("column", "column_A", "column_B")] + list(expectation.kwargs.get("column_list") or [])
        for column in named:
            if column is not None and column not in available:
                errors.append(
                    located.definition.error(f"no column {column!r}; {nearest(str(column), available)}", *place, expectation.type)
                )
    return errors


def _check_evaluation(workflow: Located[WorkflowSpec], outputs: Mapping[str, str]) -> list[SpecError]:
    """Slices and cluster name keys or features; costs are for a binary classification."""
    spec, at, errors = workflow.spec, workflow.definition, []
    if spec.quantiles and not spec.answer.quantiles:
        errors.append(at.error(f"quantiles are for quantile_regression, this is a {spec.task}", "quantiles"))
    known = {*spec.keys, *(output.split("__", 1)[1] for output in outputs)}
    named: list[tuple[str, tuple[str | int, ...]]] = [(column, ("slices", i)) for i, column in enumerate(spec.evaluation.slices)]
    if spec.evaluation.cluster not in (None, "day", "week"):
        named.append((str(spec.evaluation.cluster), ("cluster",)))
    for column, place in named:
        if column not in known:
            errors.append(at.error(f"no key or feature {column!r}; {nearest(column, known)}", "evaluation", *place))
    if spec.evaluation.costs is not None and not spec.answer.kind.costs:
        errors.append(at.error(f"costs are for a binary classification, this is a {spec.task}", "evaluation", "costs"))
    return errors


def _check_forecast(project: Project, workflow: Located[WorkflowSpec], outputs: Mapping[str, str]) -> list[SpecError]:
    """A forecast names keys and a feature that are there, and the gap covers its horizon."""
    spec, at, errors = workflow.spec, workflow.definition, []
    if spec.forecast is None:
        return []
    named = [(name, ("series", i)) for i, name in enumerate(spec.forecast.series)]
    named += [(spec.forecast.target, ("target",)), (spec.forecast.ahead, ("ahead",))]  # type: ignore[list-item]
    for name, place in named:
        if name not in spec.keys:
            errors.append(at.error(f"no key {name!r}; {nearest(name, spec.keys)}", "forecast", *place))
    features = [output.split("__", 1)[1] for output in outputs]
    if spec.forecast.naive not in features:
        errors.append(at.error(f"no feature {spec.forecast.naive!r}; {nearest(spec.forecast.naive, features)}", "forecast", "naive"))
    label = project.find(workflow.domain, spec.label.view) if spec.label else None
    delay = getattr(spec_of(project, label), "delay", timedelta(0)) if label else timedelta(0)
    wanted = spec.forecast.reach + delay
    if spec.split.gap < wanted:
        later = f" and the label's delay of {render_duration(delay)}" if delay else ""
        errors.append(
            at.error(
                f"wanted at least {render_duration(wanted)} (the horizon of {spec.forecast.horizon} steps of {spec.forecast.every}{later}), found "
                f"{render_duration(spec.split.gap)}: values of the next window would be learnt from",
                "split",
                "gap",
            )
        )
    return errors


def _check_rules(table: Located[TableSpec]) -> list[SpecError]:
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    errors = []
    for name, rule in table.spec.rules.items():
        try:
            tree = parse_one(rule, into=exp.Condition)
        except SqlglotError as error:
            errors.append(table.definition.error(f"can't parse the rule: {str(error).splitlines()[0]}", "rules", name))
            continue
        for column in tree.find_all(exp.Column):
            if column.name not in table.spec.columns:
                errors.append(
                    table.definition.error(f"no column {column.name!r}; {nearest(column.name, table.spec.columns)}", "rules", name)
                )
    return errors
