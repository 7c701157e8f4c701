"""Steps of a time series (a quarter of an hour, a day, a month): their numbers, their SQL, and how they are inferred from data.

Seconds, minutes and hours are exact durations. Days, weeks and months are those of the calendar in a time zone, UTC unless one is named: a local day
has 23 or 25 hours where the clocks are changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import numpy as np

from lakeloop.spec.clocks import greatest_delay, to_local, to_utc

_STEP = re.compile(r"(\d+)\s*(mo|[smhdwqy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WORDS = {"s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "mo": "MONTH"}
_MONTHS = {"q": 3, "y": 12}
_MONTH_DAYS = 31
SEASONS = {"1h": 24, "1d": 7, "1w": 52, "1mo": 12, "3mo": 4}
"""The usual season of a series, in steps: a day of hours, a week, a year."""
Anchor = Literal["day_start", "month_end"]


@dataclass(frozen=True)
class Step:
    """A number of seconds, minutes, hours, days, weeks or months.

    Attributes:
        count: of the unit.
        unit: `s`, `m`, `h`, `d`, `w` or `mo`.
        timezone: in which days, weeks and months begin, and seasons of shorter steps are counted; None for UTC.
        anchor: of moments that all stand at the same place of the calendar, which adding days and months alone wouldn't keep: at the beginning of
            a local day, which isn't always 00:00, or on the last day of a month.
    """

    count: int
    unit: str
    timezone: str | None = None
    anchor: Anchor | None = None

    @classmethod
    def parse(cls, text: str, timezone: str | None = None) -> Step:
        """Read `15m`, `1h`, `1d`, `1w` or `1mo`; `1q` and `1y` are 3 and 12 months.

        Raises:
            ValueError: the text isn't one of these.
        """
        match = _STEP.fullmatch(text.strip()) if isinstance(text, str) else None
        if not match or not int(match[1]):
            raise ValueError(f"wanted a step such as 15m, 1h, 1d, 1w or 1mo, found {text!r}")
        zone = None if timezone == "UTC" else timezone
        return cls(int(match[1]) * _MONTHS.get(match[2], 1), "mo" if match[2] in _MONTHS else match[2], zone)

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    def describe(self, steps: int) -> str:
        """A number of steps in words.

        >>> Step.parse("1d").describe(7), Step.parse("15m").describe(4), Step.parse("1mo").describe(1), Step.parse("1q").describe(2)
        ('7 days', '4 steps of 15m', 'month', '2 quarters')
        """
        words = {1: _WORDS[self.unit].lower(), **({3: "quarter", 12: "year"} if self.unit == "mo" else {})}
        if self.count not in words:
            return f"{steps} steps of {self}"
        return words[self.count] if steps == 1 else f"{steps} {words[self.count]}s"

    @property
    def seconds(self) -> int | None:
        """Its usual length in seconds, which a local day may miss by an hour; None for months, whose lengths differ."""
        return None if self.unit == "mo" else self.count * _SECONDS[self.unit]

    @property
    def is_exact(self) -> bool:
        """Whether each is as long as any other."""
        return self.unit in ("s", "m", "h") or (self.unit in ("d", "w") and self.timezone is None)

    def longest(self, steps: int) -> timedelta:
        """The longest time that a number of steps takes: a month counts as 31 days, and the clocks may be put back on the way.

        >>> Step.parse("1d").longest(7), Step.parse("1mo").longest(2), Step.parse("1d", "Europe/Zurich").longest(7)
        (datetime.timedelta(days=7), datetime.timedelta(days=62), datetime.timedelta(days=7, seconds=3600))
        """
        seconds = self.seconds
        usual = timedelta(days=self.count * _MONTH_DAYS * steps) if seconds is None else timedelta(seconds=seconds * steps)
        return usual if self.is_exact else usual + greatest_delay(self.timezone)

    def anchored(self, moments: np.ndarray) -> Step:
        """The step with the anchor that most moments have (`datetime64[us]`, without NaT): beginnings of local days, or the last days of months."""
        if self.is_exact or not len(moments):
            return replace(self, anchor=None)
        local = to_local(moments, self.timezone)
        day = local.astype("datetime64[D]")
        month = day.astype("datetime64[M]")
        if self.unit == "mo" and len(np.unique(day - month)) > 1 and (_last_day(month) == day).mean() > 0.5:
            return replace(self, anchor="month_end")
        starts = self.timezone is not None and (to_utc(day.astype("datetime64[us]"), self.timezone) == moments).mean() > 0.5
        return replace(self, anchor="day_start" if starts else None)

    def numbers(self, moments: np.ndarray) -> np.ndarray:
        """The number of the step that contains each moment (`datetime64[us]`, UTC)."""
        local = moments if self.is_exact else to_local(moments, self.timezone)
        if self.unit == "mo":
            return np.asarray((local.astype("datetime64[M]").astype(np.int64) + 1970 * 12) // self.count)
        return np.asarray(local.astype("datetime64[s]").astype(np.int64) // (self.count * _SECONDS[self.unit]))

    def ahead(self, moments: np.ndarray, steps: np.ndarray | int) -> np.ndarray:
        """The moments a number of steps later (`datetime64[us]`, UTC): in the calendar of the zone, on a month's last day where it is too short."""
        if self.is_exact:
            return moments + np.timedelta64(1, "s") * (steps * (self.seconds or 0))
        local = to_local(moments, self.timezone)
        day = local.astype("datetime64[D]")
        time = np.timedelta64(0, "us") if self.anchor == "day_start" else local - day.astype("datetime64[us]")
        if self.unit == "mo":
            month = day.astype("datetime64[M]")
            target = month + np.timedelta64(1, "M") * (steps * self.count)
            last = _last_day(target)
            later = (
                last
                if self.anchor == "month_end"
                else np.minimum(target.astype("datetime64[D]") + (day - month.astype("datetime64[D]")), last)
            )
        else:
            later = day + np.timedelta64(1, "D") * (steps * (self.seconds or 0) // 86400)
        return to_utc(later.astype("datetime64[us]") + time, self.timezone)

    def number_sql(self, moment: str, *, before_1970: bool = False) -> str:
        """An SQL expression for the number of a moment's step.

        Args:
            moment: the SQL of a timestamp.
            before_1970: whether moments may be that early: `DIV` counts towards zero, so that the steps before and after would have one number.

        >>> Step.parse("1d").number_sql("day"), Step.parse("1mo").number_sql("day")
        ('unix_timestamp(day) DIV 86400', '(year(day) * 12 + month(day) - 1)')
        >>> Step.parse("1d").number_sql("day", before_1970=True)
        'CAST(floor(unix_timestamp(day) / 86400) AS BIGINT)'
        >>> Step.parse("1d", "Europe/Zurich").number_sql("at")
        "unix_timestamp(from_utc_timestamp(at, 'Europe/Zurich')) DIV 86400"
        """
        local = moment if self.is_exact else local_sql(moment, self.timezone)
        if self.unit == "mo":
            months = f"(year({local}) * 12 + month({local}) - 1)"
            return months if self.count == 1 else f"{months} DIV {self.count}"
        if before_1970:  # exact: no quotient of seconds since the year 1 is so near to a whole number that it would be rounded to it
            return f"CAST(floor(unix_timestamp({local}) / {self.seconds}) AS BIGINT)"
        return f"unix_timestamp({local}) DIV {self.seconds}"

    def season_number_sql(self, moment: str, *, before_1970: bool = False) -> str:
        """An SQL expression for the number by which a moment's place in a season is counted: of steps that the clocks of the zone show.

        It is the number of the step, save that hours and shorter steps are counted in the zone, where one comes twice in autumn and one is left
        out in spring: so a season of 24 hours is a local day.

        >>> Step.parse("1h", "Europe/Zurich").season_number_sql("at")
        "unix_timestamp(from_utc_timestamp(at, 'Europe/Zurich')) DIV 3600"
        """
        return self.number_sql(local_sql(moment, self.timezone) if self.is_exact else moment, before_1970=before_1970)

    def ahead_sql(self, moment: str, steps: str) -> str:
        """An SQL expression for the moment a number of steps later, as `ahead` has it.

        >>> Step.parse("1h").ahead_sql("at", "steps_ahead")
        'at + steps_ahead * INTERVAL 1 HOUR'
        >>> Step.parse("1d", "Europe/Zurich").ahead_sql("at", "steps_ahead")
        "to_utc_timestamp(from_utc_timestamp(at, 'Europe/Zurich') + steps_ahead * INTERVAL 1 DAY, 'Europe/Zurich')"
        """
        if self.is_exact:
            return f"{moment} + {steps} * INTERVAL {self.count} {_WORDS[self.unit]}"
        local = local_sql(moment, self.timezone)
        if self.anchor == "day_start":
            local = f"date_trunc('DAY', {local})"
        months = steps if self.count == 1 else f"{steps} * {self.count}"
        if self.unit != "mo":
            later = f"{local} + {steps} * INTERVAL {self.count} {_WORDS[self.unit]}"
        elif self.anchor == "month_end":
            later = f"CAST(last_day(add_months({local}, {months})) AS TIMESTAMP) + ({local} - date_trunc('DAY', {local}))"
        else:
            # Sail multiplies no interval of months, and add_months would leave out the time of day.
            later = f"{local} + make_ym_interval(0, {months})"
        return later if self.timezone is None else f"to_utc_timestamp({later}, '{self.timezone}')"


def local_sql(moment: str, timezone: str | None) -> str:
    """An SQL expression for what the clocks of a zone show at a moment, as a timestamp; the moment itself without a zone.

    >>> local_sql("at", "Asia/Kolkata"), local_sql("at", None)
    ("from_utc_timestamp(at, 'Asia/Kolkata')", 'at')
    """
    return moment if timezone is None or timezone == "UTC" else f"from_utc_timestamp({moment}, '{timezone}')"


def _last_day(months: np.ndarray) -> np.ndarray:
    """The last day of each month (`datetime64[M]`)."""
    return (months + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")


def guess_step(moments: np.ndarray, timezone: str | None = None) -> Step:
    """Infer the step from the most frequent distance of neighbours, in the moments of one series or of several that share their times.

    Args:
        moments: `datetime64[us]`, UTC.
        timezone: in which days, weeks and months are counted.

    >>> str(guess_step(np.array(["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"], "datetime64[us]")))
    '1mo'
    >>> str(guess_step(np.array(["2023-12-31", "2024-03-31", "2024-06-30", "2024-09-30"], "datetime64[us]")))
    '3mo'
    """
    zone = None if timezone == "UTC" else timezone
    distinct = np.unique(moments[~np.isnat(moments)])
    local = to_local(distinct, zone)
    days = local.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if len(distinct) > 2 and (len(np.unique(days - months)) == 1 or (_last_day(months) == days).all()):
        count, share = _most_frequent(np.diff(months.astype(np.int64)))
        if count > 0 and share > 0.5:
            return Step(count, "mo", zone)
    # Days in a zone are counted by its clocks; shorter distances by time itself.
    lengths = np.diff(distinct).astype("timedelta64[s]").astype(np.int64)
    seconds, _ = _most_frequent(
        np.diff(local).astype("timedelta64[s]").astype(np.int64) if len(lengths) and np.median(lengths) > 80_000 else lengths
    )
    seconds = seconds if len(lengths) else 86400
    unit = next(u for u in ("w", "d", "h", "m", "s") if seconds % _SECONDS[u] == 0)
    return Step(max(seconds // _SECONDS[unit], 1), unit, zone)


def _most_frequent(numbers: np.ndarray) -> tuple[int, float]:
    """The most frequent number, the least of several, and its share; 0 of none."""
    if not len(numbers):
        return 0, 0.0
    values, counts = np.unique(numbers, return_counts=True)
    return int(values[counts.argmax()]), float(counts.max() / len(numbers))
