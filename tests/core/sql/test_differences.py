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


def test_types_are_known_through_subqueries_and_names_of_windows() -> None:
    text = (
        "WITH w AS (SELECT k, o, x * 2 AS z2 FROM rows.t)\nSELECT sum(o) OVER w AS a,\n  round(q.z2, 2) AS b\nFROM (SELECT * FROM w) AS q\n"
        "WINDOW w AS (PARTITION BY q.z2)"
    )
    assert [error.line for error in refused(text)] == [2, 3]


def test_extremes_by_group_are_refused_where_a_table_keeps_nan() -> None:
    text = "SELECT max(x) AS a, min(CAST(i AS DOUBLE)) AS b, max(i) AS c, max(u) AS d FROM rows.t"
    assert [error.message.partition(" by")[0] for error in refused(text, has_nan=True)] == ["max", "min"]
    assert refused(text) == []
    spelled = "SELECT max(CASE WHEN x IS NOT NULL THEN named_struct('v', x) END).v AS a, max(x) OVER (PARTITION BY k) AS b FROM rows.t"
    assert refused(spelled, has_nan=True) == []
