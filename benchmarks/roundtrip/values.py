"""Hostile values by kind, and names of columns, that random tables are made of."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Values = list[Any]
INTEGERS = (0, 1, -1, 7, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 0.1, 1.5, -2.25, 1e-300, 1e300, 123456.789, 1 / 3)
ODD_FLOATS = (math.nan, math.inf, -math.inf)
TEXTS = (
    "", " ", "a", "Ä", "名前", "a,b", 'say "hi"', '"', "'", "x;y", "tab\there", "two\nlines", "NA", "-", "null", "007", "1e5", "10E1", "1.204",
    "+4915112345678", "\\N", "C:\\new\\", "#x", "true", "2024-02-30", "01/02/2024", "=1+1", "0x1F", "1_000", "٣", "a\u2028b", "12:30", "Infinity",
)  # fmt: skip
WORDS = ("north", "south", "NA", "east-west", "Müller", "O'Neil")
NAMES = ("v", "Größe (cm)", "名前", "count", "select", "a.b", "x y", "Value", "index", "1st", "n%", "date", "order", "_x")


def _sample(choices: Sequence[Any]) -> Callable[[random.Random, int], Values]:
    return lambda rng, count: [rng.choice(choices) for _ in range(count)]


KINDS: Mapping[str, Callable[[random.Random, int], Values]] = {
    "integers": _sample(INTEGERS),
    "small integers": _sample(range(-5, 6)),
    "unsigned": _sample((0, 1, 255, 2**32, 2**64 - 1)),
    "floats": _sample(FLOATS),
    "short floats": _sample(tuple(value for value in FLOATS if len(repr(value)) < 12)),
    "odd short floats": _sample((*(value for value in FLOATS if len(repr(value)) < 12), *ODD_FLOATS)),
    "odd floats": _sample((*FLOATS, *ODD_FLOATS)),
    "booleans": _sample((True, False)),
    "texts": _sample(TEXTS),
    "words": _sample(WORDS),
    "codes": _sample(("10E1", "1E2", "100", "1000")),
    "digits": _sample(("007", "12", "0", "99")),
    "dates": _sample((date(1, 1, 1), date(1969, 12, 31), date(2024, 2, 29), date(9999, 12, 31))),
    "times": _sample((datetime(1969, 12, 31, 23, 59, 59), datetime(2024, 2, 29, 9, 30), datetime(2024, 3, 31, 2, 30, 0, 1))),
    "zoned times": _sample((datetime(2024, 2, 29, 9, 30, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC))),
    "decimals": _sample((Decimal("1.10"), Decimal("-0.01"), Decimal("12345678901234567.89"))),
    "clock times": _sample((time(0), time(9, 30), time(23, 59, 59, 999_999))),
    "durations": _sample((timedelta(0), timedelta(days=1, microseconds=1), timedelta(seconds=-3))),
    "bytes": _sample((b"", b"abc", b"\xff\x00")),
    "lists": _sample(([], [1, 2], [2**53 + 1])),
    "structs": _sample(({"city": "Bonn", "size": 1}, {"city": "007", "size": 2})),
    "nothing": _sample((None,)),
    # What a workbook holds: numbers are doubles, and days begin with 1900.
    "days": _sample((date(1900, 3, 1), date(1969, 12, 31), date(2024, 2, 29), date(2038, 1, 19))),
    "moments": _sample((datetime(1969, 12, 31, 23, 59, 59), datetime(2024, 2, 29, 9, 30), datetime(2024, 3, 31, 2, 30, 0, 250_000))),
    "clock": _sample((time(0, 0, 1), time(9, 30), time(23, 59, 59))),
    "spans": _sample((timedelta(hours=30), timedelta(days=2, seconds=5), timedelta(minutes=1))),
}
SHEET_KINDS = ("small integers", "floats", "booleans", "texts", "words", "codes", "digits", "nothing", "days", "moments")
_OF_SOME = ("days", "moments", "clock", "spans", "short floats", "odd short floats")
"""Kinds of writers that hold less than others."""
EVERY = tuple(kind for kind in KINDS if kind not in _OF_SOME)
PLAIN = tuple(kind for kind in EVERY if kind not in ("bytes", "lists", "structs", "durations", "clock times"))
