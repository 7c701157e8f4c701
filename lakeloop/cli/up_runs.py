"""What `lakeloop up` materialises: runs for what is stale, launched in Dagster, their steps told as they end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakeloop.errors import LakeloopError, ServiceUnavailable
from resources.host.run_tags import UP_TAG
from resources.lake.lake import Lake

if TYPE_CHECKING:
    from platform_assets.plan import RunAsked
    from resources.host.servers import Servers

RETRIED_WITHIN_S = 60.0
"""The daemon looks for runs that were killed every 15 s."""
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
  }
}"""


@dataclass
class Built:
    """What became of the assets that were stale, by `stage/domain/name`.

    Attributes:
        asked: all of them, in order.
        seconds: those that were materialised, and how long it took.
        failed: those whose step failed, with the reason.
        run: the address of the run that failed; empty where none did.
    """

    asked: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    run: str = ""

    @property
    def not_computed(self) -> list[str]:
        """Those that were left out after a failure."""
        return [asset for asset in self.asked if asset not in self.seconds and asset not in self.failed]

    @property
    def problem(self) -> str:
        """What wasn't built, in a sentence; empty where all was."""
        if not self.failed and not self.not_computed:
            return ""
        failed = f"{', '.join(self.failed)} failed" if self.failed else "a run did not end well"
        others = len(self.not_computed)
        return failed + (f", and {others} asset{'s were' if others > 1 else ' was'} not computed" if others else "")


def materialize_stale(servers: Servers, project: Any, settings: Any, instance: Any, ui: str, say: Callable[[str], None]) -> Built:
    """Launch what is stale, one run after another until one fails, and tell their progress."""
    from platform_assets.plan import runs_for, stale_assets, unasked
    from platform_assets.stages.training.registered import taken_versions

    states = Lake(settings.lake_url).states()
    silent = unasked(project, states)
    for key, why in silent.items():
        say(f"{key}: can't be asked, taken as it was: {why}")
    requests = runs_for(project, stale_assets(project, states, taken=taken_versions(project, settings.tracking_uri), silent=silent))
    if not requests:
        say(f"everything {'else ' if silent else ''}is fresh, nothing to compute")
    built = Built([key.path for request in requests for key in request.assets])
    for request in requests:
        run_id = _launch(ui, request)
        say(f"materialising {len(request.assets)} assets: {ui}/runs/{run_id}")
        last = _follow(servers, instance, run_id, built, say)
        if any(key.path not in built.seconds for key in request.assets):
            built.run = f"{ui}/runs/{last}"
            break
    return built


def _launch(ui: str, request: RunAsked) -> str:
    tags = {UP_TAG: "true", "user": os.environ.get("USER", "lakeloop up"), **request.tags}
    params = {
        "selector": {
            "repositoryLocationName": "lakeloop",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [key.stage, key.domain, key.name]} for key in request.assets],
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    answer = post(f"{ui}/graphql", {"query": _LAUNCH, "variables": {"params": params}})
    launched = (answer.get("data") or {}).get("launchPipelineExecution") or {}
    if "run" not in launched:
        raise LakeloopError(f"Dagster did not launch the run: {launched.get('message') or answer}")
    return str(launched["run"]["runId"])


def _follow(servers: Servers, instance: Any, run_id: str, built: Built, say: Callable[[str], None]) -> str:
    """Print the steps of a run as they end, until it does, and note what became of them; so for the run that Dagster starts in place of one that was killed.

    Returns:
        The id of the last run.
    """
    cursor = None
    while True:
        servers.check()
        run = instance.get_run_by_id(run_id)
        batch = instance.get_records_for_run(run_id, cursor=cursor)
        cursor = batch.cursor
        for record in batch.records:
            event = record.event_log_entry.dagster_event
            if event is None:
                continue
            if event.event_type_value == "STEP_SUCCESS":
                built.seconds[_asset_of(event)] = event.event_specific_data.duration_ms / 1000
                built.failed.pop(_asset_of(event), None)
            elif event.event_type_value == "STEP_FAILURE":
                built.failed.setdefault(_asset_of(event), reason_of(event))
            if line := step_line(event):
                say(f"  {line}")
        if run.is_finished and not batch.has_more:
            if run.status.value == "SUCCESS":
                return run_id
            say(f"the run ended as {run.status.value}")
            again = _run_in_its_place(servers, instance, run_id)
            if again is None:
                return run_id
            say(f"it was killed, and is tried once more: {again}")
            run_id, cursor = again, None
        time.sleep(0.3)


def _run_in_its_place(servers: Servers, instance: Any, run_id: str) -> str | None:
    """The run that Dagster's daemon starts for one whose processes were killed; None where it starts none, as after a step that failed by itself."""
    from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

    deadline = time.monotonic() + RETRIED_WITHIN_S
    while time.monotonic() < deadline:
        tags = instance.get_run_by_id(run_id).tags
        if tags.get(WILL_RETRY_TAG) != "true":
            return None
        if AUTO_RETRY_RUN_ID_TAG in tags:
            return str(tags[AUTO_RETRY_RUN_ID_TAG])
        servers.check()
        time.sleep(0.3)
    return None


def step_line(event: Any) -> str | None:
    """What people are told of an event of Dagster's: a step that ended, a check that failed; None where that is nothing."""
    kind, step, details = event.event_type_value, _asset_of(event), event.event_specific_data
    if kind == "STEP_SUCCESS":
        return f"{step:<46} {details.duration_ms / 1000:6.1f} s"
    if kind == "STEP_FAILURE":
        return f"{step:<46} FAILED: {reason_of(event)}"
    if kind == "STEP_UP_FOR_RETRY":
        return f"{step:<46} will be tried again"
    if kind == "ASSET_CHECK_EVALUATION" and not details.passed:
        return f"{details.asset_key.to_user_string()}: check {details.check_name} failed: {details.description}"
    return None


def reason_of(event: Any) -> str:
    """Why a step failed, as its error says it."""
    details = event.event_specific_data
    cause = details.error.cause or details.error if details.error else None
    return cause.message.strip()[:600] if cause else "no reason given"


def _asset_of(event: Any) -> str:
    return str(event.step_key or "").partition(".")[0].replace("__", "/")


def post(url: str, content: dict[str, Any]) -> dict[str, Any]:
    """Ask Dagster something.

    Raises:
        ServiceUnavailable: it doesn't answer.
    """
    import httpx

    try:
        return dict(httpx.post(url, json=content, timeout=120).json())
    except (httpx.HTTPError, ValueError) as error:
        raise ServiceUnavailable(f"Dagster at {url} did not answer: {error}") from error
