"""Declared types: the Arrow type that the lake keeps their values in, what they are to a model, and casts that change no value.

`TYPES` is the one table of declared types. Delta stores Arrow's types as they are; Polars and Spark derive theirs from them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import DataError
from lakeloop.masking import MASK
from lakeloop.spec.tables import Column, ColumnType, decimal_digits

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Kind = Literal["double", "string"]
"""What an input is to a model: a number (of booleans 0 and 1), or a category."""
EXACT_INTEGERS = 2**53
"""Every integer up to here is exactly one double (IEEE 754)."""


@dataclass(frozen=True)
class HeldType:
    """How values of a declared type are held.

    Attributes:
        arrow: the function of pyarrow that makes the Arrow type, and its arguments; times are UTC microseconds.
        model: what such a column is to a model; None if it can't be an input.
    """

    arrow: tuple[Any, ...]
    model: Kind | None


TYPES: Mapping[str, HeldType] = {
    "string": HeldType(("string",), "string"),
    "integer": HeldType(("int64",), "double"),
    "double": HeldType(("float64",), "double"),
    "boolean": HeldType(("bool_",), "double"),
    "date": HeldType(("date32",), None),
    "timestamp": HeldType(("timestamp", "us", "UTC"), None),
}


def held_type(kind: ColumnType) -> HeldType:
    """How values of a declared type are held; a decimal by its digits, and to a model as the nearest double.

    >>> held_type("decimal(10,2)").arrow, held_type("date").model
    (('decimal128', 10, 2), None)
    """
    digits = decimal_digits(kind)
    return HeldType(("decimal128", *digits), "double") if digits else TYPES[kind]


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The Arrow type of a declared column; times are UTC microseconds."""
    import pyarrow as pa

    function, *arguments = held_type(kind).arrow
    return getattr(pa, function)(*arguments)


def polars_type(kind: ColumnType) -> pl.DataType:
    """The Polars type of a declared column."""
    import polars as pl
    import pyarrow as pa

    return pl.Series(pa.nulls(0, arrow_type(kind))).dtype


def model_kind(kind: pa.DataType) -> Kind | None:
    """What a column of an Arrow type is to a model; None if it can't be an input."""
    import pyarrow as pa

    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    tests = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean
    return "double" if any(test(kind) for test in tests) else None


def schema_of(columns: Mapping[str, Column]) -> pa.Schema:
    """The Arrow schema of declared columns."""
    import pyarrow as pa

    return pa.schema([pa.field(name, arrow_type(column.type)) for name, column in columns.items()])


def to_doubles(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as doubles; decimals as the nearest ones, which Arrow's own cast misses by a digit in a tenth to a half of them (pyarrow 25).

    >>> from decimal import Decimal
    >>> import pyarrow as pa
    >>> to_doubles(pa.chunked_array([[Decimal("6.06"), None]])).to_pylist()
    [6.06, None]
    """
    import pyarrow as pa

    return values.cast(pa.string() if pa.types.is_decimal(values.type) else pa.float64()).cast(pa.float64())


def cast_exactly(table: pa.Table, schema: pa.Schema, where: str, personal: Collection[str] = ()) -> pa.Table:
    """Cast a table to a schema without changing a value.

    Raises:
        DataError: a value would change; the message names the column, the type, the first such value (masked in a personal column) and its
            row.
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
        if pa.types.is_null(values.type):  # there is no value that could change
            columns.append(values.cast(field.type))
            continue
        mismatch = _describe_mismatch(values.type, field.type)
        if mismatch:
            raise DataError(f"{where}: column {field.name}: wanted {field.type}, found {values.type}{mismatch}")
        try:
            is_rounded = pa.types.is_decimal(values.type) and pa.types.is_float64(field.type)
            cast = to_doubles(values) if is_rounded else values.cast(field.type, safe=True)
        except pa.ArrowInvalid as error:
            try:
                cast = values.cast(field.type, safe=False)
            except pa.ArrowInvalid:  # a decimal with too few digits
                raise DataError(
                    f"{where}: column {field.name}: a value would change as {field.type}; nothing was written",
                    detail="" if field.name in personal else error,
                ) from None
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


def _describe_mismatch(source: pa.DataType, target: pa.DataType) -> str:
    """Why a cast between two types makes no sense; empty where it may be tried."""
    import pyarrow as pa

    number_tests = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    if pa.types.is_timestamp(target):
        if not pa.types.is_timestamp(source):
            return "" if pa.types.is_date(source) else ", which is no time"
        return "" if source.tz else ", which has no time zone"
    if any(test(target) for test in number_tests):
        return "" if any(test(source) for test in number_tests) else ", which is no number"
    if pa.types.is_string(target):
        return ", which is no text"
    return ""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, dictionary-encoded or not; every kind of text is a string."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def lake_type(kind: pa.DataType) -> pa.DataType:
    """The type in which the lake keeps a column: `plain_type`, integers of 64 bits, times with a zone as UTC microseconds."""
    import pyarrow as pa

    kind = plain_type(kind)
    if pa.types.is_integer(kind):
        return pa.int64()
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) and kind.tz else kind


def is_same_type(a: pa.DataType, b: pa.DataType) -> bool:
    """Whether two columns hold the same: units of time don't count, zones do, and every kind of text is one."""
    import pyarrow as pa

    if pa.types.is_timestamp(a) and pa.types.is_timestamp(b):
        return bool((a.tz is None) == (b.tz is None))
    return bool(plain_type(a) == plain_type(b))
