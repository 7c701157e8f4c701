"""Failures reach people: a sensor that reads ended runs in their order and tells each channel what it has not been told.

Where a channel has got to, and which troubles it knows, is the sensor's cursor. A channel that is down keeps its place, so that nothing is
lost, and holds up no other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG  # the public interface has no names for them

from lakeloop.errors import Conflict, ServiceUnavailable
from lakeloop.fingerprint import fingerprint
from lakeloop.notices import CheckOutcome, EndedRun, Refusal, StepFailure, clear_resolved, collect_notices, record_notice, select_new
from platform_assets.stages.release.decision_rows import DECISIONS_TABLE
from resources.notify import channels_of
from resources.settings import Settings

FIRST_LOOK_S = 3600.0
"""A channel that is new is told of the last hour's runs, and not of the history."""
RUNS_A_TICK = 50
RETRY_S = 300.0
"""Dagster's daemon starts a run that was killed once more within seconds; one that it hasn't started by then won't come."""
MOST_S = 30.0
"""A tick over 60 s would be cut off by Dagster before its cursor is kept."""
_Ending = Literal[dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED]
_ENDINGS: Mapping[_Ending, str] = {
    dg.DagsterEventType.RUN_SUCCESS: "SUCCESS",
    dg.DagsterEventType.RUN_FAILURE: "FAILURE",
    dg.DagsterEventType.RUN_CANCELED: "CANCELED",
}


_OURS = {ServiceUnavailable.__name__, Conflict.__name__}
"""Errors of ours that reach Dagster as they are, because they are tried again."""


@dataclass(frozen=True)
class Ending:
    """Where the end of a run stands in Dagster's event log, and how it ended."""

    position: int
    run_id: str
    status: Any
    message: str


def notify_sensor(domain: str | None = None) -> Any:
    """The sensor; of one domain's assets where each domain has its own code location."""

    @dg.sensor(
        name="notify",
        minimum_interval_seconds=20,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people of failed and canceled runs, failed checks and refused models, once per cause (docs/notifications.md).",
        required_resource_keys={"lake", "tracking"},
    )
    def notify(context):  # type: ignore[no-untyped-def]

        settings = Settings.from_environment()
        if not settings.notify:
            return dg.SkipReason("LAKELOOP_NOTIFY is not set, so nobody is told of failures; see docs/notifications.md")
        places: dict[str, Any] = json.loads(context.cursor) if context.cursor else {}
        lake, uri = context.resources.lake.lake, context.resources.tracking.uri
        facts: dict[str, EndedRun] = {}
        kept, outcomes, deadline = {}, [], time.monotonic() + MOST_S

        def run_of(ending: Ending) -> EndedRun:
            if ending.run_id not in facts:
                facts[ending.run_id] = ended_run(context.instance, lake, ending, uri, domain)
            return facts[ending.run_id]

        for channel in channels_of(settings.notify):
            place = places.get(channel.id) or {"after": first_position(context.instance, time.time()), "troubles": {}}
            if not channel.is_known:
                kept[channel.id] = place
                outcomes.append(f"channel {channel.name} of LAKELOOP_NOTIFY is no address that apprise knows")
                continue
            kept[channel.id], outcome = tell(
                place,
                settled(context.instance, endings_after(context.instance, place["after"]), time.time()),
                run_of,
                lambda run: collect_notices(run, ui=settings.ui_url, environment=settings.environment, warnings=settings.notify_warnings),
                channel,
                deadline,
            )
            outcomes.append(outcome)
        context.update_cursor(json.dumps(kept, sort_keys=True))
        return dg.SkipReason("; ".join(outcomes))

    return notify


def tell(
    place: dict[str, Any],
    endings: Sequence[Ending],
    run_of: Callable[[Ending], EndedRun],
    judge: Callable[..., Any],
    channel: Any,
    deadline: float,
) -> tuple[dict[str, Any], str]:
    """Bring one channel up to date.

    Returns:
        Where it has got to, and what to say of it. After a message that wasn't taken it stays before that run, and keeps which of the
        run's messages were.
    """
    # A cursor of before kept one cause of each.
    troubles = {subject: [causes] if isinstance(causes, str) else causes for subject, causes in place["troubles"].items()}
    position, sent = place["after"], 0
    for ending in endings:
        run = run_of(ending)
        troubles = clear_resolved(run, troubles)
        for notice in judge(run):
            if select_new([notice], troubles):
                if time.monotonic() > deadline:
                    return {"after": position, "troubles": troubles}, f"channel {channel.name}: {sent} sent, more at the next tick"
                if not channel.send(notice.title, notice.text):
                    return {
                        "after": position,
                        "troubles": troubles,
                    }, f"channel {channel.name} did not take a message; tried again at the next tick"
                sent += 1
            # Also of one that isn't sent: its cause may have reached another asset, which is well again only by its own success.
            troubles = record_notice(notice, troubles)
        position = ending.position
    return {"after": position, "troubles": troubles}, f"channel {channel.name}: {sent} sent, {len(endings)} runs read"


def endings_after(instance: dg.DagsterInstance, position: int) -> list[Ending]:
    """Ends of runs after a position of the event log, oldest first."""
    endings = []
    for kind, status in _ENDINGS.items():
        records = instance.fetch_run_status_changes(
            dg.RunStatusChangeRecordsFilter(kind, after_storage_id=position), limit=RUNS_A_TICK, ascending=True
        ).records
        endings += [_ending(record, status) for record in records]
    # Of each kind the oldest so many are here, so the oldest so many of all are.
    return sorted(endings, key=lambda ending: ending.position)[:RUNS_A_TICK]


