"""deployments: which released version should be served, and whether it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.stage import Check, Stage
from resources.host.crash_points import crash_point
from resources.lake.published import WHOLE, PartitionState, States

if TYPE_CHECKING:
    from lakeloop.project.project import Located

CODE_VERSION = "1"
PATIENCE_S = 90.0
SERVING = "released_version_is_served"
"""The check that the released version answers at the endpoint; a warning, since it may be that no supervisor runs here."""


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a deployment: the released version.

    Raises:
        NotPublished: nothing has been decided yet.
    """
    released = states.get(key_of("releases", located), {}).get(WHOLE)
    if released is None:
        raise NotPublished(f"{key_of('releases', located)} has decided nothing yet; materialise it first")
    return fingerprint("deployment", CODE_VERSION, released.value["name"], released.value["champion"])


def deploy(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """State the version that should serve, and wait until it does.

    Without a supervisor it says so; one that starts later serves what was stated.

    Raises:
        NotPublished: nothing has been decided yet.
        DataError: the version could not be served.
    """
    from resources.serving.desired import Deployment, read_desired, read_status, wait_until_serving, write_desired

    key = key_of("deployments", located)
    states = platform.lake.states()
    wanted = expected(states, located)
    released = states[key_of("releases", located)][WHOLE].value
    if released["champion"] is None:
        return StageResult(wanted, checks={SERVING: ["failed", "nothing is released"]}, metadata={"skipped": "nothing is released"})
    folder = platform.settings.home / "serving"
    name = f"{located.domain}.{located.spec.name}"
    deployment = Deployment(name, released["champion"], f"models:/{released['name']}/{released['champion']}")
    standing = read_desired(folder).get(name)
    status = read_status(folder)
    done = states.get(key, {}).get(WHOLE)
    served = (
        status is not None and status.models.get(name, {}).get("version") == deployment.version and status.models[name]["state"] == "ready"
    )
    if done and done.fingerprint == wanted and standing == deployment and (served or status is None):
        return StageResult(wanted, fresh=True, checks=done.value["checks"], metadata={"serving": done.value["state"]})
    write_desired(folder, deployment)
    crash_point("deployment.stated")
    outcome = wait_until_serving(folder, name, deployment.version, PATIENCE_S)
    if outcome.state in ("failed", "timeout"):
        raise DataError(f"{name} version {deployment.version} is not served ({outcome.state}): {outcome.message}")
    message = outcome.message if outcome.state == "nobody" else f"version {deployment.version} answers at {outcome.address}"
    checks: dict[str, Any] = {SERVING: ["passed" if outcome.state == "serving" else "failed", message]}
    value = {"version": deployment.version, "state": outcome.state, "address": outcome.address, "checks": checks}
    platform.lake.record(key, [PartitionState(WHOLE, wanted, -1, value=value)], run_id=platform.run_id, after=states.get(key, {}))
    metadata: dict[str, Any] = {"model_version": deployment.version, "serving": message, "at": datetime.now(UTC).isoformat()}
    if outcome.address:
        metadata["endpoint"] = dg.MetadataValue.url(f"{outcome.address}/v1/models/{name}:predict")
    return StageResult(wanted, checks=checks, metadata=metadata)


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
