"""features: a view over lake tables, computed for the partitions whose inputs changed; earlier known values are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, nearest
from lakeloop.fingerprint import fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project, upstream
from lakeloop.python_code import load_reference, source_of
from lakeloop.rows.history import LANDED, latest_landing, merge_history
from lakeloop.rows.types import arrow_type, cast_exactly, lake_type
from lakeloop.spec.partitions import FORMATS, partition_window, split_into_batches
from lakeloop.spec.tables import PARTITION, DeltaTableSource, Expectation, TableSpec, ViewSpec
from platform_assets.stages.base import Platform, StageResult, input_key, key_of
from platform_assets.stages.check_rows import report_checks
from platform_assets.stages.features import view_versions
from platform_assets.stages.inputs import input_fingerprints, run_sql, spark_for, spark_input
from platform_assets.stages.metadata import column_schema, table_metadata
from platform_assets.stages.publishing import to_retire
from platform_assets.stages.stage import Check, Stage
from platform_assets.stages.tables.validated import days_of
from resources.lake.published import WHOLE, PartitionState, States, TableKey
from resources.lake.tables import read_table

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project.project import Located, Project, TableRef

CODE_VERSION = "2"
KNOWN_AT = "known_at"
ROWS_AT_ONCE = 1_000_000
"""Input rows that are computed together; a longer backfill is computed in several goes, and judged and published as one."""
DAYS_OF_A_MONTH = 30


def suite(spec: ViewSpec) -> list[Expectation]:
    """The generated expectations (keys and event time identify a row), then the user's own."""
    from lakeloop.rows.verdicts import generate_expectations

    times = [spec.event_time, KNOWN_AT] if spec.event_time else []
    identity = [*spec.keys, *times[:1]]
    return [*generate_expectations(dict.fromkeys([*identity, *times, *spec.columns]), identity), *spec.expectations]


def definition(located: Located[ViewSpec]) -> str:
    """The fingerprint of what the view computes: its spec and its SQL, or the source of its function's module."""
    spec = located.spec
    text = (located.folder / spec.sql).read_text() if spec.sql else source_of(str(spec.function), located.folder)
    return fingerprint("features", CODE_VERSION, spec.model_dump(mode="json", exclude={"description", "owners"}), text)


def meaning(project: Project, located: Located[ViewSpec]) -> str:
    """The fingerprint of what the values mean, which a release cites: the query without its layout and remarks, keys, times and types.

    Where views are read, what those mean is a second part. Expectations, partitions and descriptions may change without a new version, and so
    may the definitions of lake tables.
    """
    from lakeloop.project.project import upstream

    views = {ref: project.views[(ref.domain, ref.name)] for ref in upstream(project, located) if ref.kind == "view"}
    if not views:
        return _own_meaning(located)
    read = {str(input_key(ref)): meaning(project, view) for ref, view in views.items()}
    return f"{_own_meaning(located)}{view_versions.UPSTREAM}{fingerprint('upstream', read)}"


def _own_meaning(located: Located[ViewSpec]) -> str:
    from lakeloop.sql.query import normalize_sql

    spec = located.spec
    if spec.sql:
        text = normalize_sql((located.folder / spec.sql).read_text())
    else:
        text = source_of(str(spec.function), located.folder)
    named = spec.model_dump(mode="json", include={"keys", "event_time", "known_at", "delay", "lookback", "inputs"})
    return fingerprint("meaning", named, {name: column.type for name, column in spec.columns.items()}, text)


def expected(project: Project, states: States, located: Located[ViewSpec], partition: str) -> str:
    """The fingerprint of one partition: the definition, and the input partitions that it reaches.

    Raises:
        NotPublished: an input has no published version.
    """
    from lakeloop.project.project import spec_of, upstream

    start, end = _reach(located.spec, [partition])
    inputs = {}
    for ref in upstream(project, located):
        spec = spec_of(project, ref)
        adopted = isinstance(spec, TableSpec) and isinstance(spec.source, DeltaTableSource)
        inputs[str(input_key(ref))] = input_fingerprints(states, input_key(ref), None if adopted else spec.partitions, start, end)
    return fingerprint(definition(located), partition, inputs)