def settled(instance: dg.DagsterInstance, endings: Sequence[Ending], now: float) -> list[Ending]:
    """The ends of runs before the first that is still to be started once more: what comes of it isn't known yet."""
    for place, ending in enumerate(endings):
        record = instance.get_run_record_by_id(ending.run_id) if ending.status == "FAILURE" else None
        if record is not None and _will_be_retried(record) and now - (record.end_time or now) < RETRY_S:
            return list(endings[:place])
    return list(endings)


def _will_be_retried(record: dg.RunRecord) -> bool:
    """Whether a run that was killed is to be started once more, and hasn't been yet."""
    tags = record.dagster_run.tags
    return tags.get(WILL_RETRY_TAG) == "true" and AUTO_RETRY_RUN_ID_TAG not in tags


def first_position(instance: dg.DagsterInstance, now: float) -> int:
    """Where a new channel begins: after the last run that ended too long ago to be news."""
    old = 0
    for kind in _ENDINGS:
        before = dg.RunStatusChangeRecordsFilter(kind, before_timestamp=now - FIRST_LOOK_S)
        for record in instance.fetch_run_status_changes(before, limit=1, ascending=False).records:
            old = max(old, record.storage_id)
    return old


def _ending(record: Any, status: str) -> Ending:
    event = record.event_log_entry.dagster_event
    return Ending(record.storage_id, record.run_id, status, str((event.message if event else "") or ""))


def ended_run(instance: dg.DagsterInstance, lake: Any, ending: Ending, tracking_uri: str, domain: str | None) -> EndedRun:
    """What a run left in Dagster's events and in `reports/decisions`; only of a domain's assets if one is named."""
    run = instance.get_run_by_id(ending.run_id)
    kinds = {
        dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    }  # fmt: skip
    entries = [record.event_log_entry for record in instance.get_records_for_run(ending.run_id, of_type=kinds).records]
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]

    def mine(asset: str) -> bool:
        return domain is None or asset.split("/")[1:2] == [domain]

    def assets_in(kind: dg.DagsterEventType) -> list[tuple[str, str]]:
        """Op and asset of each event of a kind."""
        return [(_op_of(e.step_key), e.asset_key.to_user_string()) for e in events if e.event_type == kind and e.asset_key]

    assets = dict(assets_in(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED))
    failures = [StepFailure(_asset_of(e.step_key, assets), _reason(e)) for e in events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    outcomes = [
        CheckOutcome(
            check.asset_key.to_user_string(),
            check.check_name,
            check.passed,
            bool(check.blocking),
            check.description or str(check.metadata.get("message", "")),
        )
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        for check in (event.asset_check_evaluation_data,)
    ]
    succeeded = [asset for _, asset in assets_in(dg.DagsterEventType.ASSET_MATERIALIZATION)]
    # Its steps are made again by the run that has taken its place, whose end tells.
    is_replaced = run is not None and run.tags.get(WILL_RETRY_TAG) == "true" and AUTO_RETRY_RUN_ID_TAG in run.tags
    failures = [] if is_replaced else failures
    selected = sorted(key.to_user_string() for key in (run.asset_selection or ())) if run else []
    concerns = domain is None or not selected or any(map(mine, selected))
    return EndedRun(
        run_id=ending.run_id,
        status="RETRIED" if is_replaced else ending.status if concerns else "SUCCESS",
        reason="" if failures else ending.message,
        request=fingerprint(selected) if selected else (run.job_name if run else ""),
        succeeded=[asset for asset in succeeded if mine(asset)],
        failures=[failure for failure in failures if mine(failure.asset)],
        checks=[outcome for outcome in outcomes if mine(outcome.asset)],
        refusals=[r for r in _refusals(lake, ending.run_id, tracking_uri) if domain in (None, r.domain)],
    )


def _op_of(step_key: Any) -> str:
    """The op of a step, or the graph that it is a step of, as where an asset is spread over steps (`<asset>.<its step>`)."""
    return str(step_key).partition(".")[0]


def _asset_of(step_key: Any, assets: Mapping[str, str]) -> str:
    """The asset that a step belongs to: what the run was to make with that op, as domains and names may hold `__` themselves."""
    op = _op_of(step_key)
    return assets.get(op) or "/".join(op.split("__", 2))


def _reason(event: Any) -> str:
    """The message of what made a step fail; ours without the class before it, and without the library's error beneath it."""
    data = event.event_specific_data
    described = data.user_failure_data.description if data.user_failure_data else None
    if described:
        return str(described)
    error = data.error
    while error is not None and error.cause is not None and error.cls_name not in _OURS:
        error = error.cause
    if error is None:
        return "no reason given"
    text = error.message.strip()
    return (text.partition(": ")[2] if error.cls_name in _OURS else text) or "no reason given"


def _refusals(lake: Any, run_id: str, tracking_uri: str) -> list[Refusal]:
    import pyarrow.dataset as ds

    table = lake.open(DECISIONS_TABLE)
    if table is None:
        return []
    wanted = (ds.field("run_id") == run_id) & (ds.field("action") == "refuse")
    rows = table.to_pyarrow_dataset().to_table(filter=wanted, columns=["domain", "workflow", "candidate", "reason"]).to_pylist()
    settings = Settings.from_environment()
    return [
        Refusal(
            row["domain"], row["workflow"], row["candidate"], row["reason"],
            f"{tracking_uri}/#/models/{settings.mlflow_name(row['domain'], row['workflow'])}/versions/{row['candidate']}",
        )
        for row in rows
    ]  # fmt: skip
