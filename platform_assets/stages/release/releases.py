"""releases: the only place that moves the registry's aliases. A pure decision, a row of `reports/decisions`, then the alias."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg

from lakeloop.errors import NotPublished
from lakeloop.evaluation.decisions import Decision, Evidence, best_after, should_promote
from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.metrics.table import reference_words
from lakeloop.project.project import Located
from lakeloop.records.release import EvaluationState, ReleaseState, Rollback, Tuned
from lakeloop.records.training import ModelState, TrainingSetState
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.evaluation.evaluations import asked
from platform_assets.stages.publishing import record_whole
from platform_assets.stages.release.agreement import AGREES, PROMOTED, agreement
from platform_assets.stages.release.decision_rows import append_decision, next_moment, read_decisions
from platform_assets.stages.release.orders import CONFIG, carry_out
from platform_assets.stages.stage import Check, Stage
from resources.host.crash_points import crash_point
from resources.lake.published import PartitionState, States
from resources.tracking.registry import CHALLENGER, CHAMPION, Registry
from resources.tracking.server import is_up
from resources.tracking.tags import DECISION_TAG, metric_tag

CODE_VERSION = "2"


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a decision: the evaluation that it rests on.

    Raises:
        NotPublished: there is no evaluation.
    """
    evaluation = states.required(EvaluationState, located, "no evaluation")
    parts = {**made_of.code(CODE_VERSION), **made_of.upstream(states, key_of("evaluations", located), evaluation.value.version)}
    return Fingerprint(fingerprint("release", CODE_VERSION, evaluation.fingerprint), parts)


