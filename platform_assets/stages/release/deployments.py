"""deployments: which released version should be served, and whether it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from lakeloop.errors import DataError
from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.project.project import Located
from lakeloop.records.release import DeploymentState, ReleaseState
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.publishing import record_whole
from platform_assets.stages.stage import Check, Stage
from platform_assets.stages.training.version_files import known_contents
from resources.host.crash_points import crash_point
from resources.lake.published import States
from resources.serving.desired import Deployment, read_desired, read_status, wait_until_serving, write_desired

CODE_VERSION = "1"
PATIENCE_S = 90.0
NOTHING_RELEASED = "nothing is released"
SERVING = "released_version_is_served"
"""The check that the released version answers at the endpoint; a warning, since it may be that no supervisor runs here."""


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a deployment: the released version.

    Raises:
        NotPublished: nothing has been decided yet.
    """
    released = states.required(ReleaseState, located, "decided nothing yet").value
    parts = {**made_of.code(CODE_VERSION), **made_of.value("the champion", released.champion)}
    return Fingerprint(fingerprint("deployment", CODE_VERSION, released.name, released.champion), parts)


def deploy(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """State the version that should serve, and wait until it does.

    Without a supervisor it says so; one that starts later serves what was stated.

    Raises:
        NotPublished: nothing has been decided yet.
        DataError: the version could not be served.
    """
    states = platform.lake.states()
    fingerprint_now = expected(states, located)
    released = states.required(ReleaseState, located, "decided nothing yet").value
    if released.champion is None:
        return StageResult(fingerprint_now, checks={SERVING: ("failed", NOTHING_RELEASED)}, metadata={"skipped": NOTHING_RELEASED})
    folder = platform.settings.home / "serving"
    contents = known_contents(platform.lake, released.name, released.champion)
    deployment = Deployment(
        ".".join(located.id),
        released.champion,
        f"models:/{released.name}/{released.champion}",
        json.dumps(contents.record(), sort_keys=True) if contents is not None else "",
    )
    before = states.whole(DeploymentState, located)
    if before and before.fingerprint == fingerprint_now and _is_as_stated(folder, deployment):
        return StageResult(fingerprint_now, fresh=True, checks=before.value.checks, metadata={"serving": before.value.state})
    write_desired(folder, deployment)
    crash_point("deployment.stated")
    outcome = wait_until_serving(folder, deployment.name, deployment.version, PATIENCE_S)
    if outcome.state in ("failed", "timeout"):
        raise DataError(f"{deployment.name} version {deployment.version} is not served ({outcome.state}): {outcome.message}")
    message = outcome.message if outcome.state == "nobody" else f"version {deployment.version} answers at {outcome.address}"
    checks = {SERVING: ("passed" if outcome.state == "serving" else "failed", message)}
    record = DeploymentState(deployment.version, outcome.state, outcome.address, checks=checks)
    record_whole(platform, states, located, record, fingerprint_now)
    metadata: dict[str, Any] = {"model_version": deployment.version, "serving": message, "at": datetime.now(UTC).isoformat()}
    if outcome.address:
        metadata["endpoint"] = dg.MetadataValue.url(f"{outcome.address}/v1/models/{deployment.name}:predict")
    return StageResult(fingerprint_now, checks=checks, metadata=metadata)


def _is_as_stated(folder: Path, deployment: Deployment) -> bool:
    """Whether a deployment is stated already, and is served where a supervisor runs."""
    if read_desired(folder).get(deployment.name) != deployment:
        return False
    status = read_status(folder)
    served = status.models.get(deployment.name, {}) if status else {}
    return status is None or (served.get("version") == deployment.version and served["state"] == "ready")


STAGE = Stage(
    name="deployments",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: deploy(platform, located),
    reads=lambda project, located: (key_of("releases", located),),
    expected=lambda world, located, _: expected(world.states, located),
    exists=lambda located: located.spec.online is not None,
    checks=lambda project, located: (Check(SERVING, False, "the released version answers at the endpoint"),),
    describe=lambda _: "Which version should be served, and whether it is.",
    kinds=lambda _: ("kserve",),
    needs_champion=True,
)