def compute(platform: Platform, located: Located[ViewSpec], partitions: Sequence[str]) -> StageResult:
    """Compute a view for the stale ones among some partitions, check it, merge it with what was known before, publish it.

    Raises:
        NotPublished: an input has no published version.
        DataError: the query's result lacks a column, or holds one that can't become its declared type.
    """
    import pyarrow as pa

    from lakeloop.project.project import upstream
    from lakeloop.rows.verdicts import allow_empty_beside, check_names, suite_hash
    from resources.quality import run_suite

    spec, key = located.spec, key_of("features", located)
    platform.lake.settle(key)
    states = platform.lake.states()
    done = states.get(key, {})
    wanted = {name: expected(platform.project, states, located, name) for name in partitions}
    gone = to_retire(key, spec.partitions, done, partitions)
    stale = sorted(name for name in partitions if gone or name not in done or done[name].fingerprint != wanted[name])
    overall = fingerprint(wanted)
    if not stale:
        newest = max((done[name] for name in partitions), key=lambda s: s.version)
        return StageResult(overall, fresh=True, rows=sum(done[n].rows for n in partitions), checks=newest.value.get("checks", {}))

    defined = definition(located)
    means = meaning(platform.project, located)
    cited = view_versions.citations(states, key, spec.version, means)
    if cited:
        reads = [f"{ref.domain}.{ref.name}" for ref in upstream(platform.project, located) if ref.kind == "view"]
        told = view_versions.refusal(key, spec, cited, reads)
        unjudged = {name: ["could_not_run", "not computed"] for name in check_names(suite(spec))}
        checks = {**unjudged, view_versions.VERSION_CHECK: ["failed", told]}
        return StageResult(overall, rows=0, checks=checks, refused=told)

    refs = upstream(platform.project, located)
    personal = personal_columns(platform.project, "features", located)
    batches = split_into_batches(_input_rows(states, refs, stale), ROWS_AT_ONCE)
    parts, outside = [], 0
    for batch in batches:
        part, beyond = _shape(_result(platform, states, located, refs, batch), spec, batch, stale, str(key), personal)
        parts.append(part)
        outside += beyond
    rows = pa.concat_tables(parts)

    expectations = suite(spec)
    # Labels of a new month that aren't known yet, say: a view with rows in other partitions may have none in these.
    standing = sum(state.rows for name, state in done.items() if name not in (*stale, *gone))
    judged = allow_empty_beside(expectations, standing)
    verdict = run_suite(rows.drop_columns([PARTITION]), judged, keys=spec.keys, personal=personal)
    checks = {r.name: [r.outcome, r.message] for r in verdict.results}
    assert list(checks) == check_names(expectations)
    checks[view_versions.VERSION_CHECK] = ["passed", ""]
    metadata: dict[str, Any] = {
        **table_metadata(rows, personal, uri=platform.lake.path(key)),
        "partitions_written": stale,
        **({"partitions_retired": gone} if gone else {}),
        "inputs": dg.MetadataValue.json({str(input_key(ref)): platform.lake.current(input_key(ref), states).version for ref in refs}),
        "rows_outside_partitions": outside,
    }
    report_checks(platform, key, verdict, stale, overall, done=done, published=verdict.passed)
    if not verdict.passed:
        return StageResult(overall, rows=0, verdict=verdict, checks=checks, metadata=metadata, refused="a blocking expectation failed")

    changed = {"added": rows.num_rows, "corrected": 0, "retracted": 0}
    if spec.event_time:
        days, corrected_at = _landings(platform, states, refs, *_reach(spec, stale))
        landings = latest_landing(days, spec.lookback)
        changed = dict.fromkeys(changed, 0)
        del rows
        for batch in batches:
            same = [name for name in done if _means_the_same(done[name], defined, means)]
            merged = merge_history(
                _known_before(platform, key, spec, done, same, batch, cut_anew=bool(gone)),
                parts.pop(0),
                keys=spec.keys,
                event_time=spec.event_time,
                columns=list(spec.columns),
                landings=landings,
                corrected_at=corrected_at,
            )
            parts.append(merged.rows)
            changed = {what: count + getattr(merged, what) for what, count in changed.items()}
        rows = pa.concat_tables(parts)
    hashed = suite_hash(expectations)
    sizes = {row[PARTITION]: row["count_all"] for row in rows.group_by([PARTITION]).aggregate([([], "count_all")]).to_pylist()}
    earlier = {name: bool(done[name].value.get("changed")) for name in stale if name in done}
    value = {
        "definition": defined,
        "checks": checks,
        view_versions.MEANING: means,
        view_versions.VERSION: spec.version,
        view_versions.KEPT: view_versions.kept(done, spec.version),
    }
    new_states = [
        PartitionState(
            name,
            wanted[name],
            rows=sizes.get(name, 0),
            suite_hash=hashed,
            value={
                **value,
                "changed": bool(changed["corrected"] or changed["retracted"] or earlier.get(name)),
                **days_of(rows, spec, name),
            },
        )
        for name in stale
    ]
    published = platform.lake.publish(key, rows, new_states, run_id=platform.run_id, after=done, retire=gone, statistics=not personal)
    total = sum(published.partitions[name].rows for name in partitions)
    metadata |= {"delta_version": published.version, "dagster/row_count": total, **{f"rows_{k}": v for k, v in changed.items()}}
    return StageResult(overall, rows=total, verdict=verdict, checks=checks, metadata=metadata)


