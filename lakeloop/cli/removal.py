"""Removing a definition, and taking it back: its folder, what is served, schedules and sensors, the mark in the registry. Nothing is deleted.

A removal is a folder below `removed/` of the project's state with a record of what is to be done. The record is written first and finished last,
so that a removal which was cut off goes on when the command runs again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from lakeloop.errors import Conflict, DataError, LakeloopError, ServiceUnavailable
from lakeloop.project.names import find_named, full_name, kind_of
from lakeloop.project.project import Located, Project
from lakeloop.records.training import ModelState
from platform_assets.loading import load_definitions, named_in
from resources.host.dagster_home import make_home
from resources.lake.lake import Lake
from resources.project import ProjectFolder
from resources.serving.desired import Deployment, read_desired, withdraw_desired, write_desired, write_json
from resources.settings import Settings
from resources.tracking import server as mlflow_server
from resources.tracking.registry import Registry
from sensors.all import instigator_names

RECORD = "removal.json"
DEFINITION = "definition"
UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@dataclass(frozen=True)
class Removal:
    """What is removed, as its record says.

    Attributes:
        kind: of the definition.
        domain, name: of the definition.
        folder: where it stands, or stood, relative to the folder of definitions.
        at: when it was removed (ISO 8601).
        model: the registered model; None where there is none.
        deployment: what was stated to be served.
        instigators: the states of sensors and schedules, as Dagster serialises them, by name.
        tables: of the lake, which stay.
        finished: whether all of it has been done.
    """

    kind: str
    domain: str
    name: str
    folder: str
    at: str
    model: str | None = None
    deployment: dict[str, str] | None = None
    instigators: dict[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    finished: bool = False

    @property
    def label(self) -> str:
        """`domain.name`."""
        return f"{self.domain}.{self.name}"


@dataclass(frozen=True)
class Place:
    """Where a removal happens."""

    project: ProjectFolder
    settings: Settings

    @property
    def serving(self) -> Path:
        """The folder of serving."""
        return self.settings.home / "serving"

    def folder_of(self, removal: Removal) -> Path:
        """Where a removed definition is kept."""
        return self.settings.home / "removed" / f"{removal.kind}.{removal.label}.{removal.at.replace(':', '')}"


def plan_removal(place: Place, name: str) -> Removal:
    """What removing a definition takes; or a removal of that name that was cut off.

    Raises:
        DataError: there is no such definition, its folder defines others too, or others read it.
        Conflict: a run is materialising it.
    """
    begun = [removal for removal in removals(place) if not removal.finished and _is_named(removal, name)]
    if begun:
        return begun[-1]
    project, _ = load_definitions(place.project.defs)
    located = find_named(project, name)
    _must_stand_alone(project, located)
    states = Lake(place.settings.lake_url).states()
    desired = read_desired(place.serving).get(full_name(located))
    with dagster_instance(place) as instance:
        _must_be_idle(instance, located)
        instigators = {state.instigator_name: dg.serialize_value(state) for state in instigator_states(instance, *located.id)}
    return Removal(
        kind=kind_of(located),
        domain=located.domain,
        name=located.spec.name,
        folder=str(located.folder.relative_to(place.project.defs)),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        model=place.settings.mlflow_name(*located.id) if states.whole(ModelState, located) is not None else None,
        deployment=asdict(desired) if desired else None,
        instigators=instigators,
        tables=tuple(
            sorted(str(key) for key, published in states.items() if (key.domain, key.name) == located.id and _has_rows(published))
        ),
    )


def describe_removal(place: Place, removal: Removal) -> list[str]:
    """What a removal does, and what it leaves, a line each."""
    target = place.folder_of(removal)
    lines = [f"{removal.kind} {removal.label}: {place.project.defs / removal.folder} moves to {target}"]
    if removal.deployment is not None:
        lines.append(f"version {removal.deployment['version']} of {removal.label} is not served any more")
    if removal.instigators:
        lines.append(f"Dagster forgets whether {', '.join(sorted(removal.instigators))} ran or was stopped")
    if removal.model is not None:
        lines.append(f"the registered model {removal.model} is tagged as retired; its versions and aliases, champion too, stay")
    if removal.tables:
        lines.append(f"these tables stay in the lake: {', '.join(removal.tables)}")
    return lines


def remove(place: Place, removal: Removal) -> None:
    """Do what was described; done again, it goes on where it was cut off.

    Raises:
        ServiceUnavailable: a registered model is to be tagged, and MLflow doesn't answer; nothing was changed.
        DataError: without the definition, the others have errors; it was put back.
    """
    _require_mlflow(place, removal)
    kept, source = place.folder_of(removal), place.project.defs / removal.folder
    write_json(kept / RECORD, asdict(removal))
    if source.is_dir() and not (kept / DEFINITION).is_dir():
        before = {str(error) for error in load_definitions(place.project.defs)[1]}
        _move(source, kept / DEFINITION)
        errors = [error for error in load_definitions(place.project.defs)[1] if str(error) not in before]
        if errors:
            _move(kept / DEFINITION, source)
            shutil.rmtree(kept)
            raise DataError("\n".join(["without it others can't be built, so it was put back:", *map(str, errors)]))
    withdraw_desired(place.serving, removal.label)
    if removal.model is not None:
        Registry(place.settings.tracking_uri).retire(removal.model, removal.at)
    with dagster_instance(place) as instance:
        for state in instigator_states(instance, removal.domain, removal.name):
            instance.schedule_storage.delete_instigator_state(state.instigator_origin_id, state.selector_id)
    write_json(kept / RECORD, asdict(replace(removal, finished=True)))


def take_back(place: Place, name: str) -> Removal:
    """Undo the newest removal of a name: everything is as it was.

    Raises:
        DataError: nothing of that name was removed, or its folder is taken by now.
        ServiceUnavailable: a registered model is to be taken up again, and MLflow doesn't answer; nothing was changed.
    """
    named = [removal for removal in removals(place) if _is_named(removal, name)]
    if not named:
        others = ", ".join(sorted({removal.label for removal in removals(place)}))
        raise DataError(f"nothing called {name!r} was removed{f'; removed were {others}' if others else ''}")
    removal = named[-1]
    kept, target = place.folder_of(removal), place.project.defs / removal.folder
    if (kept / DEFINITION).is_dir() and target.exists():
        raise DataError(f"{target} is there again, so that {removal.label} can't be put back; move it away first")
    _require_mlflow(place, removal)
    if removal.deployment is not None:
        write_desired(place.serving, Deployment(**removal.deployment))
    if removal.model is not None:
        Registry(place.settings.tracking_uri).take_up(removal.model)
    with dagster_instance(place) as instance:
        known = {state.instigator_name for state in instigator_states(instance, removal.domain, removal.name)}
        for which, text in removal.instigators.items():
            if which not in known:
                instance.schedule_storage.add_instigator_state(dg.deserialize_value(text))
    if (kept / DEFINITION).is_dir():
        _move(kept / DEFINITION, target)
    shutil.rmtree(kept)
    return removal


def removals(place: Place) -> list[Removal]:
    """Every removal, the oldest first."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (place.settings.home / "removed").glob(f"*/{RECORD}")]
    return sorted((Removal(**{**record, "tables": tuple(record["tables"])}) for record in records), key=lambda removal: removal.at)


