"""Personal columns of every asset: which ones are. How values are hidden is in `lakeloop.masking`.

A column is personal because its definition says so, or because it is computed from one that is: keys, times and features of views, spines
and training sets inherit it, unless a view's column says `personal: false`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lakeloop.errors import SpecError
from lakeloop.spec.personal import hidden_landed, hidden_sources, personal_of_table
from lakeloop.spec.tables import DatabaseSource, TableSpec, ViewSpec
from lakeloop.spec.tasks import ALERT
from lakeloop.spec.workflow import WorkflowSpec

if TYPE_CHECKING:
    from lakeloop.lineage import ColumnRef
    from lakeloop.project import Located, Project

_WHY = "a model keeps values of what it is made from (categories, medians, thresholds)"


def personal_columns(project: Project, stage: str, located: Located[Any]) -> frozenset[str]:
    """The personal columns of one asset."""
    if not _any(project):
        return frozenset()
    spec = located.spec
    if isinstance(spec, TableSpec):
        return hidden_sources(spec) if stage == "raw" else personal_of_table(spec)
    key = (stage, *located.id)
    if key not in project.personal:
        # Ends the walk through views that read each other in a circle, which is an error of theirs.
        project.personal[key] = frozenset()
        project.personal[key] = _inherited(project, stage, located)
    return project.personal[key]


def _inherited(project: Project, stage: str, located: Located[Any]) -> frozenset[str]:
    from lakeloop.lineage import asset_lineage

    spec, found = located.spec, set()
    for column, sources in asset_lineage(project, stage, located).items():
        said = spec.columns[column].personal if isinstance(spec, ViewSpec) and column in spec.columns else None
        if said is None and isinstance(spec, WorkflowSpec) and column in (*spec.answer.columns, ALERT, "split", "label_known_at"):
            said = column in spec.answer.columns and "label" in personal_columns(project, "training_sets", located)
        if said if said is not None else any(_is_personal(project, source) for source in sources):
            found.add(column)
    return frozenset(found)


def touches_personal(project: Project, located: Located[Any]) -> bool:
    """Whether personal values may be at hand when an asset of a definition is made, as columns or behind them."""
    if not _any(project):
        return False
    from lakeloop.project import feature_columns, label_view, located_of, spine_upstream, upstream

    spec = located.spec
    if isinstance(spec, TableSpec):
        return any(column.personal for column in spec.columns.values())
    if isinstance(spec, ViewSpec):
        refs = upstream(project, located)
        own = any(column.personal for column in spec.columns.values())
    else:
        refs = [*spine_upstream(project, located), *(feature.ref for feature in feature_columns(project, located))]
        label = label_view(project, located)
        own = label is not None and touches_personal(project, label)
    return own or any(touches_personal(project, located_of(project, ref)) for ref in dict.fromkeys(refs))


def check_personal(project: Project) -> list[SpecError]:
    """Where personal values would leave the data by a definition's own wish: times, model inputs, labels, slices.

    A definition that is broken, or stands on a broken one, is left out: its own errors come first, and it can't be built.
    """
    errors: list[SpecError] = []
    if not _any(project):
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
    spec, at = table.spec, table.definition
    if isinstance(spec.source, DatabaseSource) and spec.source.cursor and hidden_landed(spec, [spec.source.cursor]) >= {spec.source.cursor}:
        yield at.error(
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
    from lakeloop.project import feature_columns

    spec, at = workflow.spec, workflow.definition
    personal = personal_columns(project, "training_sets", workflow)
    features = feature_columns(project, workflow)
    if spec.predict_at in personal:
        yield at.error(f"{spec.predict_at} is personal: times are shown everywhere", "predict_at")
    for name, wanted in spec.features.items():
        ref = project.find(workflow.domain, name)
        columns = [f.column for f in features if f.ref == ref and f.output in personal]
        if columns and not wanted.allow_personal:
            yield at.error(
                f"personal: {', '.join(columns)}; {_WHY}: leave it out, derive what isn't personal in a view "
                "(its column says personal: false), or say allow_personal: true",
                "features",
                name,
            )
    if "label" in personal and spec.label is not None and not spec.label.allow_personal:
        yield at.error(f"{spec.label.view}.{spec.label.column} is personal; {_WHY}: say allow_personal: true if it may", "label")
    for index, column in enumerate(spec.evaluation.slices):
        output = column if column in spec.keys else next((f.output for f in features if f.output.endswith(f"__{column}")), None)
        if output in personal:
            yield at.error(f"{column} is personal: a slice is a value of it, shown in every report", "evaluation", "slices", index)


def _is_personal(project: Project, source: ColumnRef) -> bool:
    shelves: dict[str, Any] = {"raw": project.tables, "validated": project.tables, "features": project.views}
    shelf = shelves.get(source.stage, project.workflows)
    return source.column in personal_columns(project, source.stage, shelf[(source.domain, source.name)])


def _any(project: Project) -> bool:
    specs: list[TableSpec | ViewSpec] = [located.spec for located in project.tables.values()]
    specs += [located.spec for located in project.views.values()]
    return any(column.personal for spec in specs for column in spec.columns.values())
