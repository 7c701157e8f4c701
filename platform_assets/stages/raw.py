"""raw: what a source delivered, exactly as it landed; nothing is ever removed.

A file lands once per content. A changed file lands again, but only the partitions in which it changed. Which landing is the current
one for a file and partition stands in the table's published state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError
from lakeloop.fingerprint import content_hash, fingerprint
from lakeloop.partitions import FORMATS, partition_keys
from lakeloop.spec import Expectation, Files, PythonFunction, TableSpec
from lakeloop.verdicts import Verdict
from platform_assets.stages.base import Platform, StageResult, States, key_of, preview
from resources.lake import PARTITION, UNDATED, WHOLE, PartitionState, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project import Located
    from resources.sources import SourceFile

CODE_VERSION = "1"
SOURCE = "source"
"""The state that says which files have landed; its value holds the current landing of each file and partition."""


def source_columns(spec: TableSpec) -> list[str]:
    """The landed columns that the declared ones are read from, in order, each once."""
    return list(dict.fromkeys(part for name, col in spec.columns.items() for part in (col.source or [name])))


def expectations(spec: TableSpec) -> list[Expectation]:
    """What every landing must meet: it has rows, and the columns that are read."""
    return [
        Expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": 1}),
        *[Expectation(type="expect_column_to_exist", kwargs={"column": name}) for name in source_columns(spec)],
    ]


def expected(spec: TableSpec, files: Mapping[str, str]) -> str:
    """The fingerprint of a source: the files' contents, and how they are read."""
    how = {name: [col.source, col.format, col.timezone] for name, col in spec.columns.items() if name == spec.event_time}
    return fingerprint("raw", CODE_VERSION, spec.source, spec.partitions, how, source_columns(spec), dict(files))


def digests(located: Located[TableSpec]) -> dict[str, str] | None:
    """Content hash of each source file; None for a function, whose content is known only once it has run."""
    from resources.sources import resolve_files

    source = located.spec.source
    return {f.label: f.digest for f in resolve_files(source, located.folder)} if isinstance(source, Files) else None


