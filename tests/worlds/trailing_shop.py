"""The shop with a view that looks three days back: its definition, a late order, and what the view says then."""

from __future__ import annotations

from datetime import datetime

from resources.lake.published import TableKey
from tests.worlds.shop import orders, write_orders
from tests.worlds.shop_project import Shop

HISTORY = TableKey("features", "shop", "history")
TRAILING = """\
type: platform_assets.components.FeatureView
attributes:
  name: history
  description: What the customer spent in three days.
  sql: view.sql
  keys: [customer]
  event_time: ordered_at
  delay: 1m
  lookback: 3d
  partitions: {start: 2024-01-01, end: 2024-06-01}
  columns:
    spent_3d_eur: {type: double, unit: EUR, description: Spent in the three days up to the order.}
"""
TRAILING_SQL = """\
SELECT DISTINCT
    customer,
    ordered_at,
    sum(amount_eur) OVER (PARTITION BY customer ORDER BY ordered_at RANGE BETWEEN INTERVAL 3 DAYS PRECEDING AND CURRENT ROW) AS spent_3d_eur
FROM shop.orders
"""


def late(shop: Shop, at: str) -> None:
    """Write a file with an order of an earlier time."""
    customer = next(row["customer"] for row in orders() if str(row["ordered_at"]) > at)
    row = {**orders()[0], "order_id": f"late-{at[:10]}", "customer": customer, "ordered_at": at, "amount_eur": 1000.0}
    write_orders(shop.data.with_name(f"late-{at[:10]}.csv"), [row])


def spent(shop: Shop) -> dict[tuple[str, datetime], float]:
    """The newest version of every row."""
    rows = sorted(shop.lake.read(shop.lake.current(HISTORY)).to_pylist(), key=lambda row: row["known_at"])
    return {(row["customer"], row["ordered_at"]): row["spent_3d_eur"] for row in rows}
