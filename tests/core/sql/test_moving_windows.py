"""Queries with windows over moving frames, split into what the engine computes and what is computed beside it."""

from __future__ import annotations

import pytest

from lakeloop.errors import SpecError
from lakeloop.sql.moved_values import has_moved_values
from lakeloop.sql.moving_windows import next_split, order_by_times, splits
from lakeloop.sql.window_calls import MOVING, read_offset
from lakeloop.windows.frame import Frame, Offset, Order, WindowCall
from lakeloop.windows.functions import FUNCTIONS

HOUR_US = 3_600_000_000


def test_what_the_parser_knows_is_what_can_be_computed() -> None:
    assert set(FUNCTIONS) == MOVING


def test_a_select_is_split_into_arguments_and_what_is_made_of_windows() -> None:
    text = "SELECT DISTINCT k, 2 * avg(x + 1) OVER w - y AS m FROM d.t WHERE x > 0 WINDOW w AS (PARTITION BY k ORDER BY o DESC ROWS 2 PRECEDING)"
    split = next_split(text)
    assert split is not None
    assert split.inner.startswith(
        "SELECT k, 0 AS _moving_1, x + 1 AS _argument_0, k AS _argument_1, o AS _argument_2, y AS _argument_3 FROM d.t WHERE x > 0"
    )
    frame = Frame("rows", Offset(-2), Offset(0))
    assert split.calls == (WindowCall("avg", ("_argument_0",), ("_argument_1",), (Order("_argument_2", True, False),), frame),)
    names = ["k", "_moving_1", *[f"_argument_{n}" for n in range(4)]]
    assert split.outer("v", names) == "SELECT DISTINCT `_0` AS `k`, 2 * `_6` - `_5` AS m FROM v"


def test_inner_selects_come_first_with_the_common_tables_that_they_see() -> None:
    text = (
        "WITH a AS (SELECT * FROM d.t), b AS (SELECT *, sum(x) OVER (ORDER BY o ROWS 1 PRECEDING) AS s FROM a) "
        "SELECT avg(s) OVER (ORDER BY o ROWS 3 PRECEDING) AS m FROM b ORDER BY m LIMIT 3"
    )
    first, second = splits(text)
    assert first.inner == "WITH a AS (SELECT * FROM d.t) SELECT *, 0 AS _moving_1, x AS _argument_0, o AS _argument_1 FROM a"
    assert second.inner.startswith("WITH a AS (SELECT * FROM d.t), b AS (SELECT *, sum(x)")
    assert second.outer("v", ["_moving_0", "_argument_0", "_argument_1"]).endswith("SELECT `_3` AS m FROM v ORDER BY m LIMIT 3")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT sum(x) OVER (PARTITION BY k) AS v FROM t",
        "SELECT sum(x) OVER (PARTITION BY k ORDER BY o) AS v FROM t",
        "SELECT sum(x) OVER (ORDER BY o ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS v FROM t",
        "SELECT max(x) OVER (ORDER BY o ROWS 2 PRECEDING) AS v, first(x) OVER (ORDER BY o ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS w FROM t",
        "SELECT count(*) OVER (ORDER BY d RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 1 DAY PRECEDING) AS v FROM t",
        "SELECT lag(x, 2) OVER (ORDER BY o) AS v, row_number() OVER (PARTITION BY k ORDER BY o) AS n FROM t",
        "SELECT 'sum(x) OVER (ORDER BY o ROWS 1 PRECEDING)' AS v FROM t -- OVER (ORDER BY o ROWS 1 PRECEDING)",
    ],
)
def test_other_windows_stay_with_the_engine(text: str) -> None:
    assert next_split(text) is None


@pytest.mark.parametrize(
    "window",
    [
        "sum(x) OVER (ORDER BY o ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
        "sum(x) OVER (ORDER BY o ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
        "count(*) OVER (ORDER BY d RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)",
        "max(x) FILTER (WHERE b) OVER (ORDER BY o ROWS 2 PRECEDING)",
        "collect_list(x) OVER (PARTITION BY k)",
    ],
)
def test_windows_that_the_engine_computes_wrongly_are_taken_out(window: str) -> None:
    assert next_split(f"SELECT {window} AS v FROM t") is not None


def test_windows_over_intervals_that_stay_with_the_engine_are_ordered_by_times() -> None:
    text = "SELECT 'd', count(*) OVER w AS n, max(x) OVER (w RANGE INTERVAL 2 DAYS PRECEDING) AS m FROM t WINDOW w AS (PARTITION BY k ORDER BY t.d DESC)"
    assert order_by_times(text) == text.replace("t.d DESC", "CAST(t.d AS TIMESTAMP) DESC")
    other = "SELECT count(*) OVER (ORDER BY i RANGE 2 PRECEDING) AS n, sum(x) OVER (ORDER BY d RANGE INTERVAL 2 DAYS PRECEDING) AS s FROM t"
    assert order_by_times(other) == other


