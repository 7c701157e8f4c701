"""From a stage to a Dagster asset: the same wrapper for every stage, so that a stage itself knows nothing of events."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import Conflict, DataError, LakeloopError, ServiceUnavailable
from lakeloop.fingerprint import fingerprint
from lakeloop.masking import KEPT_BACK, format_frames, message_of
from lakeloop.project.lineage import asset_lineage
from lakeloop.project.personal import has_personal_values
from lakeloop.rows.verdicts import GOOD_OUTCOMES
from lakeloop.spec.tables import Partitions, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.model_code import model_source
from platform_assets.graph import dependencies
from platform_assets.spread import spread_asset
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.features import views as features
from platform_assets.stages.metadata import markdown_table
from platform_assets.stages.registry import stages_of
from platform_assets.stages.stage import Check, Helper, Stage
from resources.host.tether import end_with_parent
from resources.lake.published import WHOLE, TableKey
from resources.settings import Settings

if TYPE_CHECKING:
    from lakeloop.project.project import Located, Project

# Backfill policies are marked beta; the warning would come once per asset at every load.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")

RETRIES = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)
MOST_SHOWN = 50
"""Expectations that one check of many shows, and that the failure of a step names; `reports/checks` has each."""
RESOURCES = {"lake", "spark", "tracking"}


@cache
def _partitions(grain: str, start: str, end: str | None) -> dg.TimeWindowPartitionsDefinition:
    form = {"month": "%Y-%m", "day": "%Y-%m-%d"}[grain]
    begin, stop = (datetime.fromisoformat(text).strftime(form) if text else None for text in (start, end))
    kind = dg.MonthlyPartitionsDefinition if grain == "month" else dg.DailyPartitionsDefinition
    return kind(start_date=begin, end_date=stop, fmt=form)  # type: ignore[arg-type,return-value]


def partitions_definition(spec: Partitions | None) -> dg.TimeWindowPartitionsDefinition | None:
    """Dagster's partitions for ours; equal specs share one object, as range runs want it."""
    return _partitions(spec.grain, spec.start.isoformat(), spec.end.isoformat() if spec.end else None) if spec else None


def assets_of(project: Project, located: Located[Any]) -> list[dg.AssetsDefinition]:
    """The assets of a definition: one for each stage that it has."""
    return [stage_asset(project, located, stage) for stage in stages_of(located)]


def stage_asset(project: Project, located: Located[Any], stage: Stage[Any]) -> dg.AssetsDefinition:
    """Make the asset of one stage of a table, view or workflow.

    Where it has helpers, each is a step of its own, all of them side by side and before the step of the stage; such a stage has no checks and no
    partitions.

    Its dependencies and partitions are those of the graph; its code version is the stage's own and a hash of the definition.

    A verdict that blocks fails the step after its check results are recorded; nothing was published then. A server that doesn't answer or
    a conflicting writer is tried again; other errors of ours are final.
    """
    table_key = key_of(stage.name, located)
    key, checks, helpers = asset_key(table_key), stage.checks(project, located), stage.helpers(located)
    partitions = partitions_definition(stage.partitions(located))
    specs = [dg.AssetCheckSpec(c.name, asset=key, description=c.description, blocking=c.blocking) for c in checks]
    deps = sorted(asset_key(dep) for dep in dependencies(project)[table_key])
    common = _fields(project, located, stage)

    @contextmanager
    def report_errors(platform: Platform, retry_number: int) -> Iterator[None]:
        with _failure_in_mlflow(platform, located, last_try=retry_number >= RETRIES.max_retries):
            try:
                with _values_kept_back(project, located, table_key):
                    yield
            except (ServiceUnavailable, Conflict):
                raise
            except LakeloopError as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error

    def events(context: Any) -> Iterator[Any]:
        end_with_parent()
        names = list(context.partition_keys) if partitions else [WHOLE]
        platform = platform_of(context, project)
        platform.config = context.op_execution_context.op_config if stage.config else {}
        with report_errors(platform, context.retry_number):
            result = stage.run(platform, located, names)
        if result.refused:
            _mark(platform, located, "FAILED")
        if result.fresh:
            result = replace(result, metadata={**_last_metadata(context, key, result.fingerprint), **result.metadata})
        if not result.refused:
            result = replace(result, metadata={**column_lineage(project, stage.name, located), **result.metadata})
        yield from _events(key, result, checks)

    if helpers:
        assert not specs and not partitions
        return spread_asset(
            common, deps, events, [partial(_help, report_errors, project, helper) for helper in helpers], RESOURCES, RETRIES
        )

    @dg.asset(  # type: ignore[untyped-decorator]  # its type is lost with the keywords that are known at run time only
        **common,
        deps=deps,
        check_specs=specs,
        partitions_def=partitions,
        retry_policy=RETRIES,
        required_resource_keys=RESOURCES,
        config_schema=dict(stage.config) or None,
        output_required=False,
    )
    def materialize(context) -> Iterator[Any]:  # type: ignore[no-untyped-def]  # Dagster refuses a string as its annotation
        yield from events(context)

    asset: dg.AssetsDefinition = materialize
    return asset


