"""Steps of a time series (a quarter of an hour, a day, a month): their numbers, their SQL, and how they are inferred from data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

_STEP = re.compile(r"(\d+)\s*(mo|[smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WORDS = {"s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "mo": "MONTH"}
_MONTH_DAYS = 31
SEASONS = {"1h": 24, "1d": 7, "1w": 52, "1mo": 12}
"""The usual season of a series, in steps: a day of hours, a week, a year."""


@dataclass(frozen=True)
class Step:
    """A number of seconds, minutes, hours, days, weeks or months."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Step:
        """Read `15m`, `1h`, `1d`, `1w` or `1mo`.

        Raises:
            ValueError: the text isn't one of these.
        """
        match = _STEP.fullmatch(text.strip()) if isinstance(text, str) else None
        if not match or not int(match[1]):
            raise ValueError(f"wanted a step such as 15m, 1h, 1d, 1w or 1mo, found {text!r}")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    def describe(self, steps: int) -> str:
        """A number of steps in words.

        >>> Step.parse("1d").describe(7), Step.parse("15m").describe(4), Step.parse("1mo").describe(1)
        ('7 days', '4 steps of 15m', 'month')
        """
        if self.count > 1:
            return f"{steps} steps of {self}"
        word = _WORDS[self.unit].lower()
        return word if steps == 1 else f"{steps} {word}s"

    @property
    def seconds(self) -> int | None:
        """Its length in seconds; None for months, whose lengths differ."""
        return None if self.unit == "mo" else self.count * _SECONDS[self.unit]

    def longest(self, steps: int) -> timedelta:
        """The longest time that a number of steps takes: a month counts as 31 days.

        >>> Step.parse("1d").longest(7), Step.parse("1mo").longest(2)
        (datetime.timedelta(days=7), datetime.timedelta(days=62))
        """
        seconds = self.seconds
        return timedelta(days=self.count * _MONTH_DAYS * steps) if seconds is None else timedelta(seconds=seconds * steps)

    def numbers(self, moments: np.ndarray) -> np.ndarray:
        """The number of the step that contains each moment (`datetime64[us]`)."""
        if self.unit == "mo":
            return np.asarray((moments.astype("datetime64[M]").astype(np.int64) + 1970 * 12) // self.count)
        return np.asarray(moments.astype("datetime64[s]").astype(np.int64) // (self.count * _SECONDS[self.unit]))

    def number_sql(self, moment: str) -> str:
        """An SQL expression for the number of a moment's step.

        >>> Step.parse("1d").number_sql("day"), Step.parse("1mo").number_sql("day")
        ('unix_timestamp(day) DIV 86400', '(year(day) * 12 + month(day) - 1)')
        """
        if self.unit == "mo":
            months = f"(year({moment}) * 12 + month({moment}) - 1)"
            return months if self.count == 1 else f"{months} DIV {self.count}"
        return f"unix_timestamp({moment}) DIV {self.seconds}"

    def ahead_sql(self, moment: str, steps: str) -> str:
        """An SQL expression for the moment a number of steps later.

        >>> Step.parse("1h").ahead_sql("at", "steps_ahead")
        'at + steps_ahead * INTERVAL 1 HOUR'
        """
        if self.unit == "mo":
            months = steps if self.count == 1 else f"{steps} * {self.count}"
            return f"CAST(add_months({moment}, {months}) AS TIMESTAMP)"
        return f"{moment} + {steps} * INTERVAL {self.count} {_WORDS[self.unit]}"


def guess_step(moments: np.ndarray) -> Step:
    """Infer the step from the most frequent distance of neighbours, in the moments of one series or of several that share their times.

    >>> str(guess_step(np.array(["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"], "datetime64[us]")))
    '1mo'
    """
    distinct = np.unique(moments[~np.isnat(moments)])
    days = distinct.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if len(distinct) > 2 and (np.diff(months.astype(np.int64)) == 1).mean() > 0.5 and len(np.unique(days - months)) == 1:
        return Step(1, "mo")
    lengths, counts = np.unique(np.diff(distinct).astype("timedelta64[s]").astype(np.int64), return_counts=True)
    seconds = int(lengths[counts.argmax()]) if len(lengths) else 86400
    unit = next(u for u in ("w", "d", "h", "m", "s") if seconds % _SECONDS[u] == 0)
    return Step(max(seconds // _SECONDS[unit], 1), unit)
