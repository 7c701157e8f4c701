"""Parquet as rows: its own types, and those of older writers (INT96, INTERVAL) without changing a value."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lakeloop.errors import DataError
from lakeloop.rows.landing_types import land_columns, show_interval
from resources.lake.old_calendar import check_calendar

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lakeloop.spec.tables import Files


def read_parquet(data: bytes, spec: Files, where: str, landed: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Read Parquet in its own types, converted to those in which they land.

    Raises:
        DataError: it is broken or encrypted, names a column twice, or has values that can't be stored.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.BufferReader(data)
    try:
        names = pq.ParquetFile(source).schema_arrow.names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{where}: two columns are named {twice!r}; rename one at the source")
        rows = _read_intervals(pq.ParquetFile(source), _read_int96(pq.ParquetFile(source), source, where))
    except (pa.ArrowException, OSError, ValueError) as error:  # pyarrow raises OSError for a broken or encrypted file
        raise DataError(
            f"{where} can't be read as parquet: it is broken, encrypted, or written in a way that pyarrow can't read", detail=error
        ) from error
    check_calendar(pq.ParquetFile(source).metadata.metadata, rows, where)
    return land_columns(rows.replace_schema_metadata(None), where, landed)


def _read_intervals(file: pq.ParquetFile, rows: pa.Table) -> pa.Table:
    """Rows with Parquet's intervals (months, days and milliseconds, which pyarrow leaves as twelve bytes) as text by ISO 8601."""
    import pyarrow as pa

    columns = [file.schema.column(place) for place in range(len(file.schema))]
    for name in (column.path for column in columns if column.converted_type == "INTERVAL" and column.path in rows.column_names):
        parts = (None if value is None else struct.unpack("<III", value) for value in rows[name].to_pylist())
        texts = [None if part is None else show_interval(part[0], part[1], part[2] * 1_000_000) for part in parts]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(texts, pa.string()))
    return rows


def _read_int96(file: pq.ParquetFile, source: pa.BufferReader, where: str) -> pa.Table:
    """Read a Parquet file; times of the old type INT96 in microseconds, as those beyond 2262 overflow in nanoseconds.

    Raises:
        DataError: such a time is finer than a microsecond.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = file.schema
    old = {schema.column(i).path.partition(".")[0] for i in range(len(schema)) if schema.column(i).physical_type == "INT96"}
    if not old:
        return pq.read_table(source)
    rows = pq.read_table(source, coerce_int96_timestamp_unit="us")
    fine = pq.read_table(source, columns=sorted(old))
    for name in old:
        if not pa.types.is_timestamp(fine.schema.field(name).type):
            continue
        nanoseconds, microseconds = fine[name].cast(pa.int64()), rows[name].cast(pa.int64())
        floor = pc.floor(pc.divide(nanoseconds.cast(pa.decimal128(19, 0)), pa.scalar(1000, pa.decimal128(4, 0)))).cast(pa.int64())
        is_finer = pc.and_(pc.equal(floor, microseconds), pc.not_equal(pc.multiply(floor, 1000), nanoseconds))
        if pc.any(is_finer).as_py():
            raise DataError(
                f"{where}: column {name}: wanted times in microseconds, found finer ones; round them at the source, or make them integers or text"
            )
    return rows