@pytest.mark.parametrize(
    ("window", "has_moved"),
    [
        ("avg(x) OVER (ORDER BY u ROWS 2 PRECEDING)", True),
        ("sum(i + 0.5D) OVER (ORDER BY u ROWS 2 PRECEDING)", True),
        ("stddev(i) OVER (ORDER BY u ROWS 2 PRECEDING)", True),
        ("avg(i) OVER (ORDER BY u ROWS 2 PRECEDING)", False),
        ("sum(i) OVER (ORDER BY u RANGE INTERVAL 2 DAYS PRECEDING)", False),
        ("max(x) OVER (ORDER BY u RANGE INTERVAL 2 DAYS PRECEDING)", False),
        ("max(x) OVER (ORDER BY i RANGE 2 PRECEDING)", False),
        ("max(x) OVER (ORDER BY d RANGE 2 PRECEDING)", True),
        ("count(*) OVER (ORDER BY d RANGE INTERVAL 2 DAYS PRECEDING)", True),
        ("count(*) OVER (ORDER BY d)", False),
        ("sum(x) OVER (ORDER BY u)", False),
        ("collect_list(s) OVER (PARTITION BY i)", True),
        ("median(x) OVER (ORDER BY u ROWS 2 PRECEDING)", True),
    ],
)
def test_a_view_has_other_values_where_the_engine_subtracted_or_missed_dates(window: str, has_moved: bool) -> None:
    schemas = {("d", "t"): {"x": "double", "i": "int", "d": "date", "u": "timestamp", "s": "string"}}
    assert has_moved_values(f"SELECT {window} AS v FROM d.t", schemas) is has_moved
    assert has_moved_values(f"WITH w AS (SELECT *, 1 AS y FROM d.t) SELECT y, {window} + 1 AS v FROM w", schemas) is has_moved


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("SELECT\n median(x) OVER (ORDER BY o ROWS 2 PRECEDING) AS v FROM t", 2, "median over a frame that moves"),
        ("SELECT sum(DISTINCT x) OVER (ORDER BY o ROWS 2 PRECEDING) AS v FROM t", 1, "DISTINCT in a window function"),
        ("SELECT sum(x) OVER (ORDER BY o\n ROWS n PRECEDING) AS v FROM t", 2, "a frame of n PRECEDING: wanted a number"),
        ("SELECT x FROM t ORDER BY\n sum(x) OVER (ORDER BY o ROWS 2 PRECEDING)", 2, "outside of the columns; name it in a subquery"),
        ("SELECT max(y) + sum(max(x)) OVER (ORDER BY k ROWS 2 PRECEDING) AS v FROM t GROUP BY k", 1, "beside aggregates"),
        ("SELECT k, sum(x) OVER (ORDER BY o ROWS 2 PRECEDING) AS v FROM t\nORDER BY o", 2, "wanted a column of this SELECT"),
        ("SELECT x FROM t\nWHERE x IN (SELECT sum(x) OVER (ORDER BY o ROWS 2 PRECEDING) FROM t)", 2, "a subquery of a condition"),
        ("SELECT x, (SELECT sum(y) OVER (ORDER BY o ROWS 2 PRECEDING) FROM u) AS v FROM t", 1, "a subquery of a condition or a column"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_refused_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        list(splits(text, "view.sql"))
    assert (caught.value.file, caught.value.line) == ("view.sql", line)


@pytest.mark.parametrize(
    ("text", "hours", "months"),
    [
        ("INTERVAL 7 DAYS", 168, 0),
        ("INTERVAL '7' DAY", 168, 0),
        ("interval '2 hours'", 2, 0),
        ("INTERVAL 1 DAY 2 HOURS", 26, 0),
        ("INTERVAL '1 02:30:00' DAY TO SECOND", 26.5, 0),
        ("INTERVAL '02:30' HOUR TO MINUTE", 2.5, 0),
        ("INTERVAL 1 MONTH", 0, 1),
        ("INTERVAL '1-2' YEAR TO MONTH", 0, 14),
        ("INTERVAL 2 WEEKS", 336, 0),
        ("INTERVAL -1 DAY", -24, 0),
    ],
)
def test_intervals_are_read_in_every_spelling(text: str, hours: float, months: int) -> None:
    assert read_offset(text) == Offset(int(hours * HOUR_US), months, is_interval=True)


@pytest.mark.parametrize(
    "text", ["INTERVAL x DAYS", "2 * 3", "INTERVAL 1 DAY + INTERVAL 2 DAYS", "INTERVAL 3 FORTNIGHTS", "make_interval(1)"]
)
def test_other_offsets_are_not_guessed(text: str) -> None:
    assert read_offset(text) is None


def test_a_name_in_quotes_that_looks_like_a_clause_is_a_name() -> None:
    split = next_split("SELECT `from`, t.`order` AS `where`, sum(`x y`) OVER (ORDER BY `a``b` ROWS 1 PRECEDING) AS v FROM t")
    assert split is not None
    assert split.inner == "SELECT `from`, t.`order` AS `where`, 0 AS _moving_2, `x y` AS _argument_0, `a``b` AS _argument_1 FROM t"
