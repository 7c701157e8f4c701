"""The kinds of views that the worlds have: each a query that DuckDB and Spark read alike, or a PySpark function with the query that it equals."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of view.

    Attributes:
        name: of the view.
        sql: its query; where there is a `function` the query that this equals.
        columns: its features with their types.
        reads: what it reads.
        keys: its entity.
        function: its source, of a PySpark function.
        has_time: whether it has the event time `ordered_at`.
        known_at: the column that says when a value is known.
        trails: how many days back it reads, if it may have partitions; None where it reads everything before.
    """

    name: str
    sql: str
    columns: dict[str, str]
    reads: tuple[str, ...] = ("orders",)
    keys: tuple[str, ...] = ("customer", "order_id")
    function: str | None = None
    has_time: bool = True
    known_at: str | None = None
    trails: int | None = None
    views: tuple[Kind, ...] = ()


RUNNING = Kind(
    "running",
    """SELECT customer, order_id, ordered_at,
    sum(amount) OVER (PARTITION BY customer ORDER BY ordered_at, order_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS spent
FROM orders""",
    {"spent": "double"},
)
TRAILING = Kind(
    "three_days",
    """SELECT customer, order_id, ordered_at,
    sum(amount) OVER (PARTITION BY customer ORDER BY ordered_at RANGE BETWEEN INTERVAL 3 DAYS PRECEDING AND CURRENT ROW) AS spent,
    count(*) OVER (PARTITION BY customer ORDER BY ordered_at RANGE BETWEEN INTERVAL 3 DAYS PRECEDING AND CURRENT ROW) AS orders
FROM orders""",
    {"spent": "double", "orders": "integer"},
    trails=3,
)
TIERS = Kind(
    "tiers",
    "SELECT o.customer, o.order_id, o.ordered_at, c.tier, o.amount * c.tier AS worth FROM orders o JOIN customers c ON o.customer = c.customer",
    {"tier": "integer", "worth": "double"},
    reads=("orders", "customers"),
    trails=0,
)
TIERS_OR_NONE = Kind(
    "tiers_or_none",
    """SELECT o.customer, o.order_id, o.ordered_at, coalesce(c.tier, -1) AS tier
FROM orders o LEFT JOIN customers c ON o.customer = c.customer AND c.signup <= o.ordered_at""",
    {"tier": "integer"},
    reads=("orders", "customers"),
    trails=0,
)
STRANGERS = Kind(
    "strangers",
    "SELECT customer, order_id, ordered_at, amount FROM orders WHERE customer NOT IN (SELECT customer FROM customers)",
    {"amount": "double"},
    reads=("orders", "customers"),
    trails=0,
)
NEXT = Kind(
    "next_order",
    "SELECT customer, order_id, ordered_at, coalesce(lead(amount) OVER (PARTITION BY customer ORDER BY ordered_at, order_id), 0) AS next_amount FROM orders",
    {"next_amount": "double"},
)
PAID = Kind(
    "paid",
    "SELECT customer, order_id, ordered_at, ordered_at + INTERVAL 30 HOURS AS paid_at, amount FROM orders WHERE amount > 20",
    {"amount": "double"},
    known_at="paid_at",
    trails=0,
)
PRICED = Kind(
    "priced",
    """SELECT o.customer, o.order_id, o.ordered_at, o.amount - coalesce(p.price, 0) AS margin
FROM orders o LEFT JOIN prices p ON o.customer = p.customer""",
    {"margin": "double"},
    reads=("orders", "prices"),
    trails=0,
)
TOTALS = Kind(
    "totals", "SELECT customer, sum(amount) AS total FROM orders GROUP BY customer", {"total": "double"}, keys=("customer",), has_time=False
)
SHARES = Kind(
    "shares",
    "SELECT o.customer, o.order_id, o.ordered_at, o.amount / t.total AS share FROM orders o JOIN totals t ON o.customer = t.customer",
    {"share": "double"},
    reads=("orders", "totals"),
    views=(TOTALS,),
)
GROWTH = Kind(
    "growth",
    """SELECT r.customer, r.order_id, r.ordered_at, r.spent - coalesce(lag(r.spent) OVER (PARTITION BY r.customer ORDER BY r.ordered_at, r.order_id), 0) AS more
FROM running r""",
    {"more": "double"},
    reads=("running",),
    views=(RUNNING,),
)
BY_FUNCTION = Kind(
    "counted",
    "SELECT customer, order_id, ordered_at, count(*) OVER (PARTITION BY customer) AS orders FROM orders",
    {"orders": "integer"},
    function='''"""A view by PySpark."""

import pyspark.sql.functions as F
from pyspark.sql import Window


def counted(orders):
    """Orders of the customer, later ones included."""
    return orders.select("customer", "order_id", "ordered_at", F.count("*").over(Window.partitionBy("customer")).alias("orders"))
''',
)
DAILY = Kind(
    "daily",
    "SELECT customer, date_trunc('day', ordered_at) AS ordered_at, sum(amount) AS spent, count(*) AS orders FROM orders GROUP BY customer, date_trunc('day', ordered_at)",
    {"spent": "double", "orders": "integer"},
    keys=("customer",),
    trails=0,
)
AVERAGES = Kind(
    "averages",
    "SELECT customer, order_id, ordered_at, spent / orders AS average FROM three_days",
    {"average": "double"},
    reads=("three_days",),
    trails=0,
    views=(TRAILING,),
)
TIERS_BY_FUNCTION = Kind(
    "ranked",
    """SELECT r.customer, r.order_id, r.ordered_at, r.spent * coalesce(c.tier, 0) AS rank
FROM running r LEFT JOIN customers c ON r.customer = c.customer""",
    {"rank": "double"},
    reads=("running", "customers"),
    views=(RUNNING,),
    function='''"""A view by PySpark over a view and a table."""

import pyspark.sql.functions as F


def ranked(running, customers):
    """What was spent, by tier."""
    joined = running.join(customers.select("customer", "tier"), "customer", "left")
    return joined.select("customer", "order_id", "ordered_at", (F.col("spent") * F.coalesce("tier", F.lit(0))).alias("rank"))
''',
)
KINDS = (
    RUNNING,
    TRAILING,
    TIERS,
    TIERS_OR_NONE,
    STRANGERS,
    NEXT,
    PAID,
    PRICED,
    SHARES,
    GROWTH,
    BY_FUNCTION,
    DAILY,
    AVERAGES,
    TIERS_BY_FUNCTION,
)
