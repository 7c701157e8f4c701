"""Which whole numbers of a query may leave their type, and how that becomes an error."""

from __future__ import annotations

import random

import pytest
import sqlglot

from benchmarks.engines.python_numbers import WIDTHS, Overflow, SignOverflow, random_rows, random_term
from lakeloop.sql.guards import write_guards
from lakeloop.sql.intervals import Interval
from lakeloop.sql.overflow import find_overflows, guards_of, probes_of
from lakeloop.sql.typed import TypedQuery
from lakeloop.sql.whole_numbers import Bounds, WholeNumbers

SCHEMAS = {
    "t": {
        "n": "bigint", "i": "int", "d": "date", "ts": "timestamp", "s": "string", "x": "double", "p": "decimal(10,2)", "a": "array<bigint>",
        "b": "boolean", "k": "string", "st": "struct<q:bigint>", "m": "map<string,bigint>",
    }
}  # fmt: skip
SMALL = Bounds({("t", "n"): (-1000, 1000), ("t", "i"): (0, 50), ("t", "ts"): (0, 2**51), ("t", "d"): (0, 2**51)}, {"t": 10_000})


def sites(text: str, bounds: Bounds | None = None) -> list[str]:
    return [site.text for site in find_overflows(TypedQuery(text, SCHEMAS), bounds).sites]


@pytest.mark.parametrize(
    ("expression", "wide"),
    [
        ("n + i * 2 - 1", ["n + i * 2 - 1", "n + i * 2", "i * 2"]),
        ("sum(n) FILTER (WHERE b) OVER (PARTITION BY k ORDER BY i)", ["sum(n) FILTER (WHERE b) OVER (PARTITION BY k ORDER BY i)"]),
        ("transform(a, e -> e + 1)", ["e + 1"]),
        ("aggregate(a, 0L, (t, e) -> t + e)", ["t + e"]),
        ("st.q + a[0] + m['u']", ["st.q + a[0] + m['u']", "st.q + a[0]"]),
        ("unix_micros(ts) - unix_micros(ts)", ["unix_micros(ts) - unix_micros(ts)"]),
        ("CASE WHEN b THEN n ELSE 0 END + 1", ["CASE WHEN b THEN n ELSE 0 END + 1"]),
        ("date_add(d, i + 1)", ["i + 1"]),
        ("(SELECT max(n) FROM t) + 1", ["(SELECT max(n) FROM t) + 1"]),
    ],
)
def test_what_may_leave_its_type_is_found(expression: str, wide: list[str]) -> None:
    assert sites(f"SELECT {expression} AS v FROM t") == wide


@pytest.mark.parametrize(
    "expression",
    [
        "x + n", "p * n", "n / 3", "d + 1", "d - i", "ts + INTERVAL 1 DAY", "n * INTERVAL 1 DAY", "year(d) + 1", "count(*) OVER () * 1000", "i % 7 + 1",
        "CAST(n AS DOUBLE) * n", "CAST(n AS DECIMAL(20, 0)) + 1", "length(s) + 1L", "pmod(n, 7) + 5", "sum(CAST(b AS INT)) OVER ()", "n DIV 3 - 1",
        "month(d) * 24", "unix_timestamp(ts) DIV 86400 + 1", "make_date(2024, 1, 1) + 1", "s || 'x'",
    ],
)  # fmt: skip
def test_what_cannot_leave_its_type_is_left_alone(expression: str) -> None:
    assert sites(f"SELECT {expression} AS v FROM t") == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT n + i * 2 - 1 AS v, sum(n * i) OVER () AS w, unix_micros(ts) - unix_micros(ts) AS u FROM t",
        "WITH q AS (SELECT k, n + 1 AS w FROM t), r AS (SELECT k, w * 2 AS v FROM q UNION ALL SELECT k, i FROM t) SELECT sum(v) + 1 AS z FROM r",
        "SELECT q.n * r.n * 1000 AS v FROM t AS q JOIN (SELECT max(n) AS n, k FROM t GROUP BY k) AS r ON q.k = r.k",
        "SELECT k, sum(n) AS v FROM t GROUP BY k HAVING sum(n) > max(n) - min(n) ORDER BY abs(sum(n)) + 1",
        "SELECT datediff(v.d, DATE '2024-01-01') * 86400 + unix_date(to_date(v.ts)) AS v FROM (SELECT * FROM t) AS v",
        "SELECT u.m - u.l AS v FROM (SELECT unix_micros(ts) AS m, lag(unix_micros(ts), 1, 0L) OVER (ORDER BY i) AS l FROM t) AS u",
    ],
)
def test_bounds_of_the_columns_exclude_what_their_types_allow(text: str) -> None:
    assert sites(text)
    assert sites(text, SMALL) == []


