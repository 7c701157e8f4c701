"""Texts that are dates or times: the format that reads all of them, if there is one and it is unambiguous."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeloop.rows.conform import parse_column
from lakeloop.spec.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 2_000
"""Values that are tried before all of them are."""
UNDECIDED = "day or month first?"
"""The beginning of the reason why a column of times stays text."""
_DIGITS = "%Y%m%d"
_DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y",
    "%b %d %Y", "%b %d, %Y", "%B %d %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S%.f")
_TIMES = (*(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS), "%d/%b/%Y:%H:%M:%S %z")
_BEGINS = re.compile(r"\d{1,4}[-/. ]|\d{8}|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
"""The beginning of all these formats; other texts are tried with none of them."""


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
        return None, ""
    has_years = all(re.search(r"\d{4}", value) for value in sample)

    def matching(formats: Sequence[str], kind: Column) -> list[str]:
        # %Y also reads two digits, as a year of the first century.
        candidates = [form for form in formats if has_years or "%Y" not in form]
        return [form for form in candidates if is_lossless(distinct, kind.model_copy(update={"format": form}))]

    days = matching((*_DAYS, *([_DIGITS] if digits else [])), Column(type="date"))
    if days:
        note = ambiguity_note(days, "date")
        return (None, note) if note else (Column(type="date", format=None if days[0] == "%Y-%m-%d" else days[0]), _dots_note(days[0]))
    if is_lossless(distinct, Column(type="timestamp")):
        return Column(type="timestamp"), ""
    if is_lossless(distinct, Column(type="timestamp", timezone="UTC")):
        return declare_in_zone(distinct, None, timezone)
    with_offset = [form for form in _TIMES if "%z" in form]
    if formats := matching(with_offset, Column(type="timestamp")):
        return Column(type="timestamp", format=formats[0]), ""
    if formats := matching([form for form in _TIMES if form not in with_offset], Column(type="timestamp", timezone="UTC")):
        note = ambiguity_note(formats, "timestamp")
        return (None, note) if note else declare_in_zone(distinct, formats[0], timezone)
    return None, ""


def ambiguity_note(formats: Sequence[str], kind: str) -> str:
    """Why texts that these formats read stay text: day and month could be swapped; empty where only one order reads them.

    >>> ambiguity_note(["%d/%m/%Y", "%m/%d/%Y"], "date")
    "day or month first? No value tells, so it stays text; declare {type: date, format: '%d/%m/%Y'} or {type: date, format: '%m/%d/%Y'}"
    >>> ambiguity_note(["%d.%m.%Y"], "date")
    ''
    """
    swappable = [form for form in formats if form.startswith("%d") and _swap_day_and_month(form) in formats]
    if not swappable:
        return ""
    declarations = " or ".join(f"{{type: {kind}, format: '{form}'}}" for form in (swappable[0], _swap_day_and_month(swappable[0])))
    return f"{UNDECIDED} No value tells, so it stays text; declare {declarations}"


def _swap_day_and_month(form: str) -> str:
    return form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def _dots_note(form: str) -> str:
    return "the day first, since it is written with dots" if form == "%d.%m.%Y" else ""


def declare_in_zone(distinct: pa.Array | None, form: str | None, timezone: str) -> tuple[Column, str]:
    """Declare a timestamp whose values have no time zone, with a note."""
    column = Column(type="timestamp", format=form, timezone=timezone)
    if distinct is not None and not is_lossless(distinct, column):
        return column, f"some times are ambiguous or don't exist in {timezone}: those rows go to quarantine"
    return column, f"the data have no time zone: {timezone} is assumed, set the right one"
