"""raw: what a source delivered, exactly as it landed; nothing is ever removed.

A file lands once per content. A changed file lands again, but only the partitions in which it changed. Which landing is the current
one for a file and partition stands in the table's published state, and so does the position up to which a source has been read: both
travel in the same commit as the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, ServiceUnavailable
from lakeloop.fingerprint import content_hash, fingerprint
from lakeloop.project.project import Located, Project
from lakeloop.rows.verdicts import Verdict
from lakeloop.spec.partitions import FORMATS, partition_keys
from lakeloop.spec.personal import hidden_landed, hidden_sources
from lakeloop.spec.tables import FILE, PARTITION, ROW, DatabaseSource, DeltaTableSource, Expectation, Files, PythonFunction, TableSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.check_rows import report_checks
from platform_assets.stages.metadata import preview
from platform_assets.stages.stage import Check, Stage, World
from platform_assets.stages.tables.landings import ONWARD, SOURCE, landed_integers, not_landed, without_type
from resources.lake.published import UNDATED, WHOLE, PartitionState, TableKey
from resources.lake.writes import types_of

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project.project import Located
    from resources.sources.database import DatabaseReader
    from resources.sources.files import SourceFile

CODE_VERSION = "1"
NEW_COLUMNS = "no_new_columns"
"""The check that a source brings no column that is new; a warning, because what is read stays as it was."""


def source_columns(spec: TableSpec) -> list[str]:
    """The delivered columns that the declared ones are read from, in order, each once."""
    return list(dict.fromkeys(part for name, col in spec.columns.items() for part in (col.source or [name]) if part not in (FILE, ROW)))


def expectations(spec: TableSpec) -> list[Expectation]:
    """What every landing must meet: it has rows, and the columns that are read."""
    return [
        Expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": 1}),
        *[Expectation(type="expect_column_to_exist", kwargs={"column": name}) for name in source_columns(spec)],
    ]


def expected(spec: TableSpec, files: Mapping[str, str]) -> str:
    """The fingerprint of a source: the files' contents (or the positions in it), and how they are read."""
    how = {name: [col.source, col.format, col.timezone] for name, col in spec.columns.items() if name == spec.event_time}
    return fingerprint("raw", CODE_VERSION, spec.source, spec.partitions, how, source_columns(spec), dict(files))


def digests(located: Located[TableSpec]) -> dict[str, str] | None:
    """Content hash of each source file, or what a database answers to a probe; None for a function, whose content is known once it has run.

    Raises:
        DataError: there is no such file or table.
        ServiceUnavailable: the database doesn't answer.
    """
    from resources.sources.files import resolve_files

    source = located.spec.source
    if isinstance(source, DatabaseSource):
        reader = database(located)
        return {reader.label: reader.probe(), "query": fingerprint(reader.text())}
    return {f.label: f.digest for f in resolve_files(source, located.folder)} if isinstance(source, Files) else None


def is_fresh(located: Located[TableSpec], state: PartitionState | None) -> bool:
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
            return state.value["how"] == _how(located) and state.value["probe"] == digests(located)
        except (DataError, ServiceUnavailable):
            return True
    return state.fingerprint == expected(spec, {**state.value["files"], **(digests(located) or {})})


def database(located: Located[TableSpec]) -> DatabaseReader:
    """The reader of a table whose source is a database."""
    from resources.sources.database import DatabaseReader

    spec = located.spec
    assert isinstance(spec.source, DatabaseSource)
    times = (spec.columns[spec.event_time].source or [spec.event_time]) if spec.event_time else []
    return DatabaseReader(spec.source, located.folder, watch=times[0] if len(times) == 1 else None)


