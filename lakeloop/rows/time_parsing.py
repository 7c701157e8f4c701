"""Parsing landed values as dates and timestamps: by ISO 8601 or a stated format, and null where a value isn't one moment.

Texts by ISO 8601 may have a space for the `T`; `UTC`, `GMT` or `Z` for the zone, or its hours alone (`+02`); a comma for the point before a fraction; and
24:00 for the end of a day. Of a year in two digits, 69 to 99 are of the 1900s and 00 to 68 of the 2000s (POSIX, `strptime`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakeloop.spec.tables import EPOCHS, Column

if TYPE_CHECKING:
    import polars as pl

_FIELDS = re.compile(r"(%[-_0:#.]*\w)")
"""The fields of a format, and what stands between them."""
_MIDNIGHT = r"(^|[T ])24:00(:00([.,]0+)?)?($|[^\d:])"
"""The end of a day, which is the beginning of the next one (ISO 8601-1, 5.3.2)."""


def parse_date(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    """The dates of a column, and what was wanted of its values."""
    import polars as pl

    form = column.format or "%Y-%m-%d"
    if kind == pl.String:
        plain = text.str.strip_chars()
        return _with_whole_years(plain, plain.str.to_date(form, strict=False), form), f"a date as {form}"
    if kind == pl.Date:
        return text, "a date"
    if isinstance(kind, pl.Datetime):
        return pl.when(text == text.dt.truncate("1d")).then(text.dt.date()), "a date without a time"
    return pl.lit(None, dtype=pl.Date), f"a date, not a {kind}"


def parse_timestamp(text: pl.Expr, kind: pl.DataType, column: Column) -> tuple[pl.Expr, str]:
    """The timestamps of a column in UTC, and what was wanted of its values."""
    import polars as pl

    zone = column.timezone
    zone_note = f" that is one moment in {zone}" if zone else " with a time zone (or declare timezone:)"
    if column.format in EPOCHS:
        return _from_epoch(text, kind, column.format)
    if kind == pl.Date:
        text, kind = text.cast(pl.Datetime("us")), pl.Datetime("us")
    if isinstance(kind, pl.Datetime):
        exact = text.cast(pl.Datetime("us", kind.time_zone))
        exact = pl.when(exact.cast(pl.Datetime(kind.time_unit, kind.time_zone)) == text).then(exact)
        if kind.time_zone:
            return exact.dt.convert_time_zone("UTC"), "a timestamp in microseconds"
        return _localize(exact, zone), f"a timestamp{zone_note}"
    if kind != pl.String:
        return pl.lit(None, dtype=pl.Datetime("us", "UTC")), f"a timestamp, not a {kind}"
    if column.format:
        return _by_format(text.str.strip_chars(), column.format, zone), f"a timestamp as {column.format}" + (
            "" if _has_zone(column.format) else zone_note
        )
    return _by_iso(text.str.strip_chars(), zone), f"a timestamp as ISO 8601{zone_note}"


def _has_zone(form: str) -> bool:
    return any(mark in form for mark in ("%z", "%:z", "%#z"))


def _by_format(plain: pl.Expr, form: str, zone: str | None) -> pl.Expr:
    """Timestamps of texts by a stated format."""
    plain, is_midnight = _without_midnight(plain)
    if "%.f" in form:
        plain = plain.str.replace(r"(:\d\d),(\d+)", "${1}.${2}")
    if _has_zone(form):
        moment = plain.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        return _next_day(_with_whole_years(plain, moment, form), is_midnight)
    local = _with_whole_years(plain, plain.str.to_datetime(form, strict=False, time_unit="us"), form)
    return _localize(_next_day(local, is_midnight), zone)


def _by_iso(plain: pl.Expr, zone: str | None) -> pl.Expr:
    """Timestamps of texts by ISO 8601, in the forms that the module names."""
    import polars as pl

    plain, is_midnight = _without_midnight(plain)
    iso = plain.str.replace(r"^(\d{4}-\d\d-\d\d)[ tT]", "${1}T").str.replace(r"^([^,]*:\d\d),(\d)", "${1}.${2}")
    iso = iso.str.replace(r"(:\d\d(?:\.\d+)?) ?(?:[zZ]|UTC|GMT)$", "${1}+00:00").str.replace(r"(:\d\d(?:\.\d+)?) ([+-]\d\d)", "$1$2")
    iso = iso.str.replace(r"(:\d\d(?:\.\d+)?[+-]\d\d)$", "$1:00").str.replace(r"([+-]\d\d)(\d\d)$", "$1:$2")
    iso = pl.when(iso.str.contains(r"\.\d{6}\d*[1-9]")).then(None).otherwise(iso)  # finer than a microsecond: would be truncated
    zoned = pl.coalesce(
        [iso.str.to_datetime(f, strict=False, time_unit="us", time_zone="UTC") for f in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")]
    )
    naive = pl.coalesce(
        [iso.str.to_datetime(f, strict=False, time_unit="us") for f in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")]
        + [iso.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))]
    )
    return pl.coalesce([_next_day(zoned, is_midnight), _localize(_next_day(naive, is_midnight), zone)]).cast(pl.Datetime("us", "UTC"))


def _without_midnight(plain: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Texts with 00:00 for 24:00, and where that was so."""
    return plain.str.replace(_MIDNIGHT, "${1}00:00${2}${4}"), plain.str.contains(_MIDNIGHT)


