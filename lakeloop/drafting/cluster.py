"""Which rows of a test window may depend on each other, as far as their times tell."""

from __future__ import annotations

import numpy as np

MANY_A_DAY = 5
"""Rows a day from which the rows of one day are likely to share what happens then."""
LEAST_DAYS = 30
"""Of the test window. Below, a cluster a day says too little (docs/intervals.md); up to `ENOUGH_DAYS` the intervals are a little too narrow."""
ENOUGH_DAYS = 50


def day_cluster(moments: np.ndarray) -> tuple[dict[str, str], str]:
    """What stands under `evaluation:` for rows at these moments (`datetime64`) of a test window, and why; nothing where rows are few a day.

    >>> hours = np.datetime64("2024-01-01T00", "h") + np.arange(24 * 40)
    >>> day_cluster(hours)[0], day_cluster(hours[::24])
    ({'cluster': 'day'}, ({}, ''))
    >>> day_cluster(hours[:48])[1]
    '24 rows a day on 2 days: rows of a day may share what happens then, and the intervals would be too narrow; more days and cluster: day'
    """
    days = len(np.unique(moments.astype("datetime64[D]")))
    a_day = len(moments) / max(days, 1)
    if a_day < MANY_A_DAY:
        return {}, ""
    seen = f"{a_day:,.0f} rows a day on {days} days: rows of a day may share what happens then"
    if days < LEAST_DAYS:
        return {}, f"{seen}, and the intervals would be too narrow; more days and cluster: day"
    few = f"; with fewer than {ENOUGH_DAYS} days the intervals are a little too narrow" if days < ENOUGH_DAYS else ""
    return {"cluster": "day"}, seen + few
