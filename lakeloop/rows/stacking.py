"""Tables of several files stacked into one: columns by name, each with one type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lakeloop.errors import DataError
from lakeloop.rows.landing_types import MOST_DIGITS
from lakeloop.rows.types import EXACT_INTEGERS
from lakeloop.spec.tables import FILE

if TYPE_CHECKING:
    import pyarrow as pa


def stack_tables(tables: Sequence[pa.Table], where: str = "") -> pa.Table:
    """Stack tables by column name; a column without a type takes that of the others, and integers become doubles beside doubles.

    Raises:
        DataError: a column has two types, or beside doubles integers that no double holds exactly.
    """
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for field in (field for table in tables for field in table.schema if not pa.types.is_null(field.type)):
        kind = types.setdefault(field.name, field.type)
        types[field.name] = _common_type(kind, field.type)
    matched = [match_landed_types(table, types) for table in tables]
    first: dict[str, pa.Table] = {}
    for rows in matched:
        for field in (field for field in rows.schema if not pa.types.is_null(field.type)):
            other = first.setdefault(field.name, rows)
            kind = other.schema.field(field.name).type
            if field.type != kind:
                raise DataError(
                    f"{where}column {field.name} is {kind} in {_file_of(other, 'one file')} and {field.type} in {_file_of(rows, 'another')}; "
                    "nothing was written"
                )
    return pa.concat_tables(matched, promote_options="default")


def _common_type(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """The type in which values of two types are stacked; the first where there is none."""
    import pyarrow as pa

    if {a, b} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_signed_integer(a) and pa.types.is_signed_integer(b):
        return a if a == b else pa.int64()
    if pa.types.is_decimal(a) and pa.types.is_decimal(b):
        scale = max(a.scale, b.scale)
        digits = max(a.precision - a.scale, b.precision - b.scale) + scale
        return pa.decimal128(digits, scale) if digits <= MOST_DIGITS else a
    return b if pa.types.is_integer(a) and pa.types.is_decimal(b) else a


def _file_of(rows: pa.Table, unknown: str) -> str:
    """The file that rows come from, where they say so."""
    return str(rows[FILE][0]) if FILE in rows.column_names and rows.num_rows else unknown


def match_landed_types(rows: pa.Table, landed: Mapping[str, pa.DataType]) -> pa.Table:
    """Cast numbers to the type of numbers in which their column has landed, if it holds each value exactly; everything else stays as it is."""
    import pyarrow as pa

    for index, field in enumerate(rows.schema):
        wanted, kind = landed.get(field.name), field.type
        if wanted is None or wanted == kind:
            continue
        if pa.types.is_int64(kind) and wanted == pa.float64():
            rows = rows.set_column(index, field.name, cast_to_doubles(rows.column(index)))
        exact = pa.types.is_integer, pa.types.is_decimal
        if any(is_kind(kind) for is_kind in exact) and any(is_kind(wanted) for is_kind in exact):
            rows = rows.set_column(index, field.name, cast_to_landed(rows.column(index), wanted))
    return rows


def cast_to_landed(numbers: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Cast integers and decimals to another such type if it holds each; otherwise they stay as they are."""
    import pyarrow as pa

    try:
        return numbers.cast(wanted)
    except pa.ArrowInvalid:
        return numbers


def cast_to_doubles(integers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cast integers to doubles if each is exactly one; otherwise they stay as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bounds = pc.min_max(integers).as_py().values()
    is_exact = all(value is None or abs(value) <= EXACT_INTEGERS for value in bounds)
    return integers.cast(pa.float64()) if is_exact else integers