def test_the_rows_of_a_join_are_multiplied() -> None:
    text = "SELECT sum(l.n) AS v FROM t AS l CROSS JOIN t AS r CROSS JOIN t AS q"
    bounds = Bounds({("t", "n"): (0, 10**12)}, {"t": 1000})
    assert sites("SELECT sum(n) AS v FROM t", bounds) == []
    assert sites(text, bounds) == ["sum(l.n)"]
    assert sites("SELECT sum(n) AS v FROM (SELECT n, explode(a) AS e FROM t)", bounds) == ["sum(n)"]


@pytest.mark.parametrize("expression", ["from_json(s, 'a INT').a + 1", "sum(from_json(s, 'a INT').a)"])
def test_what_has_no_type_is_asked_for(expression: str) -> None:
    text = f"SELECT {expression} AS v FROM t"
    unclear = find_overflows(TypedQuery(text, SCHEMAS)).unclear
    assert [text[slice(*place)] for place in unclear] == ["from_json(s, 'a INT').a"]
    (place,) = unclear
    assert probes_of(text, place)[0] == "SELECT from_json(s, 'a INT').a AS value FROM t"
    assert sites(text, Bounds(told={place: "other"})) == []
    assert sites(text, Bounds(told={place: Interval(-5, 5, 32)})) == []


def test_a_query_is_probed_with_what_it_sees() -> None:
    text = "WITH q AS (SELECT 1 AS n) SELECT z FROM (SELECT f(max(n)) + 1 AS z FROM q WHERE n > 0 GROUP BY n) AS r"
    place = (text.index("f("), text.index(" + 1"))
    assert probes_of(text, place) == [
        "WITH q AS (SELECT 1 AS n) SELECT f(max(n)) AS value FROM q WHERE n > 0 GROUP BY n",
        "WITH q AS (SELECT 1 AS n) SELECT f(max(n)) AS value FROM q WHERE n > 0",
    ]


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        (
            "SELECT sum(DISTINCT n) AS v FROM t",
            "SELECT coalesce(CAST(sum(DISTINCT CAST(n AS DECIMAL(38, 0))) AS BIGINT), NULL) AS v FROM t",
        ),
        ("SELECT -i*i v FROM t", "SELECT coalesce(CAST(CAST(-i AS DECIMAL(38, 0))*CAST(i AS DECIMAL(38, 0)) AS INT), NULL) v FROM t"),
        (
            "SELECT n + n -- so\n - 1 AS v FROM t",
            "SELECT coalesce(CAST(CAST(coalesce(CAST(CAST(n AS DECIMAL(38, 0)) + CAST(n AS DECIMAL(38, 0)) AS BIGINT), NULL) AS DECIMAL(38, 0)) -- so\n"
            " - CAST(1 AS DECIMAL(38, 0)) AS BIGINT), NULL) AS v FROM t",
        ),
    ],
)
def test_what_may_leave_its_type_is_computed_in_decimals(text: str, guarded: str) -> None:
    assert write_guards(text, guards_of(find_overflows(TypedQuery(text, SCHEMAS)).sites)) == guarded


@pytest.mark.parametrize("bits", [4, 12, 20, 31, 40, 62, 63])
def test_no_value_lies_beyond_the_bounds_that_are_told(bits: int) -> None:
    """The oracle: Python's numbers, which have no end."""
    draw, overflows, values = random.Random(bits), 0, 0
    for _ in range(60):
        term, rows = random_term(draw), random_rows(draw, bits)
        schemas = {"t": {name: "int" if width == 32 else "bigint" for name, width in WIDTHS.items()}}
        columns = {("t", name): (min(each), max(each)) for name in WIDTHS for each in [[row[name] or 0 for row in rows]]}
        bounds, text = Bounds(columns, {"t": len(rows)}), f"SELECT {term.sql} AS v FROM t"
        wide, interval = find_overflows(TypedQuery(text, schemas), bounds).sites, interval_of(text, schemas, bounds)
        sqlglot.parse_one(write_guards(text, guards_of(wide)), read="spark")
        for row in rows:
            try:
                value = term.value(row)
            except SignOverflow:
                continue
            except Overflow:
                assert wide, term.sql
                overflows += 1
                continue
            assert value is None or interval.low <= value <= interval.high, term.sql
            assert interval.bits == term.bits, term.sql
            values += 1
    assert values and (overflows or bits < 31)


def interval_of(text: str, schemas: dict[str, dict[str, str]], bounds: Bounds) -> Interval:
    """What is known of the only column of a query."""
    query = TypedQuery(text, schemas)
    interval = WholeNumbers(query, bounds).of(query.tree.selects[0])
    assert isinstance(interval, Interval)
    return interval
