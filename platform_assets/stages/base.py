"""What every stage shares: what it may use (`Platform`), what it gives back (`StageResult`), and reading its inputs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, NotPublished
from lakeloop.masking import mask_row
from lakeloop.project.project import located_of
from lakeloop.spec.partitions import is_of_grain, overlapping, partition_keys, partition_window
from lakeloop.spec.tables import Column, DeltaTableSource, Partitions
from resources.lake.lake import Lake
from resources.lake.published import PartitionState, Published, TableKey, retired
from resources.settings import Settings
from resources.spark.tables import read_delta

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from lakeloop.project.project import Located, Project, TableRef
    from lakeloop.rows.verdicts import Verdict
    from resources.spark.sessions import SparkResource
    from resources.tracking.runs import Tracking

States = Mapping[TableKey, Mapping[str, PartitionState]]
PREVIEW_ROWS = 5
DAYS = "days"
"""In the value of a month's state: a hash per day, for views that reach back over its border."""


@dataclass
class Platform:
    """The outside world as a stage sees it. `run_id` is Dagster's; `log` takes progress lines."""

    settings: Settings
    project: Project
    lake: Lake
    spark_resource: SparkResource
    tracking: Tracking
    run_id: str = ""
    run_tags: Mapping[str, str] = field(default_factory=dict)
    log: Any = field(default_factory=lambda: logging.getLogger("lakeloop"))

    def is_large(self, states: States, keys: Iterable[TableKey], more: int = 0) -> bool:
        """Whether so many rows are read that the work leaves this process: all rows published of some tables, and `more`."""
        rows = more + sum(state.rows for key in keys for state in states.get(key, {}).values())
        return rows >= self.settings.spark_rows

    def spark(self, domain: str, *, large: bool = False) -> SparkSession:
        """The Spark session of a domain."""
        return self.spark_resource.session(domain, "large" if large else "small")


@dataclass(frozen=True)
class StageResult:
    """What a stage did.

    Attributes:
        fingerprint: of all that was asked for; the data version in Dagster.
        fresh: nothing was stale, nothing was done.
        rows: rows published now, or standing there already.
        verdict: of the checks; None where the stage has none.
        checks: compact outcome per check name, as kept with the publication: [outcome, message].
        refused: why nothing was published, if so.
        metadata: for Dagster.
    """

    fingerprint: str
    fresh: bool = False
    rows: int | None = None
    verdict: Verdict | None = None
    checks: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    refused: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def key_of(stage: str, located: Located[Any]) -> TableKey:
    """The key of a stage of a table, view or workflow."""
    return TableKey(stage, located.domain, located.spec.name)


def input_key(ref: TableRef) -> TableKey:
    """Where the rows of a table or view stand: `validated` or `features`."""
    return TableKey("validated" if ref.kind == "table" else "features", ref.domain, ref.name)


def input_fingerprints(
    states: States, key: TableKey, spec: Partitions | None, start: datetime | None, end: datetime | None
) -> dict[str, str]:
    """Fingerprints of the published partitions of an input that overlap a window; all of them without a window.

    Of a month that lies partly in the window only the days within it count.

    Raises:
        NotPublished: nothing of the input has passed its checks, or it isn't published by the partitions that it is defined with now.
    """
    partitions = standing(states, key, spec)
    names: Iterable[str] = sorted(partitions)
    if spec and start and end:
        names = overlapping(names, spec.grain, start, end)
        return {name: _within(partitions[name], spec.grain, start, end) for name in names}
    return {name: partitions[name].fingerprint for name in names}


