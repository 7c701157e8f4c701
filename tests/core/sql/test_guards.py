"""What is written around expressions, so that the embedded engine gives for them what Spark does."""

from __future__ import annotations

import pytest

from benchmarks.engines.rows import SCHEMA
from lakeloop.sql.branches import guard_branches
from lakeloop.sql.guards import Guard, write_guards
from lakeloop.sql.nan_signs import guard_nan
from lakeloop.sql.typed import TypedQuery
from lakeloop.sql.zeros import guard_zeros


def query(text: str) -> TypedQuery:
    return TypedQuery(text, {"t": SCHEMA})


def test_guards_nest_as_their_expressions_do() -> None:
    guards = [
        Guard((0, 5), "o(", ")"),
        Guard((0, 5), "x(", ", {again})", is_operand=True),
        Guard((0, 1), "i(", ")"),
        Guard((4, 5), "j(", ")"),
    ]
    assert write_guards("a + b", guards) == "x(o(i(a) + j(b)), o(i(a) + j(b)))"


NAN = "CAST('NaN' AS DOUBLE)"


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("sqrt(y) + 1", f"nanvl(sqrt(y), {NAN}) + 1"),
        ("-pow(y, z)", f"nanvl(-nanvl(pow(y, z), {NAN}), {NAN})"),
        ("skewness(y) FILTER (WHERE b)", f"nanvl(skewness(y) FILTER (WHERE b), {NAN})"),
        ("y * z - y * z", f"nanvl(y * z - y * z, {NAN})"),
        ("-CAST(sqrt(y) AS FLOAT)", f"nanvl(-CAST(nanvl(sqrt(y), {NAN}) AS FLOAT), CAST('NaN' AS FLOAT))"),
        ("max(r)", "CASE WHEN bool_or(isnan(r)) THEN CAST('NaN' AS DOUBLE) ELSE max(r) END"),
        (
            "min(DISTINCT r) FILTER (WHERE n > 0)",
            "CASE WHEN bool_or(isnan(r)) FILTER (WHERE n > 0) THEN coalesce(min(CASE WHEN NOT isnan(r) THEN r END) FILTER (WHERE n > 0), CAST('NaN' AS DOUBLE)) "
            "ELSE min(DISTINCT r) FILTER (WHERE n > 0) END",
        ),
        ("max(r) OVER (PARTITION BY k)", "max(r) OVER (PARTITION BY k)"),
    ],
)
def test_nan_that_a_query_makes_has_no_sign(expression: str, written: str) -> None:
    around = f"FROM (SELECT *, nanvl(asin(y), {NAN}) AS r FROM t) AS t"
    before = query(f"SELECT {expression} AS v FROM (SELECT *, asin(y) AS r FROM t) AS t")
    assert write_guards(before.text, guard_nan(before)) == f"SELECT {written} AS v {around}"


@pytest.mark.parametrize(
    "expression", ["y - z", "y / 2 - 1", "-y", "y * 1.5 + i", "avg(y)", "max(y)", "i + n", "abs(y) > 0", "exp(y) - 1", "log(y)"]
)
def test_what_makes_no_nan_of_finite_numbers_is_left_alone(expression: str) -> None:
    asked = query(f"SELECT {expression} AS v FROM t")
    assert list(guard_nan(asked)) == []


@pytest.mark.parametrize("expression", ["y - z", "-y", "y * i", "sum(y)", "y % 2", "y / z"])
def test_what_is_read_may_be_infinite_where_a_table_keeps_that(expression: str) -> None:
    asked = query(f"SELECT {expression} AS v FROM t")
    assert write_guards(asked.text, guard_nan(asked, is_read=True)) == f"SELECT nanvl({expression}, {NAN}) AS v FROM t"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            "SELECT rank() OVER (PARTITION BY x ORDER BY y) AS v FROM t",
            "SELECT rank() OVER (PARTITION BY (x) + 0D ORDER BY (y) + 0D) AS v FROM t",
        ),
        ("SELECT o FROM t ORDER BY x DESC, o LIMIT 3", "SELECT o FROM t ORDER BY (x) + 0D DESC, o LIMIT 3"),
        (
            "SELECT count(DISTINCT x) AS v FROM t WHERE y IN (x, 1D)",
            "SELECT count(DISTINCT (x) + 0D) AS v FROM t WHERE (y) + 0D IN ((x) + 0D, (1D) + 0D)",
        ),
        ("SELECT DISTINCT x FROM t", "SELECT DISTINCT x FROM t"),
        ("SELECT o FROM t ORDER BY x", "SELECT o FROM t ORDER BY x"),
        (
            "SELECT count(*) OVER w AS v FROM t WINDOW w AS (ORDER BY x)",
            "SELECT count(*) OVER w AS v FROM t WINDOW w AS (ORDER BY (x) + 0D)",
        ),
        ("SELECT rank() OVER (PARTITION BY k ORDER BY i) AS v FROM t", "SELECT rank() OVER (PARTITION BY k ORDER BY i) AS v FROM t"),
    ],
)
def test_windows_and_limits_have_one_zero(text: str, written: str) -> None:
    assert write_guards(text, guard_zeros(query(text))) == written


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("CASE WHEN b THEN 0 ELSE y END", "DOUBLE"),
        ("CASE WHEN b THEN h WHEN i > 1 THEN n END", "BIGINT"),
        ("if(b, i, p)", "DECIMAL(12, 2)"),
        ("if(b, 1, 2.55)", "DECIMAL(12, 2)"),
        ("CASE i WHEN 1 THEN p ELSE x END", "DOUBLE"),
    ],
)
def test_branches_have_the_type_that_holds_all(expression: str, kind: str) -> None:
    text = f"SELECT {expression} AS v FROM t"
    assert write_guards(text, guard_branches(query(text))) == f"SELECT CAST({expression} AS {kind}) AS v FROM t"


@pytest.mark.parametrize(
    "expression",
    ["CASE WHEN b THEN y ELSE 0 END", "if(b, n, h)", "CASE WHEN b THEN s END", "CASE WHEN b THEN NULL ELSE n END", "if(b, d, ts)"],
)
def test_branches_whose_first_holds_all_are_left_alone(expression: str) -> None:
    assert list(guard_branches(query(f"SELECT {expression} AS v FROM t"))) == []
