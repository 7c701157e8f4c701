"""releases: the only place that moves the registry's aliases. A pure decision, a row of `reports/decisions`, then the alias."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from lakeloop.errors import Conflict, NotPublished
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
from platform_assets.stages.release.decision_rows import append_decision
from platform_assets.stages.stage import Check, Stage
from resources.host.crash_points import crash_point
from resources.lake.published import States
from resources.tracking.registry import CHALLENGER, CHAMPION, Registry
from resources.tracking.tags import DECISION_TAG, metric_tag

CODE_VERSION = "2"
PROMOTED = "model_is_promoted"
"""The check that says whether the newest model is the champion; a warning, because a refusal is an answer and not an accident."""


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
    through a sensor, or after a retry.

    Raises:
        NotPublished: there is no evaluation, or it is not of the model that is published now.
        Conflict: somebody else moved the champion alias.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    states = platform.lake.states()
    fingerprint_now = expected(states, located)
    before = states.whole(ReleaseState, located)
    if before and before.fingerprint == fingerprint_now:
        value = before.value
        metadata = {"champion": value.champion or "none", "reason": value.reason}
        return StageResult(fingerprint_now, fresh=True, checks=value.checks, metadata=metadata)
    model, evaluation = _evaluated_model(states, located)
    name, version, champion = model.name, model.version, before.value.champion if before else None
    platform.tracking.wait()
    registry = Registry(platform.settings.tracking_uri)
    _must_be_ours(registry, name, champion, version)
    evidence = _evidence(located.spec, evaluation)
    voided = _voided(before.value if before else None, evaluation)
    decision = should_promote(candidate=version, champion=champion, evidence=evidence, gates=located.spec.gates, voided=voided)

    decided_at = _next_moment(before.value if before else None)
    record = replace(
        _record(states, located, model, before.value if before else None, decision, evidence, decided_at), voided=voided or None
    )
    _write_decision(platform, located, fingerprint_now, decision, record, champion, decided_at)
    crash_point("release.decided")
    _move_aliases(registry, name, version, champion, decision, evidence)
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
    return StageResult(fingerprint_now, checks=record.checks, metadata=facts)


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


def _must_be_ours(registry: Registry, name: str, champion: str | None, candidate: str) -> None:
    """Raise a Conflict if the alias `champion` is on a version that no release of ours put it on."""
    current = registry.version_of(name, CHAMPION)
    if current not in (champion, candidate):
        raise Conflict(f"{name}: wanted the alias champion on version {champion or 'none'}, found it on {current}; nothing was moved")


def _next_moment(before: ReleaseState | None) -> datetime:
    """Now, but after the decision before: decisions are in the order of the releases, whatever the clock says meanwhile."""
    now = datetime.now(UTC)
    if before is None or before.decided_at is None:
        return now
    return max(now, datetime.fromisoformat(before.decided_at) + timedelta(microseconds=1))


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


def _move_aliases(registry: Registry, name: str, version: str, champion: str | None, decision: Decision, evidence: Evidence) -> None:
    """Let the aliases and the version's tags say what was decided; done again, it changes nothing."""
    registry.take_up(name)
    if decision.action == "promote":
        registry.set_alias(name, CHAMPION, version, expected=champion)
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
    before: str | None,
    at: datetime,
) -> None:
    row = {
        "domain": located.domain,
        "workflow": located.spec.name,
        "action": decision.action,
        "candidate": record.candidate,
        "version_before": before,
        "version_after": record.champion,
        "reason": decision.reason,
        "evidence": json.dumps(dict(decision.evidence), sort_keys=True),
        "who": platform.run_tags.get("user"),
        "run_id": platform.run_id,
    }
    append_decision(platform.lake, row, at, once=f"decision:{located.domain}.{located.spec.name}:{fingerprint_now}:{before}")


STAGE = Stage(
    name="releases",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: release(platform, located),
    reads=lambda project, located: (key_of("evaluations", located),),
    expected=lambda world, located, _: expected(world.states, located),
    checks=lambda project, located: (Check(PROMOTED, False, "the newest model is the champion"),),
    describe=lambda _: "Which version is the champion, and why. The only place that moves an alias.",
    kinds=lambda _: ("mlflow",),
)
