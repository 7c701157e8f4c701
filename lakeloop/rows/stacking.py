"""Tables of several files as one: columns by name, and one type for each or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lakeloop.errors import DataError
from lakeloop.rows.types import EXACT_INTEGERS
from lakeloop.spec.tables import FILE

if TYPE_CHECKING:
    import pyarrow as pa


def stack_tables(tables: Sequence[pa.Table], where: str = "") -> pa.Table:
    """Tables one below the other; a column without a type takes that of the others, and integers are doubles where others are.

    Raises:
        DataError: a column is of two types, or of integers that no double holds exactly beside doubles.
    """
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for field in (field for table in tables for field in table.schema if not pa.types.is_null(field.type)):
        known = types.setdefault(field.name, field.type)
        if {known, field.type} == {pa.int64(), pa.float64()}:
            types[field.name] = pa.float64()
    fitted = [match_landed_types(table, types) for table in tables]
    first: dict[str, pa.Table] = {}
    for rows in fitted:
        for field in (field for field in rows.schema if not pa.types.is_null(field.type)):
            other = first.setdefault(field.name, rows)
            kind = other.schema.field(field.name).type
            if field.type != kind:
                raise DataError(
                    f"{where}column {field.name} is {kind} in {_file_of(other, 'one file')} and {field.type} in {_file_of(rows, 'another')}; "
                    "nothing was written"
                )
    return pa.concat_tables(fitted, promote_options="default")


def _file_of(rows: pa.Table, unknown: str) -> str:
    """The file that rows are of, where they say so."""
    return str(rows[FILE][0]) if FILE in rows.column_names and rows.num_rows else unknown


def match_landed_types(rows: pa.Table, landed: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows with integers as doubles where a column has landed so and each is exactly one; everything else as it is."""
    import pyarrow as pa

    for index, field in enumerate(rows.schema):
        if pa.types.is_int64(field.type) and landed.get(field.name) == pa.float64():
            rows = rows.set_column(index, field.name, cast_to_doubles(rows.column(index)))
    return rows


def cast_to_doubles(integers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Integers as doubles if each of them is exactly one; else as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pc.min_max(integers).as_py().values()
    exact = all(value is None or abs(value) <= EXACT_INTEGERS for value in ends)
    return integers.cast(pa.float64()) if exact else integers
