"""Checks that need all definitions: the names, columns, keys, metrics and code that they refer to exist, and fit together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lakeloop.checking.lists import check_lists
from lakeloop.checking.parts import check_code, check_expectations, check_query
from lakeloop.checking.personal import check_personal
from lakeloop.checking.workflow import check_workflow
from lakeloop.errors import SpecError, nearest
from lakeloop.project.lineage import asset_lineage
from lakeloop.project.project import (
    Located,
    Project,
    TableRef,
    feature_columns,
    label_view,
    load_project,
    located_of,
    parse_sql_file,
    partitions_of,
    spec_of,
    spine_upstream,
    upstream,
)
from lakeloop.project.sql_tables import columns_of
from lakeloop.spec.tables import FILE, ROW, DeltaTableSource, PythonFunction, TableSpec, ViewSpec, render_duration
from lakeloop.sql.reach import find_reaches


def load_checked(defs: Path, *, extra: Iterable[Located[Any]] = ()) -> tuple[Project, list[SpecError]]:
    """Read every `<domain>/<name>/defs.yaml` below a folder and check them all.

    Args:
        defs: the folder of definitions; messages name files relative to the project's folder.
        extra: definitions made in Python.

    Returns:
        The readable definitions, and every error of reading and checking, by file and line. A project with errors must not be built.
    """
    project, errors = load_project(defs, extra=extra)
    return project, sorted([*errors, *check(project)], key=lambda e: (e.file, e.line or 0, str(e)))


def check(project: Project) -> list[SpecError]:
    """Check all definitions against each other."""
    errors = [error for located in project.all() for error in check_lists(located)]
    for table in project.tables.values():
        errors += check_expectations(table, "expectations", table.spec.expectations, table.spec.columns)
        errors += _check_rules(table)
        errors += _check_adopted(table)
        if isinstance(table.spec.source, PythonFunction):
            errors += check_code(table, table.spec.source.function, "source", "function")
    for view in project.views.values():
        errors += _check_view(project, view)
    if not errors:
        errors += _check_cycles(project)
    for workflow in project.workflows.values():
        errors += check_workflow(project, workflow)
    return errors + check_personal(project)


def _check_view(project: Project, view: Located[ViewSpec]) -> list[SpecError]:
    spec = view.spec
    needed = [(key, ("keys",)) for key in spec.keys] + [(name, ("columns", name)) for name in spec.columns]
    needed += [(name, (field_,)) for field_, name in (("event_time", spec.event_time), ("known_at", spec.known_at)) if name]
    every = {**dict.fromkeys(filter(None, (*spec.keys, spec.event_time, "known_at"))), **spec.columns}
    errors = check_expectations(view, "expectations", spec.expectations, every)
    if spec.sql is not None:
        errors += check_query(project, view, spec.sql, needed)
    for index, name in enumerate(spec.inputs):
        if project.find(view.domain, name) is None:
            errors.append(view.definition.error(project.explain_missing(view.domain, name), "inputs", index))
    errors += _check_lineage(project, view)
    if spec.function is not None:
        errors += check_code(view, spec.function, "function")
    if spec.known_at and not spec.event_time:
        errors.append(view.definition.error("a view without an event_time is static: it has no known time either", "known_at"))
    for field_, duration in (("delay", spec.delay), ("lookback", spec.lookback)):
        if duration and not spec.event_time:
            told = f"a view without an event_time is static, so that {render_duration(duration)} means nothing; wanted an event_time"
            errors.append(view.definition.error(told, field_))
    errors += _check_known_at(project, view) if not errors else []
    if spec.partitions and not spec.event_time:
        errors.append(view.definition.error("a partitioned view needs an event_time", "partitions"))
    if not errors and spec.partitions:
        for ref in upstream(project, view):
            partitions = partitions_of(project, ref)
            if partitions and partitions.grain != spec.partitions.grain:
                errors.append(
                    view.definition.error(
                        f"wanted the grain of {ref.name} ({partitions.grain}), found {spec.partitions.grain}", "partitions"
                    )
                )
        errors += _check_reach(project, view)
    return errors


def _check_known_at(project: Project, view: Located[ViewSpec]) -> list[SpecError]:
    """Check that a view says when its values were known, where that doesn't follow from the event time of what it reads."""
    spec = view.spec
    if not spec.event_time or spec.known_at:
        return []
    made = [ref for ref in upstream(project, view) if ref.is_stage]
    if made:
        names = ", ".join(f"{ref.stage}.{ref.domain}.{ref.name}" for ref in made)
        times = {"raw": "ingested_at", "training_sets": "label_known_at", "predictions": "predicted_at"}
        message = (
            f"it reads {names}, whose values are known later than their event time says: wanted known_at, such as {times[made[0].stage]}"
        )
        return [view.definition.error(message, "event_time")]
    if spec.known_delay == "ignored" or "delay" in spec.model_fields_set:
        return []
    from_columns = {(source.domain, source.name, source.column) for source in asset_lineage(project, "features", view)[spec.event_time]}
    for ref in upstream(project, view):
        read = spec_of(project, ref)
        if not isinstance(read, ViewSpec) or read.known_at in (None, read.event_time):
            continue
        if not {(ref.domain, ref.name, column) for column in (read.known_at, "known_at")} & from_columns:
            message = (
                f"it reads {ref.domain}.{ref.name}, whose rows are known at their {read.known_at}, which {spec.event_time} doesn't come from: wanted known_at, such "
                f"as the known_at of {ref.name}; a delay; or known_delay: ignored, where the query itself reads only what was known at {spec.event_time}"
            )
            return [view.definition.error(message, "event_time")]
    return []


