"""What `lakeloop table`, `view` and `workflow` say: of each definition a line, of one its columns, checks and versions. Values only, no printing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lakeloop.project.names import full_name, kind_of
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project, feature_columns
from lakeloop.records.base import CheckedState
from lakeloop.records.release import DeploymentState, EvaluationState, PredictionState, ReleaseState
from lakeloop.records.tables import SourceState, TableState, ViewState
from lakeloop.records.training import ModelState
from lakeloop.rows.verdicts import GOOD_OUTCOMES
from lakeloop.spec.workflow import WorkflowSpec
from resources.lake.published import WHOLE, PartitionState, States, TableKey
from resources.serving.desired import read_desired, read_status

ROWS_OF = {"table": TableState.stage, "view": ViewState.stage, "workflow": PredictionState.stage}
"""The stage whose rows and partitions a definition is listed with."""


@dataclass(frozen=True)
class Platform:
    """What is asked: the definitions, what is published, and the folder of local state."""

    project: Project
    states: States
    home: Path


def summarize(platform: Platform, located: Located[Any], stale: Mapping[TableKey, Any] | None = None) -> dict[str, Any]:
    """A definition in a line: rows, newest partition, version, when it was built; whether something of it is stale, where that was looked up."""
    kind = kind_of(located)
    published = platform.states.of(TableKey(ROWS_OF[kind], *located.id))
    entry: dict[str, Any] = {
        "name": full_name(located),
        "rows": sum(state.rows for state in published.values()) if published else None,
        "newest_partition": max((name for name in published if name != WHOLE and name[:1].isdigit()), default=None),
        "version": max((state.version for state in published.values()), default=None),
        "built_at": _newest_time(published),
    }
    if kind == "workflow":
        entry |= _released(platform, located)
    if stale is not None:
        entry["stale"] = [str(key) for key in stale if (key.domain, key.name) == located.id]
    return {**entry, "description": located.spec.description}


def describe(platform: Platform, located: Located[Any], stale: Mapping[TableKey, Any] | None = None) -> dict[str, Any]:
    """All that is known of one definition."""
    spec = located.spec
    entry = summarize(platform, located, stale)
    entry["file"] = located.definition.file
    entry["keys"] = list(spec.keys)
    if isinstance(spec, WorkflowSpec):
        entry["task"] = spec.task
        personal = personal_columns(platform.project, "training_sets", located)
        entry["columns"] = [
            _column(each.output, each.type, each.unit, each.description, each.output in personal)
            for each in feature_columns(platform.project, located)
        ]
    else:
        entry["event_time"] = spec.event_time
        entry |= _trust(platform.states, located)
        personal = personal_columns(platform.project, ROWS_OF[kind_of(located)], located)
        entry["columns"] = [_column(name, col.type, col.unit, col.description, name in personal) for name, col in spec.columns.items()]
    entry["checks"] = _checks(platform.states, located)
    entry["versions"] = _versions(platform.states, located)
    return entry


def _released(platform: Platform, located: Located[WorkflowSpec]) -> dict[str, Any]:
    """The model of a workflow: its newest version, the one that is released, and the one that is served."""
    states, name = platform.states, full_name(located)
    model, release = states.whole(ModelState, located), states.whole(ReleaseState, located)
    evaluation, folder = states.whole(EvaluationState, located), platform.home / "serving"
    desired, status = read_desired(folder).get(name), read_status(folder)
    serving = status.models.get(name, {}) if status else {}
    primary = located.spec.evaluation.primary
    return {
        "version": model.value.version if model else None,
        "built_at": _newest_time({WHOLE: model} if model else {}),
        "released_version": release.value.champion if release else None,
        "reason": release.value.reason if release else None,
        "metric": primary,
        "score": evaluation.value.metrics.get(primary) if evaluation else None,
        "report": evaluation.value.report or None if evaluation else None,
        "to_be_served": desired.version if desired else None,
        "served_version": serving.get("version") if serving.get("state") == "ready" else None,
        "address": f"{status.address}/v1/models/{name}:predict" if status and serving.get("state") == "ready" else None,
    }


def _column(name: str, kind: str, unit: str | None, description: str, personal: bool) -> dict[str, Any]:
    return {"name": name, "type": kind, "unit": unit, "personal": personal, "description": description}


def _trust(states: States, located: Located[Any]) -> dict[str, Any]:
    """Of a view with an event time from when on its history is what was known; before that it follows from the rules of times alone."""
    views = states.partitions(ViewState, TableKey(ViewState.stage, *located.id)) if kind_of(located) == "view" else {}
    kept = [state.value.kept_since for state in views.values() if state.value.kept_since]
    return {"history_kept_since": max(kept, key=datetime.fromisoformat)} if kept and located.spec.event_time else {}


def _checks(states: States, located: Located[Any]) -> list[dict[str, Any]]:
    """The last outcome of each check, by the stages that have some."""
    entries = []
    for kind in (SourceState, TableState, ViewState, EvaluationState, ReleaseState, PredictionState, DeploymentState):
        key = TableKey(kind.stage, *located.id)
        published = states.of(key)
        source = published.get("source") if kind is SourceState else None
        newest = source or max(published.values(), key=_time_of, default=None)
        for name, outcome in (newest.typed(CheckedState).value.checks if newest else {}).items():
            message = str(outcome[1]) if len(outcome) > 1 else ""
            entries.append(
                {"asset": str(key), "check": name, "outcome": outcome[0], "good": outcome[0] in GOOD_OUTCOMES, "message": message}
            )
    return entries


def _versions(states: States, located: Located[Any]) -> dict[str, Any]:
    """The version of each asset that is published, and of a view also its own and those that it keeps."""
    versions: dict[str, Any] = {
        str(key): max(state.version for state in published.values())
        for key, published in sorted(states.items())
        if (key.domain, key.name) == located.id and max(state.version for state in published.values()) >= 0
    }
    views = states.partitions(ViewState, TableKey(ViewState.stage, *located.id))
    if views:
        newest = max(views.values(), key=_time_of).value
        versions["view"] = newest.version
        versions["kept"] = dict(newest.kept)
    return versions


def _time_of(state: PartitionState[Any]) -> tuple[bool, Any]:
    return (state.at is not None, state.at)


def _newest_time(published: Mapping[str, PartitionState[Any]]) -> str | None:
    at = max((state.at for state in published.values() if state.at is not None), default=None)
    return at.isoformat(timespec="seconds") if at else None
