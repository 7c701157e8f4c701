"""The point-in-time join on Spark, by the rule of `lakeloop.rows.asof`: the rows of both sides in one order of time, the best row so far.

For more rows than one machine takes; both engines pass the same tests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from lakeloop.errors import DataError, nearest
from lakeloop.masking import mask_row
from resources.spark.tables import frame_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType

_ROW = "_row"


@dataclass(frozen=True)
class SparkFeatureRows:
    """The rows of one view or table; as `lakeloop.rows.asof.FeatureRows`, on Spark.

    Attributes:
        order: what decides between rows of equal event and known time, last wins; a DataFrame has no order of its own.
    """

    name: str
    rows: DataFrame
    keys: tuple[str, ...]
    columns: Mapping[str, str]
    event_time: str | None = None
    known_at: str | None = None
    max_age: timedelta | None = None
    order: tuple[str, ...] = ()
    personal: Collection[str] = ()


def point_in_time_join(spine: DataFrame, features: Sequence[SparkFeatureRows], *, at: str) -> DataFrame:
    """Add feature columns to a spine; see `lakeloop.rows.asof.point_in_time_join`, whose result this equals but for the order of rows.

    Raises:
        DataError: a column is missing, key types differ, a time has no zone, a static table has a key twice, or a name is taken.
    """
    _need(spine, [at], "the spine")
    _moment(spine, at, "the spine")
    taken = set(spine.columns)
    result = spine
    for source in features:
        _need(source.rows, [*source.keys, *source.columns, *filter(None, (source.event_time, source.known_at)), *source.order], source.name)
        _need(spine, source.keys, "the spine")
        for output in source.columns.values():
            if output in taken:
                raise DataError(f"{source.name}: the name {output!r} is already taken in the result")
            taken.add(output)
        for key in source.keys:
            ours, theirs = _key_type(spine, key), _key_type(source.rows, key)
            if ours != theirs:
                raise DataError(f"{source.name}: the key {key!r} is {theirs} there and {ours} in the spine")
        result = _add_static(result, source) if source.event_time is None else _add_timed(result, source, at)
    return result


def join_spine(spark: SparkSession, spine: pa.Table, features: Sequence[SparkFeatureRows], *, at: str) -> pa.Table:
    """The join for a spine that this process holds, its rows in their order and number; `features` are of the same session.

    Raises:
        DataError: as for `point_in_time_join`.
    """
    import pyarrow as pa

    numbered = spine.append_column(_ROW, pa.array(range(spine.num_rows), pa.int64()))
    joined = point_in_time_join(frame_of(spark, numbered), features, at=at).orderBy(_ROW).toArrow()
    feature_values = joined.drop_columns([_ROW, *spine.column_names])
    for name, column in zip(feature_values.column_names, feature_values.columns, strict=True):
        spine = spine.append_column(name, column)
    return spine


def _add_static(spine: DataFrame, source: SparkFeatureRows) -> DataFrame:
    import pyspark.sql.functions as F

    rows = source.rows.where(_all_present(source.keys)).select(
        *[F.col(key).alias(f"_key_{key}") for key in source.keys], *[F.col(c).alias(o) for c, o in source.columns.items()]
    )
    names = [f"_key_{key}" for key in source.keys]
    twice = rows.groupBy(*names).count().where("count > 1").limit(1).collect()
    if twice:
        key = mask_row({name: twice[0][f"_key_{name}"] for name in source.keys}, source.personal)
        raise DataError(f"{source.name}: wanted one row per key in a table without event time, found {twice[0]['count']} for {key}")
    same = [spine[key] == rows[f"_key_{key}"] for key in source.keys]
    return spine.join(rows, on=same, how="left").drop(*names)


def _add_timed(spine: DataFrame, source: SparkFeatureRows, at: str) -> DataFrame:
    import pyspark.sql.functions as F
    from pyspark.sql import Window
    from pyspark.sql.types import IntegralType, LongType

    event = _moment(source.rows, str(source.event_time), source.name)
    known = _moment(source.rows, source.known_at or str(source.event_time), source.name)
    asked = _moment(spine, at, "the spine")
    types = {field.name: field.dataType for field in spine.schema}
    # A key of the rows may be an integer that the spine's type can't hold.
    wide = {key: LongType() if isinstance(types[key], IntegralType) else types[key] for key in source.keys}
    usable = source.rows.where(_all_present(source.keys) & event.isNotNull() & known.isNotNull())
    # Of the rows that have come into use by then the greatest (event, known, order) counts; values stand after what decides.
    candidate = F.struct(
        event.alias("event"),
        known.alias("known"),
        *[F.col(name).alias(f"order_{n}") for n, name in enumerate(source.order)],
        *[F.col(c).alias(f"value_{n}") for n, c in enumerate(source.columns)],
    )
    right = usable.select(
        *[F.col(key).cast(wide[key]).alias(key) for key in source.keys],
        F.greatest(event, known).alias("_time"),
        F.lit(0).alias("_asks"),
        candidate.alias("_found"),
        *[F.lit(None).cast(types[name]).alias(name) for name in spine.columns if name not in source.keys],
    )
    left = spine.select(
        *[F.col(key).cast(wide[key]).alias(key) for key in source.keys],
        asked.alias("_time"),
        F.lit(1).alias("_asks"),
        F.lit(None).cast(right.schema["_found"].dataType).alias("_found"),
        *[name for name in spine.columns if name not in source.keys],
    )
    before = Window.partitionBy(*source.keys).orderBy("_time", "_asks").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    both = right.unionByName(left).withColumn("_best", F.max("_found").over(before)).where(F.col("_asks") == 1)
    alive: Column = F.col("_time").isNotNull()
    if source.max_age is not None:
        microseconds = source.max_age // timedelta(microseconds=1)
        alive = alive & (F.unix_micros(F.col("_time")) - F.unix_micros(F.col("_best.event")) <= F.lit(microseconds))
    return both.select(
        *[F.col(name).cast(types[name]).alias(name) if name in wide else name for name in spine.columns],
        *[F.when(alive, F.col(f"_best.value_{n}")).alias(output) for n, output in enumerate(source.columns.values())],
    )


def _all_present(keys: Sequence[str]) -> Column:
    import pyspark.sql.functions as F

    present = F.lit(True)
    for key in keys:
        present = present & F.col(key).isNotNull()
    return present


def _key_type(frame: DataFrame, key: str) -> str:
    from pyspark.sql.types import FractionalType, IntegralType

    kind: DataType = frame.schema[key].dataType
    if isinstance(kind, FractionalType):
        raise DataError(f"the key {key!r} is {kind.simpleString()}: wanted a string, an integer, a date or a timestamp")
    return "int64" if isinstance(kind, IntegralType) else kind.simpleString()


def _need(frame: DataFrame, names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in frame.columns:
            raise DataError(f"{where}: no column {name!r}; {nearest(name, frame.columns)}")


def _moment(frame: DataFrame, name: str, where: str) -> Column:
    import pyspark.sql.functions as F

    kind = frame.schema[name].dataType.simpleString()
    if kind not in ("timestamp", "date"):
        raise DataError(f"{where}: wanted {name} to be a timestamp with a time zone, found {kind}")
    return F.col(name).cast("timestamp")
