"""Fingerprints: a short hash by which two sets of inputs are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    import pyarrow as pa


class Fingerprint(str):
    """A fingerprint that knows its parts, so that it can be told which of them changed; it is equal to any string of the same characters.

    Attributes:
        parts: by name a short hash (`hash@version` where there is a version to tell), or a value as `=value`; None where they weren't noted.
    """

    parts: Mapping[str, str] | None

    def __new__(cls, text: str, parts: Mapping[str, str] | None = None) -> Fingerprint:
        """A fingerprint with its parts."""
        self = super().__new__(cls, text)
        self.parts = None if parts is None else dict(parts)
        return self


def short_hash(value: Any) -> str:
    """A hash that is long enough to notice that a part of a fingerprint changed."""
    return fingerprint(value)[:8]


def fingerprint(*parts: Any) -> str:
    """Hash JSON-like values and specs; the order of keys doesn't matter, the order of parts does.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    >>> fingerprint("a", "b") == fingerprint("ab")
    False
    """
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_hash(rows: pa.Table) -> str:
    """Hash the values of a table with its column names, types and row order, whatever its chunks."""
    import pyarrow as pa

    digest = hashlib.sha256(str([(f.name, str(f.type)) for f in rows.schema]).encode())
    # Rebuilt in fixed slices, so that offsets and chunk borders of the input don't show in the bytes.
    combined = rows.replace_schema_metadata(None).combine_chunks()
    for start in range(0, max(combined.num_rows, 1), 65536):
        part = combined.slice(start, 65536)
        if part.num_rows:
            part = part.take(pa.array(range(part.num_rows), type=pa.int64()))
        for batch in part.to_batches():
            digest.update(batch.serialize())
    return digest.hexdigest()[:16]


def day_hashes(rows: pa.Table, time: str) -> dict[str, str]:
    """Hash the rows of each day (UTC), whatever their order, so that a reader of some days notices changes in these alone.

    Args:
        rows: any columns; those that start with `_` are ignored.
        time: a date, or a timestamp with a time zone, without nulls.

    >>> import pyarrow as pa
    >>> from datetime import date
    >>> one = day_hashes(pa.table({"d": [date(2024, 3, 1), date(2024, 3, 2)], "v": [1, 2]}), "d")
    >>> two = day_hashes(pa.table({"d": [date(2024, 3, 2), date(2024, 3, 1)], "v": [3, 1]}), "d")
    >>> [day for day in one if one[day] != two[day]]
    ['2024-03-02']
    """
    import polars as pl

    frame = pl.from_arrow(rows.select([name for name in rows.column_names if not name.startswith("_")]))
    assert isinstance(frame, pl.DataFrame)
    days = frame.select(pl.col(time).cast(pl.Date).cast(pl.String).alias("day"), frame.hash_rows(seed=0).alias("print"))
    totals = days.group_by("day").agg(pl.len(), pl.col("print").sum()).sort("day")
    return {day: f"{count}-{total:x}" for day, count, total in totals.iter_rows() if day is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(val) for key, val in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(val) for val in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"can't fingerprint a {type(value).__name__}")
