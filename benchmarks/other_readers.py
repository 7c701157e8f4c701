"""What other readers say that a file holds, and whether a value that was read back is the same."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from lakeloop.spec.tables import EPOCHS, Column, Files
from resources.sources.files import SourceFile, decompress

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, list[Any]]
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Unreadable:
    """Why a reader doesn't take a file."""

    reason: str


@dataclass(frozen=True)
class Moment:
    """A time, in microseconds since 1970."""

    microseconds: int


def readings(path: Path, kind: str, source: Files) -> Iterator[tuple[str, Columns | Unreadable]]:
    """What other readers read of a file: by the name of the reader the values of each column, or why it doesn't."""
    if kind == "parquet":
        yield "DuckDB", _duckdb("SELECT * FROM read_parquet(?)", path)
        yield "PyArrow", _pyarrow(path)
    elif kind == "jsonl":
        yield "DuckDB", _duckdb_json(path)
        yield "Python's json", _python_json(path, source)
    else:
        yield "DuckDB", _duckdb("SELECT * FROM read_csv(?, all_varchar = true, max_line_size = 20000000)", path)
        yield "DuckDB by the options of the draft", _duckdb(_by_options(path, source), path)
        yield "Python's csv by the options of the draft", _python_csv(path, source)


def _duckdb(query: str, path: Path) -> Columns | Unreadable:
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    try:
        return _columns_of(connection.execute(query, [str(path).replace("[", "[[]")]).to_arrow_table())
    except Exception as error:  # DuckDB raises many kinds, and so does Arrow of what it gives
        return Unreadable(f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def _pyarrow(path: Path) -> Columns | Unreadable:
    import pyarrow.parquet as pq

    try:
        return _columns_of(pq.ParquetFile(path).read())
    except Exception as error:
        return Unreadable(f"{type(error).__name__}: {error}")


def _columns_of(table: pa.Table) -> Columns:
    import pyarrow as pa

    columns: Columns = {}
    for name, values in zip(table.column_names, table.columns, strict=True):
        kind = values.type
        if pa.types.is_timestamp(kind):
            scale = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[kind.unit]
            numbers = values.cast(pa.int64()).to_pylist()
            items: list[Any] = [None if n is None else Moment(n // 1000 if kind.unit == "ns" else n * scale) for n in numbers]
        elif pa.types.is_interval(kind) or pa.types.is_duration(kind):
            items = [None if value is None else timedelta(0) for value in values.is_valid().to_pylist()]
        else:
            items = values.to_pylist()
        columns[name if name not in columns else f"{name}_{len(columns)}"] = items
    return columns


def _by_options(path: Path, source: Files) -> str:
    """A query that reads CSV as a draft states it."""
    delimiter = "\t" if ".tsv" in path.name and source.delimiter == "," else source.delimiter
    quote = "" if source.quote == "none" else '"'
    escape = source.escape or quote
    comment = f", comment = '{source.comment}'" if source.comment else ""
    quoted = [text.replace("'", "''") for text in (delimiter, quote, escape)]
    return (
        f"SELECT * FROM read_csv(?, delim = '{quoted[0]}', quote = '{quoted[1]}', escape = '{quoted[2]}', header = {source.header}{comment}, "
        "all_varchar = true, skip = 0, max_line_size = 20000000)"
    )


def _text(path: Path, source: Files) -> str:
    (_, data), *_ = decompress(SourceFile(path, path.name, ""), source)
    return data.decode("utf-8-sig")


def _python_csv(path: Path, source: Files) -> Columns | Unreadable:
    delimiter = "\t" if ".tsv" in path.name and source.delimiter == "," else source.delimiter
    quoting: Any = csv.QUOTE_NONE if source.quote == "none" else csv.QUOTE_MINIMAL
    csv.field_size_limit(1 << 30)
    try:
        text = _text(path, source)
        if source.comment:
            text = "".join(line for line in io.StringIO(text, newline="") if not line.startswith(source.comment))
        stream = io.StringIO(text, newline="")
        rows = list(
            csv.reader(
                stream, delimiter=delimiter, quoting=quoting, escapechar=source.escape, doublequote=source.escape is None, strict=True
            )
        )
    except (csv.Error, UnicodeDecodeError) as error:
        return Unreadable(str(error))
    while rows and not rows[0]:
        rows.pop(0)
    header = rows.pop(0) if source.header and rows else [f"column_{n + 1}" for n in range(len(rows[0]) if rows else 0)]
    rows = [row if row else [""] for row in rows] if len(header) == 1 else [row for row in rows if row]
    if any(len(row) != len(header) for row in rows):
        return Unreadable("rows of several lengths")
    names = [name if name and header.count(name) == 1 else f"{name}#{place}" for place, name in enumerate(header)]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in names}


def _duckdb_json(path: Path) -> Columns | Unreadable:
    """Each object as DuckDB tells it from the next; its members by Python, with all their digits."""
    read = _duckdb("SELECT CAST(json AS VARCHAR) AS json FROM read_json_objects(?, format = 'auto', maximum_object_size = 100000000)", path)
    if isinstance(read, Unreadable):
        return read
    try:
        return _members([json.loads(text, parse_float=Decimal) for text in read["json"]])
    except (ValueError, RecursionError) as error:
        return Unreadable(str(error))


def _python_json(path: Path, source: Files) -> Columns | Unreadable:
    try:
        text = _text(path, source)
        try:
            items: Any = json.loads(text, parse_float=Decimal)
        except json.JSONDecodeError:
            items = [json.loads(line, parse_float=Decimal) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        return Unreadable(str(error))
    if isinstance(items, dict):
        inner = [value for value in items.values() if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)]
        items = inner[0] if len(inner) == 1 else [items]
    return _members(items)


def _members(items: Sequence[Any]) -> Columns | Unreadable:
    if not all(isinstance(item, dict) for item in items):
        return Unreadable("values that are no objects")
    return {name: [item.get(name) for item in items] for name in dict.fromkeys(name for item in items for name in item)}


def difference(value: Any, found: Any, column: Column, source: Files) -> str:
    """How what was read back differs from what another reader reads; empty where it doesn't.

    Args:
        value: of the other reader.
        found: of ours; times in microseconds.
        column: as it was drafted.
        source: as it was drafted.
    """
    for part in column.path or []:
        if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
            value = dict(value)
        value = value.get(part) if isinstance(value, dict) else None
    if _is_same(value, found, column, [*(column.null_values or []), *source.null_values]):
        return ""
    return f"wanted {str(value)[:80]!r}, found {str(found)[:80]!r}"


def _is_same(value: Any, found: Any, column: Column, nulls: Sequence[str]) -> bool:
    if value is None or found is None:
        return (value in (None, "") and found in (None, "")) or (found is None and isinstance(value, str) and value in nulls)
    if isinstance(value, Moment):
        return (
            value.microseconds == found
            if column.type == "timestamp"
            else _is_same_time(str(_EPOCH + timedelta(microseconds=value.microseconds)), found, column)
        )
    if isinstance(value, str) and column.format and column.type in ("integer", "double", "decimal"):
        value = _plain(value, column.format)
    if column.format in EPOCHS:
        return bool(Decimal(str(value)) * 10 ** EPOCHS[column.format][1] == found)
    if isinstance(value, (bool, int, float, Decimal)):
        return _is_same_number(value, found)
    if isinstance(value, datetime) and column.type == "timestamp":
        return (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value) - _EPOCH == timedelta(microseconds=found)
    if column.type in ("timestamp", "date") and not isinstance(value, (date, datetime)):
        return _is_same_time(str(value), found, column)
    if isinstance(value, str):
        return _is_same_text(value, found)
    if isinstance(value, (date, time)):
        return str(found) == value.isoformat() or str(found) == str(value)
    if isinstance(value, timedelta):
        return str(found).lstrip("-").startswith("P")
    if isinstance(value, bytes):
        return str(found) == value.hex() or found == value.decode("utf-8", "replace")
    try:
        return isinstance(found, str) and _same_nested(value, json.loads(found, parse_float=Decimal))
    except ValueError:
        return False


def _plain(text: str, format_: str) -> str:
    """A number without the marks that its column writes it with: only digits, the sign and the point are left."""
    point = format_[format_.rindex("5") - 1]
    return "".join("." if each == point else each for each in text if each.isdigit() or each in ("-", point))


def _is_same_text(text: str, found: Any) -> bool:
    if isinstance(found, bool):
        return text.strip().lower() in (("true", "t", "1") if found else ("false", "f", "0"))
    if isinstance(found, str):
        return text == found
    try:
        number = float(text) if isinstance(found, float) else Decimal(text.strip())
    except (ValueError, InvalidOperation):
        return False
    return bool(number == found) or (isinstance(found, float) and math.isnan(found) and math.isnan(number))


def _is_same_number(value: Any, found: Any) -> bool:
    if isinstance(value, bool) or isinstance(found, bool):
        return str(value).lower() == str(found).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return str(found).lower().replace("infinity", "inf") == str(value)
    try:
        number = Decimal(repr(found) if isinstance(found, float) else str(found))
    except InvalidOperation:
        return False
    return float(number) == float(value) if isinstance(value, float) or isinstance(found, float) else number == value


def _is_same_time(text: str, found: Any, column: Column) -> bool:
    """Whether a text says a time, by Python's own parser."""
    try:
        moment = _parse(text.strip(), column.format)
    except ValueError:
        return False
    if column.type == "date":
        return isinstance(found, date) and (moment.year, moment.month, moment.day) == (found.year, found.month, found.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(column.timezone or "UTC"))
    return bool((moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1) == found)


def _parse(text: str, form: str | None) -> datetime:
    if form is None:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return datetime.strptime(text, "%Y-%m-%d")
    fraction = "%.f" in form
    return datetime.strptime(
        text if "." in text or not fraction else text + ".0", form.replace("%.f", ".%f").replace("%#z", "%z").replace("%:z", "%z")
    )


def _same_nested(value: Any, found: Any) -> bool:
    """Whether JSON says what a nested value is."""
    if isinstance(value, list) and isinstance(found, dict) and all(isinstance(pair, tuple) for pair in value):
        return _same_nested(dict(value), found)
    if isinstance(value, dict):
        return isinstance(found, dict) and value.keys() == found.keys() and all(_same_nested(value[k], found[k]) for k in value)
    if isinstance(value, (list, tuple)):
        return isinstance(found, list) and len(value) == len(found) and all(map(_same_nested, value, found))
    if value is None or found is None:
        return value is found
    if isinstance(value, (datetime, date, time)):
        return str(found) == value.isoformat()
    if isinstance(value, timedelta):
        return str(found).lstrip("-").startswith("P")
    if isinstance(value, bytes):
        return bool(found == value.hex())
    return _is_same_number(value, found) if isinstance(value, (bool, int, float, Decimal)) else bool(str(value) == found)
