"""The personal columns of every asset; `lakeloop.masking` hides their values.

A column is personal if its definition marks it, or if it is computed from one that is: keys, times and features of views, spines and training
sets inherit the flag, unless a view's column says `personal: false`.
"""

from __future__ import annotations

from typing import Any

from lakeloop.project.lineage import ColumnRef, asset_lineage
from lakeloop.project.project import Located, Project, feature_columns, label_view, located_of, spine_upstream, upstream
from lakeloop.spec.personal import hidden_sources, personal_of_table
from lakeloop.spec.tables import TableSpec, ViewSpec
from lakeloop.spec.tasks import ALERT
from lakeloop.spec.workflow import WorkflowSpec


def personal_columns(project: Project, stage: str, located: Located[Any]) -> frozenset[str]:
    """The personal columns of one asset."""
    if not has_personal_columns(project):
        return frozenset()
    spec = located.spec
    if isinstance(spec, TableSpec):
        return hidden_sources(spec) if stage == "raw" else personal_of_table(spec)
    key = (stage, *located.id)
    if key not in project.personal:
        # Ends the recursion at views that read each other in a circle, which is an error of its own.
        project.personal[key] = frozenset()
        project.personal[key] = _inherit_personal(project, stage, located)
    return project.personal[key]


def _inherit_personal(project: Project, stage: str, located: Located[Any]) -> frozenset[str]:
    """The columns of an asset that are marked as personal, or unmarked and computed from personal ones."""
    spec, personal = located.spec, set()
    for column, sources in asset_lineage(project, stage, located).items():
        mark = spec.columns[column].personal if isinstance(spec, ViewSpec) and column in spec.columns else None
        if mark is None and isinstance(spec, WorkflowSpec) and column in (*spec.answer.columns, ALERT, "split", "label_known_at"):
            mark = column in spec.answer.columns and "label" in personal_columns(project, "training_sets", located)
        if mark if mark is not None else any(_is_personal(project, source) for source in sources):
            personal.add(column)
    return frozenset(personal)


def has_personal_values(project: Project, located: Located[Any]) -> bool:
    """Whether personal values may be present when an asset of a definition is computed, in its columns or in its inputs."""
    if not has_personal_columns(project):
        return False
    spec = located.spec
    if isinstance(spec, TableSpec):
        return any(column.personal for column in spec.columns.values())
    if isinstance(spec, ViewSpec):
        refs = upstream(project, located)
        has_marked = any(column.personal for column in spec.columns.values())
    else:
        refs = [*spine_upstream(project, located), *(feature.ref for feature in feature_columns(project, located))]
        label = label_view(project, located)
        has_marked = label is not None and has_personal_values(project, label)
    return has_marked or any(has_personal_values(project, located_of(project, ref)) for ref in dict.fromkeys(refs))


def _is_personal(project: Project, source: ColumnRef) -> bool:
    shelves: dict[str, Any] = {"raw": project.tables, "validated": project.tables, "features": project.views}
    shelf = shelves.get(source.stage, project.workflows)
    return source.column in personal_columns(project, source.stage, shelf[(source.domain, source.name)])


def has_personal_columns(project: Project) -> bool:
    """Whether any column of any definition is marked as personal."""
    specs: list[TableSpec | ViewSpec] = [located.spec for located in project.tables.values()]
    specs += [located.spec for located in project.views.values()]
    return any(column.personal for spec in specs for column in spec.columns.values())