def _how(located: Located[TableSpec]) -> str:
    """The fingerprint of how a source is read; when it changes, everything is read anew."""
    text = database(located).text() if isinstance(located.spec.source, DatabaseSource) else ""
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
    from lakeloop.rows.stacking import stack_tables
    from resources.quality import run_suite
    from resources.sources.files import read_file

    key, spec = key_of("raw", located), located.spec
    platform.lake.settle(key)
    state = platform.lake.states().get(key, {})
    known = state.get(SOURCE)
    value: dict[str, Any] = dict(known.value) if known else {"files": {}, "current": {}, "next": 0}

    how, how_split = _how(located), fingerprint(spec.partitions, spec.event_time)
    same_reading = value.get("how") == how
    delivered = _deliver(platform, located, state, value, same_reading)
    probe, onward, adds = delivered.probe, delivered.onward, delivered.adds
    files = {**value["files"], **{label: digest for label, (digest, _) in delivered.parts.items()}}
    wanted = expected(spec, files)
    total = sum(s.rows for name, s in state.items() if name != SOURCE)
    nothing_new = delivered.empty if onward else known is not None and known.fingerprint == wanted
    if known and same_reading and nothing_new:
        if probe is not None and value.get("probe") != probe:
            # Asked, and nothing new in it: the answer is kept, so that the same isn't asked for again.
            told = PartitionState(SOURCE, known.fingerprint, known.version, value={**value, "probe": probe})
            platform.lake.record(key, [told], run_id=platform.run_id, after=state)
        return StageResult(wanted, fresh=True, rows=total, checks=value["checks"])

    current: dict[str, dict[str, list[Any]]] = {label: dict(parts) for label, parts in value["current"].items()}
    order, landed, read = int(value["next"]), [], 0
    vanished: dict[str, dict[str, str]] = {label: dict(parts) for label, parts in value.get("vanished", {}).items()}
    empty = set(value.get("empty", ()) if same_reading else ())
    integers = landed_integers(platform, key, state) if isinstance(spec.source, Files) else frozenset()
    # What lands later is known later, though the clock was set back in between.
    last = value.get("last", value.get("first"))
    at = max(now, datetime.fromisoformat(last) + timedelta(microseconds=1)) if last else now
    for label, (digest, delivery) in sorted(delivered.parts.items()):
        if same_reading and value["files"].get(label) == digest and not onward:
            continue
        columns = dict(spec.columns.items())
        rows = delivery if not hasattr(delivery, "path") else read_file(delivery, spec.source, columns, integers=integers)  # type: ignore[arg-type]
        read += rows.num_rows
        empty |= set(without_type(rows)) & set(source_columns(spec))
        before, landing = current.get(label, {}), f"{order:06d}"
        entries: dict[str, list[Any]] = dict(before) if onward else {}
        parts = _split(rows, spec, now, {} if adds else before, landing)
        del rows  # the parts are copies
        for partition, entry, part in parts:
            if adds:
                old = entries.get(partition)
                entry = [old[0], fingerprint(old[1], entry[1]), old[2] + entry[2]] if old else [f"{landing}{ONWARD}", *entry[1:]]
            entries[partition] = entry
            if part is not None:
                landed.append(_stamp(part, label, landing, order, partition, at))
        current[label] = entries
        # A file that has no row of a partition any more lands none there; when that was is told beside.
        vanished[label] = {**vanished.get(label, {}), **dict.fromkeys(before.keys() - entries.keys(), at.isoformat())}
        vanished[label] = {partition: when for partition, when in vanished[label].items() if partition not in entries}
        order += 1

    batch = stack_tables(landed) if landed else None
    suite = expectations(spec)
    verdict = run_suite(batch, suite) if batch is not None else Verdict(passed=True, results=())
    checks = {r.name: [r.outcome, r.message] for r in verdict.results} or dict(value.get("checks", {}))
    columns, new = _columns(batch, spec, value if same_reading else {})
    told = f"{', '.join(new)}: delivered, not declared and not there before; landed, and read by nothing until declared"
    checks[NEW_COLUMNS] = ["failed", told] if new else ["passed", ""]
    report_checks(platform, key, verdict, [SOURCE], wanted, done=state, published=verdict.passed)
    if not verdict.passed:
        return StageResult(wanted, rows=0, verdict=verdict, checks=checks, refused="a blocking expectation failed")
    value = {
        "files": files,
        "current": current,
        "next": order,
        "checks": checks,
        "how": how,
        "columns": columns,
        "new_columns": new,
        "empty": sorted(empty),
        "vanished": {label: parts for label, parts in vanished.items() if parts},
        **({"probe": probe} if probe is not None else {}),
        "partitions": how_split,
        # Cut anew, the rows stand in other partitions than their earlier landings: what is there is history again.
        "first": at.isoformat() if value.get("partitions", how_split) != how_split else value.get("first") or at.isoformat(),
        "last": at.isoformat(),
    }
    published = [PartitionState(SOURCE, wanted, rows=0, value=value), *_changed(current, state)]
    if batch is not None:
        statistics = not hidden_sources(spec)
        # A column that has no value has no type; written, it would be void for ever. It is there once it has one.
        typed = batch.drop_columns(without_type(batch))
        _refuse_twins(platform, key, typed.column_names)
        platform.lake.publish(key, typed, published, mode="append", run_id=platform.run_id, after=state, statistics=statistics)
    else:
        version = max((s.version for s in state.values()), default=-1)
        platform.lake.record(
            key,
            [PartitionState(p.partition, p.fingerprint, version, p.rows, value=p.value) for p in published],
            run_id=platform.run_id,
            after=state,
        )
    total = sum(entry[2] for parts in current.values() for entry in parts.values())
    return StageResult(
        wanted,
        rows=total,
        verdict=verdict,
        checks=checks,
        metadata={
            "dagster/row_count": total,
            "dagster/uri": platform.lake.path(key),
            "rows_read": read,
            "rows_landed": batch.num_rows if batch is not None else 0,
            "files": dg.MetadataValue.json(files),
            "partitions_changed": [p.partition for p in published[1:]],
            "preview": dg.MetadataValue.md(preview(_masked(batch, spec))) if batch is not None else dg.MetadataValue.md("(nothing new)"),
        },
    )


