"""What is stale: expected fingerprints against published ones, in the order of the graph, with nothing computed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import Any

from lakeloop.errors import DataError, NotPublished
from lakeloop.partitions import partition_keys
from lakeloop.project import Located, Project, upstream
from lakeloop.spec import DeltaTableSource, PythonFunction
from platform_assets.stages import deployments, evaluations, features, models, predictions, raw, releases, training_set, validated
from platform_assets.stages.base import States, input_key, key_of
from resources.lake import WHOLE, TableKey


def stale_assets(project: Project, states: States, *, now: datetime | None = None) -> dict[TableKey, list[str]]:
    """Every asset that materialising would change, with its stale partitions (`whole` for an unpartitioned one).

    What follows from a stale asset is stale too, partition by partition only for the asset itself. A source that is a function, or an
    adopted table, is known to have changed only when it is materialised, so it isn't listed once it has been published.
    """
    moment = now or datetime.now(UTC)
    found: dict[TableKey, list[str]] = {}

    def look(key: TableKey, partitions: list[str], expected: Callable[[str], str], after: list[TableKey]) -> None:
        done = states.get(key, {})
        if any(before in found for before in after):
            found[key] = partitions
            return
        try:
            names = [p for p in partitions if p not in done or done[p].fingerprint != expected(p)]
        except (NotPublished, DataError):
            names = partitions
        if names:
            found[key] = names

    for table in project.tables.values():
        spec, raw_key, key = table.spec, key_of("raw", table), key_of("validated", table)
        if isinstance(spec.source, DeltaTableSource):
            look(key, [WHOLE], lambda p, key=key: states[key][p].fingerprint, [])  # type: ignore[misc]
            continue
        _look_at_source(table, raw_key, states, found)
        parts = partition_keys(spec.partitions, moment) if spec.partitions else [WHOLE]
        look(key, parts, lambda p, s=spec, k=raw_key: validated.expected(s, states.get(k, {}), p), [raw_key])  # type: ignore[misc]
    order = TopologicalSorter(
        {v.id: [(r.domain, r.name) for r in upstream(project, v) if r.kind == "view"] for v in project.views.values()}
    )
    for view in (project.views[name] for name in order.static_order()):
        parts = partition_keys(view.spec.partitions, moment) if view.spec.partitions else [WHOLE]
        after = [input_key(ref) for ref in upstream(project, view)]
        look(key_of("features", view), parts, lambda p, v=view: features.expected(project, states, v, p), after)  # type: ignore[misc]
    for workflow in project.workflows.values():
        _look_at_workflow(project, workflow, states, look, moment)
    return found


def _look_at_source(table: Located[Any], key: TableKey, states: States, found: dict[TableKey, list[str]]) -> None:
    state = states.get(key, {}).get(raw.SOURCE)
    if isinstance(table.spec.source, PythonFunction):
        if state is None:
            found[key] = [WHOLE]
        return
    try:
        digests = raw.digests(table) or {}
    except DataError:
        found[key] = [WHOLE]
        return
    if state is None or state.fingerprint != raw.expected(table.spec, {**state.value["files"], **digests}):
        found[key] = [WHOLE]


def _look_at_workflow(project: Project, workflow: Located[Any], states: States, look: Callable[..., None], moment: datetime) -> None:
    from lakeloop.project import feature_columns, spine_upstream

    spec = workflow.spec

    def own(stage: str) -> TableKey:
        return key_of(stage, workflow)

    inputs = [input_key(ref) for ref in spine_upstream(project, workflow)] + [input_key(c.ref) for c in feature_columns(project, workflow)]
    label = training_set.label_key(project, workflow)
    look(own("training_sets"), [WHOLE], lambda _: training_set.expected(project, states, workflow), [*inputs, label])
    look(own("models"), [WHOLE], lambda _: models.expected(states, workflow), [own("training_sets")])
    look(own("evaluations"), [WHOLE], lambda _: evaluations.expected(states, workflow), [own("models")])
    look(own("releases"), [WHOLE], lambda _: releases.expected(states, workflow), [own("evaluations")])
    released = states.get(own("releases"), {}).get(WHOLE)
    # A workflow without a champion has nothing to predict with and nothing to serve; that is an answer, not work to be done.
    if released is not None and released.value["champion"] is None and released.fingerprint == releases.expected(states, workflow):
        return
    if spec.batch is not None:
        parts = partition_keys(spec.partitions, moment) if spec.partitions else [WHOLE]
        expected = lambda p: predictions.expected(project, states, workflow, p)  # noqa: E731
        look(own("predictions"), parts, expected, [*inputs, own("releases")])
    if spec.online is not None:
        look(own("deployments"), [WHOLE], lambda _: deployments.expected(states, workflow), [own("releases")])
