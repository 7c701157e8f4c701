"""raw: what a source delivered, exactly as it landed; nothing is ever removed.

A file lands once per content. A changed file lands again, but only the partitions in which it changed. Which landing is the current
one for a file and partition stands in the table's published state, and so does the position up to which a source has been read: both
travel in the same commit as the rows. Reading is in `deliveries`, stamping in `stamping`; here it is decided and published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, ServiceUnavailable
from lakeloop.fingerprint import Fingerprint, fingerprint, short_hash
from lakeloop.project.project import Located, Project
from lakeloop.records.tables import Landing, SourceState
from lakeloop.rows.stacking import stack_tables
from lakeloop.rows.verdicts import Verdict
from lakeloop.spec.personal import hidden_landed, hidden_sources
from lakeloop.spec.tables import DatabaseSource, DeltaTableSource, Expectation, Files, PythonFunction, TableSpec
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.metadata import preview
from platform_assets.stages.publishing import Judgement, Work, outcomes, refuse_batch, settled_states
from platform_assets.stages.stage import Check, Stage, World
from platform_assets.stages.tables.deliveries import Delivery, ask_source, database_reader, digests, source_columns, standing_contents
from platform_assets.stages.tables.landings import SOURCE, RawStates, columns_without_type, landed_types
from platform_assets.stages.tables.stamping import Stamped, stamp_delivery
from resources.lake.published import PartitionState, TableKey
from resources.lake.verdict_rows import newest
from resources.lake.writes import require_readable, types_of
from resources.quality import run_suite

if TYPE_CHECKING:
    import pyarrow as pa

CODE_VERSION = "1"
NEW_COLUMNS = "no_new_columns"
"""The check that a source brings no column that is new; a warning, because what is read stays as it was."""


def expectations(spec: TableSpec) -> list[Expectation]:
    """What every landing must meet: it has rows, and the columns that are read."""
    return [
        Expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": 1}),
        *[Expectation(type="expect_column_to_exist", kwargs={"column": name}) for name in source_columns(spec)],
    ]


def expected(spec: TableSpec, files: Mapping[str, str]) -> str:
    """The fingerprint of a source: the files' contents (or the positions in it), and how they are read."""
    how = {
        name: [col.source, col.format, col.timezone, *filter(None, (col.path, col.null_values))]
        for name, col in spec.columns.items()
        if name == spec.event_time
    }
    whole = fingerprint("raw", CODE_VERSION, spec.source, spec.partitions, how, source_columns(spec), dict(files))
    columns = {"definition.columns": short_hash([how, source_columns(spec)])}
    return Fingerprint(whole, {**made_of.code(CODE_VERSION), **made_of.keys(spec, ("source", "partitions")), **columns})


def is_fresh(located: Located[TableSpec], state: PartitionState[SourceState] | None) -> bool:
    """Whether everything that a source has now has landed.

    A database that can't be asked is taken to be as it was: a step would only fail, and the question is put again.

    Raises:
        DataError: there is no such file.
    """
    spec = located.spec
    if state is None:
        return False
    if isinstance(spec.source, PythonFunction):
        return True
    if isinstance(spec.source, DatabaseSource):
        try:
            return state.value.how == _reading(located) and state.value.probe == digests(located)
        except (DataError, ServiceUnavailable):
            return True
    return state.fingerprint == expected(spec, standing_contents(spec, state.value.files, digests(located) or {}))


def _reading(located: Located[TableSpec]) -> str:
    """The fingerprint of how a source is read; when it changes, everything is read anew."""
    text = database_reader(located).text() if isinstance(located.spec.source, DatabaseSource) else ""
    return fingerprint(expected(located.spec, {}), *([text] if text else []))