def to_retire(key: TableKey, spec: Partitions | None, done: Mapping[str, PartitionState], asked: Sequence[str]) -> list[str]:
    """The published partitions that a table has no more since its definition was changed, to be removed by the next publication.

    Where only the start or the end has moved, any run may do that. Otherwise a row may stand in an old and in a new partition, so that all new
    ones have to come in one run: with fewer, rows would be doubled or missing.

    Raises:
        DataError: not all of them are asked for.
    """
    old = retired(spec, done)
    if spec is None or all(is_of_grain(name, spec.grain) for name in old):
        return old
    now = datetime.now(UTC)
    # The one that isn't over yet may come later: in Dagster's UI it can't be chosen.
    wanted = [name for name in partition_keys(spec, now) if partition_window(name, spec.grain)[1] <= now]
    missing = [name for name in wanted if name not in asked]
    if missing:
        raise DataError(
            f"{key}: its partitions were changed, and {_span(old)} of before still stand{'s' if len(old) == 1 else ''}; wanted all partitions "
            f"{_span(wanted)} in one run, found {_span(asked)}; nothing was changed. Materialise {key} with all its partitions as one run: "
            f"`lakeloop up` does, and so does the sensor new_data; in Dagster's UI choose All"
        )
    return old


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}…{names[-1]}"


def standing(states: States, key: TableKey, spec: Partitions | None) -> Mapping[str, PartitionState]:
    """The published partitions of an input.

    Raises:
        NotPublished: nothing of it has passed its checks, or it isn't published by the partitions that it is defined with now.
    """
    partitions = states.get(key)
    if not partitions:
        raise NotPublished(f"{key} has no published version (no passing verdict); materialise {key} first")
    old = retired(spec, partitions)
    if old:
        raise NotPublished(f"{key}: its partitions were changed, and {_span(old)} of before still stand; materialise all of {key} first")
    return partitions


def spark_for(platform: Platform, states: States, domain: str, refs: Sequence[TableRef]) -> SparkSession:
    """The Spark session of a domain, of the size that reading some inputs needs."""
    return platform.spark(domain, large=platform.is_large(states, [input_key(ref) for ref in refs]))


def _within(state: PartitionState, grain: str, start: datetime, end: datetime) -> str:
    """The fingerprint of what a partition has in a window."""
    from lakeloop.fingerprint import fingerprint

    days = state.value.get(DAYS)
    if days is None:
        return state.fingerprint
    low, high = partition_window(state.partition, grain)
    if start <= low and high <= end:
        return state.fingerprint
    first, last = f"{start:%Y-%m-%d}", f"{end - timedelta(microseconds=1):%Y-%m-%d}"
    return fingerprint({day: print_ for day, print_ in days.items() if first <= day <= last})


def spark_input(
    platform: Platform, spark: SparkSession, states: States, ref: TableRef, *, start: datetime | None = None, end: datetime | None = None
) -> DataFrame:
    """An input's current rows at its published version as a Spark DataFrame, cut to the partitions that overlap a window."""
    import pyspark.sql.functions as F
    from pyspark.sql import Window

    project, key = platform.project, input_key(ref)
    published = platform.lake.current(key, states)
    located = located_of(project, ref)
    spec = located.spec
    if ref.kind == "table" and isinstance(spec.source, DeltaTableSource):
        return adopted_frame(spark, located, published, start, end)
    standing(states, key, spec.partitions)
    wanted = overlapping(published.partitions, spec.partitions.grain, start, end) if spec.partitions and start and end else None
    frame = read_delta(spark, platform.lake.path(key), published.version, wanted)
    if ref.kind == "view" and any(state.value.get("changed") for state in published.partitions.values()):
        newest = Window.partitionBy(*spec.keys, spec.event_time).orderBy(F.col("known_at").desc())
        frame = frame.withColumn("_n", F.row_number().over(newest)).where((F.col("_n") == 1) & ~F.col("_retracted")).drop("_n")
    internal = [name for name in frame.columns if name.startswith("_")]
    return frame.drop(*internal)


