"""How far back queries read: by cases, and by running them on DuckDB with and without the rows before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import duckdb
import pytest

from lakeloop.sql.query import parse_query
from lakeloop.sql.reach import Reach, find_reaches

PARTITIONED: Mapping[tuple[str, ...], bool] = {("d", "t"): True, ("d", "u"): True, ("d", "p"): False}
DAY = timedelta(days=1)


def reach_of(sql: str) -> list[Reach]:
    return find_reaches(parse_query(sql, "x.sql"), PARTITIONED)


def over(frame: str, function: str = "sum(x)") -> str:
    return f"SELECT k, ts, {function} OVER (PARTITION BY k ORDER BY ts {frame}) AS y FROM d.t"


def back_of(start: str) -> timedelta | None:
    (reach,) = reach_of(over(f"RANGE BETWEEN {start} PRECEDING AND CURRENT ROW"))
    return reach.back


@pytest.mark.parametrize(
    ("unit", "back"),
    [
        ("MICROSECOND", timedelta(microseconds=1)),
        ("MILLISECOND", timedelta(milliseconds=1)),
        ("SECOND", timedelta(seconds=1)),
        ("MINUTE", timedelta(minutes=1)),
        ("HOUR", timedelta(hours=1)),
        ("DAY", DAY),
        ("WEEK", 7 * DAY),
        ("MONTH", 31 * DAY),
        ("QUARTER", 92 * DAY),
        ("YEAR", 366 * DAY),
    ],
)
def test_an_interval_is_as_long_as_its_unit_is_at_most(unit: str, back: timedelta) -> None:
    for number in (1, 2):
        assert back_of(f"INTERVAL {number} {unit}") == back_of(f"INTERVAL '{number}' {unit.lower()}s") == number * back


@pytest.mark.parametrize("unit", ["MONTH", "QUARTER", "YEAR"])
def test_no_interval_of_the_calendar_is_longer_than_is_said(unit: str) -> None:
    starts = duckdb.sql(
        f"SELECT max(ts - (ts - INTERVAL 1 {unit})) FROM range(TIMESTAMP '2019-01-01', TIMESTAMP '2025-01-01', INTERVAL 1 DAY) AS days(ts)"
    )
    assert starts.fetchall() == [(back_of(f"INTERVAL 1 {unit}"),)]


@pytest.mark.parametrize(
    ("interval", "back"),
    [
        ("INTERVAL '1.5' HOUR", timedelta(minutes=90)),
        ("INTERVAL '3 days'", 3 * DAY),
        ("INTERVAL 0 DAYS", timedelta()),
        ("INTERVAL '1 2' DAY TO HOUR", None),
        ("INTERVAL 1 DAY 2 HOURS", None),
        ("INTERVAL (1 + 1) DAYS", None),
        ("INTERVAL 'x' DAYS", None),
        ("INTERVAL `3` DAYS", None),  # a column
        ("INTERVAL 1 DECADE", None),
        ("INTERVAL 99999999999 DAYS", None),
        ("5", None),
        ("UNBOUNDED", None),
    ],
)
def test_an_interval_that_is_not_written_out_says_nothing(interval: str, back: timedelta | None) -> None:
    assert back_of(interval) == back


BACK: Mapping[str, timedelta | None] = {
    over(""): None,
    over("", "lag(x)"): None,
    over("", "rank()"): None,
    over("ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"): None,
    over("ROWS UNBOUNDED PRECEDING"): None,
    over("ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING"): None,
    over("RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"): None,
    over("RANGE BETWEEN INTERVAL 18 HOURS PRECEDING AND CURRENT ROW"): timedelta(hours=18),
    over("RANGE BETWEEN INTERVAL 2 DAYS PRECEDING AND INTERVAL 1 DAY PRECEDING"): 2 * DAY,
    over("RANGE INTERVAL '1' WEEK PRECEDING"): 7 * DAY,
    over("RANGE BETWEEN INTERVAL 1 MONTH PRECEDING AND INTERVAL 1 DAY FOLLOWING"): 31 * DAY,
    "SELECT t.k, t.ts, sum(u.x) AS y FROM d.t JOIN d.u ON t.k = u.k AND u.ts <= t.ts GROUP BY t.k, t.ts": None,
    "SELECT t.k, t.ts, sum(u.x) AS y FROM d.t JOIN d.u ON t.k = u.k WHERE u.ts BETWEEN t.ts - INTERVAL 9 DAYS AND t.ts GROUP BY t.k, t.ts": None,
    "SELECT a.k, a.ts, max(b.x) AS y FROM d.t AS a JOIN d.t AS b ON a.ts > b.ts GROUP BY a.k, a.ts": None,
    "SELECT k, ts, (SELECT max(u.x) FROM d.u WHERE u.ts < t.ts) AS y FROM d.t": None,
}
"""Queries that read earlier rows, at one place each, and how far."""

NOT_BACK = (
    over("ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING"),
    over("ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING"),
    over("RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"),
    over("RANGE BETWEEN INTERVAL 1 HOUR FOLLOWING AND INTERVAL 3 DAYS FOLLOWING"),
    over("", "lead(x)"),
    "SELECT k, ts, sum(x) OVER (PARTITION BY k, ts) AS y FROM d.t",
    "SELECT t.k, t.ts, u.x < t.x AS y FROM d.t JOIN d.u ON t.k = u.k AND u.ts = t.ts",
    "SELECT t.k, t.ts, t.x AS y FROM d.t JOIN d.u ON t.k = u.k AND u.ts = t.ts WHERE t.x < t.n AND u.x > 1",
    "SELECT t.k, t.ts, sum(p.x) AS y FROM d.t JOIN d.p ON t.k = p.k AND p.ts <= t.ts GROUP BY t.k, t.ts",
    "SELECT k, ts, x AS y FROM d.t WHERE x BETWEEN 1 AND n",
)
"""Queries that don't."""

