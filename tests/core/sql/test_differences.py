"""Expressions whose values depend on the engine: refused by line, with a spelling that isn't."""

from __future__ import annotations

import pytest

from benchmarks.engines.rows import SCHEMA
from benchmarks.engines.spellings import AGGREGATES, SCALARS
from lakeloop.errors import SpecError
from lakeloop.sql.query import parse_query, qualify_columns
from lakeloop.sql.refusals import find_refusals

SCHEMAS = {("rows", "t"): SCHEMA}


def refused(text: str, *, has_nan: bool = False) -> list[SpecError]:
    query = parse_query(text, "view.sql")
    return find_refusals(query, SCHEMAS, qualify_columns(query, SCHEMAS)[0], has_nan=has_nan)


@pytest.mark.parametrize(("expression", "spelling", "told"), [*SCALARS, *AGGREGATES])
def test_what_depends_on_the_engine_is_refused_and_its_spelling_is_not(expression: str, spelling: str, told: str) -> None:
    (error,) = refused(f"SELECT\n  1 AS one,\n  {expression} AS v\nFROM rows.t")
    assert str(error).startswith("view.sql:3: ")
    assert told in error.message
    assert refused(f"SELECT\n  1 AS one,\n  {spelling} AS v\nFROM rows.t") == []


@pytest.mark.parametrize(
    "expression",
    [
        "round(x)",
        "round(p, 1)",
        "round(i, -1)",
        "CAST(round(p, 1) AS STRING)",
        "CAST(i AS STRING)",
        "CAST(p AS DECIMAL(20, 3))",
        "concat(s, i)",
        "least(x, y)",
        "max(CASE WHEN x IS NOT NULL THEN named_struct('v', x) END).v",
        "greatest(d, DATE '2024-01-01')",
        "datediff(DAY, d, DATE '2024-01-01')",
        "timestampdiff(HOUR, u, ts)",
        "d + INTERVAL 2 DAYS",
        "ts - INTERVAL 5 HOURS",
        "timestamp_seconds(n)",
        "extract(YEAR FROM d)",
        "max(x)",
        "size(collect_set(i))",
        "row_number() OVER (PARTITION BY k ORDER BY x, o)",
        "sum(y) OVER (PARTITION BY k ORDER BY x, o ROWS 2 PRECEDING)",
        "rank() OVER (PARTITION BY d ORDER BY i)",
        "array_contains(collect_set(s), 'a')",
        "CAST(u AS DATE)",
    ],
)
def test_what_both_engines_compute_alike_is_taken(expression: str) -> None:
    assert refused(f"SELECT {expression} AS v FROM rows.t") == []


def test_types_are_known_through_subqueries() -> None:
    text = "WITH w AS (SELECT k, o, x * 2 AS z2 FROM rows.t)\nSELECT k || q.z2 AS a,\n  round(q.z2, 2) AS b\nFROM (SELECT * FROM w) AS q"
    assert [error.line for error in refused(text)] == [2, 3]


@pytest.mark.parametrize("percentile", ["median({})", "percentile({}, 0.5)", "percentile_cont(0.5) WITHIN GROUP (ORDER BY {})"])
def test_percentiles_of_what_may_be_nan_are_refused(percentile: str) -> None:
    def lines(argument: str, *, has_nan: bool) -> list[int | None]:
        text = f"SELECT\n  {percentile.format(argument)} AS v FROM (SELECT *, sqrt(y) AS r FROM rows.t) AS t"
        return [error.line for error in refused(text, has_nan=has_nan)]

    assert lines("x", has_nan=True) == [2] and lines("x", has_nan=False) == []
    for argument in ("sqrt(y)", "r", "asin(z) + 1", "pow(y, z)", "CASE WHEN b THEN r ELSE 0 END"):
        assert lines(argument, has_nan=False) == [2], argument
    for argument in (
        "y - z",
        "ln(y)",
        "i",
        "p",
        "y / z",
        "abs(pow(y, 2))",
        "CASE WHEN NOT isnan(r) THEN r END",
        "CASE WHEN NOT isnan(x) THEN x END",
    ):
        assert lines(argument, has_nan=False) == [], argument


def test_a_date_that_is_made_is_a_date() -> None:
    assert [error.line for error in refused("SELECT\n  (make_date(2024, 1, 15)) + INTERVAL 5 HOURS AS v FROM rows.t")] == [2]


def test_a_percentile_without_what_is_nan_is_taken() -> None:
    assert refused("SELECT k, median(CASE WHEN NOT isnan(x) THEN x END) AS v, max(x) AS w FROM rows.t GROUP BY k", has_nan=True) == []