def _next_day(time: pl.Expr, is_midnight: pl.Expr) -> pl.Expr:
    import polars as pl

    return pl.when(is_midnight).then(time + pl.duration(days=1)).otherwise(time)


def _from_epoch(text: pl.Expr, kind: pl.DataType, form: str) -> tuple[pl.Expr, str]:
    """Moments of numbers since 1970 in UTC, in seconds or a thousandth or millionth of them; null where one is finer than a microsecond."""
    import polars as pl

    unit, digits = EPOCHS[form]
    wanted = f"{unit} since 1970, of at most microseconds"
    if not (kind.is_integer() or kind.is_float() or kind.is_decimal() or kind == pl.String):
        return pl.lit(None, dtype=pl.Datetime("us", "UTC")), f"{wanted}, not a {kind}"
    plain = text.cast(pl.String).str.strip_chars().str.replace(r"\.0+$", "")
    fits = plain.str.contains(rf"^-?\d{{1,15}}(\.\d{{1,{digits}}})?$" if digits else r"^-?\d{1,18}$")
    number = plain.cast(pl.Decimal(38, digits), strict=False)
    microseconds = (number * 10**digits).cast(pl.Int64, strict=False)
    # Beyond the year 9999 no calendar of the lake's engines goes.
    is_near = microseconds.is_between(-62_135_596_800_000_000, 253_402_300_799_999_999)
    return pl.when(fits & is_near).then(microseconds).cast(pl.Datetime("us", "UTC")), wanted


def _with_whole_years(text: pl.Expr, time: pl.Expr, form: str) -> pl.Expr:
    """Times with the years that their texts say.

    `%Y` alone would read two digits as a year of the first century, `%y` one digit, and Polars reads 69 by some formats as 2069, by others as 1969.
    """
    import polars as pl

    if "%y" in form:
        pattern = "".join(r"\d\d" if part == "%y" else ".*?" if part.startswith("%") else re.escape(part) for part in _FIELDS.split(form))
        has_both = text.str.contains(f"^{pattern}$")
        return pl.when(has_both & (time.dt.year() == 2069)).then(time.dt.offset_by("-100y")).when(has_both).then(time)
    return pl.when(text.str.contains(r"\d{4}")).then(time) if "%Y" in form else time


def _localize(local: pl.Expr, zone: str | None) -> pl.Expr:
    """Convert local times to UTC; null where the zone is unknown, or the clock showed that time twice or never."""
    import polars as pl

    if zone is None:
        return pl.when(pl.lit(False)).then(local.dt.replace_time_zone("UTC"))
    return local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
