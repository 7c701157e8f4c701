"""What is stale: expected fingerprints against published ones, in the order of the graph, with nothing computed; and the runs it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lakeloop.errors import DataError, NotPublished, ServiceUnavailable
from lakeloop.project.personal import has_personal_values
from lakeloop.project.project import Project
from lakeloop.records.release import ReleaseState
from lakeloop.spec.partitions import partition_keys
from lakeloop.spec.tables import DatabaseSource, Partitions
from platform_assets.graph import dependencies, partitions_of
from platform_assets.stages.base import key_of
from platform_assets.stages.registry import definition_of, stage_named
from platform_assets.stages.stage import World
from platform_assets.stages.tables.deliveries import digests
from platform_assets.stages.tables.landings import SOURCE
from resources.lake.published import WHOLE, States, TableKey, retired


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
    silent: dict[TableKey, str] = {}
    for table in project.tables.values():
        key = key_of("raw", table)
        mine = domain in (None, table.domain) and SOURCE in states.get(key, {})
        if mine and isinstance(table.spec.source, DatabaseSource):
            try:
                digests(table)
            except (DataError, ServiceUnavailable) as error:
                # What a database says of a value may be personal, and this is logged.
                answer = error.message if isinstance(error, DataError) and has_personal_values(project, table) else str(error)
                silent[key] = " ".join(answer.split())
    return silent


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
    moment, world = now or datetime.now(UTC), World(project, states, taken or {})
    stale: dict[TableKey, list[str]] = {}
    waiting: set[TableKey] = set()
    for key, reads in dependencies(project).items():
        if _awaits_champion(world, key, stale) or any(before in waiting and before not in states for before in reads):
            waiting.add(key)
            continue
        if key in silent:
            continue
        partitions = partitions_of(project, key)
        names = partition_keys(partitions, moment) if partitions else [WHOLE]
        if not any(before in stale for before in reads):
            names = _stale(world, key, names)
        if names:
            stale[key] = names
    return stale


def runs_for(project: Project, stale: Mapping[TableKey, Sequence[str]]) -> list[RunAsked]:
    """The runs that materialise what is stale, in order: as few as there can be.

    A run has one range of partitions, so that assets with other partitions than those before them take a run of their own; unpartitioned
    ones go with any.
    """
    reads = dependencies(project)
    runs: list[tuple[Partitions | None, list[TableKey]]] = []
    place: dict[TableKey, int] = {}
    for key in stale:
        grid = partitions_of(project, key)
        earliest = max((place[before] for before in reads[key] if before in place), default=0)
        fitting = (i for i in range(earliest, len(runs)) if grid is None or runs[i][0] in (None, grid))
        place[key] = next(fitting, len(runs))
        if place[key] == len(runs):
            runs.append((grid, []))
        partitions, keys = runs[place[key]]
        keys.append(key)
        runs[place[key]] = (partitions or grid, keys)
    requests = []
    for partitions, keys in runs:
        names = sorted({name for key in keys if partitions_of(project, key) for name in stale[key]})
        requests.append(RunAsked(tuple(keys), names[0], names[-1]) if partitions and names else RunAsked(tuple(keys)))
    return requests


def _stale(world: World, key: TableKey, names: list[str]) -> list[str]:
    """Those of an asset's partitions that materialising would change, while all that it reads is fresh."""
    stage, located, published = stage_named(key.stage), definition_of(world.project, key), world.states.of(key)
    if stage.is_changed is not None:
        return [WHOLE] if stage.is_changed(world, located) else []
    if retired(stage.partitions(located), published):
        return names

    def is_stale(name: str) -> bool:
        assert stage.expected is not None
        return name not in published or published[name].fingerprint != stage.expected(world, located, name)

    try:
        # What goes along with any partition has to be asked for by one of them.
        return [name for name in names if is_stale(name)] or (names[-1:] if any(map(is_stale, stage.goes_along(world, located))) else [])
    except (NotPublished, DataError):
        return names


def _awaits_champion(world: World, key: TableKey, stale: Mapping[TableKey, Any]) -> bool:
    """Whether nothing is released and nothing will be: there is nothing to predict with or to serve, which is an answer, not work to do."""
    if not stage_named(key.stage).needs_champion:
        return False
    released = world.states.whole(ReleaseState, definition_of(world.project, key))
    return released is not None and released.value.champion is None and TableKey(ReleaseState.stage, key.domain, key.name) not in stale
