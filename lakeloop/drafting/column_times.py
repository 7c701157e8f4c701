"""Texts that are dates or times: the format that reads all of them, if there is one and it is unambiguous."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeloop.drafting.column_names import words_of
from lakeloop.rows.conform import parse_column
from lakeloop.spec.tables import EPOCHS, Column

if TYPE_CHECKING:
    import pyarrow as pa

NO_ZONE = "the data have no time zone"
"""The beginning of a note on times that name no zone."""
ASSUMED = "assumed:"
"""The beginning of a note on what the data don't tell."""
SAMPLE = 2_000
"""Values that are tried before all of them are."""
UNDECIDED = "day or month first?"
"""The beginning of the reason why a column of times stays text."""
UNDECIDED_NUMBER = "thousands or decimals?"
"""The beginning of the reason why a column of numbers stays text."""
UNREAD = "a time?"
"""The beginning of the reason why a column stays text that looks like times."""
MOSTLY = 0.8
"""Share of the values of a column that must look like times for it to be told that they aren't read as such."""
_DIGITS = "%Y%m%d"
_DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y",
    "%b %d %Y", "%b %d, %Y", "%B %d %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y",
    "%d %b %y", "%y-%m-%d", "%y/%m/%d",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S%.f")
_TIMES = (
    *(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS), "%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%Y%m%dT%H%M%S", "%Y%m%d %H%M%S", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d%H%M%S",
)  # fmt: skip
"""`%a, %d %b %Y` is the date of mails and of HTTP (RFC 2822), `%a %b %d` that of the C library."""
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_BEGINS = re.compile(rf"\d{{1,4}}[-/. ]|\d{{8}}|({_MONTHS}|mon|tue|wed|thu|fri|sat|sun)", re.IGNORECASE)
"""The beginning of all these formats; other texts are tried with none of them."""
_LOOKS_LIKE = re.compile(
    rf"(\w{{3}},? )?(\d{{1,4}}([-/.])\d{{1,2}}\3\d{{1,4}}|\d{{1,2}}[- ]({_MONTHS})\w*[- ,]+\d{{2,4}}|({_MONTHS})\w* \d{{1,2}},? \d{{2,4}})(\D|$)",
    re.IGNORECASE,
)
"""Days with a year, written in any order."""
_ZONES = re.compile(r" ?(UTC|GMT|Z)$")
"""Names of the zone UTC at the end of texts that aren't written by ISO 8601."""
_EPOCH_WORDS = {"epoch", "unix", "unixtime", "timestamp", "ts", "time", "datetime", "at", "date", "utime", "posix"}
_EPOCH_FIRST, _EPOCH_LAST = 946_684_800, 4_102_444_800
"""The seconds of the years 2000 to 2099, which no other number that is named as a time is likely to lie within."""


def is_lossless(distinct: pa.Array, column: Column) -> bool:
    """Whether a declaration reads every value without loss."""
    import pyarrow as pa

    table = pa.table({"v": distinct})
    parts = (table.slice(0, 20), table.slice(0, SAMPLE), table)
    return all(parse_column(part, "v", column).null_count == 0 for part in parts if part.num_rows)


def declare_time(distinct: pa.Array, timezone: str, *, digits: bool) -> tuple[Column | None, str]:
    """Declare texts as dates or timestamps, with a note; None where they are neither, or where two formats read them differently.

    Args:
        distinct: the distinct texts.
        timezone: of times without one.
        digits: whether eight digits may be a date.
    """
    sample = [str(value).strip() for value in distinct.slice(0, SAMPLE).to_pylist()]
    if not all(_BEGINS.match(value) for value in sample):
        return None, _unread_note(sample)
    days = _matching((*_DAYS, *([_DIGITS] if digits else [])), Column(type="date"), distinct)
    if days:
        note = ambiguity_note(days, "date")
        if note:
            return None, note
        return Column(type="date", format=None if days[0] == "%Y-%m-%d" else days[0]), _dots_note(days[0]) or _years_note(days[0])
    if is_lossless(distinct, Column(type="timestamp")):
        return Column(type="timestamp"), ""
    if is_lossless(distinct, Column(type="timestamp", timezone="UTC")):
        return declare_in_zone(distinct, None, timezone)
    if formats := _matching([form for form in _TIMES if "%z" in form], Column(type="timestamp"), distinct):
        return Column(type="timestamp", format=formats[0]), ""
    endings = {match[0] if (match := _ZONES.search(value)) else "" for value in sample}
    ending = next(iter(endings)) if len(endings) == 1 else ""
    forms = [f"{form}{ending}" for form in _TIMES if "%z" not in form]
    if formats := _matching(forms, Column(type="timestamp", timezone="UTC"), distinct):
        note = ambiguity_note(formats, "timestamp")
        if note:
            return None, note
        if ending:
            return Column(type="timestamp", format=formats[0], timezone="UTC"), _years_note(formats[0])
        column, zone_note = declare_in_zone(distinct, formats[0], timezone)
        return column, "; ".join(filter(None, (_years_note(formats[0]), zone_note)))
    return None, _unread_note(sample)