def adopted_frame(
    spark: SparkSession, located: Located[Any], published: Published, start: datetime | None, end: datetime | None
) -> DataFrame:
    """An adopted table at its checked version: declared columns under their names, and `known_at`."""
    import pyspark.sql.functions as F

    spec = located.spec
    state = next(iter(published.partitions.values()))
    frame = read_delta(spark, str(state.value["url"]), published.version)
    frame = frame.select(*[F.col((col.source or [name])[0]).alias(name) for name, col in spec.columns.items()])
    if spec.event_time:
        if start and end:
            frame = frame.where((F.col(spec.event_time) >= F.lit(start)) & (F.col(spec.event_time) < F.lit(end)))
        seconds = int(spec.known_delay.total_seconds())
        frame = frame.withColumn(
            "known_at", F.col(spec.event_time).cast("timestamp") + F.make_dt_interval(F.lit(0), F.lit(0), F.lit(0), F.lit(seconds))
        )
    return frame


def run_sql(
    platform: Platform,
    states: States,
    domain: str,
    sql: str,
    refs: Sequence[TableRef],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pa.Table:
    """Run a domain's query over published inputs and bring the result back as Arrow, its columns in lower case as every declared name is."""
    from lakeloop.sql.query import parse_query, rewrite_tables

    query = parse_query(sql, "query")
    found = {table.parts: platform.project.find(domain, ".".join(table.parts)) for table in query.tables}
    names = {parts: f"{ref.domain}__{ref.name}" for parts, ref in found.items() if ref}
    spark = spark_for(platform, states, domain, refs)
    for ref in refs:
        spark_input(platform, spark, states, ref, start=start, end=end).createOrReplaceTempView(f"{ref.domain}__{ref.name}")
    result = spark.sql(rewrite_tables(query, names)).toArrow()
    return result.rename_columns([name.lower() for name in result.column_names])


def table_metadata(rows: pa.Table, personal: Collection[str], *, uri: str = "", version: int | None = None) -> dict[str, Any]:
    """Row count, size and a preview, in the fields that Dagster's catalog shows; values of personal columns never appear."""
    found: dict[str, Any] = {
        "dagster/row_count": rows.num_rows,
        "size_mb": round(rows.nbytes / 1e6, 2),
        "preview": dg.MetadataValue.md(preview(rows, personal)),
    }
    if uri:
        found["dagster/uri"] = uri
    if version is not None:
        found["delta_version"] = version
    return found


def column_schema(
    columns: Mapping[str, Column], personal: Collection[str], more: Mapping[str, tuple[str, str]] | None = None
) -> dg.TableSchema:
    """Dagster's schema of declared columns, plus `more` columns as name -> (type, description); personal ones are called so."""
    listed = [
        dg.TableColumn(
            name,
            type=col.type,
            description=" ".join(
                filter(None, [col.description, f"[{col.unit}]" if col.unit else "", "(personal)" if name in personal else ""])
            ),
            constraints=dg.TableColumnConstraints(nullable=col.nullable),
        )
        for name, col in columns.items()
    ]
    listed += [
        dg.TableColumn(name, type=kind, description=f"{text} (personal)" if name in personal else text)
        for name, (kind, text) in (more or {}).items()
    ]
    return dg.TableSchema(columns=listed)


def preview(rows: pa.Table, personal: Collection[str] = ()) -> str:
    """The first rows as a Markdown table, personal values masked, internal columns left out."""
    names = [name for name in rows.column_names if not name.startswith("_")]
    return markdown_table([mask_row(row, personal) for row in rows.select(names).slice(0, PREVIEW_ROWS).to_pylist()], names)


def markdown_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    """Records as a Markdown table."""
    names = list(names or (rows[0] if rows else []))
    if not names:
        return "(no rows)"
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return str(value).replace("|", "\\|").replace("\n", " ")[:80]


def figures(pictures: Mapping[str, str]) -> dg.MarkdownMetadataValue:
    """SVG pictures by title as one piece of metadata, which Dagster's UI shows as pictures."""
    import base64

    return dg.MetadataValue.md(
        "\n\n".join(
            f"![{title}](data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()})" for title, picture in pictures.items()
        )
    )
