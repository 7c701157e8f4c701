"""Parsing landed values as declared types: each parser gives the value, and null where it can't be held exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakeloop.masking import MASK
from lakeloop.rows.types import EXACT_INTEGERS, polars_type
from lakeloop.spec.tables import Column

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def column_expressions(frame: pl.DataFrame, name: str, column: Column, hidden: frozenset[str]) -> tuple[pl.Expr, pl.Expr]:
    """Expressions for a declared column of landed rows: its value, and why it can't be read (null where it can); hidden values are masked."""
    import polars as pl

    sources = column.source or [name]
    if len(sources) > 1:
        text: pl.Expr = pl.concat_str([pl.col(s).cast(pl.String) for s in sources], separator="-")
        kind: pl.DataType = pl.String()
    else:
        text, kind = pl.col(sources[0]), frame.schema[sources[0]]
    if kind == pl.Null:
        return text.cast(polars_type(column.type)), text.cast(pl.String)
    value, wanted = _PARSERS[column.type](text, kind, column)
    shown = pl.lit(MASK) if hidden & set(sources) else text.cast(pl.String)
    fails = text.is_not_null() & value.is_null()
    return value, pl.when(fails).then(pl.concat_str(pl.lit("wanted " + wanted + ", found "), shown, ignore_nulls=True)).otherwise(None)


def _parse_string(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    return text.cast(pl.String), "text"


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

    wanted = "a finite number"
    if kind == pl.String:
        digits = text.str.strip_chars()
        number = digits.cast(pl.Float64, strict=False)
        # A decimal fraction is the nearest double by convention; a whole number (an identifier, a count) must be held exactly.
        whole = digits.str.contains(r"^[+-]?\d{16,}$")
        exact = _is_exact(digits.str.strip_prefix("+").cast(pl.Int64, strict=False)).fill_null(False)
        return pl.when(number.is_finite() & (~whole | exact)).then(number), wanted
    if kind.is_integer():
        return pl.when(_is_exact(text.cast(pl.Int64, strict=False))).then(text.cast(pl.Float64)), "a number that a double holds"
    if kind.is_float() or kind.is_decimal():
        number = text.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number), wanted
    return pl.lit(None, dtype=pl.Float64), f"{wanted}, not a {kind}"


def _is_exact(integer: pl.Expr) -> pl.Expr:
    """Whether a double holds an integer, wherever it stands; not by `abs`, which the least integer overflows."""
    return integer.is_between(-EXACT_INTEGERS, EXACT_INTEGERS)


def _parse_boolean(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    wanted = "true or false (also t, f, 1, 0)"
    if kind == pl.Boolean:
        return text, wanted
    plain = text.cast(pl.String).str.strip_chars().str.to_lowercase()
    return pl.when(plain.is_in(["true", "t", "1"])).then(True).when(plain.is_in(["false", "f", "0"])).then(False), wanted


def _parse_date(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    form = column.format or "%Y-%m-%d"
    if kind == pl.String:
        return text.str.strip_chars().str.to_date(form, strict=False), f"a date as {form}"
    if kind == pl.Date:
        return text, "a date"
    if isinstance(kind, pl.Datetime):
        return pl.when(text == text.dt.truncate("1d")).then(text.dt.date()), "a date without a time"
    return pl.lit(None, dtype=pl.Date), f"a date, not a {kind}"


def _parse_timestamp(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    import polars as pl

    utc = pl.Datetime("us", "UTC")
    zone = column.timezone
    zone_note = f" that is one moment in {zone}" if zone else " with a time zone (or declare timezone:)"
    if kind == pl.Date:
        text, kind = text.cast(pl.Datetime("us")), pl.Datetime("us")
    if isinstance(kind, pl.Datetime):
        exact = text.cast(pl.Datetime("us", kind.time_zone))
        exact = pl.when(exact.cast(pl.Datetime(kind.time_unit, kind.time_zone)) == text).then(exact)
        if kind.time_zone:
            return exact.dt.convert_time_zone("UTC"), "a timestamp in microseconds"
        return _localize(exact, zone), f"a timestamp{zone_note}"
    if kind != pl.String:
        return pl.lit(None, dtype=utc), f"a timestamp, not a {kind}"
    plain = text.str.strip_chars()
    if column.format:
        if "%z" in column.format or "%:z" in column.format or "%#z" in column.format:
            return plain.str.to_datetime(column.format, strict=False, time_unit="us", time_zone="UTC"), f"a timestamp as {column.format}"
        local = plain.str.to_datetime(column.format, strict=False, time_unit="us")
        return _localize(local, zone), f"a timestamp as {column.format}{zone_note}"
    iso = plain.str.replace(r"^(\d{4}-\d\d-\d\d)[ tT]", "${1}T").str.replace(r"[zZ]$", "+00:00").str.replace(r"([+-]\d\d)(\d\d)$", "$1:$2")
    iso = pl.when(iso.str.contains(r"\.\d{6}\d*[1-9]")).then(None).otherwise(iso)  # finer than a microsecond: would be truncated
    zoned = pl.coalesce(
        [iso.str.to_datetime(f, strict=False, time_unit="us", time_zone="UTC") for f in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")]
    )
    naive = pl.coalesce(
        [iso.str.to_datetime(f, strict=False, time_unit="us") for f in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")]
        + [iso.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))]
    )
    return pl.coalesce([zoned, _localize(naive, zone)]).cast(utc), f"a timestamp as ISO 8601{zone_note}"


def _localize(local: pl.Expr, zone: str | None) -> pl.Expr:
    """Convert local times to UTC; null where the zone is unknown, or the clock showed that time twice or never."""
    import polars as pl

    if zone is None:
        return pl.when(pl.lit(False)).then(local.dt.replace_time_zone("UTC"))
    return local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")


_PARSERS: dict[str, Any] = {
    "string": _parse_string,
    "integer": _parse_integer,
    "double": _parse_double,
    "boolean": _parse_boolean,
    "date": _parse_date,
    "timestamp": _parse_timestamp,
}


def frame_of(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a Polars frame."""
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