def _matching(formats: Sequence[str], kind: Column, distinct: pa.Array) -> list[str]:
    """The formats that read every value."""
    sample = [str(value).strip() for value in distinct.slice(0, SAMPLE).to_pylist()]
    # %Y also reads two digits, as a year of the first century, and %y one; 1.2.3 is a version.
    patterns = (r".*\d{4}", r"\d\d\D\d\d\D\d\d", r"[^-/. ]+[-/. ]+[^-/. ]+[-/. ]+\d\d(\D|$)")
    has_years, has_pairs, has_short = (all(re.match(pattern, value) for value in sample) for pattern in patterns)
    candidates = [form for form in formats if (has_years or "%Y" not in form) and (has_pairs or not form.startswith("%y"))]
    candidates = [form for form in candidates if has_short or "%y" not in form or form.startswith("%y")]
    return [form for form in candidates if is_lossless(distinct, kind.model_copy(update={"format": form}))]


def _unread_note(sample: Sequence[str]) -> str:
    """Why texts stay text of which most look like times; empty where they don't."""
    like = sum(bool(_LOOKS_LIKE.match(value)) for value in sample)
    if not sample or like < MOSTLY * len(sample):
        return ""
    return (
        f"{UNREAD} {like:,} of {len(sample):,} values look like one, and no format reads all of them, so it stays text; declare {{type: timestamp, "
        "format: '…', timezone: …} or {type: date, format: '…'}, and rows of other values go to quarantine"
    )


def declare_epoch(distinct: pa.Array, name: str) -> tuple[Column | None, str]:
    """Declare whole numbers as the time since 1970 where their column is named as a time, and all of them lie within this century.

    >>> import pyarrow as pa
    >>> declare_epoch(pa.array([1_700_000_000, 1_700_086_400]), "created_at")[0].format
    'epoch_s'
    >>> declare_epoch(pa.array([1_700_000_000]), "views")
    (None, '')
    """
    import pyarrow.compute as pc

    bounds = pc.min_max(distinct).as_py()
    if not _EPOCH_WORDS & set(words_of(name)) or bounds["min"] is None:
        return None, ""
    for form, scale in (("epoch_s", 1), ("epoch_ms", 1_000), ("epoch_us", 1_000_000)):
        if _EPOCH_FIRST * scale <= bounds["min"] and bounds["max"] < _EPOCH_LAST * scale:
            unit = EPOCHS[form][0]
            note = f"{ASSUMED} {unit} since 1970 in UTC, by its name and as all are of this century; type: integer keeps the numbers"
            return Column(type="timestamp", format=form), note
    return None, ""


def ambiguity_note(formats: Sequence[str], kind: str) -> str:
    """Why texts that these formats read stay text: day and month could be swapped; empty where only one order reads them.

    >>> ambiguity_note(["%d/%m/%Y", "%m/%d/%Y"], "date")
    "day or month first? No value tells, so it stays text; declare {type: date, format: '%d/%m/%Y'} or {type: date, format: '%m/%d/%Y'}"
    >>> ambiguity_note(["%d.%m.%Y"], "date")
    ''
    """
    swapped = [form for form in formats if form.startswith("%d") and _swap_day_and_month(form) in formats]
    readings = [swapped[0], _swap_day_and_month(swapped[0])] if swapped else []
    # Of three numbers of two digits, the first may be the year, too.
    years = [form for form in formats if form.startswith("%y")]
    if years and any(not form.startswith("%y") for form in formats):
        readings = list(dict.fromkeys([*(readings or [form for form in formats if form not in years][:1]), years[0]]))
    if not readings:
        return ""
    declarations = " or ".join(f"{{type: {kind}, format: '{form}'}}" for form in readings)
    return f"{UNDECIDED} No value tells, so it stays text; declare {declarations}"


def _swap_day_and_month(form: str) -> str:
    return form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def _years_note(form: str) -> str:
    return f"{ASSUMED} years of two digits are 1969 to 2068" if "%y" in form else ""


def _dots_note(form: str) -> str:
    return "the day first, since it is written with dots" if form == "%d.%m.%Y" else ""


def declare_in_zone(distinct: pa.Array | None, form: str | None, timezone: str) -> tuple[Column, str]:
    """Declare a timestamp whose values have no time zone, with a note."""
    column = Column(type="timestamp", format=form, timezone=timezone)
    if distinct is not None and not is_lossless(distinct, column):
        return (
            column,
            f"{NO_ZONE}, and some times came twice or never in {timezone}: those rows go to quarantine unless the order of rows tells",
        )
    return column, f"{NO_ZONE}: {timezone} is assumed, set the right one"
