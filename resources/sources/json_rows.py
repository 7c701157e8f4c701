"""JSON as rows: objects one after the other, an array of them, or an object that holds such an array; read without changing a value."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.rows.landing_types import JSON_TEXT, MOST_DIGITS, NON_FINITE_TEXTS, NUMBER_TEXT, to_json
from lakeloop.rows.types import EXACT_INTEGERS
from resources.sources.text import to_utf8

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.spec.tables import Files

_LONG_NUMBER = re.compile(rb"\d{16}|\d[\d.]{16}\d")
"""Digits that a double may not hold."""
DOUBLE_DIGITS = 17
"""So many digits tell any two doubles apart (IEEE 754)."""
_WANTED = "wanted one object per line or one array of objects"
_LARGEST = 2**63 - 1


class _Number(str):
    """A number with a fraction or an exponent, as it stands in the text."""


def read_json(data: bytes, spec: Files, where: str, landed: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Read JSON; times stay text, numbers keep all their digits, nested values become JSON text.

    Args:
        data: objects, whether each is on a line or not; an array of objects; or an object of which just one member is such an array.
        spec: the source that it belongs to.
        where: the file, for messages.
        landed: the types in which columns have landed before; a column that has landed as nested values stays so.

    Raises:
        DataError: it is empty, or isn't of the stated encoding, JSON or a table; the message names the place.
    """
    import pyarrow as pa
    import pyarrow.json as pj

    data = to_utf8(data, spec.encoding, where)
    if not data.strip():
        raise DataError(f"{where}: wanted at least one row, found an empty file")
    if data.lstrip().startswith(b"{") and not _LONG_NUMBER.search(data):
        try:
            # Arrow guesses times; they stay text, since the declared columns say how to read them.
            rows = pj.read_json(io.BytesIO(data), read_options=pj.ReadOptions(use_threads=False, block_size=max(1 << 20, len(data) + 1)))
        except pa.ArrowInvalid:
            rows = None
        native = {name for name, kind in (landed or {}).items() if pa.types.is_nested(kind)}
        if rows is not None and rows.num_columns and not any(_needs_python(field.type, field.name in native) for field in rows.schema):
            return rows
    try:
        return _table_of(list(_objects(data.decode(), where)), where, landed or {})
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: wanted text, found half a pair of UTF-16 (\\ud800 to \\udfff), which is no character") from error


def _needs_python(kind: pa.DataType, is_native: bool) -> bool:
    """Whether Arrow has read a column otherwise than it lands."""
    import pyarrow as pa

    return bool(pa.types.is_timestamp(kind) or (pa.types.is_nested(kind) and not is_native))


def _objects(text: str, where: str) -> Iterator[dict[str, Any]]:
    """The objects of which each is a row.

    Raises:
        DataError: the text isn't JSON, or its values aren't objects.
    """
    documents = list(_documents(text, where))
    items: list[Any] = documents
    what = "a value that"
    if len(documents) == 1 and isinstance(documents[0], dict):
        lists = {name: value for name, value in documents[0].items() if _is_list_of_objects(value)}
        if len(lists) > 1:
            raise DataError(f"{where}: {_WANTED}, found an object with several arrays of objects ({', '.join(lists)}); keep one of them")
        items = next(iter(lists.values()), documents)
    elif len(documents) == 1 and isinstance(documents[0], list):
        items, what = documents[0], "an array whose item"
        if not items:
            raise DataError(f"{where}: {_WANTED}, found an empty array")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise DataError(f"{where}: {_WANTED}, found {what} {number} is not an object")
        yield item


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _documents(text: str, where: str) -> Iterator[Any]:
    """The JSON values that a text has one after the other."""
    decoder = json.JSONDecoder(parse_float=_Number, object_pairs_hook=lambda pairs: _to_object(pairs, where))
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in " \t\r\n,":
            at += 1
        if at >= end:
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as problem:
            raise DataError(f"{where}: line {problem.lineno} is not JSON: {problem.msg} at column {problem.colno}") from problem
        except RecursionError:
            raise DataError(f"{where}: its values are nested too deeply to be read") from None
        yield value


def _to_object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where}: an object names {twice!r} more than once")
    return values