def _means_the_same(state: PartitionState, defined: str, means: str) -> bool:
    """Whether a partition's rows still hold: with other descriptions, expectations or partitions a view's values are what they were."""
    return state.value.get("definition") == defined or state.value.get(view_versions.MEANING) == means


def _known_before(
    platform: Platform,
    key: TableKey,
    spec: ViewSpec,
    done: Mapping[str, PartitionState],
    same: Collection[str],
    partitions: Sequence[str],
    *,
    cut_anew: bool,
) -> pa.Table | None:
    """The published rows of partitions, of those that mean the `same`; from the partitions of before, where the view is cut anew."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = list(same) if cut_anew else [name for name in partitions if name in same]
    if not wanted:
        return None
    rows = platform.lake.read((key, max(state.version for state in done.values())), partitions=wanted)
    if not cut_anew:
        return rows
    names = pc.strftime(rows[spec.event_time], FORMATS[spec.partitions.grain]) if spec.partitions else pa.repeat(WHOLE, rows.num_rows)
    rows = rows.set_column(rows.schema.get_field_index(PARTITION), PARTITION, names)
    return rows.filter(pc.is_in(rows[PARTITION], value_set=pa.array(list(partitions), pa.string())))


def _reach(spec: ViewSpec, partitions: Sequence[str]) -> tuple[datetime | None, datetime | None]:
    """The window of input event times that partitions of the view, in order, may read; no bounds for an unpartitioned view."""
    if spec.partitions is None or WHOLE in partitions:
        return None, None
    grain = spec.partitions.grain
    return partition_window(partitions[0], grain)[0] - spec.lookback, partition_window(partitions[-1], grain)[1]


def _input_rows(states: States, refs: Sequence[TableRef], partitions: Sequence[str]) -> dict[str, int]:
    """About how many input rows stand in the time of each partition; inputs without partitions, which are read as a whole, don't count."""

    def within(partition: str, name: str, rows: int) -> int:
        if name.startswith(partition):
            return rows
        return rows // DAYS_OF_A_MONTH if partition.startswith(name) else 0

    inputs = [states[input_key(ref)].items() for ref in refs]
    return {partition: sum(within(partition, name, state.rows) for named in inputs for name, state in named) for partition in partitions}


def _result(
    platform: Platform, states: States, located: Located[ViewSpec], refs: Sequence[TableRef], partitions: Sequence[str]
) -> pa.Table:
    """What the view's query or function gives for partitions."""
    start, end = _reach(located.spec, partitions)
    if located.spec.sql:
        return run_sql(platform, states, located.domain, (located.folder / located.spec.sql).read_text(), refs, start=start, end=end)
    return _run_function(platform, states, located, refs, start, end)


def _run_function(
    platform: Platform, states: States, located: Located[ViewSpec], refs: Sequence[TableRef], start: datetime | None, end: datetime | None
) -> pa.Table:
    function = load_reference(str(located.spec.function), located.folder)
    spark = spark_for(platform, states, located.domain, refs)
    frames = {ref.name: spark_input(platform, spark, states, ref, start=start, end=end) for ref in refs}
    result = function(**frames)
    if not hasattr(result, "toArrow"):
        raise DataError(f"{located.spec.function}: wanted a Spark DataFrame, found a {type(result).__name__}")
    return result.toArrow()


def _shape(
    result: pa.Table, spec: ViewSpec, partitions: Sequence[str], asked: Sequence[str], where: str, personal: Collection[str]
) -> tuple[pa.Table, int]:
    """Declared columns in declared types, `known_at`, `_partition`; only rows of some of the partitions that are asked for.

    Returns:
        The rows, and how many of the result lay outside all that are asked for.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = [*spec.keys, *([spec.event_time] if spec.event_time else []), *([spec.known_at] if spec.known_at else []), *spec.columns]
    wanted = list(dict.fromkeys(wanted))
    for name in wanted:
        if name not in result.column_names:
            raise DataError(f"{where}: the query's result has no column {name!r}; {nearest(name, result.column_names)}")
    rows = result.select(wanted)
    moment = pa.timestamp("us", tz="UTC")
    types = {name: arrow_type(col.type) for name, col in spec.columns.items()}
    types |= {name: moment for name in (spec.event_time, spec.known_at) if name}
    for index, column in enumerate(rows.schema):
        if pa.types.is_decimal(column.type) and types.get(column.name) == pa.float64():
            rows = rows.set_column(index, column.name, rows[column.name].cast(pa.float64()))
    schema = pa.schema([pa.field(f.name, types.get(f.name, _key_type(f.type))) for f in rows.schema])
    rows = cast_exactly(rows, schema, where, personal)
    if spec.event_time is None:
        return rows.append_column(PARTITION, pa.repeat(WHOLE, rows.num_rows)), 0
    delay = pa.scalar(spec.delay, pa.duration("us"))
    known = rows[spec.known_at] if spec.known_at else pc.add(rows[spec.event_time], delay)
    if spec.known_at not in (None, "known_at", spec.event_time) and spec.known_at not in spec.columns:
        rows = rows.drop_columns([spec.known_at])
    if "known_at" not in rows.column_names:
        rows = rows.append_column("known_at", known)
    if spec.partitions is None:
        return rows.append_column(PARTITION, pa.repeat(WHOLE, rows.num_rows)), 0
    names = pc.strftime(rows[spec.event_time], FORMATS[spec.partitions.grain])
    inside = pc.is_in(names, value_set=pa.array(list(partitions), pa.string()))
    shaped = rows.append_column(PARTITION, names)
    if pc.all(inside).as_py():
        return shaped, 0
    shaped = shaped.filter(inside)
    low = partition_window(asked[0], spec.partitions.grain)[0]
    beyond = pc.invert(pc.is_in(names, value_set=pa.array(list(asked), pa.string())))
    outside = int(pc.sum(pc.and_(beyond, pc.greater_equal(rows[spec.event_time], pa.scalar(low, moment)))).as_py() or 0)
    return shaped, outside


def _key_type(kind: pa.DataType) -> pa.DataType:
    """The type of a key, which keeps the query's type as the lake holds it; a time must have a zone, which the cast checks."""
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else lake_type(kind)


