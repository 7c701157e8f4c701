"""Parsing landed values as declared types: each parser gives the value, and null where it can't be held exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.masking import MASK
from lakeloop.rows.landing_types import OTHER_BYTES, to_json
from lakeloop.rows.time_parsing import parse_date, parse_timestamp
from lakeloop.rows.types import EXACT_INTEGERS, polars_type
from lakeloop.spec.number_formats import parse_number_format
from lakeloop.spec.tables import Column, decimal_digits, is_number_type

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


NON_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
"""Texts of NaN and infinity."""


CELL_ERROR = r"^#(NULL!|DIV/0!|VALUE!|REF!|NAME\?|NUM!|N/A|GETTING_DATA|SPILL!|CALC!|FIELD!|BLOCKED!|CONNECT!|BUSY!|UNKNOWN!)$"
"""Texts of the errors that cells of a workbook have instead of a value."""


def column_expressions(
    frame: pl.DataFrame, name: str, column: Column, hidden: frozenset[str], *, cells: bool = False, database: bool = False
) -> tuple[pl.Expr, pl.Expr]:
    """Expressions for a declared column of landed rows: its value, and why it can't be read (null where it can); hidden values are masked.

    Of the `cells` of a workbook, those with an error can't be read, and of a `database` texts that aren't UTF-8.
    """
    import polars as pl

    sources = column.source or [name]
    if len(sources) > 1:
        text: pl.Expr = pl.concat_str([pl.col(s).cast(pl.String) for s in sources], separator="-")
        kind: pl.DataType = pl.String()
    else:
        text, kind = pl.col(sources[0]), frame[sources[0]].dtype  # `schema` names every column, and a wide table has thousands
    if kind == pl.Null:
        return text.cast(polars_type(column.type)), text.cast(pl.String)
    if column.path:
        container, container_kind = text, kind
        text, kind = _follow_path(text, kind, column.path)
    if column.null_values and kind == pl.String:
        text = pl.when(~text.is_in(column.null_values)).then(text)
    plain, written = (
        _plain_number(text, column.format) if column.format and is_number_type(column.type) and kind == pl.String else (text, "")
    )
    value, wanted = _PARSERS["decimal" if decimal_digits(column.type) else column.type](plain, kind, column)
    wanted += written
    if cells and kind == pl.String:
        value = pl.when(~text.str.contains(CELL_ERROR)).then(value)
    if database and kind == pl.String:
        is_bytes = text.str.contains(OTHER_BYTES, literal=True)
        value, wanted = pl.when(~is_bytes).then(value), pl.when(is_bytes).then(pl.lit("text in UTF-8")).otherwise(pl.lit(wanted))
        text = text.str.replace_all(OTHER_BYTES, "the bytes ", literal=True)
    shown = pl.lit(MASK) if hidden & set(sources) else _show(text, kind)
    fails = text.is_not_null() & value.is_null()
    if column.non_finite == "null":
        fails = fails & ~_is_non_finite(text, kind)
    problem = (
        pl.when(fails)
        .then(
            pl.concat_str(
                pl.lit("wanted "), wanted if isinstance(wanted, pl.Expr) else pl.lit(wanted), pl.lit(", found "), shown, ignore_nulls=True
            )
        )
        .otherwise(None)
    )
    if column.path and container_kind == pl.String:
        no_object = container.is_not_null() & ~container.str.contains(r"^\s*\{")
        problem = pl.when(no_object).then(pl.lit("wanted an object of JSON, found something else")).otherwise(problem)
    return value, problem


def _plain_number(text: pl.Expr, format_: str) -> tuple[pl.Expr, str]:
    """Numbers that a column writes in a format, as 1234.5 would be in code; null where they aren't of it."""
    import polars as pl

    form = parse_number_format(format_)
    parts = text.str.strip_chars().str.extract_groups(form.pattern)
    digits = parts.struct.field("2")
    if form.group:
        digits = digits.str.replace_all(form.group, "", literal=True)
    plain = pl.concat_str(parts.struct.field("1"), digits.str.replace(form.point, ".", literal=True))
    return pl.when(text.str.contains(NON_FINITE)).then(text).otherwise(plain), f" written as {format_}"