def land(platform: Platform, located: Located[TableSpec], *, now: datetime) -> StageResult:
    """Land what is new or changed in a table's source.

    Args:
        platform: lake and log.
        located: a LakeTable with files, a database or a function as its source.
        now: the time of landing, UTC; becomes `ingested_at`, but never before that of an earlier landing.

    Raises:
        DataError: a file can't be read as declared; the table stays as it was.
    """
    key, spec = key_of("raw", located), located.spec
    states = settled_states(platform, key)
    published, before = states.of(key), states.partition(SourceState, located, SOURCE)
    source, reading = before.value if before else SourceState(), _reading(located)
    read_alike = source if source.how == reading else SourceState()
    landed = landed_types(platform, key, published)
    delivery = ask_source(platform, located, published, read_alike.files, landed)
    files = standing_contents(spec, source.files, delivery.contents)
    wanted = expected(spec, files)
    work = Work(SourceState, key, states, {SOURCE: wanted}, [SOURCE], [SOURCE], [], wanted)
    if before and read_alike is source and (delivery.is_empty if delivery.is_onward else before.fingerprint == wanted):
        return _nothing_new(platform, work, before, delivery)

    at = _landing_time(source, now)
    retired = sorted(source.files.keys() - files.keys())
    if retired:
        platform.log.warning(f"{key}: gone with their rows (on_missing: retire): {', '.join(retired)}")
    stamped = stamp_delivery(delivery, spec, source, read_alike=read_alike, landed=landed, now=now, at=at, retired=retired)
    batch = stack_tables(stamped.tables) if stamped.tables else None
    if batch is None and not before:
        raise DataError(f"{key}: wanted at least one row, found none in {', '.join(sorted(delivery.contents)[:3])}")
    columns, new_columns = _columns(batch, spec, read_alike)
    judgement = _judge(batch, spec, source, new_columns)
    refusal = refuse_batch(platform, work, judgement)
    if refusal is not None:
        return refusal
    cut, moment = fingerprint(spec.partitions, spec.event_time), at.isoformat()
    record = SourceState(
        checks=judgement.checks,
        files=files,
        current=stamped.current,
        next=stamped.next,
        how=reading,
        columns=columns,
        new_columns=new_columns,
        empty=tuple(sorted(stamped.empty)),
        vanished=stamped.vanished,
        emptied=stamped.emptied,
        probe=delivery.probe,
        partitions=cut,
        # Cut anew, the rows stand in other partitions than their earlier landings: what is there is history again.
        first=moment if source.first is None or source.partitions not in (None, cut) else source.first,
        last=moment,
    )
    states_to_publish = [PartitionState(SOURCE, work.fingerprint, value=record), *_changed_partitions(record, published)]
    _publish(platform, work, spec, batch, states_to_publish)
    return _landed_result(platform, work, spec, judgement, stamped, batch, states_to_publish)


def _nothing_new(platform: Platform, work: Work, before: PartitionState[SourceState], delivery: Delivery) -> StageResult:
    """The result of a run for which nothing has to land; the answer to a probe is kept, so that the same isn't asked for again."""
    if delivery.probe is not None and before.value.probe != delivery.probe:
        asked = replace(before, value=replace(before.value, probe=delivery.probe))
        platform.lake.record(work.key, [asked], run_id=platform.run_id, after=work.published)
    rows = sum(state.rows for name, state in work.published.items() if name != SOURCE)
    return StageResult(work.fingerprint, fresh=True, rows=rows, checks=before.value.checks)


def _landing_time(source: SourceState, now: datetime) -> datetime:
    """The time of a landing: what lands later is known later, though the clock was set back in between."""
    last = source.last or source.first
    return max(now, datetime.fromisoformat(last) + timedelta(microseconds=1)) if last else now


def _judge(batch: pa.Table | None, spec: TableSpec, source: SourceState, new_columns: Sequence[str]) -> Judgement:
    """Check what lands; where nothing does, the checks of the newest landing stand."""
    verdict = run_suite(batch, expectations(spec)) if batch is not None else Verdict(passed=True, results=())
    told = f"{', '.join(new_columns)}: delivered, not declared and not there before; landed, and read by nothing until declared"
    brings_none = ("failed", told) if new_columns else ("passed", "")
    return Judgement(verdict, {**(outcomes(verdict) or source.checks), NEW_COLUMNS: brings_none})


def _publish(platform: Platform, work: Work, spec: TableSpec, batch: pa.Table | None, states: Sequence[PartitionState[Any]]) -> None:
    """Commit what lands with its states; where no row does, the states alone."""
    if batch is None:
        version = newest(work.published)
        platform.lake.record(work.key, [replace(state, version=version) for state in states], run_id=platform.run_id, after=work.published)
        return
    # A column that has no value has no type, and Delta would fix its type as void; it is there once it has a value.
    typed = batch.drop_columns(columns_without_type(batch))
    _refuse_twins(platform, work.key, typed.column_names)
    require_readable(typed, str(work.key))
    platform.lake.publish(
        work.key,
        typed,
        states,
        mode="append",
        run_id=platform.run_id,
        after=work.published,
        statistics=not hidden_sources(spec),
    )


