"""Cron schedules: five fields of which Dagster makes times in UTC, or a macro."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from lakeloop.errors import nearest

MACROS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    ("a minute", 0, 59, ()),
    ("an hour", 0, 23, ()),
    ("a day of the month", 1, 31, ()),
    ("a month", 1, 12, _MONTHS),
    ("a day of the week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?:\*|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\d+))?")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def check_cron(value: Any) -> Any:
    """A cron schedule as it is; what isn't text is for pydantic to refuse.

    Raises:
        ValueError: it has no five fields, a value is outside of its field's range, or no day is ever meant.

    >>> check_cron("30 2 * * mon-fri")
    '30 2 * * mon-fri'
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text.startswith("@"):
        if text not in MACROS:
            raise ValueError(f"found {value!r}; {nearest(text, MACROS)}")
        return value
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"wanted minute, hour, day, month and day of the week, such as '0 2 * * *', or a macro such as @weekly, found {value!r}"
        )
    numbers = [_numbers(field, *of) for field, of in zip(fields, _FIELDS, strict=True)]
    if fields[4] == "*" and not any(day <= _LONGEST_MONTHS[month - 1] for month in numbers[3] for day in numbers[2]):
        raise ValueError(f"wanted a day that some month has, found {value!r}")
    return value


Cron = Annotated[str, BeforeValidator(check_cron)]


def _numbers(field: str, what: str, lowest: int, highest: int, names: tuple[str, ...]) -> set[int]:
    """The numbers that a field means."""
    numbers: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None or match["step"] in ("0", "00"):
            raise ValueError(f"wanted {what} such as *, */2, {lowest}, {lowest}-{highest} or {lowest},{highest}, found {part!r}")
        low = _number(match["low"], what, lowest, highest, names) if match["low"] else lowest
        high = _number(match["high"], what, lowest, highest, names) if match["high"] else low
        if high < low:
            raise ValueError(f"wanted {what} from a lower to a higher one, found {part!r}")
        ends = highest if not match["low"] or (match["step"] and not match["high"]) else high
        numbers |= set(range(low, ends + 1, int(match["step"] or 1)))
    return numbers


def _number(text: str, what: str, lowest: int, highest: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + lowest
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        named = f", or {names[0]} to {names[-1]}" if names else ""
        raise ValueError(f"wanted {what} from {lowest} to {highest}{named}, found {text!r}")
    return int(text)
