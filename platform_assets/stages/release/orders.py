"""Orders in `releases`: a rollback or a promotion past the gates that a run is configured with. A row of `reports/decisions`, the alias, the state.

A run that is killed in between leaves the row, and the next run of the asset finishes what the row says. A retry of a run that has done it does nothing.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar, get_args

import dagster as dg

from lakeloop.errors import Conflict, DataError, LakeloopError, ServiceUnavailable, nearest
from lakeloop.evaluation.orders import Ask, Known, plan_order
from lakeloop.fingerprint import fingerprint
from lakeloop.project.project import Located
from lakeloop.records.base import StateRecord
from lakeloop.records.release import Action, Order, ReleaseState, Rollback, Tuned
from lakeloop.records.tables import ViewState
from lakeloop.records.training import ModelState, TrainingSetState
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, key_of
from platform_assets.stages.features.lookup import own_fingerprints
from platform_assets.stages.features.view_versions import at_version
from platform_assets.stages.publishing import record_whole
from platform_assets.stages.release.agreement import PROMOTED
from platform_assets.stages.release.decision_rows import append_decision, next_moment, read_decisions
from platform_assets.stages.training.version_files import load_version
from resources.host.crash_points import crash_point
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState, States, TableKey
from resources.tracking.registry import CHAMPION, Registry
from resources.tracking.tags import DECISION_TAG, ORDERED_TAG, WITHDRAWN_TAG

R = TypeVar("R", bound=StateRecord)
ROOT_RUN_TAG = "dagster/root_run_id"
ACTIONS = get_args(Action)
DECIDE = "decide"
CONFIG: Mapping[str, dg.Field] = {
    "action": dg.Field(
        str,
        default_value=DECIDE,
        description="`decide` by the gates; `rollback` to an earlier champion; `promote` a version past its gates.",
    ),
    "version": dg.Field(
        str, default_value="", description="That shall be the champion; of a rollback, empty for the last champion before."
    ),
    "reason": dg.Field(str, default_value="", description="Why; of a rollback and a promotion."),
    "by": dg.Field(str, default_value="", description="Who orders it; the login name unless said otherwise."),
}


def ask_of(config: Mapping[str, Any], run_tags: Mapping[str, str]) -> Ask | None:
    """The order that a run is configured with; None where it decides by the gates.

    Raises:
        DataError: there is no such action.
    """
    action = config.get("action", DECIDE)
    if action == DECIDE:
        given = [name for name in ("version", "reason", "by") if config.get(name)]
        if given:
            raise DataError(f"wanted action: rollback or promote beside {', '.join(given)}, found {DECIDE}; nothing was done")
        return None
    if action not in ACTIONS:
        raise DataError(f"action: {nearest(action, [DECIDE, *ACTIONS])}")
    who = config.get("by") or run_tags.get("user") or login_name()
    return Ask(action, config.get("version") or None, config.get("reason", "").strip(), who)


def login_name() -> str:
    """Who this process belongs to."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def known_of(lake: Lake, states: States, located: Located[WorkflowSpec], registry: Registry, name: str) -> Known:
    """What an order is checked against: ledger and registry."""
    release = states.whole(ReleaseState, located)
    after = [row["version_after"] for row in reversed(read_decisions(lake, *located.id)) if row["version_after"]]
    versions = [str(version) for version in registry.versions(name)]
    alias = registry.version_of(name, CHAMPION) if versions else None
    return Known(".".join(located.id), release.value if release else None, list(dict.fromkeys(after)), versions, alias)


def carry_out(platform: Platform, located: Located[WorkflowSpec]) -> str:
    """Finish an order that a killed run has left, then carry out the one that this run is configured with.

    Returns:
        What came of this run's order, in a sentence; empty where it has none.

    Raises:
        DataError: the order can't be carried out; nothing was moved.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    ask = ask_of(platform.config, platform.run_tags)
    rows = [row for row in read_decisions(platform.lake, *located.id) if row["action"] in ACTIONS and _order_of(row)]
    states = platform.lake.states()
    release = states.whole(ReleaseState, located)
    left = rows[-1] if rows and _is_left(rows[-1], release.value if release else None) else None
    if ask is None and left is None:
        return ""
    platform.tracking.wait()
    registry = Registry(platform.settings.tracking_uri)
    name = release.value.name if release else platform.settings.mlflow_name(*located.id)
    if left is not None:
        _finish(platform, located, states, left, registry, name)
        platform.log.info(f"finished the order of {left['who']} that a run had left: {left['action']} of version {left['version_after']}")
        states = platform.lake.states()
        release = states.whole(ReleaseState, located)
    if ask is None:
        return ""
    given = platform.run_tags.get(ROOT_RUN_TAG, platform.run_id)
    own = next((row for row in rows if _order_of(row) == given), None)
    if own is not None:
        return f"this run's order was carried out ({own['action']} of version {own['version_after']}, {own['at']:%Y-%m-%d %H:%M:%S} UTC)"

    known = known_of(platform.lake, states, located, registry, name)
    plan = plan_order(ask, known, lambda version: _obstacle(platform, located, states, name, version))
    if plan.version is None:
        return plan.sentence
    at = next_moment(release.value if release else None)
    evidence = {"order": given, "alias_before": known.alias}
    if release is not None and ask.action == "promote":
        evidence["overrides"] = _last_words(read_decisions(platform.lake, *located.id), plan.version) or None
    row = {
        "domain": located.domain, "workflow": located.spec.name, "action": ask.action, "candidate": plan.version,
        "version_before": known.champion, "version_after": plan.version, "reason": ask.reason,
        "evidence": json.dumps(evidence, sort_keys=True), "who": ask.who, "run_id": platform.run_id,
    }  # fmt: skip
    append_decision(platform.lake, row, at, once=f"order:{'.'.join(located.id)}:{given}")
    crash_point("order.written")
    _finish(platform, located, states, {**row, "at": at}, registry, name)
    return plan.sentence


def _order_of(row: Mapping[str, Any]) -> str | None:
    """The run that a row was ordered by; None for a decision by the gates."""
    order: str | None = json.loads(row["evidence"] or "{}").get("order")
    return order


def _is_left(row: Mapping[str, Any], release: ReleaseState | None) -> bool:
    """Whether an order is written down and the state is from before it."""
    return release is None or release.decided_at is None or row["at"] > datetime.fromisoformat(release.decided_at)


def _last_words(rows: list[dict[str, Any]], version: str) -> str:
    """Why a version was refused last; empty where it wasn't."""
    return next((row["reason"] for row in reversed(rows) if row["candidate"] == version and row["action"] == "refuse"), "")


