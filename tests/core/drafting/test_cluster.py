"""Days as clusters: where a day has many rows, and the test window many days."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.drafting.cluster import ENOUGH_DAYS, LEAST_DAYS, MANY_A_DAY, day_cluster


@pytest.mark.parametrize(
    ("days", "a_day", "clustered", "note"),
    [
        (100, MANY_A_DAY - 1, False, ""),
        (LEAST_DAYS - 1, MANY_A_DAY, False, "with more days set cluster: day"),
        (LEAST_DAYS, MANY_A_DAY, True, "slightly too narrow"),
        (ENOUGH_DAYS - 1, MANY_A_DAY, True, "slightly too narrow"),
        (ENOUGH_DAYS, MANY_A_DAY, True, "may share its events"),
        (0, 0, False, ""),
    ],
)
def test_the_limits_are_where_they_are_said_to_be(days: int, a_day: int, clustered: bool, note: str) -> None:
    moments = np.repeat(np.datetime64("2024-01-01", "us") + np.arange(days) * np.timedelta64(1, "D"), a_day)
    actual, why = day_cluster(moments)
    assert actual == ({"cluster": "day"} if clustered else {}) and note in why and bool(why) == bool(note)