def _check_reach(project: Project, view: Located[ViewSpec]) -> list[SpecError]:
    """Check that a partitioned view by SQL declares how far back it reads; its rows would depend on the partitions of a batch otherwise."""
    spec = view.spec
    if spec.sql is None or spec.partitions is None:
        return []
    query = parse_sql_file(view, spec.sql)
    partitioned = {}
    for table in query.tables:
        ref = project.find_rows(view.domain, ".".join(table.parts))
        partitioned[table.parts] = ref is not None and partitions_of(project, ref) is not None
    errors = []
    for reach in find_reaches(query, partitioned):
        if reach.back is not None and reach.back > spec.lookback:
            lookback = f"the view's lookback is {render_duration(spec.lookback)}" if spec.lookback else "the view has no lookback"
            problem = f"reads {render_duration(reach.back)} back, and {lookback}"
        elif reach.back is None and "lookback" not in spec.model_fields_set:
            problem = f"reads earlier rows, and the view has no lookback (0d is one, where all are of one {spec.partitions.grain})"
        else:
            continue
        errors.append(SpecError(f"{reach.text} {problem}; declare how far: the view sees no older row", file=query.file, line=reach.line))
    return errors


def _check_lineage(project: Project, view: Located[ViewSpec]) -> list[SpecError]:
    """Check the declared lineage of a view by function: all of its own columns, from columns that its inputs have."""
    spec, errors = view.spec, []
    columns = [*spec.columns, *spec.keys, *filter(None, (spec.event_time, spec.known_at))]
    inputs = {name: ref for name in spec.inputs if (ref := project.find(view.domain, name)) is not None}
    for column, sources in spec.lineage.items():
        if column not in columns:
            errors.append(view.definition.error(f"the view has no column {column!r}; {nearest(column, columns)}", "lineage", column))
        for index, text in enumerate(sources):
            table, _, name = text.rpartition(".")
            key = ("lineage", column, index)
            if table not in inputs:
                errors.append(view.definition.error(f"wanted <input>.<column>, found {text!r}; {nearest(table, inputs)}", *key))
            elif name not in (available := columns_of(project, inputs[table])):
                errors.append(view.definition.error(f"{table} has no column {name!r}; {nearest(name, available)}", *key))
    missing = [name for name in spec.columns if name not in spec.lineage] if spec.lineage else []
    if missing:
        errors.append(view.definition.error(f"wanted every column of the view, {', '.join(missing)} missing; [] for a constant", "lineage"))
    return errors


def _check_cycles(project: Project) -> list[SpecError]:
    """Find definitions that read each other in a circle: views, and workflows whose rows are read where they are made from."""
    finished: dict[TableRef, bool] = {}
    errors: list[SpecError] = []

    def visit(ref: TableRef, trail: tuple[TableRef, ...]) -> None:
        if ref in finished:
            if not finished[ref]:
                located, circle = located_of(project, ref), [*trail[trail.index(ref) :], ref]
                names = " -> ".join(_name_in_circle(each, circle) for each in circle)
                what = "views" if all(each.kind == "view" for each in circle) else "definitions"
                errors.append(
                    located.definition.error(f"{what} read each other in a circle: {names}", "sql" if ref.kind == "view" else "spine")
                )
            return
        finished[ref] = False
        for each in _read_by(project, ref):
            visit(each, (*trail, ref))
        finished[ref] = True

    for view in project.views.values():
        visit(TableRef("view", *view.id), ())
    for workflow in project.workflows.values():
        visit(TableRef("training_sets", *workflow.id), ())
    return errors


def _name_in_circle(ref: TableRef, circle: Sequence[TableRef]) -> str:
    return ref.name if all(each.kind == "view" for each in circle) else f"{ref.domain}.{ref.name}"


def _read_by(project: Project, ref: TableRef) -> list[TableRef]:
    """The views and workflows that one reads; all rows of a workflow are made from what its training set is, and count as that.

    None for a workflow that names something which isn't there, which is an error of its own.
    """
    if ref.kind == "view":
        refs = upstream(project, project.views[(ref.domain, ref.name)])
    else:
        workflow = project.workflows[(ref.domain, ref.name)]
        try:
            label = label_view(project, workflow)
            refs = [*spine_upstream(project, workflow), *(feature.ref for feature in feature_columns(project, workflow))]
            refs += [TableRef("view", *label.id)] if label else []
        except SpecError:
            return []
    workflows = ("training_sets", "predictions")
    read = [TableRef("training_sets", each.domain, each.name) if each.kind in workflows else each for each in refs]
    return list(dict.fromkeys(each for each in read if each.kind in ("view", "training_sets")))


_NOT_IN_PLACE = {
    "path": "a field of JSON is parsed where rows land",
    "null_values": "texts become null where rows land",
    "non_finite": "NaN and infinity stay as they are",
    "format": "values aren't parsed",
}
"""Options of columns that change values, by the reason why a table that is read in place has none."""


def _check_adopted(table: Located[TableSpec]) -> list[SpecError]:
    """Check that a table that is read in place says nothing of how its values are changed: every engine reads them as they are."""
    if not isinstance(table.spec.source, DeltaTableSource):
        return []
    errors = []
    for name, column in table.spec.columns.items():
        for option, why in _NOT_IN_PLACE.items():
            if getattr(column, option) is not None:
                message = f"an adopted Delta table is read in place, and {why}; leave it out, and compute the value in a view"
                errors.append(table.definition.error(message, "columns", name, option))
        sources = column.source or [name]
        if len(sources) > 1 or sources[0] in (ROW, FILE):
            message = f"an adopted Delta table is read in place: wanted one of its columns, found {', '.join(sources)}"
            errors.append(table.definition.error(message, "columns", name, "source"))
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
