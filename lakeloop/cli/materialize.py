"""`lakeloop materialize`: what is stale of some names, with what they read, in this process; the last lines are the verdicts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._utils.interrupts import capture_interrupts

import platform_assets.executor
from lakeloop.cli.up_runs import step_line
from lakeloop.errors import LakeloopError, ServiceUnavailable
from lakeloop.evaluation.orders import Ask, plan_order
from lakeloop.project.names import find_named
from lakeloop.records.release import DeploymentState, ReleaseState
from platform_assets.graph import dependencies, reads_of
from platform_assets.loading import read_project
from platform_assets.plan import RunAsked, runs_for, stale_assets, unasked
from platform_assets.stages.base import key_of
from platform_assets.stages.registry import data_stages, stages_of
from platform_assets.stages.release.orders import known_of
from platform_assets.stages.training.registered import taken_versions
from resources.host.dagster_home import make_home
from resources.lake.lake import Lake
from resources.lake.published import TableKey
from resources.settings import Settings
from resources.tracking import server as mlflow_server
from resources.tracking.registry import Registry

if TYPE_CHECKING:
    from lakeloop.project.project import Located, Project
    from lakeloop.spec.workflow import WorkflowSpec

DEFINITIONS = "platform_assets.definitions"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own lines are left out: the run's log in the UI has them."""
LOG = "materialize.log"
"""Among the logs of the project: what libraries write to standard error in the steps."""


def materialize(names: Sequence[str], settings: Settings) -> int:
    """Materialise what is stale of some definitions or domains, or of everything, and what is stale of all that they read.

    Returns:
        0 when everything succeeded, 1 when a run failed.

    Raises:
        DataError: a name is of nothing, or of several.
        ServiceUnavailable: workflows are to be materialised, and MLflow doesn't answer.
    """
    project, states = read_project(), Lake(settings.lake_url).states()
    keys = keys_of(project, names)
    silent = unasked(project, states)
    for key in silent.keys() & keys:
        print(f"{key}: can't be asked, taken as it was: {silent[key]}", flush=True)
    stale = stale_assets(project, states, taken=taken_versions(project, settings.tracking_uri), silent=silent)
    requests = runs_for(project, {key: partitions for key, partitions in stale.items() if key in keys})
    if not requests:
        print("everything is fresh, nothing to compute")
        return 0
    _require_mlflow(settings, [key for request in requests for key in request.assets])
    os.environ["DAGSTER_HOME"] = str(make_home(settings.home / "dagster", settings.dagster_db))
    log = settings.home / "logs" / LOG
    with dg.DagsterInstance.get() as instance, _errors_in(log):
        succeeded = all(_run(request, instance) for request in requests)
    if not succeeded:
        print(f"the run failed; more is in its log in Dagster's UI, and in {os.path.relpath(log)}", flush=True)
    if platform_assets.executor.verdicts:
        print("\n" + "\n".join(platform_assets.executor.verdicts), flush=True)
    return 0 if succeeded else 1


def carry_out_order(located: Located[WorkflowSpec], ask: Ask, settings: Settings) -> int:
    """Run `releases` of a workflow with an order, and `deployments` where it has them; what came of it is in the last lines.

    Returns:
        0 when it was carried out, or there was nothing to do; 1 when the run failed.

    Raises:
        DataError: there is no such version, or it can't be released by this order.
        ServiceUnavailable: MLflow doesn't answer.
    """
    lake, release = Lake(settings.lake_url), key_of(ReleaseState.stage, located)
    _require_mlflow(settings, [release])
    name = settings.mlflow_name(*located.id)
    plan = plan_order(ask, known_of(lake, lake.states(), located, Registry(settings.tracking_uri), name))
    print(plan.sentence, flush=True)
    if plan.version is None:
        return 0
    keys = [key_of(stage.name, located) for stage in stages_of(located) if stage.name in (ReleaseState.stage, DeploymentState.stage)]
    config = {"action": ask.action, "version": ask.version or "", "reason": ask.reason, "by": ask.who}
    os.environ["DAGSTER_HOME"] = str(make_home(settings.home / "dagster", settings.dagster_db))
    log = settings.home / "logs" / LOG
    with dg.DagsterInstance.get() as instance, _errors_in(log):
        succeeded = _run(RunAsked(tuple(keys)), instance, {"ops": {"__".join(release.path.split("/")): {"config": config}}})
    after = lake.states().whole(ReleaseState, located)
    champion = after.value.champion if after else None
    if succeeded:
        print(f"version {champion} of {'.'.join(located.id)} is released; the next batch predictions are made by it", flush=True)
    else:
        print(
            f"the run failed; more is in its log in Dagster's UI, and in {os.path.relpath(log)}; version {champion} is released", flush=True
        )
    return 0 if succeeded else 1


def keys_of(project: Project, names: Sequence[str]) -> Collection[TableKey]:
    """The assets of some definitions or whole domains, with all that they read; every asset where none is named.

    Raises:
        DataError: a name is of nothing, or of several.
    """
    if not names:
        return dependencies(project).keys()
    named = [located for name in names for located in ([d for d in project.all() if d.domain == name] or [find_named(project, name)])]
    keys = {key_of(stage.name, located) for located in named for stage in stages_of(located)}
    return keys | reads_of(project, keys)


def _require_mlflow(settings: Settings, keys: Sequence[TableKey]) -> None:
    needing = next((key for key in keys if key.stage not in data_stages()), None)
    if needing is not None and not mlflow_server.is_up(settings.tracking_uri):
        raise ServiceUnavailable(
            f"{needing} needs MLflow, which doesn't answer at {settings.tracking_uri}; "
            "start `lakeloop up --no-materialize` in another terminal, and run this again"
        )


@contextmanager
def _errors_in(file: Path) -> Iterator[None]:
    """Let what this process and its children write to standard error go to a file meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with file.open("ab") as stream:
            os.dup2(stream.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)


def _run(request: RunAsked, instance: dg.DagsterInstance, config: Mapping[str, Any] | None = None) -> bool:
    """Materialise the assets of one run, which may be configured, in this process, telling its steps as they end; whether it succeeded."""
    started = time.monotonic()
    span = f", {request.first} to {request.last}" if request.first else ""
    print(f"materialising {len(request.assets)} assets{span}", flush=True)

    def tell(event: dg.DagsterEvent) -> None:
        line = step_line(event)
        if line:
            print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)

    job = ReconstructableRepository.for_module(DEFINITIONS, "defs", str(Path.cwd())).get_reconstructable_job("__ASSET_JOB")
    selection = [dg.AssetKey([key.stage, key.domain, key.name]) for key in request.assets]
    tags = {"user": os.environ.get("USER", "lakeloop materialize"), **request.tags}
    platform_assets.executor.listeners.append(tell)
    try:
        with capture_interrupts():
            result = dg.execute_job(job, instance, asset_selection=selection, tags=tags, run_config={**QUIET, **(config or {})})
    except dg.DagsterExecutionInterruptedError as error:
        raise LakeloopError("stopped; what was published before stands") from error
    finally:
        platform_assets.executor.listeners.remove(tell)
    return result.success
