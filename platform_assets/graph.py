"""How assets hang together: what each reads, in the order of the graph, and which partitions it has."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from graphlib import TopologicalSorter
from typing import Any

from lakeloop.project.project import Located, Project, upstream
from lakeloop.spec.tables import Partitions, ViewSpec
from platform_assets.stages.base import key_of
from platform_assets.stages.registry import definition_of, stage_named, stages_of
from resources.lake.published import TableKey


@lru_cache(maxsize=8)
def dependencies(project: Project) -> dict[TableKey, tuple[TableKey, ...]]:
    """What each asset reads, every asset after those that it reads."""
    definitions: list[Located[Any]] = [*project.tables.values(), *views_in_order(project), *project.workflows.values()]
    reads = {key_of(stage.name, located): tuple(stage.reads(project, located)) for located in definitions for stage in stages_of(located)}
    ordered: dict[TableKey, tuple[TableKey, ...]] = {}

    def add(key: TableKey) -> None:
        if key not in ordered:
            # A view may read what a workflow makes.
            for before in reads[key]:
                add(before)
            ordered[key] = reads[key]

    for key in reads:
        add(key)
    return ordered


def reads_of(project: Project, keys: Iterable[TableKey]) -> set[TableKey]:
    """Everything that some assets read, directly or through others."""
    reads = dependencies(project)
    upstream_keys: set[TableKey] = set()
    waiting = [before for key in keys for before in reads[key]]
    while waiting:
        key = waiting.pop()
        if key not in upstream_keys:
            upstream_keys.add(key)
            waiting += reads[key]
    return upstream_keys


def views_in_order(project: Project) -> list[Located[ViewSpec]]:
    """The views, every one after those that it reads."""
    reads = {view.id: [(ref.domain, ref.name) for ref in upstream(project, view) if ref.kind == "view"] for view in project.views.values()}
    return [project.views[name] for name in TopologicalSorter(reads).static_order()]


def partitions_of(project: Project, key: TableKey) -> Partitions | None:
    """The partitions of an asset; None for one that has none."""
    return stage_named(key.stage).partitions(definition_of(project, key))
