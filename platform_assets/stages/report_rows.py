"""Rows of the tables in `reports/*`: the keys that all of them share, and how they are appended, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resources.lake.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

PARTITION_BY = ("domain", "workflow")
TEXT, NUMBER, COUNT, FLAG = "text", "number", "count", "flag"
KEYS = dict.fromkeys(("domain", "workflow", "version", "segment", "slice", "window", "run_id"), TEXT)
"""What all report tables share, beside `at`. A key is null where it doesn't apply: segment and slice where a row is of all rows, version before
there is a model."""


def append_report(lake: Lake, table: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], *, once: str) -> None:
    """Append rows to a report table; a second call with the same `once` adds nothing.

    Args:
        lake: to write to.
        table: `reports/<name>`.
        columns: what the table has beside the shared keys, as the kind of each.
        rows: by column; what a row lacks is null.
        once: names this very append.
    """
    lake.append(table, report_rows(columns, rows), partition_by=PARTITION_BY, once=once)


def report_rows(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows in the schema of a report table."""
    import pyarrow as pa

    kinds = {TEXT: pa.string(), NUMBER: pa.float64(), COUNT: pa.int64(), FLAG: pa.bool_()}
    schema = pa.schema([*((name, kinds[kind]) for name, kind in {**KEYS, **columns}.items()), ("at", pa.timestamp("us", tz="UTC"))])
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
