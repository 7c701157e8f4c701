"""All sensors, schedules and jobs of a project. What is asked for, and why not, is decided here; the plan says what is stale."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from lakeloop.errors import DataError, ServiceUnavailable
from lakeloop.fingerprint import fingerprint
from lakeloop.notices import MOST_NAMED, normalize_reason
from lakeloop.project.project import Located, Project
from lakeloop.spec.partitions import partition_keys
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.graph import reads_of
from platform_assets.plan import range_tags, runs_for, stale_assets, unasked
from platform_assets.stages.registry import data_stages
from platform_assets.stages.tables.deliveries import digests
from platform_assets.stages.training.registered import taken_versions
from resources.host.run_tags import CAUSE_TAG, STOPPED_TAG
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, States, TableKey
from resources.settings import Settings
from sensors.aliases import aliases_sensor
from sensors.hygiene import settle_sensor
from sensors.notifications import notify_sensor

SHARED_S = 10.0
"""The sensors of several workflows, due at the same time, look together at what is stale: a look takes 50 ms of a core with 41 assets."""
MOST_ATTEMPTS = 3
"""A cause is asked for again after a failed run, so many times in all."""
_OPEN = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


@dataclass(frozen=True)
class Automation:
    """What acts by itself, and the jobs that it asks for."""

    sensors: list[Any] = field(default_factory=list)
    schedules: list[Any] = field(default_factory=list)
    jobs: list[Any] = field(default_factory=list)


def build_automation(project: Project, assets: Sequence[dg.AssetsDefinition], domain: str | None = None) -> Automation:
    """A sensor for data, a sensor per workflow that retrains on data, a schedule per cron that a workflow names; of one domain or of all."""
    automation, look = Automation(), Look()
    keys = [key for asset in assets for key in asset.keys]
    data = [key for key in keys if key.path[0] in data_stages()]
    if data:
        automation.sensors.append(_data_sensor(project, look, domain, dg.AssetSelection.assets(*data)))
    automation.sensors.append(settle_sensor())
    automation.sensors.append(notify_sensor(domain))
    mine = [located for located in project.workflows.values() if domain in (None, located.domain)]
    if mine:
        automation.sensors.append(aliases_sensor(mine, look.states))
    for located in mine:
        spec = located.spec
        its = [key for key in keys if key.path[1:] == [located.domain, spec.name]]
        if spec.retrain and "data" in spec.retrain.causes:
            automation.sensors.append(_retrain_sensor(project, look, located, dg.AssetSelection.assets(*its)))
        if spec.retrain and spec.retrain.schedule:
            automation.schedules.append(_schedule(located, "retrain", spec.retrain.schedule, its))
        if spec.batch and spec.batch.schedule:
            scored = [key for key in its if key.path[0] == "predictions"]
            automation.schedules.append(_schedule(located, "batch", spec.batch.schedule, scored))
    return automation


def data_request(
    project: Project,
    states: States,
    attempts: int = 0,
    domain: str | None = None,
    silent: Mapping[TableKey, str] | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """What to ask for when sources have changed: the stale tables and views (of a domain, or of all), for the partitions that are touched.

    A pure function of definitions, sources and lake states; `attempts` counts the failed runs of the same cause. `silent` are the tables
    whose database can't be asked, with what it says; they are looked up when not given.
    """
    if not states:
        return dg.SkipReason("the lake is empty; materialise the assets once, later changes are followed by themselves")
    silent = unasked(project, states, domain) if silent is None else silent
    everything = stale_assets(project, states, silent=silent)
    # A view over what a workflow makes waits for it.
    unmade = {key for key in everything if key.stage not in data_stages()}
    mine = {key: parts for key, parts in everything.items() if key.stage in data_stages() and domain in (None, key.domain)}
    stale = {key: parts for key, parts in mine.items() if not unmade & reads_of(project, [key])}
    if not stale and silent:
        named = [f"{key} can't be asked, taken as it was: {why}" for key, why in silent.items()]
        more = [f"{len(named) - MOST_NAMED} more can't be asked"] if len(named) > MOST_NAMED else []
        return dg.SkipReason("; ".join([*named[:MOST_NAMED], *more, "everything else is fresh"]))
    if not stale:
        return dg.SkipReason("every source file has landed and every table and view is fresh")
    return _request(project, stale, cause_of(project, states, stale), attempts)


def cause_of(project: Project, states: States, stale: dict[TableKey, list[str]]) -> str:
    """A hash of what is stale, and of the sources' contents that made it so; of what a source that can't be read says, in place of them."""
    sources = {str(k): _contents(project.tables[(k.domain, k.name)]) for k in stale if k.stage == "raw"}
    versions = {str(key): {p: s.fingerprint for p, s in states.get(key, {}).items()} for key in stale}
    return fingerprint({str(key): parts for key, parts in stale.items()}, sources, versions)


def _contents(table: Located[Any]) -> Mapping[str, str]:

    try:
        return digests(table) or {}
    except (DataError, ServiceUnavailable) as error:
        # The run that is asked for fails for that table alone, is told to people, and does the others.
        return {"unreadable": normalize_reason(str(error))}


def retrain_request(
    project: Project,
    located: Located[WorkflowSpec],
    states: States,
    now: datetime,
    attempts: int = 0,
    taken: Mapping[tuple[str, str], str] | None = None,
    stale: Mapping[TableKey, list[str]] | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """What to ask for when a workflow's data are newer than its model (or the registered model that it takes is), cooldown kept.

    `stale` is what `stale_assets` says of the project; it is looked up when not given.
    """
    spec = located.spec
    stale = stale_assets(project, states, now=now, taken=taken) if stale is None else stale
    read = reads_of(project, [TableKey("predictions", *located.id) if spec.batch else TableKey("releases", *located.id)])
    behind = [str(key) for key in stale if key in read and (key.stage in data_stages() or (key.domain, key.name) != located.id)]
    if behind or not states:
        return dg.SkipReason(f"tables and views come first: {', '.join(behind[:5]) or 'the lake is empty'}")
    mine = {key: parts for key, parts in stale.items() if (key.domain, key.name) == located.id}
    if not mine:
        return dg.SkipReason("the model stands on the newest data")
    model = states.get(TableKey("models", *located.id), {}).get(WHOLE)
    # A model from the future is one of a clock that was wrong; it must not keep the next one back until then.
    if model is not None and model.at is not None and spec.retrain is not None and timedelta(0) <= now - model.at < spec.retrain.cooldown:
        return dg.SkipReason(
            f"data are newer than the model, but its cooldown lasts until {model.at + spec.retrain.cooldown:%Y-%m-%d %H:%M} UTC"
        )
    cause = cause_of(project, states, mine)
    return _request(project, mine, fingerprint(cause, taken) if taken else cause, attempts)


def scheduled_request(located: Located[WorkflowSpec], what: str, keys: Sequence[dg.AssetKey], at: datetime) -> Any:
    """The run that a schedule asks for; none on days that the data don't have."""
    partitions = located.spec.partitions
    if partitions is None:
        return dg.RunRequest(run_key=f"{what}-{at:%Y-%m-%dT%H:%M}", asset_selection=list(keys))
    if partitions.end is not None and at.date() >= partitions.end:
        return dg.SkipReason(f"the data of {located.spec.name} end before {partitions.end}; {at:%Y-%m-%d} is no day of theirs")

    names = partition_keys(partitions, at)
    if at.date() < partitions.start or not names:
        return dg.SkipReason(f"the data of {located.spec.name} begin on {partitions.start}; there are none before {at:%Y-%m-%d %H:%M}")
    return dg.RunRequest(run_key=f"{what}-{at:%Y-%m-%dT%H:%M}", asset_selection=list(keys), tags=range_tags(names[0], names[-1]))


