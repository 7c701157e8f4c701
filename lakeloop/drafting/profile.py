"""A profile of rows that nobody has described yet: types by lossless parsing, nulls, ranges, keys, event time, personal columns.

A proposal and its reason for each; `lakeloop.drafting.table` writes them down.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.drafting.column_names import identifies, lake_name, personal_by_name
from lakeloop.drafting.column_times import UNDECIDED
from lakeloop.drafting.column_types import declare, is_number_text, null_words, without
from lakeloop.errors import DataError, nearest
from lakeloop.rows.conform import parse_column
from lakeloop.spec.tables import FILE, ROW, Column, ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES = 20
"""More distinct texts than this are no list of categories that a person would check."""
LONGEST_KEY = 64
"""Longer texts are prose."""
Origin = Literal["files", "answer", "onward", "adopted"]
"""Where rows come from: files, all that a database answers, what is new there since the last time, or a Delta table that stays as it is."""
_UNNUMBERED = {
    "onward": "with a cursor a row has no number that stays; name the columns that identify a row with --keys, or leave the cursor out",
    "adopted": "an adopted Delta table has no numbers of its rows; name the columns that identify a row with --keys",
}
_NOT_EVENTS = re.compile(r"birth|dob|expir|valid|due|until|updated|modified|ingested|deleted|end")
_EVENT_WORDS = {
    "at",
    "date",
    "time",
    "timestamp",
    "datetime",
    "day",
    "created",
    "ordered",
    "placed",
    "observed",
    "start",
    "started",
    "opened",
    "dt",
    "ts",
}


@dataclass(frozen=True)
class ColumnProfile:
    """One landed column, as it would be declared and what was seen in it.

    Attributes:
        name: in the lake.
        source: as landed.
        column: the proposed declaration.
        nulls, distinct: rows without a value; different values.
        low, high: the range of a number or time; None for others and for personal columns.
        values: the distinct values of a text with few of them, most frequent first; never of a personal column.
        note: why the declaration isn't obvious, for a comment.
    """

    name: str
    source: str
    column: Column
    nulls: int
    distinct: int
    low: Any = None
    high: Any = None
    values: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class TableProfile:
    """What the rows of a source look like.

    Attributes:
        rows: how many were read.
        columns: those that can be declared, in order.
        left_out: landed columns that can't be, with the reason.
        keys, key_reason: what identifies a row.
        event_time, time_reason: when it happened; None for a static table.
        null_values: how the file writes that there is no value.
        null_columns: the columns where it does so.
    """

    rows: int
    columns: tuple[ColumnProfile, ...]
    left_out: dict[str, str]
    keys: tuple[str, ...]
    key_reason: str
    event_time: str | None
    time_reason: str
    null_values: tuple[str, ...] = ("",)
    null_columns: tuple[str, ...] = field(default=())

    def column(self, name: str) -> ColumnProfile:
        """The column of that name in the lake."""
        return next(column for column in self.columns if column.name == name)


def profile_table(
    rows: pa.Table,
    *,
    text: bool,
    timezone: str = "UTC",
    keys: Sequence[str] = (),
    event_time: str | None = None,
    files: int = 1,
    origin: Origin = "files",
) -> TableProfile:
    """Profile landed rows.

    Args:
        rows: as a source delivers them; columns whose names start with `_row` or `_file` are the landing's own.
        text: the source knows no types (CSV), so that they are found by parsing.
        timezone: of times without one.
        keys: instead of a proposal, as named in the lake or as landed.
        event_time: instead of a proposal.
        files: how many files the rows come from; a row number tells rows of one file apart.
        origin: of the rows. It says whether the landing's number of a row can be its key, and whether text can be declared as a time.

    Raises:
        DataError: no column can be declared, a key or event time that was asked for isn't there or doesn't hold, or rows have no
            number of their own, and nothing in them can be the key.
    """
    import polars as pl

    from lakeloop.rows.types import arrow_type

    names = [name for name in rows.column_names if name not in (ROW, FILE)]
    words, null_columns = null_words(rows.select(names)) if text else ((), ())
    if words:
        rows = without(rows, names, words)
    found: list[ColumnProfile] = []
    left_out: dict[str, str] = {}
    typed: dict[str, pl.Series] = {}
    for source in names:
        values = rows[source]
        column, note = declare(values, source, text=text or is_number_text(rows, source), timezone=timezone, times=origin != "adopted")
        if column is None:
            left_out[source] = note
            continue
        name = lake_name(source, [c.name for c in found])
        if name != source:
            column = column.model_copy(update={"source": [source]})
        series = pl.Series(name, pl.from_arrow(parse_column(rows, name, column).cast(arrow_type(column.type))))
        typed[name] = series
        found.append(_seen(name, source, column, series, note))
    found = [_not_minutes(column, {c.name for c in found}) for column in found]
    if not found:
        raise DataError(f"no column of {len(names)} can be declared: {'; '.join(f'{n}: {why}' for n, why in left_out.items())}")
    wanted_time, time_reason = _event_time(found, event_time)
    wanted_keys, key_reason, row_columns = _keys(found, typed, rows.num_rows, wanted_time, keys, files, origin)
    return TableProfile(
        rows=rows.num_rows,
        columns=(*row_columns, *found),
        left_out=left_out,
        keys=wanted_keys,
        key_reason=key_reason,
        event_time=wanted_time,
        time_reason=time_reason,
        null_values=("", *words),
        null_columns=null_columns,
    )


def _not_minutes(column: ColumnProfile, names: set[str]) -> ColumnProfile:
    """`temp_min` beside `temp_max` is a minimum."""
    if column.column.unit != "min" or f"{column.name.removesuffix('_min')}_max" not in names:
        return column
    return replace(column, column=column.column.model_copy(update={"unit": None}))


def _seen(name: str, source: str, column: Column, values: Any, note: str) -> ColumnProfile:
    personal = personal_by_name(source)
    if personal and not column.personal and column.type in ("string", "date", "integer", "timestamp"):
        column, note = column.model_copy(update={"personal": True}), f"suspected to be personal: by its name it is {personal}"
    distinct = int(values.drop_nulls().n_unique())
    ordered = column.type in ("integer", "double", "date", "timestamp") and not column.personal
    listed: tuple[str, ...] = ()
    if column.type == "string" and not column.personal and 0 < distinct <= MOST_VALUES and distinct * 4 <= max(len(values), 1):
        counted = values.drop_nulls().value_counts(sort=True)
        listed = tuple(counted[name].to_list())
    return ColumnProfile(
        name, source, column, int(values.null_count()), distinct,
        values.min() if ordered else None, values.max() if ordered else None, listed, note,
    )  # fmt: skip


def _event_time(columns: Sequence[ColumnProfile], asked: str | None) -> tuple[str | None, str]:
    times = [c for c in columns if c.column.type in ("timestamp", "date")]
    if asked is not None:
        chosen = next((c for c in columns if asked in (c.name, c.source)), None)
        if chosen is None:
            raise DataError(f"event time: no column {asked!r}; {nearest(asked, [c.name for c in columns])}")
        if chosen.column.type == "string" and not chosen.column.personal:
            raise DataError(
                f"event time: wanted a timestamp or date, {chosen.name} is a string: {chosen.note or 'its texts are of no format that is known here'}"
                f". Draft without --event-time, give the column its type and format:, and add event_time: {chosen.name}"
            )
        if chosen not in times:
            raise DataError(f"event time: wanted a timestamp or date, {chosen.name} is a {chosen.column.type}")
        return chosen.name, "as asked for"
    usable = [c for c in times if not c.nulls and c.distinct > 1 and not c.column.personal and not _NOT_EVENTS.search(c.name)]
    if not usable:
        why = (
            "no column is a time"
            if not times
            else f"{', '.join(c.name for c in times)}: missing in some rows, or no time at which a row happens"
        )
        unread = "".join(f". {c.name}: {c.note}, and event_time: {c.name}" for c in columns if c.note.startswith(UNDECIDED))
        return None, f"{why}; the table is static{unread}"

    def worth(c: ColumnProfile) -> tuple[bool, bool, float]:
        begins = c.low.timestamp() if c.column.type == "timestamp" else float(c.low.toordinal() * 86400)
        return (c.column.type == "timestamp", bool(_EVENT_WORDS & set(c.name.split("_"))), -begins)

    best = max(usable, key=worth)
    others = [c.name for c in usable if c is not best]
    reason = f"a {best.column.type} in every row" + (f"; also possible: {', '.join(others)}" if others else "")
    return best.name, reason


def _keys(
    columns: Sequence[ColumnProfile],
    typed: dict[str, Any],
    count: int,
    event_time: str | None,
    asked: Sequence[str],
    files: int,
    origin: Origin,
) -> tuple[tuple[str, ...], str, tuple[ColumnProfile, ...]]:
    """The key, why, and the columns that have to be added for it."""
    import polars as pl

    frame = pl.DataFrame(list(typed.values()))
    if asked:
        chosen = []
        for name in asked:
            match = next((c.name for c in columns if name in (c.name, c.source)), None)
            if match is None:
                raise DataError(f"key: no column {name!r}; {nearest(name, [c.name for c in columns])}")
            chosen.append(match)
        unique = frame.select(chosen).n_unique()
        doubled = "" if unique == count else f"; {count - unique} of {count:,} rows repeat one and will be dropped as duplicates"
        return tuple(chosen), f"as asked for{doubled}", ()
    # A personal value is no key: keys stand in messages and in every table that is made from this one.
    usable = [
        c for c in columns if not c.nulls and not c.column.personal and c.column.type not in ("double", "boolean") and _short(frame[c.name])
    ]
    singles = [c for c in usable if c.distinct == count and c.column.type in ("string", "integer")]
    if count > 1 and singles:
        best = max(singles, key=lambda c: (identifies(c.source) or _names_rows(c), -list(columns).index(c)))
        # A measure that happens to differ in every row of a small table is no key.
        if identifies(best.source) or _names_rows(best) or best.column.type == "string" or list(columns).index(best) == 0:
            return (best.name,), f"unique in all {count:,} rows", ()
    pool = [c for c in usable if c.column.type in ("string", "date", "timestamp") or identifies(c.source) or c.name == event_time]
    pool = sorted(pool, key=lambda c: (c.name != event_time, not identifies(c.source), -c.distinct))[:8]
    for size in (1, 2, 3):
        for group in itertools.combinations(pool, size):
            possible = 1
            for c in group:
                possible *= c.distinct
            # With room to spare: a combination that is barely large enough is unique by accident, or one day not at all.
            timed = any(c.name == event_time for c in group)
            if possible < count * (1 if size == 1 or timed else 2) or (
                event_time and not timed and not any(identifies(c.source) for c in group)
            ):
                continue
            if frame.select([c.name for c in group]).n_unique() == count:
                chosen = [c.name for c in columns if c in group]
                return tuple(chosen), f"unique {'together ' if size > 1 else ''}in all {count:,} rows", ()
    if origin in _UNNUMBERED:
        raise DataError(
            f"key: no column of {', '.join(c.name for c in columns)}, and no few of them together, are unique in all {count:,} rows, and "
            f"{_UNNUMBERED[origin]}"
        )
    return _row_number([c.name for c in columns], count, files, origin)


def _row_number(taken: Sequence[str], count: int, files: int, origin: Origin) -> tuple[tuple[str, ...], str, tuple[ColumnProfile, ...]]:
    """The number of the row as the key, where nothing else can be."""
    name = lake_name("row_number", taken)
    source = [ROW] if files == 1 else [FILE, ROW]
    kind: ColumnType = "integer" if files == 1 else "string"
    where, holds = (
        ("its file", "That holds while rows are only added at the end")
        if origin == "files"
        else ("the answer", "A database promises no order, so a row may have another number the next time, unless a query orders them")
    )
    added = ColumnProfile(
        name, "", Column(type=kind, nullable=False, source=source, description=f"Number of the row in {where}."), 0, count
    )
    reason = (
        f"no column and no few columns together are unique, so a row is known by its number in {where}. "
        f"{holds}; name a better key if there is one"
    )
    return (name,), reason, (added,)


def _names_rows(column: ColumnProfile) -> bool:
    """Whether R or pandas wrote it: a header without a name stands over their row names, and Parquet keeps an index under a name of its own."""
    return column.source == "" or re.fullmatch(r"__index_level_\d+__", column.source) is not None


def _short(values: Any) -> bool:
    import polars as pl

    return values.dtype != pl.String or bool((values.str.len_chars().max() or 0) <= LONGEST_KEY)