def _table_of(objects: list[dict[str, Any]], where: str, landed: Mapping[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa

    names = dict.fromkeys(name for item in objects for name in item)
    if not names:
        raise DataError(f"{where}: {_WANTED}, found objects without any member")
    arrays, fields = [], []
    for name in names:
        values, field = _column_of(name, [item.get(name) for item in objects], where, landed.get(name))
        arrays.append(values)
        fields.append(field)
    return pa.table(arrays, schema=pa.schema(fields))


def _column_of(name: str, values: list[Any], where: str, landed: pa.DataType | None) -> tuple[pa.Array, pa.Field]:
    """One column, with the type that holds each of its values.

    Raises:
        DataError: it has values of several types.
    """
    import pyarrow as pa

    values = _with_non_finite(values, landed)
    rows = {_kind_of(value): number for number, value in reversed(list(enumerate(values, 1)))}
    rows.pop("null", None)
    kinds = set(rows)
    if not kinds:
        return pa.nulls(len(values)), pa.field(name, pa.null())
    if kinds <= {"integer", "number"}:
        return _numbers(name, values, exact="number" not in kinds)
    if len(kinds) > 1:
        (a, first), (b, second) = sorted(rows.items(), key=lambda item: item[1])[:2]
        raise DataError(
            f"{where}: its lines don't make one table: column {name} is {a} in row {first} and {b} in row {second}; make it text in all rows"
        )
    if kinds == {"nested"}:
        if landed is not None and pa.types.is_nested(landed):
            try:
                return pa.array(json.loads(json.dumps(values), parse_float=float), landed), pa.field(name, landed)
            except pa.ArrowException as error:
                raise DataError(f"{where}: column {name} has landed as {landed} before, and comes otherwise now", detail=error) from None
        texts = [None if value is None else _nested_text(value) for value in values]
        return pa.array(texts, pa.string()), pa.field(name, pa.string(), metadata=JSON_TEXT)
    kind = pa.bool_() if kinds == {"boolean"} else pa.string()
    return pa.array(values, kind), pa.field(name, kind)


def _with_non_finite(values: list[Any], landed: pa.DataType | None) -> list[Any]:
    """Numbers in which the texts `NaN`, `Infinity` and `-Infinity` are numbers, too, as Spark writes them; other columns as they are."""
    import pyarrow as pa

    texts = {value for value in values if _kind_of(value) == "text"}
    is_number = any(_kind_of(value) in ("integer", "number") for value in values) or (landed is not None and pa.types.is_floating(landed))
    if not texts or not is_number or not texts <= set(NON_FINITE_TEXTS):
        return values
    return [float(value) if _kind_of(value) == "text" else value for value in values]


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (_Number, float)):
        return "number"
    if isinstance(value, int):
        return "integer"
    return "text" if isinstance(value, str) else "nested"


def _numbers(name: str, values: list[Any], *, exact: bool) -> tuple[pa.Array, pa.Field]:
    """Numbers as integers, decimals or doubles, whichever holds each of them; else their digits as text."""
    import pyarrow as pa

    largest = max((abs(value) for value in values if isinstance(value, int)), default=0)
    if exact:
        digits = len(str(largest))
        kind = pa.int64() if largest <= _LARGEST else pa.decimal128(max(digits, 20), 0) if digits <= MOST_DIGITS else None
        if kind is not None:
            return pa.array(values if pa.types.is_int64(kind) else [None if v is None else Decimal(v) for v in values], kind), pa.field(
                name, kind
            )
    elif largest <= EXACT_INTEGERS and all(_is_double(value) for value in values if isinstance(value, _Number)):
        return pa.array([None if value is None else float(value) for value in values], pa.float64()), pa.field(name, pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string()), pa.field(
        name, pa.string(), metadata=NUMBER_TEXT
    )


def _is_double(number: str) -> bool:
    """Whether a number is what a writer of doubles writes, who never needs more than 17 digits and may write more of the same double.

    >>> [_is_double(number) for number in ("0.1", "0.10000000000000001", "0.1000000000000000055511", "12345678901234567.89", "1e400")]
    [True, True, True, False, False]
    """
    exact = Decimal(number)
    digits, exponent = exact.as_tuple()[1:]
    if not math.isfinite(float(number)):
        return False
    if len(digits) <= DOUBLE_DIGITS:
        return True
    with localcontext(prec=len(digits) + 1):
        return Decimal(float(number)).quantize(Decimal(1).scaleb(int(exponent))) == exact


def _nested_text(value: Any) -> str:
    """A nested value as JSON text, its numbers with the digits that they had."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(name)}: {_nested_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_nested_text, value)) + "]"
    return str(value) if isinstance(value, _Number) else to_json(value)
