"""Which rows of a test window may depend on each other, judged by their times."""

from __future__ import annotations

import numpy as np

MANY_A_DAY = 5
"""From this many rows a day, the rows of one day are likely to share the events of that day."""
LEAST_DAYS = 30
"""Days of the test window that a cluster per day needs (docs/intervals.md); up to `ENOUGH_DAYS` the intervals are slightly too narrow."""
ENOUGH_DAYS = 50


def day_cluster(moments: np.ndarray) -> tuple[dict[str, str], str]:
    """The fields of `evaluation:` for rows at these moments (`datetime64`) of a test window, and why; none where there are few rows a day.

    >>> hours = np.datetime64("2024-01-01T00", "h") + np.arange(24 * 40)
    >>> day_cluster(hours)[0], day_cluster(hours[::24])
    ({'cluster': 'day'}, ({}, ''))
    >>> day_cluster(hours[:48])[1]
    '24 rows a day on 2 days: rows of a day may share its events, so the intervals are too narrow; with more days set cluster: day'
    """
    days = len(np.unique(moments.astype("datetime64[D]")))
    a_day = len(moments) / max(days, 1)
    if a_day < MANY_A_DAY:
        return {}, ""
    reason = f"{a_day:,.0f} rows a day on {days} days: rows of a day may share its events"
    if days < LEAST_DAYS:
        return {}, f"{reason}, so the intervals are too narrow; with more days set cluster: day"
    few = f"; with fewer than {ENOUGH_DAYS} days the intervals are slightly too narrow" if days < ENOUGH_DAYS else ""
    return {"cluster": "day"}, reason + few