@dataclass(frozen=True)
class _Delivered:
    """What a source delivers.

    Attributes:
        parts: by label the content's hash (or the position after it), and the rows, or the file that they are read from.
        probe: what a database showed before it was read.
        adds: whether the rows add to those before; else they take their place.
        onward: whether only what is new since the last time was read.
        empty: of a delivery onward, whether there is nothing new.
    """

    parts: dict[str, tuple[str, SourceFile | pa.Table]]
    probe: dict[str, str] | None = None
    adds: bool = False
    onward: bool = False
    empty: bool = False


def _deliver(
    platform: Platform, located: Located[TableSpec], state: Mapping[str, PartitionState], value: Mapping[str, Any], same_reading: bool
) -> _Delivered:
    """Ask a source for what it has; a database with a cursor only for what is new, where it is still read as before."""
    from resources.sources.files import call_function, numbered, resolve_files

    spec, key = located.spec, key_of("raw", located)
    if isinstance(spec.source, DatabaseSource):
        # Asked before reading: what comes in between shows in the next probe.
        probe, reader = digests(located), database(located)
        since = value["files"].get(reader.label) if reader.appends and same_reading else None
        rows, position = reader.read(since)
        if since is not None and not rows.num_rows:
            # A read begins at the row that the last one ended with, or before it.
            platform.log.warning(
                f"{key}: {reader.label} has no row any more from where the last read ended on: its newest rows were deleted, or it was filled "
                f"anew from a smaller {spec.source.cursor} on. Rows with a smaller one aren't read; to read all again, change `overlap`"
            )
        if since is not None:
            rows = not_landed(platform, key, state, rows, spec, reader.since(since))
        parts: dict[str, tuple[str, SourceFile | pa.Table]] = {reader.label: (position, numbered(rows, reader.label))}
        return _Delivered(parts, probe, reader.appends, since is not None, rows.num_rows == 0)
    if isinstance(spec.source, PythonFunction):
        rows = call_function(spec.source.function, located.folder)
        return _Delivered({spec.source.function: (content_hash(rows.drop_columns(["_row"])), rows)})
    assert isinstance(spec.source, Files)
    return _Delivered({f.label: (f.digest, f) for f in resolve_files(spec.source, located.folder)})