def release(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Decide on the evaluated model, and move the aliases accordingly.

    The gates are judged from the evaluation's own record of the very version, so it doesn't matter how this was reached: in one run, alone,
    through a sensor, or after a retry. A run that is configured with an order carries it out, and decides nothing.

    Raises:
        NotPublished: there is no evaluation, or it is not of the model that is published now.
        DataError: the run's order can't be carried out.
        Conflict: somebody else moved the champion alias meanwhile.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    ordered = carry_out(platform, located)
    states = platform.lake.states()
    before = states.whole(ReleaseState, located)
    if ordered and before:
        return _standing(platform, located, before, fresh=False, more={"order": ordered})
    fingerprint_now = expected(states, located)
    if before and before.fingerprint == fingerprint_now:
        return _standing(platform, located, before, fresh=True, more={})
    model, evaluation = _evaluated_model(states, located)
    name, version, champion = model.name, model.version, before.value.champion if before else None
    platform.tracking.wait()
    registry = Registry(platform.settings.tracking_uri)
    alias = registry.version_of(name, CHAMPION)
    if alias not in _put_by_us(platform, located, before.value if before else None, version):
        outcome = agreement(located, champion, alias)
        return StageResult(
            fingerprint_now, checks={AGREES: outcome}, refused="MLflow's alias champion was moved by hand; nothing was moved"
        )
    evidence = _evidence(located.spec, evaluation)
    voided = _voided(before.value if before else None, evaluation)
    decision = should_promote(
        candidate=version,
        champion=champion,
        evidence=evidence,
        gates=located.spec.gates,
        voided=voided,
        barred=before.value.barred(version) if before else "",
    )

    decided_at = next_moment(before.value if before else None)
    record = replace(
        _record(states, located, model, before.value if before else None, decision, evidence, decided_at), voided=voided or None
    )
    _write_decision(platform, located, fingerprint_now, decision, record, before.value if before else None, decided_at)
    crash_point("release.decided")
    _move_aliases(registry, name, version, record.champion, alias, decision, evidence)
    if model.registered is None:
        # A run that failed in its release, after all that it was there for, has made the version all the same.
        registry.finish_run_of(name, version)
    crash_point("release.tagged")
    record_whole(platform, states, located, record, fingerprint_now)
    facts: dict[str, Any] = {
        "decision": decision.action,
        "reason": decision.reason,
        "champion": record.champion or "none",
        "champion_before": champion or "none",
        "candidate": version,
        "evidence": dg.MetadataValue.json(dict(decision.evidence)),
    }
    checks = {**record.checks, AGREES: agreement(located, record.champion, registry.version_of(name, CHAMPION))}
    return StageResult(fingerprint_now, checks=checks, metadata={**facts, **_signature(record)})


def _standing(
    platform: Platform, located: Located[WorkflowSpec], release: PartitionState[ReleaseState], *, fresh: bool, more: Mapping[str, Any]
) -> StageResult:
    """The release that stands, and whether MLflow's alias still says the same."""
    value = release.value
    if is_up(platform.settings.tracking_uri):
        outcome = agreement(located, value.champion, Registry(platform.settings.tracking_uri).version_of(value.name, CHAMPION))
    else:
        outcome = (
            "could_not_run",
            f"MLflow doesn't answer at {platform.settings.tracking_uri}; version {value.champion or 'none'} is released",
        )
    metadata = {"champion": value.champion or "none", "reason": value.reason, **_signature(value), **more}
    return StageResult(release.fingerprint, fresh=fresh, checks={**value.checks, AGREES: outcome}, metadata=metadata)


def _signature(release: ReleaseState) -> dict[str, Any]:
    """Who released the champion past its gates, where somebody did."""
    order = release.ordered
    return {"released_by_order": f"{order.action} by {order.who}, {order.at}: {order.reason}"} if order else {}


def _evaluated_model(states: States, located: Located[WorkflowSpec]) -> tuple[ModelState, EvaluationState]:
    """The published model and its evaluation.

    Raises:
        NotPublished: the evaluation is of another model, or was made under other metrics or gates.
    """
    evaluation, model = states.required(EvaluationState, located, "no evaluation").value, states.whole(ModelState, located)
    key = key_of("evaluations", located)
    if model is None or evaluation.version != model.value.version:
        raise NotPublished(f"{key} is of version {evaluation.version}, not of the model that is published now; materialise it first")
    if evaluation.asked not in (None, asked(located.spec)):
        raise NotPublished(
            f"{located.definition.file} names other metrics or gates than {key} was made under; releases reject evaluations made under older gates: "
            "materialise it first"
        )
    return model.value, evaluation


def _put_by_us(platform: Platform, located: Located[WorkflowSpec], before: ReleaseState | None, candidate: str) -> set[str | None]:
    """The versions that the alias may be on: the champion, the candidate, and those that a run promoted which was killed before it listed that."""
    since = before.decided_at if before else None
    rows = read_decisions(platform.lake, *located.id)
    unlisted = [row["candidate"] for row in rows if row["action"] == "promote" and (since is None or row["at"].isoformat() > since)]
    return {before.champion if before else None, candidate, *unlisted}


def _evidence(spec: WorkflowSpec, evaluation: EvaluationState) -> Evidence:
    """What an evaluation recorded of the version that it judged."""
    primary = spec.evaluation.primary
    return Evidence(
        version=evaluation.version,
        primary=primary,
        value=evaluation.metrics[primary],
        gates=evaluation.checks,
        champion=evaluation.champion,
        comparison=evaluation.comparison,
        skill=evaluation.skill,
        reference=reference_words(spec.answer, primary),
        baselines=evaluation.skills or {},
        naive=spec.answer.kind.reference,
        incomparable=evaluation.incomparable,
        best=evaluation.best,
        best_comparison=evaluation.best_comparison,
    )


def _voided(before: ReleaseState | None, evaluation: EvaluationState) -> dict[str, str]:
    """The versions whose evidence is void, by why: those that were, and the champion where the evaluation found a leak in it."""
    voided = dict(before.voided or {}) if before else {}
    if before and before.champion and evaluation.voids and evaluation.champion == before.champion:
        voided.setdefault(before.champion, evaluation.voids)
    return voided


def _record(
    states: States,
    located: Located[WorkflowSpec],
    model: ModelState,
    before: ReleaseState | None,
    decision: Decision,
    evidence: Evidence,
    decided_at: datetime,
) -> ReleaseState:
    """What is kept of a decision: who is the champion after it, what that looks up and cites, and what the one before it did."""
    promoted, champion = decision.action == "promote", before.champion if before else None
    after = model.version if promoted else champion
    release = ReleaseState(
        champion=after,
        name=model.name,
        candidate=model.version,
        action=decision.action,
        reason=decision.reason,
        decided_at=decided_at.isoformat(),
        checks={PROMOTED: ("passed" if after == model.version else "failed", decision.reason)},
        feature_spec=before.feature_spec if before else None,
        cites=before.cites if before else {},
        rollback=before.rollback if before else None,
        best=best_after(decision, evidence, before.yardstick if before else None),
        tuned=before.tuned if before else None,
        ordered=before.ordered if before and not promoted else None,
        withdrawn=before.withdrawn if before else None,
    )
    if not promoted:
        return release
    training = states.whole(TrainingSetState, located)
    made_of = training.value if training and training.version == model.training_set else None
    return replace(
        release,
        feature_spec=made_of.feature_spec if made_of else None,
        cites=made_of.cites if made_of else {},
        rollback=Rollback(champion, release.cites) if champion is not None else None,
        tuned=Tuned(fingerprint(located.spec.model), model.search.taken) if model.search else None,
    )


def _move_aliases(
    registry: Registry, name: str, version: str, champion: str | None, alias: str | None, decision: Decision, evidence: Evidence
) -> None:
    """Let the aliases and the version's tags say what was decided; done again, it changes nothing.

    Raises:
        Conflict: somebody moved the alias since it was looked up.
    """
    registry.take_up(name)
    if champion is not None:
        registry.set_alias(name, CHAMPION, champion, expected=alias)
    crash_point("release.promoted")
    challenger = registry.version_of(name, CHALLENGER)
    if challenger != version:
        registry.set_alias(name, CHALLENGER, version, expected=challenger)
    registry.set_tag(name, version, DECISION_TAG, decision.action)
    registry.set_tag(name, version, metric_tag(evidence.primary), f"{evidence.value:.6f}")


def _write_decision(
    platform: Platform,
    located: Located[WorkflowSpec],
    fingerprint_now: str,
    decision: Decision,
    record: ReleaseState,
    before: ReleaseState | None,
    at: datetime,
) -> None:
    row = {
        "domain": located.domain,
        "workflow": located.spec.name,
        "action": decision.action,
        "candidate": record.candidate,
        "version_before": before.champion if before else None,
        "version_after": record.champion,
        "reason": decision.reason,
        "evidence": json.dumps(dict(decision.evidence), sort_keys=True),
        "who": platform.run_tags.get("user"),
        "run_id": platform.run_id,
    }
    # A killed run decides the same after the same state; after another one the same evaluation may be decided on otherwise.
    after = f"{before.champion}:{before.decided_at}" if before else "None"
    append_decision(platform.lake, row, at, once=f"decision:{located.domain}.{located.spec.name}:{fingerprint_now}:{after}")


STAGE = Stage(
    name="releases",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: release(platform, located),
    reads=lambda project, located: (key_of("evaluations", located),),
    expected=lambda world, located, _: expected(world.states, located),
    checks=lambda project, located: (
        Check(PROMOTED, False, "the newest model is the champion"),
        Check(AGREES, False, "MLflow's alias champion is on the version that is released, served, and makes the batch predictions"),
    ),
    config=CONFIG,
    describe=lambda _: "Which version is the champion, and why. The only place that moves an alias.",
    kinds=lambda _: ("mlflow",),
)
