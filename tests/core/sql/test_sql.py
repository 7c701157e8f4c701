"""A query over other table names is the same query, and its columns come from where their values do."""

from __future__ import annotations

import pytest

from lakeloop.errors import SpecError
from lakeloop.sql.query import column_sources, normalize_sql, parse_query, qualify_columns, rewrite_tables

SCHEMAS = {
    ("shop", "orders"): {"order_id": "bigint", "customer": "string", "amount": "double", "tags": "array<string>"},
    ("shop", "people"): {"customer": "string", "email": "string", "name": "string"},
}
NAMES = {parts: "__".join(parts) for parts in SCHEMAS}


def rewritten(text: str) -> str:
    return rewrite_tables(parse_query(text, "x.sql"), NAMES)


def sources(text: str) -> dict[str, list[str]]:
    query = parse_query(text, "x.sql")
    sources = column_sources(query, {table.parts: SCHEMAS[table.parts] for table in query.tables})
    return {column: [f"{'.'.join(table)}.{name}" for table, name in pairs] for column, pairs in sources.items()}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "SELECT o.order_id FROM shop.orders o JOIN (shop.people p JOIN shop.orders q ON p.customer = q.customer) ON o.customer = p.customer",
            "SELECT o.order_id FROM shop__orders o JOIN (shop__people p JOIN shop__orders q ON p.customer = q.customer) ON o.customer = p.customer",
        ),
        (
            "SELECT orders.order_id FROM shop.orders TABLESAMPLE (10 PERCENT) REPEATABLE (3) WHERE true",
            "SELECT orders.order_id FROM shop__orders TABLESAMPLE (10 PERCENT) REPEATABLE (3) AS orders WHERE true",
        ),
        ("SELECT b FROM shop.people AS t(a, b, c)", "SELECT b FROM shop__people AS t(a, b, c)"),
        (
            "SELECT * FROM shop.orders PIVOT (sum(amount) FOR (customer) IN ('a'))",
            "SELECT * FROM shop__orders PIVOT (sum(amount) FOR (customer) IN ('a'))",
        ),
        ("SELECT 'é', x -- shop.orders\nFROM `shop`.`orders`;", "SELECT 'é', x -- shop.orders\nFROM shop__orders AS `orders`;"),
        ("WITH orders AS (SELECT * FROM shop.orders) SELECT * FROM orders", "WITH orders AS (SELECT * FROM shop__orders AS orders) SELECT * FROM orders"),
        ("SELECT log10(amount) FROM shop.orders o", "SELECT log10(amount) FROM shop__orders o"),
        ("SELECT log(amount + 1), log(2, amount) FROM shop.orders o", "SELECT ln(amount + 1), log(2, amount) FROM shop__orders o"),
        ("SELECT avg(DISTINCT amount * 1.5) FROM shop.orders o", "SELECT avg(DISTINCT CAST( amount * 1.5 AS DOUBLE)) FROM shop__orders o"),
    ],
)  # fmt: skip
def test_only_the_names_of_tables_change_in_the_text(text: str, wanted: str) -> None:
    assert rewritten(text) == wanted


def test_functions_that_compute_something_else_are_other_words() -> None:
    exact, near = "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM d.t", "SELECT percentile_approx(x, 0.5) FROM d.t"
    assert normalize_sql(exact) != normalize_sql(near) and normalize_sql(exact) == normalize_sql(
        exact.replace(" ", "  ").lower() + " -- the median"
    )


@pytest.mark.parametrize("clause", ["VERSION AS OF 3", "TIMESTAMP AS OF '2024-01-01'"])
def test_an_earlier_version_of_a_table_is_refused_with_its_line(clause: str) -> None:
    with pytest.raises(SpecError, match=r"x.sql:2: wanted shop.orders as it is, found a (VERSION|TIMESTAMP) AS OF"):
        parse_query(f"SELECT order_id\nFROM shop.orders {clause}", "x.sql")