def _landed_result(
    platform: Platform,
    work: Work,
    spec: TableSpec,
    judgement: Judgement,
    stamped: Stamped,
    batch: pa.Table | None,
    states: Sequence[PartitionState[Any]],
) -> StageResult:
    source, *partitions = states
    total = sum(landing.rows for by_partition in stamped.current.values() for landing in by_partition.values())
    return StageResult(
        work.fingerprint,
        rows=total,
        verdict=judgement.verdict,
        checks=judgement.checks,
        metadata={
            "dagster/row_count": total,
            "dagster/uri": platform.lake.path(work.key),
            "rows_read": stamped.rows_read,
            "rows_landed": batch.num_rows if batch is not None else 0,
            "files": dg.MetadataValue.json(dict(source.value.files)),
            "partitions_changed": [state.partition for state in partitions],
            "preview": dg.MetadataValue.md(preview(_masked(batch, spec))) if batch is not None else dg.MetadataValue.md("(nothing new)"),
        },
    )


def _changed_partitions(source: SourceState, published: RawStates) -> list[PartitionState[Any]]:
    """The partitions whose landings are others than those published, as they are now."""
    changed: list[PartitionState[Any]] = []
    names = {partition for by_partition in source.current.values() for partition in by_partition}
    for partition in sorted(names | (published.keys() - {SOURCE})):
        landings: dict[str, Landing] = {label: parts[partition] for label, parts in source.current.items() if partition in parts}
        print_ = fingerprint("raw", {label: [landing.name, landing.content] for label, landing in landings.items()})
        if partition not in published or published[partition].fingerprint != print_:
            changed.append(PartitionState(partition, print_, rows=sum(landing.rows for landing in landings.values())))
    return changed


def _columns(batch: pa.Table | None, spec: TableSpec, source: SourceState) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that a source began with, and those that it has brought since and nobody has declared.

    A definition that was changed has been looked at: what is there then is where it begins.
    """
    delivered = [name for name in batch.column_names if not name.startswith("_") and name != "ingested_at"] if batch is not None else []
    began = source.columns or tuple(delivered)
    known = {*began, *source_columns(spec)}
    return began, tuple(dict.fromkeys([*source.new_columns, *(name for name in delivered if name not in known)]))


def _refuse_twins(platform: Platform, key: TableKey, names: Sequence[str]) -> None:
    """Refuse columns that differ in case only, from each other or from what has landed: to Delta they are one.

    Raises:
        DataError: there are such.
    """
    table = platform.lake.open(key)
    landed = {name.lower(): name for name in types_of(table)} if table is not None else {}
    delivered: dict[str, str] = {}
    for name in names:
        other = delivered.setdefault(name.lower(), name)
        before = landed.get(name.lower(), name)
        if other != name or before != name:
            clash = (
                f"columns {other} and {name} come side by side"
                if other != name
                else f"column {before} has landed before and comes as {name} now"
            )
            raise DataError(
                f"{key}: {clash}: they differ in upper and lower case only, and nothing was written. Name them apart, or alike, at the source"
            )


def _masked(rows: pa.Table, spec: TableSpec) -> pa.Table:
    """Landed rows without the columns whose values are hidden."""
    hidden = hidden_landed(spec, [name for name in rows.column_names if not name.startswith("_") and name != "ingested_at"])
    return rows.drop_columns([name for name in rows.column_names if name in hidden])


_SOURCE_KINDS = {Files: "file", PythonFunction: "python", DatabaseSource: "sql"}
"""What Dagster shows as the kind of a landing."""


def _has_changed(world: World, located: Located[TableSpec]) -> bool:
    """Whether the source has something that hasn't landed; one that is missing counts, so that the step says so."""
    try:
        return not is_fresh(located, world.states.partition(SourceState, located, SOURCE))
    except DataError:
        return True


def _checks(project: Project, located: Located[TableSpec]) -> list[Check]:
    return [*Check.of(expectations(located.spec)), Check(NEW_COLUMNS, False, "the source brings no column that is new")]


STAGE = Stage(
    name="raw",
    noun=TableSpec,
    code_version=CODE_VERSION,
    group="tables",
    run=lambda platform, located, _: land(platform, located, now=datetime.now(UTC)),
    reads=lambda project, located: (),
    exists=lambda located: not isinstance(located.spec.source, DeltaTableSource),
    is_changed=_has_changed,
    checks=_checks,
    describe=lambda located: f"{located.spec.description} As landed, every delivery kept.",
    kinds=lambda located: ("delta", _SOURCE_KINDS[type(located.spec.source)]),
)
