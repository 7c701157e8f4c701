"""MLflow's alias `champion`, moved by hand: told between two runs of `releases`, as their check `mlflow_agrees`, and moved back by nobody here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg

from lakeloop.project.project import Located
from lakeloop.records.release import ReleaseState
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.release.agreement import AGREES, agreement
from resources.lake.lake import Lake
from resources.lake.published import States
from resources.settings import Settings
from resources.tracking.registry import CHAMPION, Registry
from resources.tracking.server import is_up

LOOK_S = 60
"""Between two looks, each of which asks MLflow once per released workflow."""
_AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def aliases_sensor(located: Iterable[Located[WorkflowSpec]], read: Callable[[Lake], States]) -> Any:
    """The sensor that holds the alias of each workflow against the ledger; a difference is written once, and once more when it is over.

    Args:
        located: the workflows that are looked at.
        read: the states of the lake as they are now.
    """
    workflows = {".".join(each.id): each for each in located}

    @dg.sensor(
        name="moved_aliases",
        minimum_interval_seconds=LOOK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails the check mlflow_agrees of a release whose alias champion was moved by hand in MLflow; passes it when both agree again.",
        required_resource_keys={"lake"},
    )
    def moved_aliases(context):  # type: ignore[no-untyped-def]
        # A release writes its decision and moves the alias then: between the two they differ, and nobody moved anything by hand.
        if context.instance.get_runs_count(dg.RunsFilter(statuses=_AT_WORK)):
            return dg.SkipReason("a run is in progress, and may be moving aliases itself")
        uri = Settings.from_environment().tracking_uri
        if not is_up(uri):
            return dg.SkipReason(f"MLflow at {uri} doesn't answer; the aliases are looked at when it does")
        told: dict[str, str] = json.loads(context.cursor or "{}")
        differing = _differing(workflows, read(context.resources.lake.lake), Registry(uri))
        events = [_evaluation(workflows[name], False, message) for name, message in differing.items() if told.get(name) != message]
        events += [_evaluation(workflows[name], True, "both agree again") for name in told if name in workflows and name not in differing]
        skipped = None if events else f"told before: {', '.join(differing)}" if differing else "every alias is on the released version"
        return dg.SensorResult(asset_events=events, cursor=json.dumps(differing), skip_reason=skipped)

    return moved_aliases


def _differing(workflows: Mapping[str, Located[WorkflowSpec]], states: States, registry: Registry) -> dict[str, str]:
    """What `mlflow_agrees` says of each workflow whose alias isn't on the version that is released."""
    differing = dict[str, str]()
    for name, located in workflows.items():
        release = states.whole(ReleaseState, located)
        if release is None:
            continue
        outcome, message = agreement(located, release.value.champion, registry.version_of(release.value.name, CHAMPION))
        if outcome == "failed":
            differing[name] = message
    return differing


def _evaluation(located: Located[WorkflowSpec], passed: bool, message: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["releases", *located.id]),
        check_name=AGREES,
        passed=passed,
        metadata={"message": dg.MetadataValue.text(message)},
        severity=dg.AssetCheckSeverity.WARN,
    )
