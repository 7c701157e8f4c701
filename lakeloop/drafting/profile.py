"""A profile of rows that nobody has described yet: types by lossless parsing, nulls, ranges, keys, event time, personal columns.

Each is a proposal with its reason; `lakeloop.drafting.table` writes them to a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lakeloop.drafting.column_names import lake_name, personal_by_name
from lakeloop.drafting.column_profile import ColumnProfile
from lakeloop.drafting.column_times import ASSUMED, SAMPLE, UNDECIDED, UNREAD
from lakeloop.drafting.column_types import declare, find_null_words, has_mark, is_number_text, replace_null_words, take_errors
from lakeloop.drafting.table_keys import Origin, find_keys
from lakeloop.drafting.table_zone import choose_zone, put_in_zone, settle_columns
from lakeloop.errors import DataError, nearest
from lakeloop.rows.conform import parse_column
from lakeloop.rows.landing_types import CELL_TEXT, FOLDER_TEXT, JSON_TEXT, NON_FINITE_TEXTS
from lakeloop.rows.types import arrow_type
from lakeloop.spec.tables import FILE, ROW, Column, is_number_type
from lakeloop.spec.zones import check_zone

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

MOST_VALUES = 20
"""More distinct texts than this are too many categories for a person to review."""
MOST_FIELDS = 50
"""More names than this in the objects of a column are values, not fields."""
DEEPEST_PATH = 4
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
class TableProfile:
    """The proposed definition of the rows of a source.

    Attributes:
        rows: the number of rows that were read.
        columns: those that can be declared, in order.
        left_out: landed columns that can't be declared, with the reason.
        keys, key_reason: the columns that identify a row, and why; no key where an adopted table has none.
        event_time, time_reason: the column of the time of a row, and why; None for a static table.
        timezone, zone_reason: the zone of times that name none, or in which days begin, and why; None where there is nothing to say.
    """

    rows: int
    columns: tuple[ColumnProfile, ...]
    left_out: dict[str, str]
    keys: tuple[str, ...]
    key_reason: str
    event_time: str | None
    time_reason: str
    timezone: str | None = None
    zone_reason: str = ""

    def column(self, name: str) -> ColumnProfile:
        """The column with this name in the lake."""
        return next(column for column in self.columns if column.name == name)


def profile_table(
    rows: pa.Table,
    *,
    text: bool,
    timezone: str | None = None,
    keys: Sequence[str] = (),
    event_time: str | None = None,
    files: int = 1,
    origin: Origin = "files",
    workbook: bool = False,
) -> TableProfile:
    """Profile landed rows.

    Args:
        rows: as a source delivers them; columns whose names start with `_row` or `_file` are added when rows are landed.
        text: whether the source has no types (CSV), so that they are found by parsing.
        timezone: of times without one, instead of a proposal.
        keys: instead of a proposal, as named in the lake or as landed.
        event_time: instead of a proposal.
        files: the number of files that the rows come from; a row number identifies rows within one file.
        origin: of the rows. It determines whether the number of a row can be its key, and whether text can be declared as a time.
        workbook: whether they are cells of a workbook, of which some may have an error instead of a value.

    Raises:
        DataError: there is no such zone, no column can be declared, a requested key or event time doesn't exist or doesn't fit, or rows that are read onward have
            nothing that can be the key.
    """
    import polars as pl

    try:
        check_zone(timezone)
    except ValueError as error:
        raise DataError(f"timezone: {error}") from error
    names = [name for name in rows.column_names if name not in (ROW, FILE)]
    null_words = find_null_words(rows.select(names)) if text else {}
    rows = replace_null_words(rows, null_words)
    rows, errors = take_errors(rows) if workbook else (rows, {})
    columns: list[ColumnProfile] = []
    left_out: dict[str, str] = {}
    typed: dict[str, pl.Series] = {}
    for part in _parts(rows, names):
        source, shown = part.source, ".".join([part.source, *part.path])
        has_no_type = (
            (text and not has_mark(rows, source, CELL_TEXT))
            or part.is_text
            or is_number_text(rows, source)
            or has_mark(rows, source, FOLDER_TEXT)
        )
        column, note = declare(part.values, shown, text=has_no_type, timezone=timezone or "UTC", in_place=origin == "adopted")
        if column is None:
            left_out[source] = note
            continue
        name = lake_name(shown, [c.name for c in columns])
        if name != source:
            column = column.model_copy(update={"source": [source]})
        if source in null_words:
            column = column.model_copy(update={"null_values": list(null_words[source])})
        if part.path:
            column = column.model_copy(update={"path": list(part.path)})
        if workbook and note.startswith(ASSUMED) and is_number_text(rows, source):
            note = ""  # a cell that is a number leaves nothing to assume
        note = "; ".join(filter(None, (note, part.note, errors.get(source))))
        series = pl.Series(name, pl.from_arrow(parse_column(rows, name, column).cast(arrow_type(column.type))))
        typed[name] = series
        columns.append(_profile_column(name, shown, column, series, note))
    columns = [_without_minutes(column, {c.name for c in columns}) for column in columns]
    zone = choose_zone(columns, typed, timezone)
    columns = put_in_zone(rows, columns, typed, zone.zone)
    if not columns:
        raise DataError(f"no column of {len(names)} can be declared: {'; '.join(f'{n}: {why}' for n, why in left_out.items())}")
    time, time_reason = _event_time(columns, event_time)
    frame = pl.DataFrame(list(typed.values()))
    key, key_reason, row_columns = find_keys(columns, frame, time, keys, files, origin)
    columns = settle_columns(rows, columns, key, zone.zone)
    return TableProfile(
        rows=rows.num_rows,
        columns=(*row_columns, *columns),
        left_out=left_out,
        keys=key,
        key_reason=key_reason,
        event_time=time,
        time_reason=time_reason,
        timezone=zone.zone,
        zone_reason=zone.reason,
    )


@dataclass(frozen=True)
class _Part:
    """What one column is declared from: a landed column, or the field of one that holds JSON.

    Attributes:
        source: the landed column.
        path: to the field; empty for the column itself.
        values: of the column or field.
        is_text: whether the values are text without a type.
        note: for a comment.
    """

    source: str
    path: tuple[str, ...]
    values: pa.ChunkedArray
    is_text: bool = False
    note: str = ""


def _parts(rows: pa.Table, names: Sequence[str]) -> Iterator[_Part]:
    """The landed columns, and for a column of JSON objects their fields."""
    import pyarrow as pa

    for name in names:
        fields = json_fields(rows[name]) if has_mark(rows, name, JSON_TEXT) else {}
        for path, kinds in fields.items():
            values = parse_column(rows.select([name]), name, Column(type="string", path=list(path)))
            note = "" if not kinds & {"list", "dict"} else "JSON text: lists or objects, for a function of a view"
            yield _Part(name, path, pa.chunked_array([values]), is_text=not kinds & {"str", "list", "dict"}, note=note)
        if not fields:
            note = "JSON text: lists or objects, for a function of a view" if has_mark(rows, name, JSON_TEXT) else ""
            yield _Part(name, (), rows[name], note=note)


def json_fields(texts: pa.ChunkedArray) -> dict[tuple[str, ...], set[str]]:
    """The fields of objects in JSON, by path, with the kinds of their values; none where there are other values, or many different names.

    >>> import pyarrow as pa
    >>> json_fields(pa.chunked_array([['{"name": "Bonn", "at": {"lat": 50.7}}', '{"name": null}']]))
    {('name',): {'str'}, ('at', 'lat'): {'float'}}
    """
    fields: dict[tuple[str, ...], set[str]] = {}

    def look(value: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for name, item in value.items():
            inner = (*path, name)
            if isinstance(item, dict) and len(inner) < DEEPEST_PATH and item:
                look(item, inner)
            elif item is not None:
                fields.setdefault(inner, set()).add("float" if item in NON_FINITE_TEXTS else type(item).__name__)
            else:
                fields.setdefault(inner, set())

    for text in texts.unique().slice(0, SAMPLE).to_pylist():
        value = json.loads(text or "{}")
        if not isinstance(value, dict):
            return {}
        look(value, ())
    inner_nodes = {path[:depth] for path in fields for depth in range(1, len(path))}
    fields = {path: kinds for path, kinds in fields.items() if not (path in inner_nodes and not kinds)}
    return fields if len(fields) <= MOST_FIELDS and not inner_nodes & fields.keys() else {}


def _without_minutes(column: ColumnProfile, names: set[str]) -> ColumnProfile:
    """The column without the unit of minutes where its name means a minimum, as `temp_min` beside `temp_max`."""
    if column.column.unit != "min" or f"{column.name.removesuffix('_min')}_max" not in names:
        return column
    return replace(column, column=column.column.model_copy(update={"unit": None}))


def _profile_column(name: str, source: str, column: Column, values: Any, note: str) -> ColumnProfile:
    personal = personal_by_name(source)
    if personal and not column.personal and column.type in ("string", "date", "integer", "timestamp"):
        column, note = column.model_copy(update={"personal": True}), f"suspected to be personal: by its name it is {personal}"
    distinct = int(values.drop_nulls().n_unique())
    has_range = (is_number_type(column.type) or column.type in ("date", "timestamp")) and not column.personal
    ranged = values.filter(values.is_finite()) if column.type == "double" else values
    categories: tuple[str, ...] = ()
    if column.type == "string" and not column.personal and 0 < distinct <= MOST_VALUES and distinct * 4 <= max(len(values), 1):
        categories = tuple(values.drop_nulls().value_counts(sort=True, name=f"{name}_rows")[name].to_list())
    return ColumnProfile(
        name, source, column, int(values.null_count()), distinct,
        ranged.min() if has_range else None, ranged.max() if has_range else None, categories, note,
    )  # fmt: skip


def _event_time(columns: Sequence[ColumnProfile], requested: str | None) -> tuple[str | None, str]:
    times = [c for c in columns if c.column.type in ("timestamp", "date")]
    if requested is not None:
        chosen = next((c for c in columns if requested in (c.name, c.source)), None)
        if chosen is None:
            raise DataError(f"event time: no column {requested!r}; {nearest(requested, [c.name for c in columns])}")
        if chosen.column.type == "string" and not chosen.column.personal:
            raise DataError(
                f"event time: wanted a timestamp or date, {chosen.name} is a string: {chosen.note or 'its texts have no known format'}"
                f". Draft without --event-time, give the column its type and format:, and add event_time: {chosen.name}"
            )
        if chosen not in times:
            raise DataError(f"event time: wanted a timestamp or date, {chosen.name} is a {chosen.column.type}")
        return chosen.name, "as requested"
    usable = [c for c in times if c.is_complete and c.distinct > 1 and not c.column.personal and not _NOT_EVENTS.search(c.name)]
    if not usable:
        why = "no column is a time" if not times else f"{', '.join(c.name for c in times)}: missing in some rows, or not the time of a row"
        unread = "".join(f". {c.name}: {c.note}, and event_time: {c.name}" for c in columns if c.note.startswith((UNDECIDED, UNREAD)))
        return None, f"{why}; the table is static{unread}"

    def rank(c: ColumnProfile) -> tuple[bool, bool, float]:
        start = c.low.timestamp() if c.column.type == "timestamp" else float(c.low.toordinal() * 86400)
        return (c.column.type == "timestamp", bool(_EVENT_WORDS & set(c.name.split("_"))), -start)

    best = max(usable, key=rank)
    others = [c.name for c in usable if c is not best]
    reason = f"a {best.column.type} in every row" + (f"; also possible: {', '.join(others)}" if others else "")
    return best.name, reason
