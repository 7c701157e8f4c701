"""Queries that can be shown to read nothing later than their own row, and those that can't."""

from __future__ import annotations

import pytest

from lakeloop.sql.causal import reads_no_later_row
from lakeloop.sql.query import parse_query

STEP = "unix_timestamp(CAST(day AS TIMESTAMP)) DIV 86400"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k, at, v FROM t",
        "SELECT k, CAST(at AS TIMESTAMP) AS at, v * 2 AS v FROM t WHERE v > 0",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS v FROM t",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY at RANGE BETWEEN INTERVAL 3 DAYS PRECEDING AND INTERVAL 1 DAY PRECEDING) AS v FROM t",
        "SELECT k, at, lag(v) OVER w AS v FROM t WINDOW w AS (PARTITION BY k ORDER BY at)",
        "SELECT o.k, o.at, c.tier FROM t o JOIN customers c ON o.k = c.k",
        "SELECT k, at, avg(v) OVER (PARTITION BY k ORDER BY step RANGE BETWEEN 6 PRECEDING AND CURRENT ROW) AS v "
        "FROM (SELECT k, at, v, unix_timestamp(at) DIV 3600 AS step FROM t)",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY step RANGE BETWEEN 6 PRECEDING AND CURRENT ROW) AS x "
        "FROM (SELECT k, at, v, CAST(floor(unix_timestamp(at) / 3600) AS BIGINT) AS step FROM t)",
        "SELECT k, at, avg(v) OVER (PARTITION BY k ORDER BY step RANGE BETWEEN 6 PRECEDING AND CURRENT ROW) AS v "
        "FROM (SELECT k, at, v, unix_timestamp(from_utc_timestamp(at, 'Europe/Zurich')) DIV 86400 AS step FROM t)",
        "SELECT k, at, avg(v) OVER (PARTITION BY k ORDER BY step) AS v FROM (SELECT k, at, v, "
        "(year(from_utc_timestamp(at, 'Asia/Kolkata')) * 12 + month(from_utc_timestamp(at, 'Asia/Kolkata')) - 1) DIV 3 AS step FROM t)",
    ],
)
def test_a_query_over_rows_up_to_its_own_is_shown_to_be_one(sql: str) -> None:
    assert reads_no_later_row(parse_query(sql, "view.sql"), ("t",), "at", "at")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k, max(at) AS at, sum(v) AS v FROM t GROUP BY k",
        "SELECT DISTINCT k, at FROM t",
        "SELECT k, at, count(*) OVER (PARTITION BY k) AS v FROM t",
        "SELECT k, at, lead(v) OVER (PARTITION BY k ORDER BY at) AS v FROM t",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY at DESC) AS v FROM t",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY v) AS v FROM t",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY at ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS v FROM t",
        "SELECT k, at, sum(v) OVER w AS v FROM t WINDOW w AS (PARTITION BY k)",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY step) AS v FROM (SELECT k, at, v, hour(at) AS step FROM t)",
        "SELECT k, at, sum(v) OVER (PARTITION BY k ORDER BY step) AS v "
        "FROM (SELECT k, at, v, unix_timestamp(from_utc_timestamp(at, 'Europe/Zurich')) DIV 3600 AS step FROM t)",
        "SELECT k, at, v FROM t WHERE v > (SELECT avg(v) FROM t)",
        "SELECT a.k, a.at, b.v FROM t a JOIN t b ON a.k = b.k",
        "SELECT k, at - INTERVAL 1 DAY AS at, v FROM t",
        "SELECT k, at, v FROM t WHERE k IN (SELECT k FROM t WHERE v > 9)",
        "SELECT k, at, v FROM t UNION ALL SELECT k, at, v FROM u",
        "SELECT a.k, b.at, a.v FROM t a JOIN u b ON a.k = b.k WHERE a.at < now()",
    ],
)
def test_what_may_read_later_rows_or_have_another_time_is_not(sql: str) -> None:
    assert not reads_no_later_row(parse_query(sql, "view.sql"), ("t",), "at", "at")
