"""Checks that definitions don't expose personal values: as times, model inputs, labels, slices or cursor positions."""

from __future__ import annotations

from collections.abc import Iterator

from lakeloop.errors import SpecError
from lakeloop.project.personal import has_personal_columns, personal_columns
from lakeloop.project.project import Located, Project, feature_columns
from lakeloop.spec.personal import hidden_landed
from lakeloop.spec.tables import DatabaseSource, TableSpec, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec

_WHY = "a model keeps values of what it is made from (categories, medians, thresholds)"


def check_personal(project: Project) -> list[SpecError]:
    """Find definitions that would expose personal values outside the data: as times, model inputs, labels or slices.

    A definition that is broken, or depends on a broken one, is skipped: its own errors come first, and it can't be built.
    """
    errors: list[SpecError] = []
    if not has_personal_columns(project):
        return errors
    checks: list[Iterator[SpecError]] = [_check_table(table) for table in project.tables.values()]
    checks += [_check_view(project, view) for view in project.views.values()]
    for check in [*checks, *(_check_workflow(project, workflow) for workflow in project.workflows.values())]:
        try:
            errors += list(check)
        except SpecError:
            continue
    return errors


def _check_table(table: Located[TableSpec]) -> Iterator[SpecError]:
    spec, definition = table.spec, table.definition
    if isinstance(spec.source, DatabaseSource) and spec.source.cursor and hidden_landed(spec, [spec.source.cursor]) >= {spec.source.cursor}:
        yield definition.error(
            f"{spec.source.cursor} is personal, or undeclared beside personal columns: its greatest value is the position, which is shown; "
            "declare it as a column that isn't, or read all of the table",
            "source",
            "cursor",
        )


def _check_view(project: Project, view: Located[ViewSpec]) -> Iterator[SpecError]:
    personal = personal_columns(project, "features", view)
    for field in ("event_time", "known_at"):
        if getattr(view.spec, field) in personal:
            yield view.definition.error(f"{getattr(view.spec, field)} is personal: times are shown everywhere", field)


def _check_workflow(project: Project, workflow: Located[WorkflowSpec]) -> Iterator[SpecError]:
    spec, definition = workflow.spec, workflow.definition
    personal = personal_columns(project, "training_sets", workflow)
    features = feature_columns(project, workflow)
    if spec.predict_at in personal:
        yield definition.error(f"{spec.predict_at} is personal: times are shown everywhere", "predict_at")
    for name, selection in spec.features.items():
        ref = project.find(workflow.domain, name)
        columns = [f.column for f in features if f.ref == ref and f.output in personal]
        if columns and not selection.allow_personal:
            yield definition.error(
                f"personal: {', '.join(columns)}; {_WHY}: leave it out, derive what isn't personal in a view "
                "(its column says personal: false), or say allow_personal: true",
                "features",
                name,
            )
    if "label" in personal and spec.label is not None and not spec.label.allow_personal:
        yield definition.error(f"{spec.label.view}.{spec.label.column} is personal; {_WHY}: say allow_personal: true if it may", "label")
    for index, column in enumerate(spec.evaluation.slices):
        output = column if column in spec.keys else next((f.output for f in features if f.output.endswith(f"__{column}")), None)
        if output in personal:
            yield definition.error(f"{column} is personal: a slice is a value of it, shown in every report", "evaluation", "slices", index)