def _request(project: Project, stale: dict[TableKey, list[str]], cause: str, attempts: int) -> dg.RunRequest | dg.SkipReason:
    """The first of the runs that it takes; what is still stale after it is asked for then."""
    if attempts >= MOST_ATTEMPTS:
        return dg.SkipReason(f"{attempts} runs for this cause have failed ({cause}); mend what failed, or materialise by hand")
    first = runs_for(project, stale)[0]
    return dg.RunRequest(
        run_key=f"{cause}-{attempts}",
        asset_selection=[dg.AssetKey([key.stage, key.domain, key.name]) for key in first.assets],
        tags={CAUSE_TAG: cause, **first.tags},
    )


def _attempts(instance: dg.DagsterInstance, cause: str) -> int:
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={CAUSE_TAG: cause})
    return instance.get_runs_count(failed)


def _with_attempts(instance: dg.DagsterInstance, ask: Any) -> Any:
    """Ask once to learn the cause, then again with the number of its failed runs.

    A run canceled by a person is not requested again; one that ended because the platform was stopped is.
    """
    request = ask(0)
    if isinstance(request, dg.SkipReason):
        return request
    if instance.get_runs_count(dg.RunsFilter(statuses=_OPEN)):
        return dg.SkipReason("a run is in progress; what is still stale after it will be asked for")
    cause = request.tags[CAUSE_TAG]
    canceled = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED], tags={CAUSE_TAG: cause}))
    stopped = [run for run in canceled if STOPPED_TAG in run.tags]
    by_people = [run for run in canceled if STOPPED_TAG not in run.tags]
    if by_people:
        return dg.SkipReason(
            f"run {by_people[0].run_id[:8]} for this cause was canceled ({cause}), so it isn't asked for again until data change; materialise by "
            f"hand what it should have made"
        )
    request = ask(_attempts(instance, cause))
    if isinstance(request, dg.RunRequest) and stopped:
        return request.with_replaced_attrs(run_key=f"{request.run_key}-{len(stopped)}")
    return request


