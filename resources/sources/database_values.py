"""Values as the drivers of databases hand them out, and as they land: what a driver retypes on the way is read as the database writes it."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.rows.landing_types import text_of
from resources.sources.adbc import NOT_DECIMAL

if TYPE_CHECKING:
    import pyarrow as pa

UNUSUAL_TIME = "a date or time is infinite, or not within the years 1 to 9999; replace it in a query, as by NULLIF(column, 'infinity'), or cast it to text"


def read_any_text(connection: Any, _: object) -> None:
    """Have SQLite hand out texts that aren't UTF-8 as they land."""
    connection.text_factory = text_of


def read_as_text(connection: Any, _: object) -> None:
    """Have psycopg2 leave intervals and JSON as PostgreSQL writes them, and refuse times that Python has not.

    It makes 30 days of a month, doubles of the numbers in JSON, and the year 9999 of infinity.
    """
    from psycopg2 import extensions

    def checked(number: int, cast: Any) -> Any:
        def read(value: str | None, cursor: Any) -> Any:
            if value is not None and value.endswith(("infinity", " BC")):
                raise DataError(UNUSUAL_TIME)
            try:
                return cast(value, cursor)
            except ValueError:
                raise DataError(UNUSUAL_TIME) from None

        return extensions.new_type((number,), f"TIME_{number}", read)

    def read_time(value: str | None, cursor: Any) -> Any:
        # Python has no 24:00, and psycopg2 makes 00:00 of it.
        return value if value is not None and value.startswith("24:") else extensions.PYTIME(value, cursor)

    item = extensions.new_type((114, 3802), "JSON_ITEM", lambda value, cursor: None if value is None else _Json(value))
    for kind in (
        extensions.new_type((1083, 1266), "TIME_OF_DAY", read_time),
        extensions.new_array_type((199, 3807), "JSON_ITEMS", item),
        extensions.new_type((1186, 1187, 114, 3802), "AS_TEXT", lambda value, cursor: value),
        checked(1082, extensions.PYDATE),
        checked(1114, extensions.PYDATETIME),
        checked(1184, extensions.PYDATETIMETZ),
    ):
        extensions.register_type(kind, connection)
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        connection.set_client_encoding("LATIN1")  # hands out every byte, and what they are is decided where they are read


def to_array(values: list[Any], field: pa.Field, where: str) -> pa.Array:
    """Values of a driver as an Arrow array of a field's type; of type null, the values decide.

    Raises:
        DataError: one isn't of the type.
    """
    import pyarrow as pa

    kind = field.type
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        values = [_plain(value, text=pa.types.is_string(kind)) for value in values]
    if pa.types.is_binary(kind):
        values = [None if value is None else bytes(value) for value in values]
    try:
        return pa.array(values) if pa.types.is_null(kind) else pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        told = NOT_DECIMAL if pa.types.is_decimal(kind) else "cast it in a query"
        raise DataError(f"{where}: column {field.name}: a value is not of type {kind}; {told}", detail=error) from None


class _Json(str):
    """A JSON value within an array, as PostgreSQL writes it."""


def _nested_text(value: Any) -> str:
    """An array or an object as JSON text: JSON within it with the digits that it has, bytes as hexadecimal digits."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_nested_text, value)) + "]"
    if isinstance(value, _Json):
        return str(value)
    return json.dumps(value, default=lambda item: item.hex() if isinstance(item, (bytes, memoryview)) else str(item), ensure_ascii=False)


def _plain(value: Any, *, text: bool) -> Any:
    """A value as Arrow accepts it: one of a type that Arrow lacks as text, structures as JSON."""
    if value is None or isinstance(value, str) or (not text and isinstance(value, (bool, int, float, datetime, date, bytes))):
        return value
    if isinstance(value, (dict, list)):
        return _nested_text(value)
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    return str(value)