def land(platform: Platform, located: Located[TableSpec], *, now: datetime, states: States | None = None) -> StageResult:
    """Land what is new or changed in a table's source.

    Args:
        platform: lake and log.
        located: a LakeTable with files or a function as its source.
        now: the time of landing, UTC; becomes `ingested_at`.
        states: the lake's published states, read when not given.

    Raises:
        DataError: a file can't be read as declared; the table stays as it was.
    """
    from resources.quality import run_suite
    from resources.sources import call_function, read_file, resolve_files

    key, spec = key_of("raw", located), located.spec
    platform.lake.settle(key)
    state = (platform.lake.states() if states is None else states).get(key, {})
    known = state.get(SOURCE)
    value: dict[str, Any] = dict(known.value) if known else {"files": {}, "current": {}, "next": 0}

    deliveries: dict[str, tuple[str, SourceFile | pa.Table]]
    if isinstance(spec.source, PythonFunction):
        rows = call_function(spec.source.function, located.folder)
        name = spec.source.function
        deliveries = {name: (content_hash(rows.drop_columns(["_row"])), rows)}
    else:
        assert isinstance(spec.source, Files)
        deliveries = {f.label: (f.digest, f) for f in resolve_files(spec.source, located.folder)}
    files = {**value["files"], **{label: digest for label, (digest, _) in deliveries.items()}}
    wanted = expected(spec, files)
    total = sum(s.rows for name, s in state.items() if name != SOURCE)
    if known and known.fingerprint == wanted:
        return StageResult(wanted, fresh=True, rows=total, checks=value["checks"])

    how = fingerprint(expected(spec, {}))
    same_reading = value.get("how") == how
    current: dict[str, dict[str, list[Any]]] = {label: dict(parts) for label, parts in value["current"].items()}
    order, landed, read = int(value["next"]), [], 0
    for label, (digest, delivery) in sorted(deliveries.items()):
        if same_reading and value["files"].get(label) == digest:
            continue
        columns = dict(spec.columns.items())
        rows = delivery if not hasattr(delivery, "path") else read_file(delivery, spec.source, columns)  # type: ignore[arg-type]
        read += rows.num_rows
        current[label] = {
            partition: entry
            for partition, entry, part in _split(rows, spec, now, current.get(label, {}), f"{order:06d}")
            if part is None or not landed.append(_stamp(part, label, f"{order:06d}", order, partition, now))
        }
        order += 1

    batch = _concat(landed) if landed else None
    suite = expectations(spec)
    verdict = run_suite(batch, suite, where=str(key)) if batch is not None else Verdict(passed=True, results=())
    checks = {r.name: [r.outcome, r.message] for r in verdict.results} or value.get("checks", {})
    if not verdict.passed:
        return StageResult(wanted, rows=0, verdict=verdict, refused="a blocking expectation failed")
    value = {
        "files": files,
        "current": current,
        "next": order,
        "checks": checks,
        "how": how,
        "first": value.get("first") or now.isoformat(),
    }
    published = [PartitionState(SOURCE, wanted, rows=0, value=value)]
    for partition in sorted({p for parts in current.values() for p in parts} | (state.keys() - {SOURCE})):
        entries = {label: parts[partition] for label, parts in current.items() if partition in parts}
        print_ = fingerprint("raw", {label: [entry[0], entry[1]] for label, entry in entries.items()})
        if partition not in state or state[partition].fingerprint != print_:
            published.append(PartitionState(partition, print_, rows=sum(entry[2] for entry in entries.values())))
    if batch is not None:
        platform.lake.publish(key, batch, published, mode="append", run_id=platform.run_id)
    else:
        version = max((s.version for s in state.values()), default=-1)
        platform.lake.record(
            key, [PartitionState(p.partition, p.fingerprint, version, p.rows, value=p.value) for p in published], run_id=platform.run_id
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


def landed_rows(platform: Platform, key: TableKey, state: Mapping[str, PartitionState], partitions: list[str]) -> pa.Table:
    """Rows of some partitions with all their landings, marked by which landing is the current one for its file."""
    import pyarrow as pa

    rows = platform.lake.read((key, max(s.version for s in state.values())), partitions=partitions)
    current = state[SOURCE].value["current"]
    live = {(label, partition, entry[0]) for label, parts in current.items() for partition, entry in parts.items()}
    # A landing has one file, so that landing and partition decide; looked up once per distinct pair, not per row.
    pairs = rows.group_by(["_file", PARTITION, "_landing"]).aggregate([])
    flag = [tuple(row.values()) in live for row in pairs.select(["_file", PARTITION, "_landing"]).to_pylist()]
    marked = rows.append_column("_position", pa.array(range(rows.num_rows), pa.int64())).join(
        pairs.append_column("_current", pa.array(flag, pa.bool_())), keys=["_file", PARTITION, "_landing"]
    )
    return marked.sort_by("_position").drop_columns(["_position"])


def _split(
    rows: pa.Table, spec: TableSpec, now: datetime, before: Mapping[str, list[Any]], landing: str
) -> list[tuple[str, list[Any], pa.Table | None]]:
    """Cut a delivery into partitions: (partition, [landing, content hash, rows], rows to land or None where nothing changed)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if spec.partitions is None:
        names: pa.Array = pa.repeat(WHOLE, rows.num_rows)
    else:
        from lakeloop.conform import parse_column

        assert spec.event_time
        times = parse_column(rows, spec.event_time, spec.columns[spec.event_time])
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


def _concat(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for table in tables:
        for column in table.schema:
            if types.setdefault(column.name, column.type) not in (column.type, pa.null()) and column.type != pa.null():
                raise DataError(
                    f"column {column.name} is {types[column.name]} in one file and {column.type} in another; nothing was written"
                )
    return pa.concat_tables(tables, promote_options="default")


def _masked(rows: pa.Table, spec: TableSpec) -> pa.Table:
    """Landed rows without the columns that feed a personal one."""
    hidden = {part for name, col in spec.columns.items() if col.personal for part in (col.source or [name])}
    return rows.drop_columns([name for name in rows.column_names if name in hidden])