def _fields(project: Project, located: Located[Any], stage: Stage[Any]) -> dict[str, Any]:
    """What Dagster shows of an asset."""
    return {
        "key": asset_key(key_of(stage.name, located)),
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "description": stage.describe(located),
        "owners": list(located.spec.owners),
        "group_name": f"{located.domain}_{stage.group or located.spec.name}",
        "kinds": set(stage.kinds(located)),
        "code_version": f"{stage.code_version}-{definition_hash(located)[:8]}",
        "metadata": {"dagster/column_schema": stage.schema(project, located)} if stage.schema else None,
        "tags": dict(stage.tags(located)),
    }


def _help(report_errors: Callable[[Platform, int], Any], project: Project, helper: Helper, context: Any) -> None:
    end_with_parent()
    platform = platform_of(context, project)
    with report_errors(platform, context.retry_number):
        helper(platform)


@contextmanager
def _values_kept_back(project: Project, located: Located[Any], key: TableKey) -> Iterator[None]:
    """Let no message of a library out of a step that has personal values at hand: Dagster would store it.

    Our own errors mask what they show, but they may have been caused by a library's, or pass on what it told. This is the boundary of the
    step, where every exception ends.
    """
    if not has_personal_values(project, located):
        yield
        return
    try:
        yield
    except DataError as error:
        raise (DataError(error.message, detail=KEPT_BACK) if error.detail else error) from None
    except LakeloopError as error:
        raise error from None
    except Exception as error:
        told = f"{key}: {message_of(error, hide=True)}"
        raise dg.Failure(description=told, metadata={"raised": dg.MetadataValue.text(format_frames(error))}) from None


