"""How a column of each Arrow type lands: as itself, as another type that holds each of its values, or as stated text.

`LANDINGS` is the one table of these rules, for files, functions and databases alike; `documentation` writes it as a page. Declared types are in
`lakeloop.rows.types`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DIGITS = 38
"""Digits of the longest decimal that Delta stores."""
NUMBER_TEXT = {b"lakeloop": b"number"}
"""Field metadata of a number that lands as text, because no type of Delta's holds all its values."""
FOLDER_TEXT = {b"lakeloop": b"folder"}
"""Field metadata of values that stand in the names of folders, which have no types."""
JSON_TEXT = {b"lakeloop": b"json"}
"""Field metadata of nested values that land as JSON text."""


class _Unlandable(Exception):
    """The reason why a column can't land."""


@dataclass(frozen=True)
class Landing:
    """How columns of some Arrow types land.

    Attributes:
        types: the types, as the documentation names them.
        tests: names of pyarrow's tests (`pyarrow.types`), any of which holds for such a type.
        lands: as what such a column lands, for the documentation.
        declared: as what it is drafted, for the documentation.
        convert: the column as it lands.
    """

    types: str
    tests: tuple[str, ...]
    lands: str
    declared: str
    convert: Callable[[pa.ChunkedArray], pa.ChunkedArray]