class Look:
    """What the sensors of a project have seen: the states of a version of the lake, and for a moment what is stale there."""

    def __init__(self) -> None:
        self._known: tuple[object, States] | None = None
        self._stale: dict[TableKey, list[str]] = {}
        self._of: States | None = None
        self._until = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def states(self, lake: Lake) -> States:
        """The states of the lake as they are now; nobody may change them."""
        with self._lock:
            self._known = lake.states_since(self._known)
            return self._known[1]

    def stale(self, project: Project, states: States, now: datetime) -> Mapping[TableKey, list[str]]:
        """What `stale_assets` says, or said up to `SHARED_S` ago of the same states."""
        with self._lock:
            if self._of is not states or not self._until - timedelta(seconds=SHARED_S) <= now < self._until:
                self._stale, self._of, self._until = stale_assets(project, states, now=now), states, now + timedelta(seconds=SHARED_S)
            return self._stale


def _data_sensor(project: Project, look: Look, domain: str | None, selection: dg.AssetSelection) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_data",
        asset_selection=selection,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the tables and views that new or changed source files make stale, once per cause, and not again once that run was canceled.",
        required_resource_keys={"lake"},
    )
    def new_data(context):  # type: ignore[no-untyped-def]
        states = look.states(context.resources.lake.lake)
        silent = unasked(project, states, domain)
        for key, why in silent.items():
            context.log.warning(f"{key}: can't be asked, taken as it was: {why}")
        return _with_attempts(context.instance, lambda attempts: data_request(project, states, attempts, domain=domain, silent=silent))

    return new_data


def schedule_name(what: str, domain: str, name: str) -> str:
    """The schedule that retrains a workflow, or makes its batch of predictions."""
    return f"{what}_{domain}_{name}_schedule"


def instigator_names(domain: str, name: str) -> tuple[str, ...]:
    """Every sensor and schedule that a workflow may have, the sensor first."""
    return (f"retrain_{domain}_{name}", schedule_name("retrain", domain, name), schedule_name("batch", domain, name))


def _retrain_sensor(project: Project, look: Look, located: Located[WorkflowSpec], selection: dg.AssetSelection) -> dg.SensorDefinition:
    @dg.sensor(
        name=instigator_names(*located.id)[0],
        asset_selection=selection,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Retrains {located.spec.name} when its data are newer than its model, and its cooldown is over; not again for data whose run was canceled.",
        required_resource_keys={"lake"},
    )
    def retrain(context):  # type: ignore[no-untyped-def]
        states, now = look.states(context.resources.lake.lake), datetime.now(UTC)
        taken = taken_versions(replace(project, workflows={located.id: located}), Settings.from_environment().tracking_uri)
        stale = look.stale(project, states, now) if not taken else None
        return _with_attempts(context.instance, lambda attempts: retrain_request(project, located, states, now, attempts, taken, stale))

    return retrain


def _schedule(located: Located[WorkflowSpec], what: str, cron: str, keys: Sequence[dg.AssetKey]) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=schedule_name(what, *located.id),
        cron_schedule=cron,
        target=dg.AssetSelection.assets(*keys),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{what} of {located.spec.name}: {cron}, UTC.",
    )
    def scheduled(context):  # type: ignore[no-untyped-def]
        return scheduled_request(located, what, keys, context.scheduled_execution_time)

    return scheduled
