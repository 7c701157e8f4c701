"""How columns are encoded in a table's Parquet files: a dictionary only where values come again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import WriterProperties

SAMPLE = 4096
"""Rows looked at, evenly spaced."""


def writer_properties(rows: pa.Table) -> WriterProperties:
    """Numbers and times are encoded plainly where most of a sample are different.

    A writer finds that out by itself only after it has built a dictionary of a megabyte, which is most of what writing costs. Strings keep
    theirs, for the joins that read them as codes.

    Args:
        rows: what is to be written.
    """
    from deltalake import ColumnProperties, WriterProperties

    plain = ColumnProperties(dictionary_enabled=False)
    return WriterProperties(column_properties=dict.fromkeys(mostly_distinct(rows), plain))


def mostly_distinct(rows: pa.Table) -> list[str]:
    """Names of the columns of numbers and times in which more than half of the sampled values are different.

    >>> import pyarrow as pa
    >>> mostly_distinct(pa.table({"loss": [0.1, 0.2, 0.3], "count": [1, 1, 2], "name": ["a", "b", "c"]}))
    ['loss', 'count']
    >>> mostly_distinct(pa.table({"count": [1, 1, 1, 2]}))
    []
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    size = min(rows.num_rows, SAMPLE)
    if not size:
        return []
    sample = pa.array(np.linspace(0, rows.num_rows - 1, size).astype(np.int64))
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_temporal)
    return [
        field.name
        for field in rows.schema
        if any(is_kind(field.type) for is_kind in kinds) and 2 * pc.count_distinct(rows[field.name].take(sample)).as_py() > size
    ]
