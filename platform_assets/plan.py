"""What is stale: expected fingerprints against published ones, in the order of the graph, with nothing computed; and the runs it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lakeloop.errors import DataError, NotPublished, ServiceUnavailable
from lakeloop.project.personal import touches_personal
from lakeloop.project.project import Located, Project
from lakeloop.spec.partitions import partition_keys
from lakeloop.spec.tables import DatabaseSource, DeltaTableSource, Partitions
from platform_assets.graph import dependencies, partitions_of
from platform_assets.stages.base import key_of
from platform_assets.stages.evaluation import evaluations
from platform_assets.stages.features import views as features
from platform_assets.stages.release import deployments, predictions, releases
from platform_assets.stages.tables import raw, validated
from platform_assets.stages.tables.landings import SOURCE
from platform_assets.stages.training import models, studies, training_set
from resources.lake.published import UNDATED, WHOLE, States, TableKey, retired


@dataclass(frozen=True)
class RunAsked:
    """One run: the assets to materialise, and their partitions (a range, as Dagster wants it) where there are any."""

    assets: tuple[TableKey, ...]
    first: str | None = None
    last: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """The tags by which Dagster knows the range."""
        return range_tags(self.first, self.last) if self.first and self.last else {}


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags of a run over a range of partitions, both ends included."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def unasked(project: Project, states: States, domain: str | None = None) -> dict[TableKey, str]:
    """Tables that have landed and whose database can't be asked now what is new, with what it says; of a domain, or of all.

    Whether they are stale nobody knows. A step of theirs would only fail, so they are taken as they were until the database can be asked.
    """
    found: dict[TableKey, str] = {}
    for table in project.tables.values():
        key = key_of("raw", table)
        mine = domain in (None, table.domain) and SOURCE in states.get(key, {})
        if mine and isinstance(table.spec.source, DatabaseSource):
            try:
                raw.digests(table)
            except (DataError, ServiceUnavailable) as error:
                # What a database says of a value may be personal, and this is logged.
                said = error.message if isinstance(error, DataError) and touches_personal(project, table) else str(error)
                found[key] = " ".join(said.split())
    return found


def stale_assets(
    project: Project,
    states: States,
    *,
    now: datetime | None = None,
    taken: Mapping[tuple[str, str], str] | None = None,
    silent: Collection[TableKey] = (),
) -> dict[TableKey, list[str]]:
    """Every asset that materialising would change, with its stale partitions (`whole` for an unpartitioned one).

    What follows from a stale asset is stale too, partition by partition only for the asset itself. A source that is a function, or an
    adopted table, is known to have changed only when it is materialised, so it isn't listed once it has been published. So is a registered
    model's newest version or alias, unless `taken` has it by workflow, as `registered.taken_versions` looks it up. Tables in `silent`, as
    `unasked` finds them, are taken as they were, and their database isn't asked again.
    """
    moment = now or datetime.now(UTC)
    found: dict[TableKey, list[str]] = {}
    for key, reads in dependencies(project).items():
        if key in silent:
            continue
        if key.stage in ("predictions", "deployments") and _has_no_champion(states, key, found):
            continue
        partitions = partitions_of(project, key)
        names = partition_keys(partitions, moment) if partitions else [WHOLE]
        if not any(before in found for before in reads):
            names = _stale(project, states, key, names, taken or {})
        if names:
            found[key] = names
    return found


def runs_for(project: Project, stale: Mapping[TableKey, Sequence[str]]) -> list[RunAsked]:
    """The runs that materialise what is stale, in order: as few as there can be.

    A run has one range of partitions, so that assets with other partitions than those before them take a run of their own; unpartitioned
    ones go with any.
    """
    reads = dependencies(project)
    runs: list[tuple[Partitions | None, list[TableKey]]] = []
    place: dict[TableKey, int] = {}
    for key in stale:
        wanted = partitions_of(project, key)
        earliest = max((place[before] for before in reads[key] if before in place), default=0)
        fitting = (i for i in range(earliest, len(runs)) if wanted is None or runs[i][0] in (None, wanted))
        place[key] = next(fitting, len(runs))
        if place[key] == len(runs):
            runs.append((wanted, []))
        partitions, keys = runs[place[key]]
        keys.append(key)
        runs[place[key]] = (partitions or wanted, keys)
    asked = []
    for partitions, keys in runs:
        names = sorted({name for key in keys if partitions_of(project, key) for name in stale[key]})
        asked.append(RunAsked(tuple(keys), names[0], names[-1]) if partitions and names else RunAsked(tuple(keys)))
    return asked


def _stale(project: Project, states: States, key: TableKey, names: list[str], taken: Mapping[tuple[str, str], str]) -> list[str]:
    if key.stage == "raw":
        return _source(project.tables[(key.domain, key.name)], states)
    done = states.get(key, {})
    if key.stage in ("validated", "features", "predictions") and retired(partitions_of(project, key), done):
        return names

    def is_stale(name: str) -> bool:
        return name not in done or done[name].fingerprint != _expected(project, states, key, name, taken)

    try:
        found = [name for name in names if is_stale(name)]
        # Rows of no partition are validated with any other, which has to be asked for.
        return found or (names[-1:] if _has_undated(project, states, key) and is_stale(UNDATED) else [])
    except (NotPublished, DataError):
        return names


def _has_undated(project: Project, states: States, key: TableKey) -> bool:
    """Whether rows of no partition have landed for a validated table that has partitions."""
    raw_key = TableKey("raw", key.domain, key.name)
    return key.stage == "validated" and partitions_of(project, key) is not None and UNDATED in states.get(raw_key, {})


def _expected(project: Project, states: States, key: TableKey, partition: str, taken: Mapping[tuple[str, str], str]) -> str:
    """The fingerprint that a partition would have if it were materialised now."""
    name = (key.domain, key.name)
    if key.stage == "validated":
        table = project.tables[name]
        if isinstance(table.spec.source, DeltaTableSource):
            return states[key][partition].fingerprint
        return validated.expected(table.spec, states.get(key_of("raw", table), {}), partition)
    if key.stage == "features":
        return features.expected(project, states, project.views[name], partition)
    workflow = project.workflows[name]
    if key.stage == "training_sets":
        return training_set.expected(project, states, workflow)
    if key.stage == "predictions":
        return predictions.expected(project, states, workflow, partition)
    if key.stage == "models":
        return models.expected(states, workflow, taken.get(name))
    stage: Any = {"studies": studies, "evaluations": evaluations, "releases": releases, "deployments": deployments}[key.stage]
    return str(stage.expected(states, workflow))


def _source(table: Located[Any], states: States) -> list[str]:
    try:
        return [] if raw.is_fresh(table, states.get(key_of("raw", table), {}).get(SOURCE)) else [WHOLE]
    except DataError:
        return [WHOLE]


def _has_no_champion(states: States, key: TableKey, found: Mapping[TableKey, Any]) -> bool:
    """Whether nothing is released and nothing will be: there is nothing to predict with or to serve, which is an answer, not work to do."""
    release = TableKey("releases", key.domain, key.name)
    released = states.get(release, {}).get(WHOLE)
    return released is not None and released.value["champion"] is None and release not in found
