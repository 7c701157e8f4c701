"""Functions that are written alike for both engines."""

from __future__ import annotations

import pytest

from lakeloop.sql.alike import write_alike


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT weekday(a.d) AS w FROM t", "SELECT pmod(dayofweek(a.d) + 5, 7) AS w FROM t"),
        ("SELECT NOT isnan(x) AS v FROM t", "SELECT NOT coalesce(isnan(x), false) AS v FROM t"),
        (
            "SELECT nullif(nullif(x, 0), y + 1) AS v FROM t",
            "SELECT if((if((x) = (0), NULL, (x))) = (y + 1), NULL, (if((x) = (0), NULL, (x)))) AS v FROM t",
        ),
        ("SELECT pow(x, 2) AS v, power(x, -0.5D) AS w FROM t", ""),
        ("SELECT timestamp_millis(n + 1) AS v FROM t", "SELECT timestamp_micros(CAST(n + 1 AS BIGINT) * 1000) AS v FROM t"),
        ("SELECT unix_seconds(u) - unix_millis(u) AS v FROM t", None),
        ("SELECT corr(x, y) OVER (PARTITION BY k) AS v, corr(x, y) FILTER (WHERE b) AS w FROM t", ""),
        ("SELECT 'isnan(x)' AS a, `weekday` AS weekday, t.weekday (d), nullif AS b FROM t -- isnan(x)", ""),
    ],
)
def test_calls_are_written_alike(text: str, wanted: str | None) -> None:
    if wanted is None:
        wanted = "SELECT CAST(floor(unix_micros(u) / 1000000) AS BIGINT) - CAST(floor(unix_micros(u) / 1000) AS BIGINT) AS v FROM t"
    assert write_alike(text) == (wanted or text)


def test_a_correlation_of_values_that_are_not_finite_is_nan() -> None:
    assert write_alike("SELECT corr(x, y) AS c FROM t") == (
        "SELECT coalesce(corr(x, y), if(isnan(sum(((x) - (x)) + ((y) - (y)))), CAST('NaN' AS DOUBLE), NULL)) AS c FROM t"
    )
