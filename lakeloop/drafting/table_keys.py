"""The key that rows are drafted with: a column, a few columns together, or else the number of the row."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.drafting.column_names import ROW_NAME, is_identifier, lake_name
from lakeloop.drafting.column_profile import ColumnProfile
from lakeloop.errors import DataError, nearest
from lakeloop.spec.tables import FILE, ROW, Column, ColumnType, decimal_digits

if TYPE_CHECKING:
    import polars as pl

LONGEST_KEY = 64
"""Longer texts are prose and no keys."""
Origin = Literal["files", "answer", "onward", "adopted"]
"""Where rows come from: files, the whole answer of a database, its new rows since the last query, or a Delta table that is read in place."""


def find_keys(
    columns: Sequence[ColumnProfile], frame: pl.DataFrame, event_time: str | None, requested: Sequence[str], files: int, origin: Origin
) -> tuple[tuple[str, ...], str, tuple[ColumnProfile, ...]]:
    """The key, why, and the columns that must be added for it."""
    count = len(frame)
    if requested:
        return *_requested_key(columns, frame.drop_nulls([c.name for c in columns if c.unread]), requested), ()
    # A personal value is no key: keys appear in messages and in every table that is made from this one.
    usable = [c for c in columns if c.is_complete and not c.column.personal and _is_key_type(c.column.type) and _is_short(frame[c.name])]
    # Rows whose local time isn't one moment have no key, unless their order tells.
    frame = frame.drop_nulls([c.name for c in columns if c.unread])
    single = _single_key(columns, usable, count)
    if single is not None:
        return (single.name,), f"unique in all {count:,} rows", ()
    group = _composite_key(usable, frame, event_time)
    if group:
        names = tuple(c.name for c in columns if c in group)
        return names, f"unique {'together ' if len(names) > 1 else ''}in all {count:,} rows", ()
    if origin == "adopted":
        return (), f"{_no_key(count)}: views can read the table, and features come from views", ()
    if origin == "onward":
        raise DataError(
            f"key: no column of {', '.join(c.name for c in columns)}, and no few of them together, are unique in all {count:,} rows, and with "
            "a cursor a row has no permanent number; name the columns that identify a row with --keys, or leave the cursor out"
        )
    return _row_number([c.name for c in columns], count, files, origin)


def _is_key_type(kind: ColumnType) -> bool:
    """Whether values of a type are equal or not: those of a double are near each other."""
    digits = decimal_digits(kind)
    return kind not in ("double", "boolean") and (digits is None or digits[1] == 0)


def _requested_key(columns: Sequence[ColumnProfile], frame: pl.DataFrame, requested: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The columns that were named as the key, by their names in the lake."""
    names = []
    for name in requested:
        match = next((c.name for c in columns if name in (c.name, c.source)), None)
        if match is None:
            raise DataError(f"key: no column {name!r}; {nearest(name, [c.name for c in columns])}")
        names.append(match)
    count, unique = len(frame), frame.select(names).n_unique()
    duplicates = "" if unique == count else f"; {count - unique} of {count:,} rows repeat one and will be dropped as duplicates"
    return tuple(names), f"as requested{duplicates}"


def _single_key(columns: Sequence[ColumnProfile], usable: Sequence[ColumnProfile], count: int) -> ColumnProfile | None:
    """The single column that identifies a row, if there is one."""
    singles = [c for c in usable if c.distinct == count and c.column.type in ("string", "integer")]
    if count <= 1 or not singles:
        return None
    positions = {c.name: position for position, c in enumerate(columns)}
    # The names of rows are their numbers in most files, and others in the next export.
    best = max(singles, key=lambda c: (is_identifier(c.source), _is_row_index(c), -positions[c.name]))
    # A measurement that happens to differ in every row of a small table is no key.
    is_key = is_identifier(best.source) or _is_row_index(best) or best.column.type == "string" or positions[best.name] == 0
    return best if is_key else None


def _composite_key(usable: Sequence[ColumnProfile], frame: pl.DataFrame, event_time: str | None) -> tuple[ColumnProfile, ...]:
    """Up to three columns that identify a row together; empty where there are none."""
    pool = [c for c in usable if c.column.type in ("string", "date", "timestamp") or is_identifier(c.source) or c.name == event_time]
    pool = sorted(pool, key=lambda c: (c.name != event_time, not is_identifier(c.source), -c.distinct))[:8]
    for size in (1, 2, 3):
        for group in itertools.combinations(pool, size):
            combinations = math.prod(c.distinct for c in group)
            has_time = any(c.name == event_time for c in group)
            # With room to spare: a combination with barely enough values is unique by accident, and may not be for long.
            if combinations < len(frame) * (1 if size == 1 or has_time else 2):
                continue
            if event_time and not has_time and not any(is_identifier(c.source) for c in group):
                continue
            if frame.select([c.name for c in group]).n_unique() == len(frame):
                return group
    return ()


def _no_key(count: int) -> str:
    """Why there is no key: columns that are unique together in a few rows may be so by chance."""
    return f"no column is unique, and no few columns together are by more than chance in {count:,} rows"


def _row_number(names: Sequence[str], count: int, files: int, origin: Origin) -> tuple[tuple[str, ...], str, tuple[ColumnProfile, ...]]:
    """The row number as the key, where nothing else can be."""
    name = lake_name("row_number", names)
    source = [ROW] if files == 1 else [FILE, ROW]
    kind: ColumnType = "integer" if files == 1 else "string"
    where, validity = (
        ("its file", "This holds while rows are only added at the end")
        if origin == "files"
        else (
            "the answer",
            "A database guarantees no order, so a row may have another number the next time, unless a query orders the rows",
        )
    )
    column = ColumnProfile(
        name, "", Column(type=kind, nullable=False, source=source, description=f"Number of the row in {where}."), 0, count
    )
    reason = f"{_no_key(count)}, so a row is identified by its number in {where}. {validity}; name a better key if there is one"
    return (name,), reason, (column,)


def _is_row_index(column: ColumnProfile) -> bool:
    """Whether R or pandas wrote the column: row names under an empty header, or the index under its name in Parquet."""
    return column.source in ("", ROW_NAME) or re.fullmatch(r"__index_level_\d+__", column.source) is not None


def _is_short(values: Any) -> bool:
    import polars as pl

    return values.dtype != pl.String or bool((values.str.len_chars().max() or 0) <= LONGEST_KEY)