def column_lineage(project: Project, stage: str, located: Located[Any]) -> Mapping[str, Any]:
    """Where each column of an asset comes from, in Dagster's field for it; nothing for an asset whose columns come from no other asset's.

    Worked out when the asset is materialised, so that loading the code location doesn't pay for it.
    """
    deps = {
        column: [dg.TableColumnDep(dg.AssetKey([s.stage, s.domain, s.name]), s.column) for s in sources]
        for column, sources in asset_lineage(project, stage, located).items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if any(deps.values()) else {}


@contextmanager
def _failure_in_mlflow(platform: Platform, located: Located[Any], *, last_try: bool) -> Iterator[None]:
    """A workflow's MLflow run fails when any of its steps does, also one that doesn't log into it; not when that is tried again.

    Nor when it is stopped from outside: what was logged has been, and a SIGKILL would leave it like that too.
    """
    try:
        yield
    except Exception as error:
        if last_try or (isinstance(error, dg.Failure) and not error.allow_retries):
            _mark(platform, located, "FAILED")
        raise


def _mark(platform: Platform, located: Located[Any], status: str) -> None:
    if isinstance(located.spec, WorkflowSpec):
        platform.tracking.mark(platform.run_id, located.domain, located.spec.name, status)


def asset_key(key: TableKey) -> dg.AssetKey:
    """Dagster's key of a table or stage."""
    return dg.AssetKey([key.stage, key.domain, key.name])


def definition_hash(located: Located[Any]) -> str:
    """A hash of what a definition says, its SQL and its model's own code included; its description and owners change nothing."""
    spec = located.spec
    if isinstance(spec, ViewSpec):
        return features.definition(located)
    own = (
        [(located.folder / spec.spine).resolve().read_text(), model_source(spec.model, located.folder)]
        if isinstance(spec, WorkflowSpec)
        else []
    )
    return fingerprint(spec.model_dump(mode="json", exclude={"description", "owners"}), *own)


def _last_metadata(context: dg.AssetExecutionContext, key: dg.AssetKey, fingerprint: str) -> Mapping[str, Any]:
    """Metadata of the last materialisation, if it was of the same fingerprint: a step that found all fresh shows what stands, with plots."""
    event = context.instance.get_latest_materialization_event(key)
    metadata = dict(event.asset_materialization.metadata) if event and event.asset_materialization else {}
    last = metadata.get("fingerprint")
    return metadata if last is not None and last.value == fingerprint else {}


def platform_of(context: dg.AssetExecutionContext, project: Project) -> Platform:
    """The outside world from a Dagster context."""
    return Platform(
        settings=replace(
            Settings.from_environment(), tracking_uri=context.resources.tracking.uri, lake_url=context.resources.lake.lake.url
        ),
        project=project,
        lake=context.resources.lake.lake,
        spark_resource=context.resources.spark,
        tracking=context.resources.tracking,
        run_id=context.run.run_id,
        run_tags=dict(context.run.tags),
        log=context.log,
    )


def _outcome_of(check: Check, result: StageResult) -> tuple[str, str, dict[str, Any]]:
    """The outcome of a check and its message, and for one that covers several what each says that didn't pass."""
    names = check.covers or (check.name,)
    told = {name: ([*list(result.checks.get(name, ("could_not_run", "no result"))), ""])[:2] for name in names}
    if not check.covers:
        return (*told[check.name], {})
    bad = {name: pair for name, pair in told.items() if pair[0] not in GOOD_OUTCOMES}
    if not bad:
        return "passed", "", {"expectations": len(names)}
    outcome = next((kind for kind in ("could_not_run",) if any(pair[0] == kind for pair in bad.values())), "failed")
    rows = [{"check": name, "outcome": kind, "message": message} for name, (kind, message) in list(bad.items())[:MOST_SHOWN]]
    more = {"expectations": len(names), "not_passed": len(bad), "which": dg.MetadataValue.md(markdown_table(rows))}
    first = "; ".join(f"{name}: {message}" for name, (_, message) in list(bad.items())[:3])
    return outcome, f"{len(bad)} of {len(names)} didn't pass: {first}", more


def _events(key: dg.AssetKey, result: StageResult, checks: Sequence[Check]) -> Iterator[Any]:
    details = {r.name: r for r in (result.verdict.results if result.verdict else ())}
    for check in checks:
        outcome, message, more = _outcome_of(check, result)
        metadata: dict[str, Any] = {"outcome": outcome, **more}
        if check.documentation:
            metadata["documentation"] = dg.MetadataValue.md(check.documentation)
        if message:
            metadata["message"] = str(message)
        if result.fresh:
            metadata["judged"] = "with the version that stands; nothing was stale"
        detail = details.get(check.name)
        if detail is not None:
            metadata |= {
                "wanted": detail.wanted,
                "unexpected_rows": detail.unexpected_count,
                "unexpected_share": detail.unexpected_share,
            }
            if detail.observed is not None:
                metadata["observed"] = (
                    dg.MetadataValue.json(detail.observed) if isinstance(detail.observed, (list, dict)) else str(detail.observed)
                )
            if detail.unexpected_examples:
                metadata["examples"] = dg.MetadataValue.md(markdown_table(detail.unexpected_examples))
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=check.name,
            passed=outcome in GOOD_OUTCOMES,
            severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
            metadata=metadata,
            description=str(message)[:500] or None,
        )
    if result.refused:
        failed = [f"{name}: {outcome[1]}" for name, outcome in result.checks.items() if outcome[0] not in GOOD_OUTCOMES][:MOST_SHOWN]
        raise dg.Failure(
            description=f"{key.to_user_string()} was not published: {result.refused}. " + "; ".join(failed), allow_retries=False
        )
    text = str(result.fingerprint)  # Dagster packs no class of ours
    metadata = {**result.metadata, "fingerprint": text, "fresh": result.fresh}
    if result.rows is not None:
        metadata.setdefault("dagster/row_count", result.rows)
    yield dg.MaterializeResult(asset_key=key, data_version=dg.DataVersion(text), metadata=metadata)