def _landings(
    platform: Platform, states: States, refs: Sequence[TableRef], start: datetime | None, end: datetime | None
) -> tuple[dict[date, datetime], datetime | None]:
    """The newest landing of live or corrected input rows, per day of their event time; and in inputs without event time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeloop.project.project import spec_of
    from lakeloop.spec.partitions import select_overlapping

    days: dict[date, datetime] = {}
    static: datetime | None = None
    for ref in refs:
        key = input_key(ref)
        spec = spec_of(platform.project, ref)
        published = platform.lake.current(key, states)
        if ref.kind == "table" and not any(s.value.get("live") for s in published.partitions.values()):
            continue
        parts = select_overlapping(published.partitions, spec.partitions.grain, start, end) if spec.partitions and start and end else None
        landed = LANDED if ref.kind == "view" else "ingested_at"
        if ref.kind == "view" and spec.event_time is None:
            continue
        columns = [*([spec.event_time] if spec.event_time else []), landed, *(["_live"] if ref.kind == "table" else [])]
        rows = platform.lake.read(published, columns=columns, partitions=parts)
        # What vanished or moved has its end in `superseded`.
        aside = platform.lake.open(TableKey("superseded", ref.domain, ref.name)) if ref.kind == "table" else None
        if aside is not None:
            rows = pa.concat_tables([rows, read_table(aside, columns=columns, partitions=parts).select(columns).cast(rows.schema)])
        rows = rows.filter(pc.field("_live")) if ref.kind == "table" else rows.filter(pc.is_valid(pc.field(landed)))
        if not rows.num_rows:
            continue
        if not spec.event_time:
            newest = pc.max(rows[landed]).as_py()
            static = newest if static is None else max(static, newest)
            continue
        grouped = pa.table({"day": pc.cast(rows[spec.event_time], pa.date32(), safe=False), "landed": rows[landed]})
        for row in grouped.group_by(["day"]).aggregate([("landed", "max")]).to_pylist():
            days[row["day"]] = max(days.get(row["day"], row["landed_max"]), row["landed_max"])
    return days, static


def _checks(project: Project, located: Located[ViewSpec]) -> list[Check]:
    cited = Check(view_versions.VERSION_CHECK, True, "the definition is the one that releases cite under its version")
    return [*Check.of(suite(located.spec)), cited]


def _schema(project: Project, located: Located[ViewSpec]) -> dg.TableSchema:
    spec = located.spec
    more = {name: ("key", "Entity key.") for name in spec.keys if name not in spec.columns}
    if spec.event_time:
        more |= {spec.event_time: ("timestamp", "Event time."), "known_at": ("timestamp", "When the row could first have been used.")}
    return column_schema(spec.columns, personal_columns(project, "features", located), more)


STAGE = Stage(
    name="features",
    noun=ViewSpec,
    code_version=CODE_VERSION,
    group="features",
    run=compute,
    reads=lambda project, located: [input_key(ref) for ref in upstream(project, located)],
    expected=lambda world, located, partition: expected(world.project, world.states, located, partition),
    partitions=lambda located: located.spec.partitions,
    checks=_checks,
    schema=_schema,
    describe=lambda located: located.spec.description,
    kinds=lambda located: ("delta", "sql" if located.spec.sql else "pyspark"),
    tags=lambda located: {"lakeloop/version": str(located.spec.version)},
)