def _changed(current: Mapping[str, Mapping[str, list[Any]]], state: Mapping[str, PartitionState]) -> list[PartitionState]:
    """The partitions whose landings are others than those published, as they are now."""
    found = []
    for partition in sorted({p for parts in current.values() for p in parts} | (state.keys() - {SOURCE})):
        entries = {label: parts[partition] for label, parts in current.items() if partition in parts}
        print_ = fingerprint("raw", {label: [entry[0], entry[1]] for label, entry in entries.items()})
        if partition not in state or state[partition].fingerprint != print_:
            found.append(PartitionState(partition, print_, rows=sum(entry[2] for entry in entries.values())))
    return found


def _columns(batch: pa.Table | None, spec: TableSpec, value: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The columns that a source began with, and those that it has brought since and nobody has declared.

    A definition that was changed has been looked at: what is there then is where it begins.
    """
    delivered = [name for name in batch.column_names if not name.startswith("_") and name != "ingested_at"] if batch is not None else []
    began = list(value.get("columns") or delivered)
    expected_ones = {*began, *source_columns(spec)}
    return began, list(dict.fromkeys([*value.get("new_columns", []), *(name for name in delivered if name not in expected_ones)]))


def _refuse_twins(platform: Platform, key: TableKey, names: Sequence[str]) -> None:
    """Refuse columns that differ in case only, from each other or from what has landed: to Delta they are one.

    Raises:
        DataError: there are such.
    """
    table = platform.lake.open(key)
    landed = {name.lower(): name for name in types_of(table)} if table is not None else {}
    came: dict[str, str] = {}
    for name in names:
        other = came.setdefault(name.lower(), name)
        before = landed.get(name.lower(), name)
        if other != name or before != name:
            told = (
                f"columns {other} and {name} come side by side"
                if other != name
                else f"column {before} has landed before and comes as {name} now"
            )
            raise DataError(
                f"{key}: {told}: they differ in upper and lower case only, and nothing was written. Name them apart, or alike, at the source"
            )


def _split(
    rows: pa.Table, spec: TableSpec, now: datetime, before: Mapping[str, list[Any]], landing: str
) -> list[tuple[str, list[Any], pa.Table | None]]:
    """Cut a delivery into partitions: (partition, [landing, content hash, rows], rows to land or None where nothing changed)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if spec.partitions is None:
        names: pa.Array = pa.repeat(WHOLE, rows.num_rows)
    else:
        from lakeloop.rows.conform import parse_column
        from resources.sources.files import nulls_as_text

        assert spec.event_time
        column = spec.columns[spec.event_time]
        parts = list(dict.fromkeys(column.source or [spec.event_time]))
        times = parse_column(nulls_as_text(rows.select(parts)), spec.event_time, column)
        names = pc.strftime(times, FORMATS[spec.partitions.grain])
        allowed = pa.array(partition_keys(spec.partitions, now))
        names = pc.if_else(pc.fill_null(pc.is_in(names, value_set=allowed), False), names, UNDATED)
    found: list[tuple[str, list[Any], pa.Table | None]] = []
    for partition in sorted(pc.unique(names).to_pylist()):
        part = rows.filter(pc.equal(names, partition))
        print_ = content_hash(part.drop_columns(["_row"]))
        old = before.get(partition)
        if old and old[1] == print_:
            found.append((partition, list(old), None))
        else:
            found.append((partition, [landing, print_, part.num_rows], part))
    return found


def _stamp(rows: pa.Table, label: str, landing: str, order: int, partition: str, now: datetime) -> pa.Table:
    import pyarrow as pa

    count = rows.num_rows
    return (
        rows.append_column("_file", pa.repeat(label, count))
        .append_column("_landing", pa.repeat(landing, count))
        .append_column("_landed_order", pa.repeat(pa.scalar(order, pa.int64()), count))
        .append_column("ingested_at", pa.repeat(pa.scalar(now, pa.timestamp("us", tz="UTC")), count))
        .append_column(PARTITION, pa.repeat(partition, count))
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
        return not is_fresh(located, world.states.of(key_of("raw", located)).get(SOURCE))
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