def _obstacle(platform: Platform, located: Located[WorkflowSpec], states: States, name: str, version: str) -> str:
    """Why a version can't predict any more; empty where it can."""
    from mlflow import MlflowException

    try:
        spec = load_version(platform, located, name, version).feature_spec
        own_fingerprints(states, spec)
        for lookup in spec.views:
            if lookup.kind == "view":
                at_version(platform.lake.current(TableKey(ViewState.stage, lookup.domain, lookup.name), states), lookup)
    except ServiceUnavailable:
        raise
    except (LakeloopError, MlflowException) as error:
        return str(error)
    return ""


def _finish(
    platform: Platform, located: Located[WorkflowSpec], states: States, row: Mapping[str, Any], registry: Registry, name: str
) -> None:
    """Let alias, tags and state say what an order's row says; done again, it changes nothing.

    Raises:
        Conflict: another run decided meanwhile.
    """
    release, version = states.whole(ReleaseState, located), row["version_after"]
    registry.take_up(name)
    registry.set_alias(name, CHAMPION, version, expected=registry.version_of(name, CHAMPION))
    signed = f"{row['who']}, {row['at'].isoformat(timespec='seconds')}: {row['reason']}"
    before = row["version_before"]
    if row["action"] == "promote" and version != before:
        registry.set_tag(name, version, ORDERED_TAG, signed)
        registry.set_tag(name, version, DECISION_TAG, "promote")
    elif row["action"] == "rollback" and before is not None:
        registry.set_tag(name, before, WITHDRAWN_TAG, signed)
        registry.set_tag(name, before, DECISION_TAG, "rollback")
    crash_point("order.moved")
    record = _record(platform.lake, states, located, release.value if release else None, row, name)
    told = release.fingerprint if release else fingerprint("ordered", version)
    record_whole(platform, states, located, record, told)
    listed = platform.lake.states().whole(ReleaseState, located)
    if listed is None or listed.value.decided_at != record.decided_at:
        raise Conflict(f"{key_of('releases', located)}: another run decided meanwhile; the order is carried out by the next attempt")


def _record(
    lake: Lake, states: States, located: Located[WorkflowSpec], before: ReleaseState | None, row: Mapping[str, Any], name: str
) -> ReleaseState:
    """The state after an order: the champion with what it looks up and cites, and which versions only a person may release again."""
    version, model = row["version_after"], states.whole(ModelState, located)
    at = row["at"].isoformat()
    newest = model.value.version if model else version
    sentence = f"{row['action']} of version {version} by {row['who']}: {row['reason']}"
    if before is not None and before.champion == version:
        return replace(before, decided_at=at)
    withdrawn = {**((before.withdrawn if before else None) or {})}
    withdrawn.pop(version, None)
    if before is not None and before.champion is not None and row["action"] == "rollback":
        withdrawn[before.champion] = f"{row['who']}: {row['reason']}"
    best = before.best if before and before.best not in (None, *withdrawn) else version
    champion = _as_it_was(lake, located, version, name, newest)
    return replace(
        champion,
        candidate=version,
        action=row["action"],
        reason=sentence,
        decided_at=at,
        checks={PROMOTED: ("passed" if version == newest else "failed", sentence)},
        rollback=Rollback(before.champion, before.cites) if before and before.champion else None,
        best=best,
        voided=before.voided if before else None,
        ordered=Order(row["action"], row["who"], row["reason"], at, row["version_before"]),
        withdrawn=withdrawn or None,
    )


def _as_it_was(lake: Lake, located: Located[WorkflowSpec], version: str, name: str, newest: str) -> ReleaseState:
    """The release of a version with what it looks up, cites and was tuned to: as it was released, or as the ledger says that it was made."""
    releases = [_typed(state, ReleaseState) for state in lake.past_states(key_of(ReleaseState.stage, located)) if state.partition == WHOLE]
    was = next((state for state in reversed(releases) if state.champion == version and state.name == name), None)
    if was is not None:
        return was
    models = [_typed(state, ModelState) for state in lake.past_states(key_of(ModelState.stage, located))]
    model = next((state for state in reversed(models) if state.version == version and state.name == name), None)
    if model is None:
        return ReleaseState(version, name)
    sets = [state for state in lake.past_states(key_of(TrainingSetState.stage, located)) if state.version == model.training_set]
    made_of = _typed(sets[-1], TrainingSetState) if sets else None
    # What an older version was tuned for, its file doesn't say any more.
    tuned = Tuned(fingerprint(located.spec.model), model.search.taken) if model.search and version == newest else None
    return ReleaseState(
        version, name, feature_spec=made_of.feature_spec if made_of else None, cites=made_of.cites if made_of else {}, tuned=tuned
    )


def _typed(state: PartitionState[Any], kind: type[R]) -> R:
    return state.typed(kind).value