def _follow_path(text: pl.Expr, kind: pl.DataType, path: Sequence[str]) -> tuple[pl.Expr, pl.DataType]:
    """The field of an object of JSON, or of a struct, that a path leads to: as text, of a struct in its own type."""
    import polars as pl

    for place, part in enumerate(path):
        if isinstance(kind, pl.Struct):
            fields = {field.name: field.dtype for field in kind.fields}
            if part not in fields:
                return pl.when(text.is_null() & text.is_not_null()).then(pl.lit("")), pl.String()
            text, kind = text.struct.field(part), fields[part]  # type: ignore[assignment]  # the class stands for a type without parameters
        elif kind == pl.String:
            return _read_json_path(text, path[place:]), pl.String()
    return text, kind


def _read_json_path(text: pl.Expr, path: Sequence[str]) -> pl.Expr:
    """The value in JSON that a path leads to, as text; null where there is none."""
    import polars as pl

    def read_exactly(texts: pl.Series) -> pl.Series:
        return pl.Series(texts.name, [value_at(item, path) for item in texts.to_list()], dtype=pl.String)

    # Polars reads numbers as 64 bits, so those with more digits go through Python.
    steps = "".join("['" + part.replace("\\", "\\\\").replace("'", "\\'") + "']" for part in path)
    is_long = text.str.contains(r"\d{16}")
    return pl.coalesce(
        pl.when(is_long).then(text).map_batches(read_exactly, return_dtype=pl.String),
        pl.when(~is_long).then(text).str.json_path_match(f"${steps}"),
    )


