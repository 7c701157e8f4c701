"""Calendar steps in a zone by their definition, moment by moment with Python's calendar and `zoneinfo`."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

UNITS = ("1d", "2d", "1w", "1mo", "3mo", "12mo")


class Moment:
    """Moments of local days."""

    @staticmethod
    def midnight(year: int, month: int, day: int, later: int, zone: str) -> datetime | None:
        """The beginning of a local day in UTC, a number of days later; None for a day that never was."""
        first = date(year, month, day) + timedelta(days=later)
        low = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(hours=15)
        # Minute by minute, since a day need not begin at midnight.
        for minute in range(30 * 60):
            moment = low + timedelta(minutes=minute)
            if Moment.day(moment, zone) == first:
                return moment
        return None

    @staticmethod
    def day(moment: datetime, zone: str) -> date:
        """The local day of a moment."""
        return moment.astimezone(ZoneInfo(zone)).date()


def _changes(zone: str) -> list[datetime]:
    """Moments around both changes of the clocks, the ends of months and leap days of some years, every quarter of an hour."""
    moments = []
    for year in (2023, 2024, 2050):
        hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(366 * 24)]
        offsets = [moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in hours]
        changed = [after for before, after, old, new in zip(hours, hours[1:], offsets, offsets[1:], strict=False) if old != new]
        ends = [datetime(year, month, calendar.monthrange(year, month)[1], 22, tzinfo=UTC) for month in (1, 2, 3, 12)]
        for moment in [*changed, *ends]:
            moments += [moment + timedelta(minutes=15 * quarter) for quarter in range(-110, 30)]
    return moments


PLACES = {
    zone: _changes(zone) for zone in ("UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")
}
"""Zones with hours and half hours that come twice, without changes, and with midnights that are skipped; and moments of each that are hard."""


def number_of(moment: datetime, unit: str, zone: str) -> int:
    """The number of the local step that contains a moment: of days since 1970, of weeks of them, of months since year 0."""
    day = moment.astimezone(ZoneInfo(zone)).date()
    count = int(unit.rstrip("dwmo"))
    if unit.endswith("mo"):
        return (day.year * 12 + day.month - 1) // count
    return (day - date(1970, 1, 1)).days // (count * (7 if unit.endswith("w") else 1))


def step_ahead(moment: datetime, steps: int, unit: str, zone: str) -> datetime:
    """The moment a number of steps later: the same time of the clock, on a day that the calendar says; of two such times the first."""
    local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    count = int(unit.rstrip("dwmo")) * steps
    if unit.endswith("mo"):
        year, month = divmod(local.year * 12 + local.month - 1 + count, 12)
        later = local.replace(year=year, month=month + 1, day=min(local.day, calendar.monthrange(year, month + 1)[1]))
    else:
        later = local + timedelta(days=count * (7 if unit.endswith("w") else 1))
    return later.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
