"""How numbers are written."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.metrics.table import MetricValue
from lakeloop.metrics.wording import (
    capitalize,
    format_count,
    format_difference,
    format_interval,
    format_metric,
    format_minute,
    format_number,
    format_p_value,
    format_plain_signed,
    format_share,
    format_signed,
    join_names,
)


def test_numbers_are_written_with_the_digits_that_say_something() -> None:
    written = [format_number(x) for x in (-0.0, 0.12345, 1234.5, 123_456_789.1, 776_626_728_785.08, 7.7663e-10, 0.000539, np.nan)]
    assert written == ["0.0000", "0.1235", "1,234.50", "123,456,789", "7.77e+11", "7.77e-10", "0.000539", "–"]
    assert format_metric(MetricValue("mae", 1.0, np.nan, np.nan, 20)) == "1.0000 (no interval)"
    assert (format_interval(1.0, 2.0), format_interval(np.nan, np.nan)) == ("1.0000 to 2.0000", "no interval")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_signed(0.5), "+0.5000"),
        (format_signed(-0.5), "−0.5000"),
        (format_signed(-0.0), "+0.0000"),
        (format_plain_signed(-0.5), "-0.5000"),
        (format_difference(-0.5, -1.0, 0.25), "−0.5000 [−1.0000, +0.2500]"),
        (format_difference(0.5, np.nan, 1.0), "+0.5000 (no interval)"),
        (format_share(0.1234, 0.1, 0.15), "12.3% [10.0%, 15.0%]"),
        (format_share(0.5, np.nan, np.nan), "50.0%"),
        (format_share(np.nan, 0.0, 1.0), "–"),
        (format_p_value(0.00009), "< 0.0001"),
        (format_p_value(0.0001), "0.0001"),
        (format_count(1, "row"), "1 row"),
        (format_count(1200, "row"), "1,200 rows"),
        (format_minute("2024-03-01T10:20:30.5+00:00"), "2024-03-01 10:20"),
        (join_names(["a"], "gate"), "the gate a"),
        (join_names(["a", "b", "c"], "gate"), "the gates a, b and c"),
        (capitalize("mAE of x"), "MAE of x"),
        (format_metric(MetricValue("mae", np.nan, 1.0, 2.0, 20)), "not defined"),
    ],
)
def test_figures_are_written_as_the_report_says_them(text: str, expected: str) -> None:
    assert text == expected