def _is_named(removal: Removal, name: str) -> bool:
    return name.replace("/", ".") in (removal.label, removal.name)


def _has_rows(published: Any) -> bool:
    return any(state.version >= 0 for state in published.values())


def _must_stand_alone(project: Project, located: Located[Any]) -> None:
    """Refuse a definition that shares its folder, or that others read."""
    beside = [full_name(other) for other in project.all() if other.folder == located.folder and other is not located]
    if beside:
        raise DataError(
            f"{located.definition.file} defines {', '.join(beside)} too; move {full_name(located)} to a folder of its own first, or take it "
            "out of the file by hand"
        )
    readers = [full_name(other) for other in project.all() if other is not located and located.id in named_in(other)]
    if readers and kind_of(located) != "workflow":
        raise DataError(f"{', '.join(readers)} read{'s' if len(readers) == 1 else ''} {full_name(located)}; remove or change that first")


def _must_be_idle(instance: Any, located: Located[Any]) -> None:
    if instance is None:
        return
    for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)):
        if any(tuple(key.path[1:]) == located.id for key in run.asset_selection or ()):
            raise Conflict(f"run {run.run_id} is materialising {full_name(located)}; wait for its end, or cancel it, and run this again")


def _require_mlflow(place: Place, removal: Removal) -> None:
    uri = place.settings.tracking_uri
    if removal.model is not None and not mlflow_server.is_up(uri):
        raise ServiceUnavailable(
            f"{removal.model} is to be marked in the registry, and MLflow doesn't answer at {uri}; nothing was changed. "
            "Start `lakeloop up --no-materialize` in another terminal, and run this again"
        )


@contextmanager
def dagster_instance(place: Place) -> Iterator[Any]:
    """Dagster's instance of the project; None where there is none yet."""
    home = place.settings.home / "dagster"
    if not home.is_dir():
        yield None
        return
    make_home(home, place.settings.dagster_db)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def instigator_states(instance: Any, domain: str, name: str) -> Sequence[Any]:
    """The states of the sensors and schedules of a workflow, where Dagster keeps any."""
    if instance is None or instance.schedule_storage is None:
        return []
    names = instigator_names(domain, name)
    return [state for state in instance.schedule_storage.all_instigator_state() if state.instigator_name in names]


def _move(source: Path, target: Path) -> None:
    """Move a folder, whole or not at all; on another disk by way of a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != 18:  # EXDEV
            raise LakeloopError(f"can't move {source} to {target}: {error.strerror}") from error
        copy = target.with_name(f".{target.name}.part")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        copy.rename(target)
        shutil.rmtree(source)
