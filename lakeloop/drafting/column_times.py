"""Texts that are dates or times: the format that reads every one of them, if there is one and nothing is left to guess."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeloop.rows.conform import parse_column
from lakeloop.spec.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 2_000
"""Values looked at before all of them are."""
UNDECIDED = "day or month first?"
"""How the reason begins where a column of times has to stay text."""
_DIGITS = "%Y%m%d"
_DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y",
    "%b %d %Y", "%b %d, %Y", "%B %d %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S%.f")
_TIMES = (*(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS), "%d/%b/%Y:%H:%M:%S %z")
_BEGINS = re.compile(r"\d{1,4}[-/. ]|\d{8}|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
"""How each of these formats begins; what doesn't is tried with none of them."""


def holds(distinct: pa.Array, column: Column) -> bool:
    """Whether a declaration reads every value as it is."""
    import pyarrow as pa

    table = pa.table({"v": distinct})
    parts = (table.slice(0, 20), table.slice(0, SAMPLE), table)
    return all(parse_column(part, "v", column).null_count == 0 for part in parts if part.num_rows)


def declare_time(distinct: pa.Array, timezone: str, *, digits: bool) -> tuple[Column | None, str]:
    """A declaration as a date or a timestamp, and a note; None where the texts are neither, or where two formats read them differently.

    Args:
        distinct: the different texts.
        timezone: of times that name none.
        digits: whether eight digits may be a date.
    """
    some = [str(value).strip() for value in distinct.slice(0, SAMPLE).to_pylist()]
    if not all(_BEGINS.match(value) for value in some):
        return None, ""
    years = all(re.search(r"\d{4}", value) for value in some)

    def reading(forms: Sequence[str], kind: Column) -> list[str]:
        # %Y takes two digits as well, as a year of the first century.
        fit = [form for form in forms if years or "%Y" not in form]
        return [form for form in fit if holds(distinct, kind.model_copy(update={"format": form}))]

    days = reading((*_DAYS, *([_DIGITS] if digits else [])), Column(type="date"))
    if days:
        note = undecided(days, "date")
        return (None, note) if note else (Column(type="date", format=None if days[0] == "%Y-%m-%d" else days[0]), _dotted(days[0]))
    if holds(distinct, Column(type="timestamp")):
        return Column(type="timestamp"), ""
    if holds(distinct, Column(type="timestamp", timezone="UTC")):
        return zoned(distinct, None, timezone)
    offset = [form for form in _TIMES if "%z" in form]
    if found := reading(offset, Column(type="timestamp")):
        return Column(type="timestamp", format=found[0]), ""
    if found := reading([form for form in _TIMES if form not in offset], Column(type="timestamp", timezone="UTC")):
        note = undecided(found, "timestamp")
        return (None, note) if note else zoned(distinct, found[0], timezone)
    return None, ""


def undecided(forms: Sequence[str], kind: str) -> str:
    """Why texts that these formats read stay text: day and month could be the other way round; empty where one way only reads them.

    >>> undecided(["%d/%m/%Y", "%m/%d/%Y"], "date")
    "day or month first? No value tells, so it stays text; declare {type: date, format: '%d/%m/%Y'} or {type: date, format: '%m/%d/%Y'}"
    >>> undecided(["%d.%m.%Y"], "date")
    ''
    """
    both = [form for form in forms if form.startswith("%d") and _other_way(form) in forms]
    if not both:
        return ""
    ways = " or ".join(f"{{type: {kind}, format: '{form}'}}" for form in (both[0], _other_way(both[0])))
    return f"{UNDECIDED} No value tells, so it stays text; declare {ways}"


def _other_way(form: str) -> str:
    return form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def _dotted(form: str) -> str:
    return "the day first, as it is written with dots" if form == "%d.%m.%Y" else ""


def zoned(distinct: pa.Array | None, form: str | None, timezone: str) -> tuple[Column, str]:
    """A timestamp whose values name no time zone."""
    column = Column(type="timestamp", format=form, timezone=timezone)
    if distinct is not None and not holds(distinct, column):
        return column, f"some times are ambiguous or don't exist in {timezone}: those rows go to quarantine"
    return column, f"the data name no time zone: {timezone} is assumed, set the place's"
