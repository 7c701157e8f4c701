"""How columns are encoded in a table's Parquet files: a dictionary only where values come again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeloop.rows.types import plain_type

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import WriterProperties

SAMPLE = 4096
"""Rows looked at, evenly spaced."""
SHORT_BYTES = 32
"""Strings up to this long, on average, cost little space without a dictionary."""


def writer_properties(rows: pa.Table) -> WriterProperties:
    """Values that hardly come again are encoded plainly.

    A writer finds that out by itself only after it has built a dictionary of a megabyte, which is most of what writing costs.

    Args:
        rows: what is to be written.
    """
    from deltalake import ColumnProperties, WriterProperties

    plain = ColumnProperties(dictionary_enabled=False)
    return WriterProperties(column_properties=dict.fromkeys(plain_columns(rows), plain))


def plain_columns(rows: pa.Table) -> list[str]:
    """Names of the columns that are better off without a dictionary.

    Those are numbers and times of which more than half of a sample are different, and short strings of which nearly all are, unless they
    stand in runs: the keys of a table that is written in their order keep a dictionary, for the joins that read them as codes.

    >>> import pyarrow as pa
    >>> plain_columns(pa.table({"loss": [0.1, 0.2, 0.3], "count": [1, 1, 2], "name": ["a", "b", "c"], "kind": ["a", "a", "b"]}))
    ['loss', 'count', 'name']
    >>> plain_columns(pa.table({"count": [1, 1, 1, 2], "name": ["a", "b", "a", "b"]}))
    []
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    size = min(rows.num_rows, SAMPLE)
    if not size:
        return []
    places = np.linspace(0, rows.num_rows - 1, size).astype(np.int64)
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_temporal)
    names = []
    for field in rows.schema:
        sample = rows[field.name].take(pa.array(places))
        if any(is_kind(field.type) for is_kind in numbers):
            if 2 * pc.count_distinct(sample).as_py() > size:
                names.append(field.name)
        elif pa.types.is_string(plain_type(field.type)):
            sample = sample.cast(pa.string())
            after = rows[field.name].take(pa.array(np.minimum(places + 1, rows.num_rows - 1))).cast(pa.string())
            in_runs = 2 * (pc.sum(pc.equal(sample, after)).as_py() or 0) > size
            is_short = (pc.mean(pc.binary_length(sample)).as_py() or 0) <= SHORT_BYTES
            if 10 * pc.count_distinct(sample).as_py() > 9 * size and is_short and not in_runs:
                names.append(field.name)
    return names
