"""How a column of each Arrow type lands: as itself, as another type that holds each of its values, or as stated text.

`LANDINGS` is the one table of these rules, for files, functions and databases alike; `type_docs` writes it as a page. Declared types are in
`lakeloop.rows.types`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
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
NON_FINITE_TEXTS = ("NaN", "Infinity", "-Infinity")
"""How JSON text has the numbers that JSON lacks."""
CELL_TEXT = {b"lakeloop": b"cells"}
"""Field metadata of text that a workbook has as text, whatever it looks like."""
JSON_TEXT = {b"lakeloop": b"json"}
"""Field metadata of nested values that land as JSON text."""


OTHER_BYTES = "\0bytes:"
"""What a text of a database that isn't UTF-8 begins with as it lands; its bytes follow as hexadecimal digits, and its row goes to quarantine."""


def text_of(data: bytes) -> str:
    r"""Bytes as text, or as what lands where they aren't UTF-8.

    >>> text_of("Ä".encode()), text_of(b"\xc4")
    ('Ä', '\x00bytes:c4')
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return OTHER_BYTES + data.hex()


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
        return next((rule for rule in LANDINGS if kind.extension_name in rule.tests), EXTENSION)
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


def _land_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text, which some writers mark as UTF-8 without its being that."""
    import pyarrow as pa

    texts = values if pa.types.is_string(values.type) else values.cast(pa.string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise _Unlandable("wanted text in UTF-8, found other bytes; make them binary, or UTF-8, at the source") from error
    return texts


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
        return _within_calendar(values.cast(pa.timestamp("us", values.type.tz)), "times", *_CALENDAR_MICROSECONDS)
    except pa.ArrowInvalid as error:
        if values.type.unit == "ns":
            raise _Unlandable(
                "wanted times in microseconds, found finer ones; round them at the source, or make them integers or text"
            ) from error
        raise _Unlandable(
            "wanted times that microseconds since 1970 can hold, found one too far away; make them text at the source"
        ) from error


_CALENDAR_DAYS = (-719_162, 2_932_896)
"""The days of 0001-01-01 and 9999-12-31: Delta and the engines that read it have no others."""
_CALENDAR_MICROSECONDS = (_CALENDAR_DAYS[0] * 86_400_000_000, (_CALENDAR_DAYS[1] + 1) * 86_400_000_000 - 1)


def _within_calendar(values: pa.ChunkedArray, what: str, first: int, last: int) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    bounds = pc.min_max(values.cast(pa.int32() if pa.types.is_date(values.type) else pa.int64())).as_py()
    if bounds["min"] is not None and (bounds["min"] < first or bounds["max"] > last):
        raise _Unlandable(f"wanted {what} of the years 1 to 9999, found another; make them text at the source")
    return values


def _land_dates(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return _within_calendar(values.cast(pa.date32()), "dates", *_CALENDAR_DAYS)
    except pa.ArrowInvalid as error:
        raise _Unlandable("wanted dates, found one with a time of day; make them timestamps at the source") from error


def _land_times(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of day as `HH:MM:SS`, with a fraction of six digits (nine where it needs them) unless that is zero."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nanoseconds = values.cast(pa.time64("ns"))
    bounds = pc.min_max(nanoseconds.cast(pa.int64())).as_py()
    if bounds["min"] is not None and not 0 <= bounds["min"] <= bounds["max"] < 86_400_000_000_000:
        raise _Unlandable("wanted times of day, found one before 00:00 or after 23:59; make them text at the source")
    texts = nanoseconds.cast(pa.string())
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

    try:
        return json.dumps(value, default=plain, ensure_ascii=False, allow_nan=False)
    except ValueError:  # JSON has no NaN and no infinity
        return json.dumps(_with_non_finite_as_text(value), default=plain, ensure_ascii=False)


def _with_non_finite_as_text(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return NON_FINITE_TEXTS[0 if math.isnan(value) else 1 if value > 0 else 2]
    if isinstance(value, dict):
        return {name: _with_non_finite_as_text(item) for name, item in value.items()}
    return [_with_non_finite_as_text(item) for item in value] if isinstance(value, (list, tuple)) else value


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
    Landing("string", ("is_string",), "itself", "`string`, or the type that its texts have", _land_text),
    Landing("large_string, string_view", ("is_large_string", "is_string_view"), "string", "as string", _land_text),
    Landing("binary", ("is_binary",), "itself", "`string` with `format: hex`, without it where all are UTF-8", _itself),
    Landing(
        "large_binary, binary_view, fixed_size_binary",
        ("is_large_binary", "is_binary_view", "is_fixed_size_binary"),
        "binary",
        "as binary",
        _cast_to("binary"),
    ),
    Landing("date32", ("is_date32",), "itself; refused beyond the years 1 to 9999", "`date`", _land_dates),
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
EXTENSION = Landing("other extensions", (), "as the type that it is stored in", "as that", _land_storage)
_OTHER = Landing("others", (), "JSON text", "`string`", _land_nested)
