"""The Arrow types of declared columns, and casts that change no value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from lakeloop.errors import DataError
from lakeloop.masking import MASK
from lakeloop.spec.tables import Column, ColumnType

if TYPE_CHECKING:
    import pyarrow as pa


EXACT_INTEGERS = 2**53
"""Every integer up to here is exactly one double (IEEE 754)."""


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The Arrow type of a declared column; times are UTC microseconds."""
    import pyarrow as pa

    return {
        "string": pa.string(),
        "integer": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }[kind]


def schema_of(columns: Mapping[str, Column]) -> pa.Schema:
    """The Arrow schema of declared columns."""
    import pyarrow as pa

    return pa.schema([pa.field(name, arrow_type(column.type)) for name, column in columns.items()])


def cast_exactly(table: pa.Table, schema: pa.Schema, where: str, personal: Collection[str] = ()) -> pa.Table:
    """Cast a table to a schema without changing a value.

    Raises:
        DataError: a value would change; the message names the column, the type, the first such value (of a personal column: masked) and
            its row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for field in schema:
        values = table[field.name]
        if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
            values = values.cast(pa.string())
        if values.type == field.type:
            columns.append(values)
            continue
        strange = _cannot_hold(values.type, field.type)
        if strange:
            raise DataError(f"{where}: column {field.name}: wanted {field.type}, found {values.type}{strange}")
        try:
            cast = values.cast(field.type, safe=True)
        except pa.ArrowInvalid:
            cast = values.cast(field.type, safe=False)
        back = cast.cast(values.type, safe=False)
        changed = pc.fill_null(pc.not_equal(values, back), False)
        if pa.types.is_floating(values.type):
            changed = pc.and_(changed, pc.invert(pc.is_nan(pc.fill_null(values, 0.0))))
            if pa.types.is_integer(field.type):
                changed = pc.or_(changed, pc.fill_null(pc.is_nan(values), False))
        if pa.types.is_integer(values.type) and pa.types.is_floating(field.type):
            changed = pc.or_(changed, pc.fill_null(pc.greater(pc.abs(values.cast(pa.int64())), EXACT_INTEGERS), False))
        if pc.any(changed).as_py():
            row = pc.index(changed, True).as_py()
            shown = MASK if field.name in personal else repr(values[row].as_py())
            raise DataError(f"{where}: column {field.name}: {shown} (row {row}) would change as {field.type}; nothing was written")
        columns.append(cast)
    return pa.table(columns, schema=schema)


def _cannot_hold(found: pa.DataType, wanted: pa.DataType) -> str:
    """Why a cast between two kinds of value makes no sense; empty where it may be tried."""
    import pyarrow as pa

    number = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    if pa.types.is_null(found):
        return ""
    if pa.types.is_timestamp(wanted):
        if not pa.types.is_timestamp(found):
            return "" if pa.types.is_date(found) else ", which is no time"
        return "" if found.tz else ", which has no time zone"
    if any(test(wanted) for test in number):
        return "" if any(test(found) for test in number) else ", which is no number"
    if pa.types.is_string(wanted):
        return ", which is no text"
    return ""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """What a column holds, whether as a dictionary or not; every kind of text is a string."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def is_same_type(a: pa.DataType, b: pa.DataType) -> bool:
    """Whether two columns hold the same: of times the zone counts and not the unit, and every kind of text is one."""
    import pyarrow as pa

    if pa.types.is_timestamp(a) and pa.types.is_timestamp(b):
        return bool((a.tz is None) == (b.tz is None))
    return bool(plain_type(a) == plain_type(b))
