"""What the clocks of a time zone show at a moment, and when they show a time; Polars knows the changes up to the year 2100."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np


def to_local(moments: np.ndarray, zone: str | None) -> np.ndarray:
    """What the clocks of a zone show at moments (`datetime64[us]`, UTC); NaT stays NaT, and without a zone the moments stay.

    >>> to_local(np.array(["2024-07-01T22:00"], "datetime64[us]"), "Europe/Zurich").astype(str).tolist()
    ['2024-07-02T00:00:00.000000']
    """
    import polars as pl

    if zone is None:
        return moments
    times = pl.Series(moments.astype("datetime64[us]")).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return np.asarray(times.dt.replace_time_zone(None).to_numpy()).astype("datetime64[us]")


def to_utc(local: np.ndarray, zone: str | None) -> np.ndarray:
    """The moments at which the clocks of a zone show times (`datetime64[us]`), as Spark's `to_utc_timestamp` has it.

    Of a time that comes twice it is the first; one that never is counts from the clock before the change, so that it is as much later.

    >>> to_utc(np.array(["2024-03-31T02:30", "2024-10-27T02:30"], "datetime64[us]"), "Europe/Zurich").astype(str).tolist()
    ['2024-03-31T01:30:00.000000', '2024-10-27T00:30:00.000000']
    """
    import polars as pl

    if zone is None:
        return local
    times = pl.Series(local.astype("datetime64[us]")).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    moments = np.array(times.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()).astype("datetime64[us]")
    for place in np.flatnonzero(np.isnat(moments) & ~np.isnat(local)):
        # Python counts a time in a gap from the clock before it (PEP 495).
        wall = local[place].astype("datetime64[us]").item().replace(tzinfo=ZoneInfo(zone))
        moments[place] = np.datetime64(wall.astimezone(UTC).replace(tzinfo=None), "us")
    return moments


@cache
def greatest_delay(zone: str | None) -> timedelta:
    """How much longer than 24 hours each some local days may take together: how far the clocks were ever put back from where they had been.

    Looks at the years 2000 to 2037, month by month.

    >>> greatest_delay("Europe/Zurich"), greatest_delay("Asia/Kolkata"), greatest_delay("Australia/Lord_Howe")
    (datetime.timedelta(seconds=3600), datetime.timedelta(0), datetime.timedelta(seconds=1800))
    """
    if zone is None:
        return timedelta(0)
    # Without Polars: definitions are loaded in the process that steps are forked from, and its threads would be missing in them.
    clock, highest, delay = ZoneInfo(zone), timedelta.min, timedelta(0)
    for month in range(38 * 12):
        offset = datetime(2000 + month // 12, month % 12 + 1, 1, tzinfo=UTC).astimezone(clock).utcoffset() or timedelta(0)
        highest = max(highest, offset)
        delay = max(delay, highest - offset)
    return delay
