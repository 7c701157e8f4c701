"""The time zones that times fit: whose midnights moments are, or whose clocks left out an hour that a series of local times lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

import numpy as np

from lakeloop.spec.clocks import to_local, to_utc

_COMMON = (
    "Europe/London", "Europe/Berlin", "Europe/Paris", "Europe/Zurich", "Europe/Madrid", "Europe/Rome", "Europe/Athens", "Europe/Istanbul", "Europe/Moscow",
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Toronto", "America/Mexico_City",
    "America/Bogota", "America/Sao_Paulo", "America/Santiago", "Africa/Lagos", "Africa/Cairo", "Africa/Johannesburg", "Africa/Nairobi", "Asia/Dubai",
    "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka", "Asia/Bangkok", "Asia/Shanghai", "Asia/Tokyo", "Australia/Perth", "Australia/Brisbane",
    "Australia/Adelaide", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Honolulu",
)  # fmt: skip
"""The zones that are named first where several fit."""
_OLD_NAMES = ("Etc/", "US/", "Brazil/", "Canada/", "Chile/", "Mexico/", "SystemV/")
_SHOWN = 3
_LEAST_DAYS = 5
"""The fewest times whose midnights say anything."""
_SHORTEST_DAY = 22 * 3600 * 10**6
_LONGEST_GRID = 3600 * 10**6
"""The longest step of a series that lacks a row in an hour that the clocks left out."""
_FIRST_TRIED = 40
"""Times that a zone is tried with before all are."""
_MIDDAY = (10, 14)
"""The hours of UTC around noon: readings at these times are hardly a midnight in Hawaii or Fiji."""


@dataclass(frozen=True)
class ZoneGuess:
    """The zones that fit, and why.

    Attributes:
        zones: the best known first.
        is_certain: whether the times can't be regular in UTC.
        reason: for a person.
    """

    zones: tuple[str, ...]
    is_certain: bool
    reason: str

    @property
    def shown(self) -> str:
        """The first zones, and how many others.

        >>> ZoneGuess(("Europe/Berlin", "Europe/Paris"), True, "").shown
        'Europe/Berlin or Europe/Paris'
        """
        more = len(self.zones) - _SHOWN
        first = list(self.zones[:_SHOWN])
        return f"{', '.join(first)} or {more} more" if more > 0 else " or ".join(first)

    @property
    def others(self) -> str:
        """The zones beside the first, for a remark; empty where there are none.

        >>> ZoneGuess(("Europe/Berlin", "Europe/Paris"), True, "").others
        '; so it is in Europe/Paris'
        """
        rest = ZoneGuess(self.zones[1:], self.is_certain, "")
        return f"; so it is in {rest.shown}" if rest.zones else ""


def guess_of_days(moments: np.ndarray) -> ZoneGuess | None:
    """The zones in which moments a day or more apart are beginnings of days; None where they are in UTC, or in none.

    Args:
        moments: `datetime64[us]`, UTC, in any order, with NaT.
    """
    distinct = np.unique(moments[~np.isnat(moments)])
    times = np.unique((distinct - distinct.astype("datetime64[D]").astype("datetime64[us]")).astype(np.int64))
    if len(distinct) < _LEAST_DAYS or np.diff(distinct).astype(np.int64).min() < _SHORTEST_DAY or not times.any() or len(times) > 6:
        return None
    hour = times / (3600 * 10**6)
    if len(times) == 1 and _MIDDAY[0] <= hour[0] <= _MIDDAY[1]:
        return None
    zones = _fitting(distinct, lambda part, zone: bool((_day_start(part, zone) == part).all()))
    if not zones:
        return None
    if len(times) > 1:
        return ZoneGuess(zones, True, f"the times are midnights of {zones[0]}, on both sides of a change of its clocks")
    changing = tuple(zone for zone in zones if len(_offsets(zone)) > 1)
    return ZoneGuess(changing or zones, False, f"the times are {_clock(int(times[0]))} UTC, a midnight of {(changing or zones)[0]}")


def guess_of_clocks(walls: np.ndarray) -> ZoneGuess | None:
    """The zones whose clocks left out what a series of local times lacks: an hour of a night in spring; None where nothing tells.

    Args:
        walls: local times as `datetime64[us]`, in any order, with NaT: an hour apart or less.
    """
    distinct = np.unique(walls[~np.isnat(walls)])
    if len(distinct) < 48:
        return None
    steps = np.diff(distinct).astype(np.int64)
    lengths, counts = np.unique(steps, return_counts=True)
    step = int(lengths[counts.argmax()])
    if step > _LONGEST_GRID or counts.max() < 0.5 * len(steps):
        return None
    # The rows beside a gap are there, and the gap is as long as a change of clocks.
    jumps = np.flatnonzero((steps > step) & (steps % step == 0) & (steps <= step + 2 * 3600 * 10**6))
    before, after = distinct[jumps], distinct[jumps + 1]
    missing = before + np.timedelta64(step, "us")

    def were_left_out(zone: str) -> np.ndarray:
        return np.asarray(_never_was(missing, zone) & (to_utc(after, zone) - to_utc(before, zone) == np.timedelta64(step, "us")))

    zones = [zone for zone in _zones() if len(jumps) and were_left_out(zone).any()]
    zones = [zone for zone in zones if not _never_was(_some(distinct), zone).any() and not _never_was(distinct, zone).any()]
    if not zones:
        return None
    place = int(np.flatnonzero(were_left_out(zones[0]))[0])
    reason = f"no time lies between {_shown(before[place])} and {_shown(after[place])}, when the clocks of {zones[0]} were put forward"
    return ZoneGuess(tuple(zones), True, reason)


def _never_was(local: np.ndarray, zone: str) -> np.ndarray:
    """Which local times the clocks of a zone never showed."""
    return np.asarray(to_local(to_utc(local, zone), zone) != local)


def _some(distinct: np.ndarray) -> np.ndarray:
    return np.asarray(distinct[np.unique(np.linspace(0, len(distinct) - 1, _FIRST_TRIED).astype(int))])


def _fitting(distinct: np.ndarray, fits: Callable[[np.ndarray, str], bool]) -> tuple[str, ...]:
    """The zones that fit times, tried with some of them first."""
    some = _some(distinct)
    return tuple(zone for zone in _zones() if fits(some, zone) and fits(distinct, zone))


@cache
def _zones() -> Sequence[str]:
    """The zones by names of today, the best known first."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(_OLD_NAMES))
    return [*(name for name in _COMMON if name in names), *(name for name in names if name not in _COMMON)]


def _day_start(moments: np.ndarray, zone: str) -> np.ndarray:
    return to_utc(to_local(moments, zone).astype("datetime64[D]").astype("datetime64[us]"), zone)


@cache
def _offsets(zone: str) -> frozenset[int]:
    """The differences of a zone from UTC in the months of 2024, in seconds."""
    months = np.arange("2024-01", "2025-01", dtype="datetime64[M]").astype("datetime64[us]")
    return frozenset((to_local(months, zone) - months).astype("timedelta64[s]").astype(int).tolist())


def _clock(microseconds: int) -> str:
    return f"{microseconds // (3600 * 10**6):02}:{microseconds // (60 * 10**6) % 60:02}"


def _shown(moment: np.datetime64) -> str:
    return str(moment)[:16].replace("T", " ")
