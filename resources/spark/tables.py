"""A pinned version of a Delta table as a Spark DataFrame, on engines that read Delta and on those that don't."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakSet

from lakeloop.errors import DataError, NotPublished
from lakeloop.rows.types import schema_of
from lakeloop.spec.tables import PARTITION, Column
from resources.lake.adopted import AdoptedTable, is_of_declared_types, read_declared, source_of
from resources.lake.tables import local_path, open_delta, read_table
from resources.spark.plain_paths import is_plain, plain_path

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType

_PLAIN_FILES_LACK = {"deletionVectors", "columnMapping", "typeWidening"}
"""Features of a table whose Parquet files alone don't say what its rows are."""
sessions_here: WeakSet[SparkSession] = WeakSet()
"""The sessions of engines that run on this machine as this user: the embedded one, and a JVM of this process."""
embedded_sessions: WeakSet[SparkSession] = WeakSet()
"""The sessions of the embedded engine."""


def read_delta(spark: SparkSession, url: str, version: int, partitions: Iterable[str] | None = None) -> DataFrame:
    """Read a version of a Delta table, all of it or some partitions.

    Where the engine has no Delta reader, the version's files are read as Parquet. The rows are brought by this process where such an engine
    can't reach the files: in an object store, or, for an engine elsewhere, below a folder whose name it doesn't take literally.

    Raises:
        NotPublished: there is no such table.
        DataError: the engine has no Delta reader, and the table can't be read without.
    """
    import pyspark.sql.functions as F

    wanted = None if partitions is None else sorted(set(partitions))
    local = local_path(url)
    is_here = local is not None and spark in sessions_here
    place = plain_path(str(local)) if is_here else url
    is_literal = is_here or local is None or is_plain(local)
    frame = None if not is_literal and re.search(r"[*?{]", url) else _native(spark, place, version, is_literal=is_literal)
    if frame is not None and not (is_embedded(spark) and _has_decimals(frame)):
        return frame if wanted is None else frame.where(F.col(PARTITION).isin(wanted))
    table = open_delta(url, version)
    if table is None:
        raise NotPublished(f"no Delta table at {url}")
    if local is None or not is_literal:
        return frame_of(spark, read_table(table, partitions=wanted))
    return _from_files(spark, table, place, wanted)


def read_adopted(spark: SparkSession, adopted: AdoptedTable, url: str, columns: Mapping[str, Column]) -> DataFrame:
    """The declared columns of an adopted table under their names and as their types, as `read_declared` gives them.

    An engine reads the table itself where it gives the same: the embedded one if the files alone say what the rows are, another by its own
    Delta reader. Else this process brings the rows.
    """
    import pyarrow as pa
    import pyspark.sql.functions as F
    from pyspark.errors import PySparkException

    frame = None
    if is_of_declared_types(adopted, columns):
        try:
            if adopted.is_plain and not (is_embedded(spark) and any(map(pa.types.is_decimal, adopted.types.values()))):
                frame = read_delta(spark, url, adopted.version)
            elif not is_embedded(spark):
                frame = _native(spark, url, adopted.version, is_literal=False)
        except PySparkException:  # what deltalake opens and the engine doesn't, as a log with what it doesn't know
            frame = None
    if frame is None:
        return frame_of(spark, read_declared(adopted, columns))
    types = frame_types(columns)
    return frame.select(*[F.col(_quoted(source_of(name, column))).cast(types[name]).alias(name) for name, column in columns.items()])


def frame_types(columns: Mapping[str, Column]) -> dict[str, DataType]:
    """The Spark types of declared columns."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return {field.name: field.dataType for field in from_arrow_schema(schema_of(columns), prefer_timestamp_ntz=True)}


def is_embedded(spark: SparkSession) -> bool:
    """Whether a session is of the embedded engine."""
    return spark in sessions_here and hasattr(spark, "client")  # a JVM of this process has no client


def _has_decimals(frame: DataFrame) -> bool:
    """Whether a table has decimals. Sail (0.7) takes a column that has one value in a file from the statistics, which hold a decimal as a double."""
    from pyspark.sql.types import DecimalType

    return any(isinstance(field.dataType, DecimalType) for field in frame.schema)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def frame_of(spark: SparkSession, rows: pa.Table) -> DataFrame:
    """Rows of this process as a DataFrame: no rows are a table too, and a time without a zone stays one."""
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(rows.schema, prefer_timestamp_ntz=True)
    return spark.createDataFrame(rows, schema) if rows.num_rows else spark.createDataFrame([], schema)


def _native(spark: SparkSession, url: str, version: int, *, is_literal: bool) -> DataFrame | None:
    """By the engine's own Delta reader; None where it has none, or can't open a path that it may not take literally."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        frame = spark.read.format("delta").option("versionAsOf", version).load(url)
        frame.schema  # noqa: B018  # a Connect client asks the engine only now
    except (PySparkException, Py4JError) as error:
        # A client of a server and one beside a JVM raise different errors, both with Spark's own name of the condition.
        if "DATA_SOURCE_NOT_FOUND" not in str(error) and is_literal:
            raise
        return None
    return frame


def _from_files(spark: SparkSession, table: DeltaTable, path: str, partitions: list[str] | None) -> DataFrame:
    from pyspark.sql.types import StructType

    lacking = _PLAIN_FILES_LACK & set(table.protocol().reader_features or [])
    if lacking:
        raise DataError(
            f"{path} uses {', '.join(sorted(lacking))}: wanted an engine with a Delta reader, found one without; give it delta-spark"
        )
    schema = StructType.fromJson(json.loads(table.schema().to_json()))
    filters = None if partitions is None else [(PARTITION, "in", partitions)]
    files = table.file_uris(filters) if partitions != [] else []
    if not files:
        return spark.createDataFrame([], schema)
    # They come with the table's own path, percent-encoded, which may be another than the one that the engine is given.
    root = urlsplit(table.table_uri).path.rstrip("/")
    return spark.read.schema(schema).option("basePath", path).parquet(*[path + file.removeprefix(root) for file in files])
