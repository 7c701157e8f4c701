"""How assets hang together: what each reads, in the order of the graph, and which partitions it has."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from graphlib import TopologicalSorter

from lakeloop.project.project import Located, Project, feature_columns, label_view, spine_upstream, upstream
from lakeloop.spec.tables import DeltaTableSource, Partitions, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import input_key, key_of
from resources.lake.published import TableKey


@lru_cache(maxsize=8)
def dependencies(project: Project) -> dict[TableKey, tuple[TableKey, ...]]:
    """What each asset reads, every asset after those that it reads."""
    found: dict[TableKey, tuple[TableKey, ...]] = {}
    for table in project.tables.values():
        adopted = isinstance(table.spec.source, DeltaTableSource)
        if not adopted:
            found[key_of("raw", table)] = ()
        found[key_of("validated", table)] = () if adopted else (key_of("raw", table),)
    for view in views_in_order(project):
        found[key_of("features", view)] = tuple(input_key(ref) for ref in upstream(project, view))
    for workflow in project.workflows.values():
        found |= _of_workflow(project, workflow)
    return found


def reads_of(project: Project, keys: Iterable[TableKey]) -> set[TableKey]:
    """Everything that some assets read, directly or through others."""
    reads = dependencies(project)
    found: set[TableKey] = set()
    waiting = [before for key in keys for before in reads[key]]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += reads[key]
    return found


def views_in_order(project: Project) -> list[Located[ViewSpec]]:
    """The views, every one after those that it reads."""
    reads = {view.id: [(ref.domain, ref.name) for ref in upstream(project, view) if ref.kind == "view"] for view in project.views.values()}
    return [project.views[name] for name in TopologicalSorter(reads).static_order()]


def partitions_of(project: Project, key: TableKey) -> Partitions | None:
    """The partitions of an asset; None for one that has none."""
    name = (key.domain, key.name)
    if key.stage == "validated":
        table = project.tables[name].spec
        return None if isinstance(table.source, DeltaTableSource) else table.partitions
    if key.stage == "features":
        return project.views[name].spec.partitions
    return project.workflows[name].spec.partitions if key.stage == "predictions" else None


def _of_workflow(project: Project, workflow: Located[WorkflowSpec]) -> dict[TableKey, tuple[TableKey, ...]]:
    spec = workflow.spec
    label = label_view(project, workflow)
    labels = [TableKey("features", label.domain, label.spec.name)] if label else []
    inputs = [input_key(ref) for ref in spine_upstream(project, workflow)]
    inputs = list(dict.fromkeys([*inputs, *(input_key(column.ref) for column in feature_columns(project, workflow))]))

    def own(stage: str) -> TableKey:
        return key_of(stage, workflow)

    found = {
        own("training_sets"): tuple(dict.fromkeys([*inputs, *labels])),
        **({own("studies"): (own("training_sets"),)} if spec.search is not None else {}),
        own("models"): (own("training_sets"), *([own("studies")] if spec.search is not None else [])),
        own("evaluations"): (own("models"), own("training_sets")),
        own("releases"): (own("evaluations"),),
    }
    if spec.batch is not None:
        found[own("predictions")] = (own("releases"), *inputs)
    if spec.online is not None:
        found[own("deployments")] = (own("releases"),)
    return found
