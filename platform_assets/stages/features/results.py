"""What a view's query or function gives for some partitions, in the shape that is published: declared columns and types, `known_at`, `_partition`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lakeloop.errors import DataError, nearest
from lakeloop.project.project import Located, TableRef
from lakeloop.project.sql_tables import may_hold_nan
from lakeloop.python_code import load_reference
from lakeloop.rows.types import arrow_type, cast_exactly, lake_type, to_doubles
from lakeloop.spec.partitions import FORMATS, partition_window
from lakeloop.spec.tables import PARTITION, ViewSpec
from platform_assets.stages.base import Platform, input_key
from platform_assets.stages.inputs import run_sql, spark_for, spark_input
from resources.lake.published import WHOLE, States
from resources.spark.plan_guard import guarded_plans

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

KNOWN_AT = "known_at"
DAYS_OF_A_MONTH = 30


def input_window(spec: ViewSpec, partitions: Sequence[str]) -> tuple[datetime | None, datetime | None]:
    """The window of input event times that partitions of the view, in order, may read; no bounds for an unpartitioned view."""
    if spec.partitions is None or WHOLE in partitions:
        return None, None
    grain = spec.partitions.grain
    return partition_window(partitions[0], grain)[0] - spec.lookback, partition_window(partitions[-1], grain)[1]


def estimate_input_rows(states: States, refs: Sequence[TableRef], partitions: Sequence[str]) -> dict[str, int]:
    """About how many input rows stand in the time of each partition; inputs without partitions, which are read as a whole, don't count."""

    def within(partition: str, name: str, rows: int) -> int:
        if name.startswith(partition):
            return rows
        return rows // DAYS_OF_A_MONTH if partition.startswith(name) else 0

    inputs = [states[input_key(ref)].items() for ref in refs if not ref.is_stage]
    return {partition: sum(within(partition, name, state.rows) for named in inputs for name, state in named) for partition in partitions}


def compute_result(
    platform: Platform,
    states: States,
    located: Located[ViewSpec],
    refs: Sequence[TableRef],
    partitions: Sequence[str],
    frames: Mapping[TableRef, DataFrame] | None = None,
) -> pa.Table:
    """What the view's query or function gives for partitions; over `frames` in place of the published inputs, if they are given."""
    start, end = input_window(located.spec, partitions)
    if located.spec.sql:
        sql = (located.folder / located.spec.sql).read_text()
        return run_sql(platform, states, located.domain, sql, refs, start=start, end=end, frames=frames)
    function = load_reference(str(located.spec.function), located.folder)
    spark = spark_for(platform, states, located.domain, refs)
    inputs = frames or {ref: spark_input(platform, spark, states, ref, start=start, end=end) for ref in refs}
    with guarded_plans(spark, has_nan=any(may_hold_nan(platform.project, ref) for ref in refs)):
        result = function(**{ref.name: inputs[ref] for ref in refs})
        if not hasattr(result, "toArrow"):
            raise DataError(f"{located.spec.function}: wanted a Spark DataFrame, found a {type(result).__name__}")
        rows: pa.Table = result.toArrow()
    return rows


def shape_result(
    result: pa.Table,
    spec: ViewSpec,
    batch: Sequence[str],
    stale: Sequence[str],
    where: str,
    personal: Collection[str],
    *,
    floor: timedelta = timedelta(0),
) -> tuple[pa.Table, int]:
    """Bring a result into the shape that is published, cut to the partitions that it was computed for.

    Args:
        result: of the view's query or function.
        spec: the view.
        batch: the partitions that it was computed for.
        stale: all that are computed in this run.
        where: the view, for messages.
        personal: its columns whose values no message may show.
        floor: how long after its event time a row is known at the earliest, whatever the view says.

    Returns:
        The rows, and how many of the result lay outside all partitions that are computed.

    Raises:
        DataError: the result lacks a column, or holds one that can't become its declared type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _cast_columns(result, spec, where, personal)
    if spec.event_time is None:
        return rows.append_column(PARTITION, pa.repeat(WHOLE, rows.num_rows)), 0
    rows = _add_known_at(rows, spec, floor)
    if spec.partitions is None:
        return rows.append_column(PARTITION, pa.repeat(WHOLE, rows.num_rows)), 0
    names = pc.strftime(rows[spec.event_time], FORMATS[spec.partitions.grain])
    is_inside = pc.is_in(names, value_set=pa.array(list(batch), pa.string()))
    shaped = rows.append_column(PARTITION, names)
    if pc.all(is_inside).as_py():
        return shaped, 0
    # A query over the days before a partition gives their rows too, which nobody misses.
    first = pa.scalar(partition_window(stale[0], spec.partitions.grain)[0], pa.timestamp("us", tz="UTC"))
    is_beyond = pc.invert(pc.is_in(names, value_set=pa.array(list(stale), pa.string())))
    outside = int(pc.sum(pc.and_(is_beyond, pc.greater_equal(rows[spec.event_time], first))).as_py() or 0)
    return shaped.filter(is_inside), outside


def _cast_columns(result: pa.Table, spec: ViewSpec, where: str, personal: Collection[str]) -> pa.Table:
    """Keys, times and declared columns in their types."""
    import pyarrow as pa

    times = [name for name in (spec.event_time, spec.known_at) if name]
    wanted = list(dict.fromkeys([*spec.keys, *times, *spec.columns]))
    for name in wanted:
        if name not in result.column_names:
            raise DataError(f"{where}: the query's result has no column {name!r}; {nearest(name, result.column_names)}")
    rows = result.select(wanted)
    types = {name: arrow_type(col.type) for name, col in spec.columns.items()} | dict.fromkeys(times, pa.timestamp("us", tz="UTC"))
    for index, column in enumerate(rows.schema):
        if pa.types.is_decimal(column.type) and types.get(column.name) == pa.float64():
            rows = rows.set_column(index, column.name, to_doubles(rows[column.name]))
    schema = pa.schema([pa.field(field.name, types.get(field.name, _key_type(field.type))) for field in rows.schema])
    return cast_exactly(rows, schema, where, personal)


def _key_type(kind: pa.DataType) -> pa.DataType:
    """The type of a key, which keeps the query's type as the lake holds it; a time must have a zone, which the cast checks."""
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else lake_type(kind)


def _add_known_at(rows: pa.Table, spec: ViewSpec, floor: timedelta) -> pa.Table:
    """Add when each row could first have been used: as the view says, and as what it reads allows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def later(delay: timedelta) -> pa.ChunkedArray:
        return pc.add(rows[spec.event_time], pa.scalar(delay, pa.duration("us")))

    known_at = rows[spec.known_at] if spec.known_at else later(max(spec.delay, floor))
    if spec.known_at and floor:
        # A time that is missing stays so, and is refused as before.
        known_at = pc.if_else(pc.greater(known_at, later(floor)), known_at, later(floor))
    if spec.known_at not in (None, KNOWN_AT, spec.event_time) and spec.known_at not in spec.columns:
        rows = rows.drop_columns([spec.known_at])
    if KNOWN_AT not in rows.column_names:
        return rows.append_column(KNOWN_AT, known_at)
    return rows.set_column(rows.schema.get_field_index(KNOWN_AT), KNOWN_AT, known_at) if spec.known_at == KNOWN_AT and floor else rows