def land_columns(rows: pa.Table, where: str, landed: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Convert the columns of a source to the types in which they land; no value changes.

    Args:
        rows: as a source delivers them.
        where: the source, for messages.
        landed: the types in which columns have landed before. Nested values and times within them stay as they are where they have landed so.

    Raises:
        DataError: a column holds values that Delta can't store; the message says which and what to do.
    """
    import pyarrow as pa

    columns, fields = [], []
    for field, values in zip(rows.schema, rows.columns, strict=True):
        before = (landed or {}).get(field.name)
        try:
            if before is not None and pa.types.is_nested(before) and pa.types.is_nested(field.type):
                converted = values.cast(before) if values.type != before and _is_alike(values.type, before) else values
            else:
                converted = land_values(values)
        except _Unlandable as reason:
            raise DataError(f"{where}: column {field.name}: {reason}", detail=reason.__cause__ or "") from None
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise DataError(f"{where}: column {field.name}: a value of type {field.type} can't be stored", detail=error) from None
        columns.append(converted)
        fields.append(pa.field(field.name, converted.type, metadata=_mark_of(field, converted.type)))
    return pa.table(columns, schema=pa.schema(fields)) if columns else rows


def _mark_of(field: pa.Field, kind: pa.DataType) -> dict[bytes, bytes] | None:
    """The metadata of a column that lands as text: what the text is of."""
    import pyarrow as pa

    if not pa.types.is_string(kind):
        return None
    if _is_long_decimal(field.type):
        return NUMBER_TEXT
    if pa.types.is_nested(field.type):
        return JSON_TEXT
    return {key: value for key, value in (field.metadata or {}).items() if key in NUMBER_TEXT} or None


def land_values(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in the type in which it lands."""
    return landing_of(values.type).convert(values)


def landing_of(kind: pa.DataType) -> Landing:
    """The rule by which a column of an Arrow type lands."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return next((rule for rule in LANDINGS if kind.extension_name in rule.tests), _EXTENSION)
    rule = next((rule for rule in LANDINGS for test in rule.tests if hasattr(pa.types, test) and getattr(pa.types, test)(kind)), None)
    return rule or _OTHER


def _is_alike(a: pa.DataType, b: pa.DataType) -> bool:
    """Whether two nested types differ in the names of list items or in units only, so that a cast can't lose a field."""
    import pyarrow as pa

    if pa.types.is_struct(a) and pa.types.is_struct(b):
        return {field.name for field in a} == {field.name for field in b}
    return type(a) is type(b)


def _itself(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values


def _cast_to(function: str, *arguments: Any) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    def cast(values: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow as pa

        return values.cast(getattr(pa, function)(*arguments))

    return cast


def _is_long_decimal(kind: pa.DataType) -> bool:
    """Whether a decimal has more digits than Delta stores."""
    import pyarrow as pa

    return bool(pa.types.is_decimal(kind)) and max(kind.precision, kind.precision - kind.scale, kind.scale) > MOST_DIGITS


def _land_decimals(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    kind = values.type
    if _is_long_decimal(kind):
        texts = [None if value is None else format(value, "f") for value in values.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    if kind.scale < 0:
        return values.cast(pa.decimal128(kind.precision - kind.scale, 0))
    digits = max(kind.precision, kind.scale)
    return values if kind == pa.decimal128(digits, kind.scale) else values.cast(pa.decimal128(digits, kind.scale))


def _land_timestamps(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return values.cast(pa.timestamp("us", values.type.tz))
    except pa.ArrowInvalid as error:
        if values.type.unit == "ns":
            raise _Unlandable(
                "wanted times in microseconds, found finer ones; round them at the source, or make them integers or text"
            ) from error
        raise _Unlandable(
            "wanted times that microseconds since 1970 can hold, found one too far away; make them text at the source"
        ) from error


def _land_dates(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return values.cast(pa.date32())
    except pa.ArrowInvalid as error:
        raise _Unlandable("wanted dates, found one with a time of day; make them timestamps at the source") from error


def _land_times(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of day as `HH:MM:SS`, with a fraction of six digits (nine where it needs them) unless that is zero."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = values.cast(pa.time64("ns")).cast(pa.string())
    texts = pc.replace_substring_regex(texts, r"\.0{9}$", "")
    return pc.replace_substring_regex(texts, r"(\.\d{6})000$", r"\1")


def _land_durations(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import polars as pl
    import pyarrow as pa

    return pa.chunked_array([pl.Series(pl.from_arrow(values)).dt.to_string("iso").to_arrow().cast(pa.string())])


def _land_intervals(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    texts = [None if value is None else show_interval(*value) for value in values.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def show_interval(months: int, days: int, nanoseconds: int) -> str:
    """An interval by ISO 8601.

    >>> show_interval(1, 2, 500_000_000)
    'P1M2DT0.5S'
    """
    seconds = Decimal(nanoseconds).scaleb(-9)
    return f"P{months}M{days}DT{format(seconds.normalize() if seconds else Decimal(0), 'f')}S"


def _land_uuids(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    storage = values.cast(pa.binary(16)) if not isinstance(values.type, pa.BaseExtensionType) else _storage(values)
    digits = pl.Series(pl.from_arrow(storage.cast(pa.binary()))).bin.encode("hex").to_arrow().cast(pa.string())
    return pa.chunked_array([pc.replace_substring_regex(digits, r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5")])


def _storage(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([chunk.storage for chunk in values.chunks], values.type.storage_type)


def _land_storage(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return land_values(_storage(values))


def _refuse_pandas(values: pa.ChunkedArray) -> pa.ChunkedArray:
    raise _Unlandable("wanted values, found pandas' periods or intervals; make them text at the source, such as by .astype(str)")


def _land_encoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values of a dictionary or of runs, decoded."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        return land_values(values.cast(values.type.value_type))
    return land_values(pa.chunked_array([pc.run_end_decode(chunk) for chunk in values.chunks], values.type.value_type))


def _land_nested(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    texts = [None if value is None else to_json(value) for value in _keyed(values)]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _keyed(values: pa.ChunkedArray) -> list[Any]:
    """Values as Python has them, maps as objects where the keys are text and come once."""
    import pyarrow as pa

    items: list[Any] = values.to_pylist()
    if not (pa.types.is_map(values.type) and pa.types.is_string(values.type.key_type)):
        return items
    return [dict(item) if item is not None and len({key for key, _ in item}) == len(item) else item for item in items]


def to_json(value: Any) -> str:
    r"""A nested value as JSON text: numbers with all their digits, times as ISO 8601, bytes as hexadecimal digits.

    >>> to_json({"at": date(2024, 2, 29), "big": 2**60, "exact": Decimal("1.10"), "raw": b"\xff", "name": "Ä"})
    '{"at": "2024-02-29", "big": 1152921504606846976, "exact": "1.10", "raw": "ff", "name": "Ä"}'
    """

    def plain(item: Any) -> Any:
        if isinstance(item, (datetime, date, time)):
            return item.isoformat()
        if isinstance(item, timedelta):
            return f"PT{format(Decimal(item // timedelta(microseconds=1)).scaleb(-6).normalize(), 'f')}S"
        if isinstance(item, bytes):
            return item.hex()
        return format(item, "f") if isinstance(item, Decimal) and item.is_finite() else str(item)

    return json.dumps(value, default=plain, ensure_ascii=False)


LANDINGS: tuple[Landing, ...] = (
    Landing("null", ("is_null",), "nothing until its first value determines the type", "`string`", _itself),
    Landing("bool", ("is_boolean",), "itself", "`boolean`", _itself),
    Landing("int8, int16, int32, int64", ("is_int8", "is_int16", "is_int32", "is_int64"), "itself", "`integer`", _itself),
    Landing("uint8, uint16, uint32", ("is_uint8", "is_uint16", "is_uint32"), "int64", "`integer`", _cast_to("int64")),
    Landing("uint64", ("is_uint64",), "decimal(20,0)", "`integer`, beyond 64 bits `decimal(20,0)`", _cast_to("decimal128", 20, 0)),
    Landing("float16", ("is_float16",), "double", "`double`", _cast_to("float64")),
    Landing("float, double", ("is_float32", "is_float64"), "itself; NaN, infinity and null are three things", "`double`", _itself),
    Landing(
        "decimal32, decimal64, decimal128, decimal256",
        ("is_decimal",),
        "decimal with its digits; as digits in text beyond 38",
        "`integer`, `double` where it gives the same digits back, else `decimal(p,s)`",
        _land_decimals,
    ),
    Landing("string", ("is_string",), "itself", "`string`, or the type that its texts have", _itself),
    Landing("large_string, string_view", ("is_large_string", "is_string_view"), "string", "as string", _cast_to("string")),
    Landing("binary", ("is_binary",), "itself", "`string` with `format: hex`, without it where all are UTF-8", _itself),
    Landing(
        "large_binary, binary_view, fixed_size_binary",
        ("is_large_binary", "is_binary_view", "is_fixed_size_binary"),
        "binary",
        "as binary",
        _cast_to("binary"),
    ),
    Landing("date32", ("is_date32",), "itself", "`date`", _itself),
    Landing("date64", ("is_date64",), "date; refused where one has a time of day", "`date`", _land_dates),
    Landing(
        "timestamp (Parquet's INT96 too)",
        ("is_timestamp",),
        "timestamp in microseconds, with its time zone or without; refused where one is finer or out of range",
        "`timestamp`, with `timezone:` where it has none",
        _land_timestamps,
    ),
    Landing("time32, time64", ("is_time",), "text such as `09:30:00` or `09:30:00.250000`", "`string`", _land_times),
    Landing("duration", ("is_duration",), "text by ISO 8601 such as `P1DT2H0.5S`", "`string`", _land_durations),
    Landing(
        "month_day_nano_interval (Parquet's INTERVAL too)",
        ("is_interval",),
        "text by ISO 8601 such as `P1M2DT0.5S`",
        "`string`",
        _land_intervals,
    ),
    Landing("dictionary, run_end_encoded", ("is_dictionary", "is_run_end_encoded"), "its values", "as its values", _land_encoded),
    Landing(
        "struct, list, large_list, list_view, fixed_size_list, map, union",
        ("is_nested",),
        "JSON text; as itself where it has landed so before",
        "its scalar fields by `path:`, else `string`",
        _land_nested,
    ),
    Landing("extension arrow.uuid", ("arrow.uuid",), "text such as `123e4567-e89b-12d3-a456-426614174000`", "`string`", _land_uuids),
    Landing("extension pandas.period, pandas.interval", ("pandas.period", "pandas.interval"), "refused", "", _refuse_pandas),
)
"""The rule of each Arrow type, tried in this order."""
_EXTENSION = Landing("other extensions", (), "as the type that it is stored in", "as that", _land_storage)
_OTHER = Landing("others", (), "JSON text", "`string`", _land_nested)


def documentation() -> str:
    """The page of types, `docs/types.md`."""
    rows = [f"| {rule.types} | {rule.lands} | {rule.declared} |" for rule in (*LANDINGS, _EXTENSION)]
    return "\n".join([_HEAD, "| Arrow type | lands as | drafted as |", "|---|---|---|", *rows, _TAIL])


_HEAD = """\
# Types

A value lands as the source has it, or the step refuses the source with a sentence; nothing is rounded or cut. The first table holds for
Parquet files, Python functions and whatever else comes as Arrow. CSV and the texts of JSON land as text, and are read as their declared
types; numbers in JSON keep all their digits.
"""
_TAIL = """
## Declared types

| type | Delta | values that can't be held | to a model |
|---|---|---|---|
| `string` | string | binary values that aren't UTF-8, unless `format: hex` or `format: base64` is declared | category |
| `integer` | long | beyond 64 bits, or with decimals | double; refused beyond 2**53 |
| `double` | double | whole numbers beyond 2**53 that aren't exactly a double, decimals that come back with other digits, NaN and infinity unless `non_finite: keep` | double |
| `decimal(p,s)` | decimal(p,s), at most 38 digits | more than `s` decimals, or more than `p` digits | the nearest double |
| `boolean` | boolean | other than true, false, t, f, 1, 0 | 0 and 1 |
| `date`, `timestamp` | date, timestamp in UTC | another format; times that don't exist or come twice in their zone | not an input |

A value that can't be held puts its row into quarantine, with the reason.

Numbers in text are read as code writes them (`-1234.5`), unless `format:` states how the column writes 1234.5: `1.234,5`, `1 234,5`, `1'234.5`,
`$1,234.5`, `1.234,5 €` or `1,234.5 %`. A value may do without the marks between thousands and without the sign; other values can't be held. `12 %`
is 12.

Times in text are read by ISO 8601, unless `format:` states another way:

| text | read as |
|---|---|
| `2024-11-05T12:30:00Z`, `2024-11-05 14:30+02:00`, `… +0200`, `…+02`, `… UTC`, `… GMT` | a moment |
| `2024-11-05 12:30:00`, `2024-11-05` | a moment in the zone of `timezone:` |
| `12:30:00,25` | as `12:30:00.25`, by formats with `%.f` too |
| `2024-11-05 24:00` | the beginning of the next day, by other formats too |
| `%y` of a format: two digits of a year | 1969 to 2068 |
| `format: epoch_s`, `epoch_ms`, `epoch_us` | numbers since 1970 in UTC, of at most microseconds |

## Databases

| PostgreSQL | lands as |
|---|---|
| boolean | boolean |
| smallint, integer, bigint, oid | int64 |
| real, double precision | double |
| numeric(p,s) up to 38 digits | decimal(p,s) |
| numeric without digits, or with more | digits in text |
| date, timestamp, timestamp with time zone | date, timestamp |
| bytea | binary |
| interval | text by ISO 8601 such as `P1M2DT3H` |
| json, jsonb | the text that PostgreSQL writes |
| everything else (text, uuid, time, arrays, enums) | text |

A date or time that is infinite, or not within the years 1 to 9999, is refused.

SQLite has no types of columns: values decide. Whole numbers beside decimals become doubles where each is exactly one.
"""

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(documentation(), encoding="utf-8")
