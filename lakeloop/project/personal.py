"""Personal columns of every asset: which ones are. How values are hidden is in `lakeloop.masking`.

A column is personal because its definition says so, or because it is computed from one that is: keys, times and features of views, spines
and training sets inherit it, unless a view's column says `personal: false`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakeloop.spec.personal import hidden_sources, personal_of_table
from lakeloop.spec.tables import TableSpec, ViewSpec
from lakeloop.spec.tasks import ALERT
from lakeloop.spec.workflow import WorkflowSpec

if TYPE_CHECKING:
    from lakeloop.project.lineage import ColumnRef
    from lakeloop.project.project import Located, Project


def personal_columns(project: Project, stage: str, located: Located[Any]) -> frozenset[str]:
    """The personal columns of one asset."""
    if not has_personal_columns(project):
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
    from lakeloop.project.lineage import asset_lineage

    spec, found = located.spec, set()
    for column, sources in asset_lineage(project, stage, located).items():
        said = spec.columns[column].personal if isinstance(spec, ViewSpec) and column in spec.columns else None
        if said is None and isinstance(spec, WorkflowSpec) and column in (*spec.answer.columns, ALERT, "split", "label_known_at"):
            said = column in spec.answer.columns and "label" in personal_columns(project, "training_sets", located)
        if said if said is not None else any(_is_personal(project, source) for source in sources):
            found.add(column)
    return frozenset(found)


def has_personal_values(project: Project, located: Located[Any]) -> bool:
    """Whether personal values may be at hand when an asset of a definition is made, as columns or behind them."""
    if not has_personal_columns(project):
        return False
    from lakeloop.project.project import feature_columns, label_view, located_of, spine_upstream, upstream

    spec = located.spec
    if isinstance(spec, TableSpec):
        return any(column.personal for column in spec.columns.values())
    if isinstance(spec, ViewSpec):
        refs = upstream(project, located)
        own = any(column.personal for column in spec.columns.values())
    else:
        refs = [*spine_upstream(project, located), *(feature.ref for feature in feature_columns(project, located))]
        label = label_view(project, located)
        own = label is not None and has_personal_values(project, label)
    return own or any(has_personal_values(project, located_of(project, ref)) for ref in dict.fromkeys(refs))


def _is_personal(project: Project, source: ColumnRef) -> bool:
    shelves: dict[str, Any] = {"raw": project.tables, "validated": project.tables, "features": project.views}
    shelf = shelves.get(source.stage, project.workflows)
    return source.column in personal_columns(project, source.stage, shelf[(source.domain, source.name)])


def has_personal_columns(project: Project) -> bool:
    """Whether any column of any definition is marked as personal."""
    specs: list[TableSpec | ViewSpec] = [located.spec for located in project.tables.values()]
    specs += [located.spec for located in project.views.values()]
    return any(column.personal for spec in specs for column in spec.columns.values())
