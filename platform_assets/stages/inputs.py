"""Published tables and views as a stage reads them: their fingerprints, their rows as Spark DataFrames, and a query over them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeloop.errors import NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.project.project import Located, TableRef, located_of
from lakeloop.project.sql_tables import may_hold_nan
from lakeloop.records.tables import SourceState, TableState, ViewState
from lakeloop.spec.partitions import name_span, partition_window, select_overlapping
from lakeloop.spec.tables import FILE, ROW, DeltaTableSource, Partitions
from lakeloop.sql.alike import write_alike
from lakeloop.sql.query import parse_query, rewrite_tables
from platform_assets.stages.base import Platform, input_key
from resources.lake.adopted import open_adopted
from resources.lake.published import PartitionState, Published, States, TableKey, retired
from resources.spark.tables import read_adopted, read_delta
from resources.spark.windows import query_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


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
        names = select_overlapping(names, spec.grain, start, end)
        days: type[TableState] | type[ViewState] = TableState if key.stage == TableState.stage else ViewState
        return {name: _within(partitions[name], partitions[name].typed(days).value.days, spec.grain, start, end) for name in names}
    return {name: partitions[name].fingerprint for name in names}


def standing(states: States, key: TableKey, spec: Partitions | None) -> Mapping[str, PartitionState[Any]]:
    """The published partitions of an input.

    Raises:
        NotPublished: nothing of it has passed its checks, or it isn't published by the partitions that it is defined with now.
    """
    partitions = states.get(key)
    if not partitions:
        raise NotPublished(f"{key} has no published version (no passing verdict); materialise {key} first")
    # Of what has landed nothing is ever retired, and its states say more than partitions.
    old = retired(spec, partitions) if key.stage != SourceState.stage else []
    if old:
        raise NotPublished(
            f"{key}: its partitions were changed, and {name_span(old)} of before still stand; materialise all of {key} first"
        )
    return partitions


def spark_for(platform: Platform, states: States, domain: str, refs: Sequence[TableRef]) -> SparkSession:
    """The Spark session of a domain, of the size that reading some inputs needs."""
    return platform.spark(domain, large=platform.is_large(states, [input_key(ref) for ref in refs]))


def _within(state: PartitionState[Any], days: Mapping[str, str] | None, grain: str, start: datetime, end: datetime) -> str:
    """The fingerprint of what a partition has in a window."""
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
    """An input's current rows at its published version as a Spark DataFrame, cut to the partitions that overlap a window.

    Those of another stage come as a whole: of what has landed every delivery.
    """
    import pyspark.sql.functions as F
    from pyspark.sql import Window

    project, key = platform.project, input_key(ref)
    published = platform.lake.current(key, states)
    located = located_of(project, ref)
    spec = located.spec
    if ref.kind == "table" and isinstance(spec.source, DeltaTableSource):
        return adopted_frame(spark, located, published, start, end)
    standing(states, key, None if ref.kind == "training_sets" else spec.partitions)
    if ref.is_stage:
        return _without_internal(read_delta(spark, platform.lake.path(key), published.version), kept=[FILE, ROW])
    chosen = select_overlapping(published.partitions, spec.partitions.grain, start, end) if spec.partitions and start and end else None
    frame = read_delta(spark, platform.lake.path(key), published.version, chosen)
    if ref.kind == "view" and any(state.typed(ViewState).value.changed for state in published.partitions.values()):
        newest = Window.partitionBy(*spec.keys, spec.event_time).orderBy(F.col("known_at").desc())
        frame = frame.withColumn("_n", F.row_number().over(newest)).where((F.col("_n") == 1) & ~F.col("_retracted")).drop("_n")
    return _without_internal(frame)


def _without_internal(frame: DataFrame, kept: Collection[str] = ()) -> DataFrame:
    return frame.drop(*[name for name in frame.columns if name.startswith("_") and name not in kept])


def checked_url(published: Published) -> str:
    """Where an adopted table is."""
    state = next(iter(published.partitions.values()))
    return str(state.typed(TableState).value.url)


def adopted_frame(
    spark: SparkSession, located: Located[Any], published: Published, start: datetime | None, end: datetime | None
) -> DataFrame:
    """An adopted table at its checked version: declared columns under their names, and `known_at`."""
    import pyspark.sql.functions as F

    spec, url = located.spec, checked_url(published)
    frame = read_adopted(spark, open_adopted(url, str(published.key), published.version), url, spec.columns)
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
    frames: Mapping[TableRef, DataFrame] | None = None,
) -> pa.Table:
    """Run a domain's query over published inputs and bring the result back as Arrow, its columns in lower case as every declared name is.

    Of the inputs among `frames`, those rows are read.
    """
    query = parse_query(sql, "query")
    refs_by_name = {table.parts: platform.project.find_rows(domain, ".".join(table.parts)) for table in query.tables}
    names = {parts: _view_name(ref) for parts, ref in refs_by_name.items() if ref}
    spark = spark_for(platform, states, domain, refs)
    for ref in refs:
        frame = frames[ref] if frames and ref in frames else spark_input(platform, spark, states, ref, start=start, end=end)
        frame.createOrReplaceTempView(_view_name(ref))
    has_nan = any(may_hold_nan(platform.project, ref) for ref in refs)
    result = query_rows(spark, write_alike(rewrite_tables(query, names)), has_nan=has_nan)
    return result.rename_columns([name.lower() for name in result.column_names])


def _view_name(ref: TableRef) -> str:
    return f"{ref.stage}__{ref.domain}__{ref.name}" if ref.is_stage else f"{ref.domain}__{ref.name}"