FIRST = datetime(2020, 1, 1)


def rows_from(sql: str, day: datetime, back: timedelta) -> list[tuple[object, ...]]:
    """What a query gives for the rows from a day on, when it sees no partitioned row from longer before than `back`."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA d")
    for number, name in enumerate("tup"):
        low = day - back if PARTITIONED["d", name] else FIRST
        connection.execute(
            f"CREATE TABLE d.{name} AS SELECT i % 2 AS k, ts, (i * {7 + number}) % 11 AS x, (i * 5) % 13 AS n "
            f"FROM (SELECT i, TIMESTAMP '{FIRST}' + to_hours(6 * i) AS ts FROM range(300) AS rows(i)) WHERE ts >= TIMESTAMP '{low}'"
        )
    text = parse_query(sql, "x.sql").tree.sql("duckdb")
    return connection.execute(f"SELECT * FROM ({text}) WHERE ts >= TIMESTAMP '{day}' ORDER BY ALL").fetchall()


DAYS = [FIRST + number * DAY for number in (1, 10, 60)]


@pytest.mark.parametrize(("sql", "back"), BACK.items())
def test_a_query_that_reads_earlier_rows_is_listed_and_with_its_reach_gives_what_it_gives_with_all_rows(
    sql: str, back: timedelta | None
) -> None:
    (reach,) = reach_of(sql)
    assert reach.back == back
    if back is not None:
        assert all(rows_from(sql, day, back) == rows_from(sql, day, day - FIRST) for day in DAYS)
    assert any(rows_from(sql, day, timedelta()) != rows_from(sql, day, day - FIRST) for day in DAYS)


@pytest.mark.parametrize("sql", NOT_BACK)
def test_a_query_that_reads_no_earlier_row_gives_the_same_without_them(sql: str) -> None:
    assert reach_of(sql) == []
    for day in DAYS:
        assert (rows := rows_from(sql, day, timedelta())) and rows == rows_from(sql, day, day - FIRST)


def test_every_place_is_listed_with_its_line_and_its_text() -> None:
    sql = """\
SELECT t.k, -- at
  sum(t.x) OVER (PARTITION BY t.k ORDER BY t.ts) AS a,
  lead(t.x) OVER (ORDER BY t.ts) AS b,
  avg(t.x) OVER (
    ORDER BY t.ts RANGE BETWEEN INTERVAL 3 DAYS PRECEDING AND CURRENT ROW) AS c
FROM d.t
JOIN d.u
  ON u.ts >= t.ts
WHERE u.x BETWEEN t.x AND 3"""
    assert reach_of(sql) == [
        Reach(2, "SUM(t.x) OVER (PARTITION BY t.k ORDER BY t.ts)", None),
        Reach(4, "AVG(t.x) OVER (ORDER BY t.ts RANGE BETWEEN INTERVAL '3' DAYS PRECEDING AND CURRENT ROW)", 3 * DAY),
        Reach(8, "u.ts >= t.ts", None),
        Reach(9, "u.x BETWEEN t.x AND 3", None),
    ]


def test_a_named_window_is_listed_where_it_is_named() -> None:
    sql = "SELECT k,\n  lead(x) OVER w AS a\nFROM d.t\nWINDOW w AS (PARTITION BY k ORDER BY ts)"
    assert [(reach.line, reach.back) for reach in reach_of(sql)] == [(4, None)]


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
def test_every_inequality_of_two_partitioned_tables_is_listed(operator: str) -> None:
    sql = f"SELECT 1 AS one FROM d.t JOIN d.{{}} ON t.ts {operator} {{}}.ts"
    assert [reach.text for reach in reach_of(sql.format("u", "u"))] == [f"t.ts {operator} u.ts"]
    assert reach_of(sql.format("p", "p")) == []


def test_a_table_that_nothing_is_known_of_has_no_partitions() -> None:
    assert find_reaches(parse_query("SELECT 1 AS one FROM d.t JOIN d.u ON t.ts < u.ts", "x.sql"), {("d", "t"): True}) == []