@pytest.mark.parametrize("text", ["SELECT\nIDENTIFIER('email') FROM shop.people", "SELECT email\nFROM identifier('shop.people')"])
def test_a_name_that_is_made_of_text_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(SpecError, match=r"x.sql:2: wanted the name itself, found IDENTIFIER\('"):
        parse_query(text, "x.sql")


def test_columns_of_nested_joins_and_pivots_are_known() -> None:
    joined = "SELECT o.order_id, p.email FROM (shop.orders o JOIN shop.people p ON o.customer = p.customer)"
    assert sources(joined) == {"order_id": ["shop.orders.order_id"], "email": ["shop.people.email"]}
    pivoted = parse_query("SELECT * FROM shop.orders PIVOT (sum(amount) FOR (customer) IN ('a', 'b'))", "x.sql")
    assert qualify_columns(pivoted, {("shop", "orders"): SCHEMAS[("shop", "orders")]})[0].named_selects == ["order_id", "tags", "a", "b"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT l.c FROM shop.orders o, LATERAL (SELECT max(p.email) AS c FROM shop.people p WHERE p.customer = o.customer) l", ["shop.people.email"]),
        ("SELECT l.c FROM shop.orders o, LATERAL (SELECT max(p.email) FROM shop.people p WHERE p.customer = o.customer) l(c)", ["shop.people.email"]),
        ("SELECT l.c FROM shop.people o, LATERAL (SELECT upper(o.email) AS c) l", ["shop.people.email"]),
        ("SELECT m.c FROM shop.people o, LATERAL (SELECT o.email AS b) l, LATERAL (SELECT upper(l.b) AS c) m", ["shop.people.email"]),
        ("SELECT (SELECT max(o.email) FROM shop.orders x) AS c FROM shop.people o", ["shop.people.email"]),
        ("SELECT x.c FROM shop.orders LATERAL VIEW explode(tags) x AS c", ["shop.orders.tags"]),
        ("SELECT `email` AS c FROM shop.people", ["shop.people.email"]),
        ("SELECT upper(`p`.`EMAIL`) AS `c` FROM (SELECT * FROM `shop`.`people`) AS `p`", ["shop.people.email"]),
        ("SELECT c FROM (SELECT posexplode(tags) AS (n, c) FROM shop.orders)", ["shop.orders.tags"]),
        ("SELECT to_json(struct(*)) AS c FROM shop.people", ["shop.people.customer", "shop.people.email", "shop.people.name"]),
        ("SELECT to_json(struct(q.*)) AS c FROM shop.orders o JOIN (SELECT email AS e FROM shop.people) q ON true", ["shop.people.email"]),
        ("SELECT count(p.*) AS c FROM shop.people p", ["shop.people.customer", "shop.people.email", "shop.people.name"]),
        ("SELECT count(*) AS c FROM shop.people p", []),
        # What the table's columns are called anew is told by their order, which a view need not have: all of them count.
        ("SELECT b AS c FROM shop.people AS t(a, b, d)", ["shop.people.customer", "shop.people.email", "shop.people.name"]),
    ],
)  # fmt: skip
def test_a_column_of_a_subquery_comes_from_the_columns_that_it_is_computed_from(text: str, wanted: list[str]) -> None:
    assert sources(text) == {"c": wanted}


def test_a_call_that_gives_several_columns_is_where_each_comes_from() -> None:
    text = "SELECT order_id, stack(2, customer, amount, 'b', 1) AS (k, v) FROM shop.orders"
    both = ["shop.orders.amount", "shop.orders.customer"]
    assert sources(text) == {"order_id": ["shop.orders.order_id"], "k": both, "v": both}


def test_where_the_origin_of_a_column_is_unknown_every_column_counts() -> None:
    text = (
        "WITH RECURSIVE r AS (SELECT customer, email FROM shop.people UNION ALL SELECT email, customer FROM r) SELECT customer AS c FROM r"
    )
    assert sources(text) == {"c": ["shop.people.customer", "shop.people.email", "shop.people.name"]}
