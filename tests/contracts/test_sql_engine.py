"""Queries on the embedded engine: what it computes, and that it refuses what a check of a definition refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from lakeloop.checking.project import load_checked
from lakeloop.errors import SpecError
from lakeloop.sql.query import Query, parse_query, qualify_columns, rewrite_tables
from lakeloop.sql.refusals import find_refusals
from resources.lake.published import TableKey
from resources.spark.windows import query_rows
from tests.worlds.shop_project import make

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


SCHEMAS = {
    ("shop", "orders"): {"order_id": "bigint", "customer": "string", "amount": "double", "tags": "array<string>"},
    ("shop", "people"): {"customer": "string", "email": "string", "name": "string"},
}
NAMES = {parts: "__".join(parts) for parts in SCHEMAS}
STANDS = {"validated": "orders", "features": "basket", "training_sets": "returns"}


def rewritten(text: str) -> str:
    return rewrite_tables(parse_query(text, "x.sql"), NAMES)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """A session of the embedded engine that has the tables under their new names."""
    from resources.spark.sessions import SparkResource

    session = SparkResource().session("test_sql")
    orders = {
        "order_id": [1, 2, 3, 4],
        "customer": ["a", "a", "b", "c"],
        "amount": [1.0, 2.5, 10.0, 7.0],
        "tags": [["x", "y"], ["x"], [], None],
    }
    people = {"customer": ["a", "b"], "email": ["a@x", "b@x"], "name": ["A", "B"]}
    session.createDataFrame(pa.table(orders)).createOrReplaceTempView("shop__orders")
    session.createDataFrame(pa.table(people)).createOrReplaceTempView("shop__people")
    yield session


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "SELECT o.order_id AS v FROM shop.orders o JOIN (shop.people p JOIN shop.orders q ON p.customer = q.customer AND q.amount > 2) "
            "ON o.customer = p.customer",
            [1, 2, 3],
        ),
        ("SELECT orders.order_id AS v FROM shop.orders TABLESAMPLE (0 PERCENT)", []),
        ("SELECT b AS v FROM shop.people AS t(a, b, c)", ["a@x", "b@x"]),
        ("SELECT a AS v FROM (SELECT customer, amount FROM shop.orders) PIVOT (sum(amount) FOR (customer) IN ('a'))", [3.5]),
        ("SELECT v FROM shop.people UNPIVOT (v FOR k IN (email, name))", ["A", "B", "a@x", "b@x"]),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS v FROM shop.orders", [4.75]),
        ("SELECT to_char(order_id, '999') AS v FROM shop.orders WHERE order_id = 1", ["  1"]),
        ("SELECT log10(amount) AS v FROM shop.orders WHERE order_id = 3", [1.0]),
        ("SELECT log(amount) AS v FROM shop.orders WHERE order_id = 1", [0.0]),
        ("SELECT shop.orders.order_id AS v FROM shop.orders WHERE shop.orders.amount > 5 ORDER BY `shop`.`orders`.amount", [3, 4]),
        ("SELECT v FROM (SELECT shop.people.*, shop.people.name AS v FROM shop.people)", ["A", "B"]),
    ],
)  # fmt: skip
def test_the_embedded_engine_computes_what_was_written(spark: SparkSession, text: str, wanted: list[object]) -> None:
    assert sorted(spark.sql(rewritten(text)).toArrow()["v"].to_pylist()) == wanted


WINDOWS = [
    (
        "SELECT x, 10 * sum(x) OVER w AS v FROM (SELECT explode(array(1e17D, 1D, 1D, 1D)) AS x) "
        "WINDOW w AS (ORDER BY x DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        [20.0, 20.0, 1e18, 1e18],
    ),
    (
        "SELECT DISTINCT customer, v FROM (SELECT *, avg(amount) OVER (PARTITION BY customer ORDER BY order_id ROWS 1 PRECEDING) AS v FROM shop.orders)",
        [1.0, 1.75, 7.0, 10.0],
    ),
    (
        "WITH days AS (SELECT DATE '2024-02-28' + CAST(order_id AS INT) AS d, amount FROM shop.orders) SELECT count(*) OVER (ORDER BY d RANGE BETWEEN "
        "UNBOUNDED PRECEDING AND INTERVAL 1 DAY PRECEDING) AS v FROM days",
        [0, 1, 2, 3],
    ),
    (
        "SELECT o.*, p.*, size(collect_list(p.email) OVER (PARTITION BY 1)) AS v FROM shop.orders o LEFT JOIN shop.people p ON o.customer = p.customer",
        [3, 3, 3, 3],
    ),
    (
        "SELECT customer AS c, sum(count(*)) OVER (ORDER BY customer ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS v FROM shop.orders GROUP BY customer",
        [2, 2, 3],
    ),
    (
        "SELECT v FROM (SELECT lag(amount) OVER w + sum(amount) OVER (w ROWS 1 PRECEDING) AS v FROM shop.orders WINDOW w AS (ORDER BY order_id)) "
        "WHERE v > 5 UNION ALL SELECT order_id FROM shop.orders WHERE order_id = 1",
        [1.0, 15.0, 27.0],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), WINDOWS)
def test_windows_over_moving_frames_are_computed_beside_the_engine(spark: SparkSession, text: str, wanted: list[object]) -> None:
    assert refused(parse_query(text, "x.sql")) == []
    assert sorted(query_rows(spark, rewritten(text))["v"].to_pylist()) == wanted
    assert not [table.name for table in spark.catalog.listTables() if table.name.startswith("_windows_")]


def test_the_embedded_engine_still_subtracts(spark: SparkSession) -> None:
    """Once it doesn't, windows needn't be taken out of queries any more."""
    assert spark.sql(WINDOWS[0][0]).toArrow()["v"].to_pylist() != WINDOWS[0][1]


REFUSED = [
    ("SELECT order_id\nFROM shop.orders\nQUALIFY row_number() OVER (PARTITION BY customer ORDER BY amount) = 1", 3, "no QUALIFY; number the rows in a subquery"),
    ("FROM shop.orders\nSELECT order_id", 1, "begins with FROM; write SELECT first"),
    ("WITH a AS (SELECT order_id FROM shop.orders)\nFROM a SELECT order_id", 2, "begins with FROM"),
    ("SELECT order_id FROM shop.orders\n|> WHERE amount > 1", 2, "no |>"),
    ("SELECT DISTINCT ON (customer) order_id FROM shop.orders", 1, "no DISTINCT ON; number the rows"),
    ("SELECT order_id FROM shop.orders\nCLUSTER BY customer", 2, "no CLUSTER BY; leave it out"),
    ("SELECT customer, sum(amount) AS v FROM shop.orders GROUP BY ALL", 1, "no GROUP BY ALL; name the columns"),
    ("SELECT * EXCEPT (tags) FROM shop.orders", 1, "no * EXCEPT; name the columns"),
    ("SELECT orders.* REPLACE (1 AS amount) FROM shop.orders", 1, "no * REPLACE; name the columns"),
    ("SELECT order_id FROM shop.orders UNION ALL BY NAME SELECT 1 AS order_id", 1, "no UNION BY NAME"),
    ("SELECT order_id FROM shop.orders UNION ALL\nSELECT order_id, amount FROM shop.orders", 2, "as many columns on both sides of UNION, found 1 and 2"),
    ("SELECT order_id FROM shop.orders FETCH FIRST 1 ROWS ONLY", 1, "no FETCH; write LIMIT"),
    ("SELECT order_id FROM shop.orders\nWHERE amount = ANY (SELECT amount FROM shop.orders)", 2, "no ANY of a subquery; write IN"),
    ("SELECT order_id FROM shop.orders\nWHERE customer LIKE ANY ('a', 'b')", 2, "no LIKE ANY; write a LIKE for each"),
    ("SELECT order_id,\n  customer IN (SELECT customer FROM shop.people) AS v FROM shop.orders", 2, "no IN (SELECT …) among the columns; join"),
    ("SELECT order_id FROM shop.orders\nWHERE sum(amount) > 2", 2, "SUM(amount) can't stand in WHERE; use HAVING"),
    ("SELECT order_id FROM shop.orders\nWHERE row_number() OVER (ORDER BY amount) = 1", 2, "can't stand in WHERE; number the rows"),
    ("SELECT amount * 2 AS twice,\n  twice + 1 AS v FROM shop.orders", 2, "twice is named in the same SELECT"),
    ("SELECT amount * 2 AS twice FROM shop.orders\nWHERE twice > 1", 2, "twice is named in the same SELECT"),
    ("SELECT\n  o.customer FROM shop.orders o JOIN shop.people p USING (customer)", 2, "o.customer is joined by USING, behind which it has no table; write customer"),
    ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r", 1, "no WITH RECURSIVE"),
]  # fmt: skip
TAKEN = [
    "SELECT q.customer FROM shop.orders o JOIN shop.people p USING (customer) JOIN shop.people q ON q.name = p.name",
    "SELECT amount AS a, sum(amount) AS s FROM shop.orders GROUP BY a HAVING s > 1 ORDER BY s",
    "SELECT amount AS a FROM shop.orders SORT BY a",
    "WITH x AS (SELECT amount * 2 AS d FROM shop.orders) SELECT d, d + 1 AS e FROM x WHERE d > 1",
    "SELECT extract(YEAR FROM DATE '2024-01-01') AS y, trim(BOTH FROM customer) AS t FROM shop.orders WHERE customer IS DISTINCT FROM 'b'",
    "SELECT order_id FROM shop.orders o WHERE amount = (SELECT max(amount) FROM shop.orders i WHERE i.customer = o.customer)",
    "SELECT order_id FROM shop.orders WHERE order_id IN (SELECT order_id FROM shop.orders) AND exists(tags, t -> t = 'x')",
    "SELECT e FROM (SELECT amount AS d FROM shop.orders) LATERAL VIEW explode(array(d)) t AS e",
    "SELECT amount AS order_id, order_id + 1 AS v FROM shop.orders",
]


@pytest.mark.parametrize(("text", "line", "told"), REFUSED)
def test_what_the_embedded_engine_refuses_is_told_with_its_line_and_what_to_write(
    spark: SparkSession, text: str, line: int, told: str
) -> None:
    query = parse_query(text, "x.sql")
    (error,) = refused(query)
    assert str(error).startswith(f"x.sql:{line}: ") and told in str(error)
    # Once an engine takes it, this needn't be refused any more.
    with pytest.raises(Exception):  # noqa: B017  # each is another kind of error
        spark.sql(rewritten(text)).toArrow()


def refused(query: Query) -> list[SpecError]:
    schemas = {table.parts: SCHEMAS[table.parts] for table in query.tables}
    return find_refusals(query, schemas, qualify_columns(query, schemas)[0])


@pytest.mark.parametrize("text", TAKEN)
def test_what_the_embedded_engine_takes_is_not_refused(spark: SparkSession, text: str) -> None:
    query = parse_query(text, "x.sql")
    assert refused(query) == []
    spark.sql(rewritten(text)).toArrow()


def test_a_table_without_its_domain_and_columns_in_capitals_run_as_they_are_checked(tmp_path: Path) -> None:
    shop = make(tmp_path, "http://127.0.0.1:9")
    (shop.defs / "shop" / "basket" / "view.sql").write_text("SELECT ORDER_ID, Items, orders.AMOUNT_EUR FROM orders")
    (shop.defs / "shop" / "returns" / "spine.sql").write_text("SELECT Order_Id, customer, ordered_at AS PREDICT_AT FROM orders")
    assert load_checked(shop.defs)[1] == []
    assert shop.materialize("raw", "validated", "features", "training_sets").success
    rows = {stage: shop.lake.read(shop.lake.current(TableKey(stage, "shop", name))) for stage, name in STANDS.items()}
    assert rows["features"].num_rows == rows["validated"].num_rows > 0
    assert rows["training_sets"]["basket__items"].null_count == 0
