"""releases: the only place that moves the registry's aliases. A pure decision, a row of `reports/decisions`, then the alias."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import Conflict, NotPublished
from lakeloop.evaluation.decisions import Decision, Evidence, should_promote
from lakeloop.fingerprint import fingerprint
from lakeloop.metrics.table import reference_words
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.evaluation.evaluations import asked
from platform_assets.stages.features.view_versions import after_promotion
from platform_assets.stages.stage import Check, Stage
from resources.host.crash_points import crash_point
from resources.lake.published import WHOLE, PartitionState, States
from resources.tracking.tags import DECISION_TAG, metric_tag

if TYPE_CHECKING:
    from lakeloop.project.project import Located
    from resources.tracking.registry import Registry

CODE_VERSION = "2"
DECISIONS_TABLE = "reports/decisions"
PROMOTED = "model_is_promoted"
"""The check that says whether the newest model is the champion; a warning, because a refusal is an answer and not an accident."""


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a decision: the evaluation that it rests on.

    Raises:
        NotPublished: there is no evaluation.
    """
    evaluation = states.get(key_of("evaluations", located), {}).get(WHOLE)
    if evaluation is None:
        raise NotPublished(f"{key_of('evaluations', located)} has no evaluation; materialise it first")
    return fingerprint("release", CODE_VERSION, evaluation.fingerprint)


def release(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Decide on the evaluated model, and move the aliases accordingly.

    The gates are judged from the evaluation's own record of the very version, so it doesn't matter how this was reached: in one run, alone,
    through a sensor, or after a retry.

    Raises:
        NotPublished: there is no evaluation, or it is not of the model that stands now.
        Conflict: somebody else moved the champion alias.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from resources.tracking.registry import CHAMPION, Registry

    spec, key = located.spec, key_of("releases", located)
    states = platform.lake.states()
    wanted = expected(states, located)
    done = states.get(key, {}).get(WHOLE)
    if done and done.fingerprint == wanted:
        return StageResult(
            wanted,
            fresh=True,
            checks=done.value["checks"],
            metadata={"champion": done.value["champion"] or "none", "reason": done.value["reason"]},
        )
    model = states.get(key_of("models", located), {}).get(WHOLE)
    evaluation = states[key_of("evaluations", located)][WHOLE]
    if model is None or evaluation.value["version"] != model.value["version"]:
        raise NotPublished(
            f"{key_of('evaluations', located)} is of version {evaluation.value['version']}, not of the model that stands now; materialise it first"
        )
    if evaluation.value.get("asked", asked(spec)) != asked(spec):
        raise NotPublished(
            f"{located.definition.file} asks other metrics or gates than {key_of('evaluations', located)} has answered; materialise it first"
        )

    name, version = model.value["name"], model.value["version"]
    platform.tracking.wait()
    registry = Registry(platform.settings.tracking_uri)
    champion = done.value.get("champion") if done else None
    standing = registry.version_of(name, CHAMPION)
    if standing not in (champion, version):
        raise Conflict(f"{name}: wanted the alias champion on version {champion or 'none'}, found it on {standing}; nothing was moved")
    evidence = _evidence(spec, evaluation.value)
    decision = should_promote(candidate=version, champion=champion, evidence=evidence, gates=spec.gates)

    after = version if decision.action == "promote" else champion
    # In the order of the releases, whatever the clock says meanwhile.
    at = datetime.now(UTC)
    if done and "decided_at" in done.value:
        at = max(at, datetime.fromisoformat(done.value["decided_at"]) + timedelta(microseconds=1))
    _write_decision(platform, located, wanted, decision, version, champion, after, at)
    crash_point("release.decided")
    _move_aliases(registry, name, version, champion, decision, evidence)
    if "registered" not in model.value:
        # A run that failed in its release, after all that it was there for, has made the version all the same.
        registry.finish_run_of(name, version)
    crash_point("release.tagged")
    promoted = after == version
    checks = {PROMOTED: ["passed" if promoted else "failed", decision.reason]}
    training = states.get(key_of("training_sets", located), {}).get(WHOLE)
    made_of = training.value if training and training.version == model.value["training_set"] else {}
    cited = after_promotion(
        done.value if done else None,
        promoted=decision.action == "promote",
        cites=made_of.get("cites", {}),
        champion=champion,
        features=made_of.get("feature_spec"),
    )
    value = {
        **cited,
        "name": name,
        "champion": after,
        "decided_at": at.isoformat(),
        "candidate": version,
        "action": decision.action,
        "reason": decision.reason,
        "checks": checks,
    }
    platform.lake.record(key, [PartitionState(WHOLE, wanted, -1, value=value)], run_id=platform.run_id, after=states.get(key, {}))
    return StageResult(
        wanted,
        checks=checks,
        metadata={
            "decision": decision.action,
            "reason": decision.reason,
            "champion": after or "none",
            "champion_before": champion or "none",
            "candidate": version,
            "evidence": dg.MetadataValue.json(dict(decision.evidence)),
        },
    )


def _evidence(spec: WorkflowSpec, facts: Mapping[str, Any]) -> Evidence:
    """What an evaluation recorded of the version that it judged."""
    primary = spec.evaluation.primary
    return Evidence(
        version=facts["version"],
        primary=primary,
        value=facts["metrics"][primary],
        gates=facts["checks"],
        champion=facts["champion"],
        comparison=facts["comparison"],
        skill=facts.get("skill"),
        reference=reference_words(spec.answer, primary),
        incomparable=facts.get("incomparable", ""),
    )


def _move_aliases(registry: Registry, name: str, version: str, champion: str | None, decision: Decision, evidence: Evidence) -> None:
    """Let the aliases and the version's tags say what was decided; done again, it changes nothing."""
    from resources.tracking.registry import CHALLENGER, CHAMPION

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
    wanted: str,
    decision: Decision,
    version: str,
    before: str | None,
    after: str | None,
    at: datetime,
) -> None:
    import pyarrow as pa

    text = ("domain", "workflow", "action", "candidate", "version_before", "version_after", "reason", "evidence", "who", "run_id")
    schema = pa.schema([(name, pa.string()) for name in text] + [("at", pa.timestamp("us", tz="UTC"))])
    row = {
        "domain": located.domain,
        "workflow": located.spec.name,
        "action": decision.action,
        "candidate": version,
        "version_before": before,
        "version_after": after,
        "reason": decision.reason,
        "evidence": json.dumps(dict(decision.evidence), sort_keys=True),
        "who": platform.run_tags.get("user"),
        "run_id": platform.run_id,
        "at": at,
    }
    rows = pa.Table.from_pylist([row], schema=schema)
    platform.lake.append(
        DECISIONS_TABLE, rows, partition_by=["domain", "workflow"], once=f"decision:{located.domain}.{located.spec.name}:{wanted}:{before}"
    )


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
