"""What `lakeloop up` materialises: runs for what is stale, launched in Dagster, their steps told as they end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lakeloop.errors import LakeloopError, ServiceUnavailable
from resources.host.run_tags import UP_TAG
from resources.lake.lake import Lake

if TYPE_CHECKING:
    from platform_assets.plan import RunAsked
    from resources.host.servers import Servers

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


def materialize_stale(
    servers: Servers, project: Any, settings: Any, instance: Any, ui: str, say: Callable[[str], None]
) -> tuple[bool, dict[str, float]]:
    """Launch what is stale, one run after another, and tell their progress; returns whether all succeeded, and seconds by asset."""
    from platform_assets.plan import runs_for, stale_assets, unasked
    from platform_assets.stages.training.registered import taken_versions

    states = Lake(settings.lake_url).states()
    silent = unasked(project, states)
    for key, why in silent.items():
        say(f"{key}: can't be asked, taken as it was: {why}")
    requests = runs_for(project, stale_assets(project, states, taken=taken_versions(project, settings.tracking_uri), silent=silent))
    if not requests:
        say(f"everything {'else ' if silent else ''}is fresh, nothing to compute")
    seconds: dict[str, float] = {}
    for request in requests:
        run_id = _launch(ui, request)
        say(f"materialising {len(request.assets)} assets: {ui}/runs/{run_id}")
        good, took = _follow(servers, instance, run_id, say)
        seconds |= took
        if not good:
            return False, seconds
    return True, seconds


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


def _follow(servers: Servers, instance: Any, run_id: str, say: Callable[[str], None]) -> tuple[bool, dict[str, float]]:
    """Print the steps of a run as they end, until it does."""
    seconds: dict[str, float] = {}
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
                seconds[_asset_of(event)] = event.event_specific_data.duration_ms / 1000
            if line := step_line(event):
                say(f"  {line}")
        if run.is_finished and not batch.has_more:
            if run.status.value != "SUCCESS":
                say(f"the run ended as {run.status.value}")
            return run.status.value == "SUCCESS", seconds
        time.sleep(0.3)


def step_line(event: Any) -> str | None:
    """What people are told of an event of Dagster's: a step that ended, a check that failed; None where that is nothing."""
    kind, step, details = event.event_type_value, _asset_of(event), event.event_specific_data
    if kind == "STEP_SUCCESS":
        return f"{step:<46} {details.duration_ms / 1000:6.1f} s"
    if kind == "STEP_FAILURE":
        cause = details.error.cause or details.error if details.error else None
        return f"{step:<46} FAILED: {cause.message.strip()[:600] if cause else 'no reason given'}"
    if kind == "STEP_UP_FOR_RETRY":
        return f"{step:<46} will be tried again"
    if kind == "ASSET_CHECK_EVALUATION" and not details.passed:
        return f"{details.asset_key.to_user_string()}: check {details.check_name} failed: {details.description}"
    return None


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