def value_at(text: str | None, path: Sequence[str]) -> str | None:
    """The value in JSON that a path leads to, as text: numbers with the digits that they have; null where there is none.

    >>> value_at('{"a": {"b": 12345678901234567890.10}}', ["a", "b"])
    '12345678901234567890.10'
    """
    try:
        value: Any = json.loads(text or "null", parse_int=str, parse_float=str)
    except ValueError:
        return None
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _show(text: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """A value in a message."""
    import polars as pl

    if kind == pl.Binary:
        return text.bin.encode("hex")
    return pl.lit(f"a {kind}") if kind.is_nested() else text.cast(pl.String)


def _is_non_finite(text: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Whether a value is NaN or infinity."""
    import polars as pl

    if kind == pl.String:
        return text.str.strip_chars().str.contains(NON_FINITE)
    return ~text.is_finite() if kind.is_float() else pl.lit(False)


def _parse_string(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    if kind == pl.Binary:
        if column.format is not None:
            return text.bin.encode("hex" if column.format == "hex" else "base64"), "bytes"
        return text.map_batches(_decode, return_dtype=pl.String), "bytes that are text in UTF-8 (or declare format: hex)"
    if kind.is_nested():
        return text.map_batches(_write_json, return_dtype=pl.String), "text"
    return text.cast(pl.String), "text"


def _decode(values: pl.Series) -> pl.Series:
    """Bytes as text; null where they aren't UTF-8."""
    import polars as pl

    def decode(value: bytes | None) -> str | None:
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            return None

    return pl.Series(values.name, [decode(value) for value in values.to_list()], dtype=pl.String)


def _write_json(values: pl.Series) -> pl.Series:
    """Nested values as JSON text."""
    import polars as pl

    return pl.Series(values.name, [None if value is None else to_json(value) for value in values.to_arrow().to_pylist()], dtype=pl.String)


def _parse_integer(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    wanted = "an integer"
    if kind == pl.String:
        plain = text.str.strip_chars().str.replace(r"^([+-]?\d+)\.0*$", "$1").str.replace(r"^\+(\d)", "$1")
        return pl.when(plain.str.contains(r"^-?\d+$")).then(plain.cast(pl.Int64, strict=False)), wanted
    if kind.is_float():
        whole = (text == text.floor()) & (text.abs() <= EXACT_INTEGERS)
        return pl.when(whole).then(text.cast(pl.Int64, strict=False)), wanted
    if kind.is_integer():
        return text.cast(pl.Int64, strict=False), wanted
    if kind.is_decimal():
        return pl.when(text == text.floor()).then(text.cast(pl.Int64, strict=False)), wanted
    return pl.lit(None, dtype=pl.Int64), f"{wanted}, not a {kind}"


def _parse_double(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    keeps = column.non_finite == "keep"
    wanted = "a number" if keeps else "a finite number"
    if kind == pl.String:
        digits = text.str.strip_chars()
        number = digits.cast(pl.Float64, strict=False)
        # A decimal fraction is the nearest double by convention; a whole number (an identifier, a count) must be held exactly.
        whole = digits.str.contains(r"^[+-]?\d{16,}$")
        exact = _is_exact(digits.str.strip_prefix("+").cast(pl.Int64, strict=False)).fill_null(False)
        holds = number.is_finite() & (~whole | exact)
        return pl.when(holds | digits.str.contains(NON_FINITE) if keeps else holds).then(number), wanted
    if kind.is_integer():
        return pl.when(_is_exact(text.cast(pl.Int64, strict=False))).then(text.cast(pl.Float64)), "a number that a double holds"
    if isinstance(kind, pl.Decimal):
        number = text.cast(pl.Float64)
        comes_back = (number.cast(pl.Decimal(38, kind.scale), strict=False) == text).fill_null(False)
        is_whole = (text == text.floor()) & (number.abs() >= EXACT_INTEGERS)
        return pl.when(~is_whole | comes_back).then(number), "a number that a double holds (or declare decimal(p,s))"
    if kind.is_float():
        number = text.cast(pl.Float64)
        return number if keeps else pl.when(number.is_finite()).then(number), wanted
    return pl.lit(None, dtype=pl.Float64), f"{wanted}, not a {kind}"


def _is_exact(integer: pl.Expr) -> pl.Expr:
    """Whether a double holds an integer, wherever it stands; not by `abs`, which the least integer overflows."""
    return integer.is_between(-EXACT_INTEGERS, EXACT_INTEGERS)


def _parse_decimal(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    digits = decimal_digits(column.type)
    assert digits is not None
    held, wanted = pl.Decimal(*digits), f"a number of at most {digits[0]} digits, {digits[1]} of them decimals"
    if kind.is_float():
        # The shortest text that gives the double back.
        text, kind = text.cast(pl.String), pl.String()
    if kind == pl.String:
        plain = text.str.strip_chars()
        # Polars rounds what it can't hold.
        fits = plain.str.contains(rf"^[+-]?(\d+(\.\d{{0,{digits[1]}}}0*)?|\.\d{{1,{max(digits[1], 1)}}}0*)$")
        return pl.when(fits).then(plain.cast(held, strict=False)), wanted
    if kind.is_integer():
        return text.cast(held, strict=False), wanted
    if isinstance(kind, pl.Decimal):
        value = text.cast(held, strict=False)
        return pl.when(value.cast(pl.Decimal(38, max(kind.scale, digits[1])), strict=False) == text).then(value), wanted
    return pl.lit(None, dtype=held), f"{wanted}, not a {kind}"


def _parse_boolean(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    wanted = "true or false (also t, f, 1, 0)"
    if kind == pl.Boolean:
        return text, wanted
    plain = text.cast(pl.String).str.strip_chars().str.to_lowercase()
    return pl.when(plain.is_in(["true", "t", "1"])).then(True).when(plain.is_in(["false", "f", "0"])).then(False), wanted


_PARSERS: dict[str, Any] = {
    "string": _parse_string,
    "integer": _parse_integer,
    "double": _parse_double,
    "decimal": _parse_decimal,
    "boolean": _parse_boolean,
    "date": parse_date,
    "timestamp": parse_timestamp,
}


def frame_of(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a Polars frame."""
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
