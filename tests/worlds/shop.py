"""A small shop as a project in a folder: orders that are returned or not. Big enough to learn from, small enough for seconds."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 120

ORDERS = """\
type: platform_assets.components.LakeTable
attributes:
  name: orders
  description: One row per order.
  source: {files: data/*.csv}
  keys: [order_id]
  event_time: ordered_at
  bulk_loaded_until: 2024-06-01
  partitions: {start: 2024-01-01, end: 2024-06-01}
  columns:
    order_id: {type: string, nullable: false, description: Order.}
    customer: {type: string, nullable: false, description: Customer.}
    ordered_at: {type: timestamp, nullable: false, timezone: UTC, description: When.}
    items: {type: integer, description: Number of items.}
    amount_eur: {type: double, unit: EUR, description: Amount.}
    returned: {type: boolean, description: Was sent back; null while that isn't known.}
  rules:
    amount_is_positive: amount_eur > 0
  expectations:
    - expect_column_values_to_be_between: {column: items, min_value: 1, max_value: 50, mostly: 0.99}
      quarantine: true
    - expect_column_values_to_be_between: {column: amount_eur, min_value: 0, max_value: 10000}
"""
OUTCOMES = """\
type: platform_assets.components.FeatureView
attributes:
  name: outcomes
  description: Whether an order was returned, known after two weeks.
  sql: view.sql
  keys: [order_id]
  event_time: ordered_at
  delay: 14d
  partitions: {start: 2024-01-01, end: 2024-06-01}
  columns:
    returned: {type: boolean, nullable: false, description: Was sent back.}
"""
OUTCOMES_SQL = "SELECT order_id, ordered_at, returned FROM shop.orders WHERE returned IS NOT NULL\n"
HISTORY = """\
type: platform_assets.components.FeatureView
attributes:
  name: history
  description: What the customer spent, order by order.
  sql: view.sql
  keys: [customer]
  event_time: ordered_at
  delay: 1m
  partitions: {start: 2024-01-01, end: 2024-06-01}
  columns:
    last_amount_eur: {type: double, unit: EUR, description: Amount of the last order.}
    last_items: {type: integer, description: Items of the last order.}
"""
HISTORY_SQL = """\
SELECT customer, ordered_at, max(amount_eur) AS last_amount_eur, max(items) AS last_items FROM shop.orders GROUP BY customer, ordered_at
"""
BASKET = """\
type: platform_assets.components.FeatureView
attributes:
  name: basket
  description: What is in an order.
  sql: view.sql
  keys: [order_id]
  columns:
    items: {type: integer, description: Items.}
    amount_eur: {type: double, unit: EUR, description: Amount.}
"""
BASKET_SQL = "SELECT order_id, items, amount_eur FROM shop.orders\n"
WORKFLOW = """\
type: platform_assets.components.MLWorkflow
attributes:
  name: returns
  description: Will the order be sent back? Asked when it is placed.
  task: binary_classification
  spine: spine.sql
  keys: [order_id, customer]
  label: {view: outcomes, column: returned}
  features:
    history: "*"
    basket: [items, amount_eur]
  model: {pipeline: linear}
  split: {train: 60d, test: 20d, gap: 1d}
  evaluation: {primary: roc_auc}
  gates: {roc_auc: {min: MINIMUM}, champion: {max_drop: 0.05}}
  partitions: {start: 2024-01-01, end: 2024-06-01}
  batch: {schedule: "0 2 * * *"}
  retrain: {causes: [data]}
"""
SPINE_SQL = "SELECT order_id, customer, ordered_at AS predict_at FROM shop.orders\n"


def make_shop(root: Path, *, minimum: float = 0.55) -> Path:
    """Write the project; returns its folder of definitions."""
    defs = root / "platform_assets" / "defs"
    files = {
        "orders/defs.yaml": ORDERS,
        "outcomes/defs.yaml": OUTCOMES,
        "outcomes/view.sql": OUTCOMES_SQL,
        "history/defs.yaml": HISTORY,
        "history/view.sql": HISTORY_SQL,
        "basket/defs.yaml": BASKET,
        "basket/view.sql": BASKET_SQL,
        "returns/defs.yaml": WORKFLOW.replace("MINIMUM", str(minimum)),
        "returns/spine.sql": SPINE_SQL,
    }
    for name, text in files.items():
        path = defs / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_orders(defs / "shop" / "orders" / "data" / "orders.csv", orders())
    return defs


def orders(days: int = DAYS, first: int = 0, seed: int = 7) -> list[dict[str, object]]:
    """Ten orders a day; large ones are returned more often; what was ordered in the last two weeks isn't known yet."""
    rng = np.random.default_rng(seed + first)
    rows: list[dict[str, object]] = []
    for day in range(first, first + days):
        for number in range(10):
            items = int(rng.integers(1, 20))
            returned = bool(rng.random() < 0.05 + 0.04 * items)
            rows.append(
                {
                    "order_id": f"o{day:04d}-{number}",
                    "customer": f"c{int(rng.integers(0, 40))}",
                    "ordered_at": (START + timedelta(days=day, hours=number, minutes=int(rng.integers(0, 60)))).strftime(
                        "%Y-%m-%d %H:%M:%S"
                    ),
                    "items": items,
                    "amount_eur": round(float(rng.gamma(2.0, 30.0)) + 1, 2),
                    "returned": "" if day >= DAYS - 14 else str(returned).lower(),
                }
            )
    return rows


def write_orders(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
