"""Reads a database through its ADBC driver, which returns Arrow batches, where the URL begins with `adbc+`: the same values, faster.

SQLAlchemy still describes the columns and does everything else; it also reads results with a type that the two drivers return differently.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.rows.landing_types import text_of
from lakeloop.rows.types import EXACT_INTEGERS

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import URL

_EPOCH = date(1970, 1, 1).toordinal()
_DAY_US = 86_400_000_000
NOT_DECIMAL = "a value isn't such a number, as NaN isn't; replace it in a query, as by NULLIF(column, 'NaN'), or cast it to text"
PREFIX = "adbc+"
DRIVERS = {"postgresql": "adbc_driver_postgresql", "sqlite": "adbc_driver_sqlite"}
SAME_TYPES = frozenset({16, 20, 21, 23, 701, 1700, 1082, 1114, 1184, 17, 25, 1043})
"""PostgreSQL's type numbers (pg_type.dat) whose values both drivers return alike, after the casts below; of a `real` one returns more digits."""


def split_url(url: str) -> tuple[str, bool]:
    """A URL as SQLAlchemy accepts it, and whether rows are to be read through ADBC.

    >>> split_url("adbc+postgresql://host/shop")
    ('postgresql://host/shop', True)
    """
    plain = url.removeprefix(PREFIX)
    return plain, plain != url


def check_driver(backend: str) -> None:
    """Raise a DataError unless there is an ADBC driver for a kind of database."""
    if backend not in DRIVERS:
        raise DataError(
            f"source: no ADBC driver for {backend}: wanted {PREFIX}{f' or {PREFIX}'.join(DRIVERS)}, or the URL without {PREFIX}"
        )
    if find_spec(DRIVERS[backend]) is None:
        raise DataError(f"source: the ADBC driver for {backend} isn't installed: pip install {DRIVERS[backend].replace('_', '-')}")


def read(url: URL, sql: str, fields: list[pa.Field], *, connect_s: int, enough: int | None) -> pa.Table:
    """Run a query that only reads.

    Args:
        url: with user and password.
        sql: without parameters.
        fields: the wanted columns; of type null where the values decide the type, and null stays the type of a column without values.
        connect_s: seconds to wait for the server.
        enough: the most rows to read; all of them if None.

    Raises:
        DataError: a value doesn't fit its column's type.
        sqlalchemy.exc.DBAPIError: the driver raised an error.
    """
    import pyarrow as pa

    with _cursor(url, connect_s) as cursor:
        cursor.execute(sql)
        batches, count = [], 0
        reader = cursor.fetch_record_batch()
        for batch in reader:
            batches.append(batch)
            count += batch.num_rows
            if enough is not None and count >= enough:
                break
        rows = pa.Table.from_batches(batches, reader.schema).slice(0, enough)
    rows = _mark_other_bytes(rows)
    return pa.table(
        [_cast_column(values, field) for values, field in zip(rows.columns, fields, strict=True)], pa.schema(_result_fields(rows, fields))
    )


def _mark_other_bytes(rows: pa.Table) -> pa.Table:
    """Rows in which texts that aren't UTF-8 are as they land; the driver passes them on as they are."""
    import pyarrow as pa

    for place, values in enumerate(rows.columns):
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            try:
                values.validate(full=True)
            except pa.ArrowInvalid:
                binary = pa.large_binary() if pa.types.is_large_string(values.type) else pa.binary()
                texts = [None if data is None else text_of(data) for data in values.cast(binary).to_pylist()]
                rows = rows.set_column(place, rows.schema.field(place), pa.array(texts, values.type))
    return rows


def may_have_lost_integers(rows: pa.Table) -> bool:
    """Whether a double is so large that it may have been another whole number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    doubles = [values for values in rows.columns if pa.types.is_floating(values.type)]
    return any(pc.any(pc.greater_equal(pc.abs(values), float(EXACT_INTEGERS))).as_py() for values in doubles)


def has_unusual_times(rows: pa.Table) -> bool:
    """Whether a date or time isn't within the years 1 to 9999, as PostgreSQL's infinity isn't."""
    import pyarrow as pa
    import pyarrow.compute as pc

    days = date.min.toordinal() - _EPOCH, date.max.toordinal() - _EPOCH
    for values in rows.columns:
        if pa.types.is_date32(values.type):
            numbers, (low, high) = values.cast(pa.int32()), days
        elif pa.types.is_timestamp(values.type):
            numbers, (low, high) = values.cast(pa.int64()), (days[0] * _DAY_US, (days[1] + 1) * _DAY_US - 1)
        else:
            continue
        if pc.any(pc.or_(pc.less(numbers, low), pc.greater(numbers, high))).as_py():
            return True
    return False


@contextmanager
def _cursor(url: URL, connect_s: int) -> Iterator[Any]:
    import adbc_driver_manager
    import pyarrow as pa
    from sqlalchemy.exc import DBAPIError, OperationalError

    backend = url.get_backend_name()
    driver = importlib.import_module(f"{DRIVERS[backend]}.dbapi")
    if backend == "postgresql":
        address = url.set(drivername=backend).update_query_dict({"connect_timeout": str(connect_s)}).render_as_string(hide_password=False)
    else:
        address = url.database or ":memory:"
    try:
        with driver.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
            if backend == "postgresql":
                cursor.execute("SET default_transaction_read_only = on")
            yield cursor
    except adbc_driver_manager.OperationalError as error:
        raise OperationalError(None, None, error) from None
    # Errors in the middle of a result come as Arrow's.
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise DBAPIError(None, None, error) from None


def _result_fields(rows: pa.Table, fields: list[pa.Field]) -> list[pa.Field]:
    """The wanted columns, those of type null with the type of their values."""
    import pyarrow as pa

    result_fields = []
    for values, read, field in zip(rows.columns, rows.schema, fields, strict=True):
        decided = pa.null() if values.null_count == len(values) else _storage_type(read.type)
        result_fields.append(field.with_type(decided) if pa.types.is_null(field.type) else field)
    return result_fields


def _storage_type(kind: pa.DataType) -> pa.DataType:
    """A type, of an extension type the one that it is stored as."""
    return kind.storage_type if hasattr(kind, "storage_type") else kind


def _cast_column(values: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Cast values to the wanted type; numbers of any length come as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = values.cast(_storage_type(values.type))
    if pa.types.is_null(field.type):
        return plain if plain.null_count < len(plain) else pa.chunked_array([pa.nulls(len(plain))])
    if pa.types.is_string(plain.type) and (pa.types.is_decimal(field.type) or field.metadata):
        for theirs, ours in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
            plain = pc.if_else(pc.equal(plain, theirs), ours, plain)
    try:
        return plain.cast(field.type)
    except pa.ArrowInvalid as error:
        told = NOT_DECIMAL if pa.types.is_decimal(field.type) else "cast it in a query"
        raise DataError(f"column {field.name}: a value is not of type {field.type}; {told}", detail=error) from None
