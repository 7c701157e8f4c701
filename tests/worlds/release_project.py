"""The project of a release's stored world: small, and something of every kind that a definition may say.

`write_project` writes it as it is at first, `change_project` what its owners change afterwards: new and corrected orders, a new version of a
feature view, and a workflow that takes another one's model.
"""

from __future__ import annotations

import csv
import random
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

DEFS = Path("platform_assets", "defs")
DATABASE_VARIABLE, DATABASE_FILE = "SHOP_DB", Path("shop.db")
ADOPTED = Path("partner", "rates")
"""A Delta table that the project adopts, below its root."""
START = datetime(2024, 1, 1)
FIRST_DAYS, ALL_DAYS, ORDERS_A_DAY, LABEL_DAYS = 70, 90, 8, 14
PARTITIONS = "{start: 2024-01-01, end: 2024-04-01}"
CUSTOMERS = 12

TABLES = {
    "orders": f"""\
  description: One row per order.
  owners: [team:shop]
  source: {{files: data/*.csv}}
  keys: [order_id]
  event_time: ordered_at
  bulk_loaded_until: 2024-06-01
  partitions: {PARTITIONS}
  columns:
    order_id: {{type: string, nullable: false, description: Order.}}
    customer: {{type: string, nullable: false, description: Customer.}}
    ordered_at: {{type: timestamp, nullable: false, timezone: UTC, description: When.}}
    items: {{type: integer, description: Number of items.}}
    amount_eur: {{type: double, unit: EUR, source: amount, description: Amount.}}
    returned: {{type: boolean, description: Was sent back; null while that isn't known.}}
  rules:
    amount_is_positive: amount_eur > 0
  expectations:
    - expect_column_values_to_be_between: {{column: items, min_value: 1, max_value: 50, mostly: 0.99}}
      quarantine: true
    - {{expect_column_values_to_be_between: {{column: amount_eur, min_value: 0, max_value: 10000}}, severity: warning}}
""",
    "customers": f"""\
  description: One row per customer, as the shop's database has it now.
  source: {{database: {DATABASE_VARIABLE}, table: customers, cursor: changed_at, overlap: 1d}}
  keys: [customer]
  columns:
    customer: {{type: string, nullable: false, description: Customer.}}
    email: {{type: string, personal: true, description: Address.}}
    country: {{type: string, description: Country.}}
    changed_at: {{type: timestamp, nullable: false, timezone: UTC, description: When the row was changed last.}}
""",
    "sales": """\
  description: One row per day.
  source: {function: sales.py:sales}
  keys: [series, day]
  event_time: day
  bulk_loaded_until: 2024-06-01
  columns:
    series: {type: string, nullable: false, description: Series.}
    day: {type: timestamp, nullable: false, timezone: UTC, description: Day.}
    units: {type: double, description: Units sold.}
""",
    "rates": """\
  description: What a parcel to a country costs; kept by somebody else.
  source: {delta: ../../../../partner/rates}
  keys: [country]
  columns:
    country: {type: string, nullable: false, description: Country.}
    rate_eur: {type: double, unit: EUR, source: rate, description: Price of a parcel.}
""",
}
VIEWS = {
    "outcomes": (
        f"""\
  description: What became of an order, known after two weeks.
  sql: view.sql
  keys: [order_id]
  event_time: ordered_at
  delay: {LABEL_DAYS}d
  partitions: {PARTITIONS}
  columns:
    returned: {{type: boolean, nullable: false, description: Was sent back.}}
    amount_eur: {{type: double, unit: EUR, description: Amount.}}
    fate: {{type: string, description: 'What became of it, in words.'}}
""",
        """\
SELECT
    order_id, ordered_at, returned, amount_eur,
    CASE WHEN returned THEN 'returned' WHEN amount_eur > 60 THEN 'kept, large' ELSE 'kept' END AS fate
FROM shop.orders
WHERE returned IS NOT NULL
""",
    ),
    "history": (
        f"""\
  description: What the customer bought, order by order.
  sql: view.sql
  keys: [customer]
  event_time: ordered_at
  delay: 1m
  lookback: 30d
  partitions: {PARTITIONS}
  columns:
    last_amount_eur: {{type: double, unit: EUR, description: Amount of the last order.}}
    orders_30d: {{type: integer, description: 'Orders in the last 30 days, this one included.'}}
""",
        """\
SELECT
    customer, ordered_at, amount_eur AS last_amount_eur,
    count(*) OVER (PARTITION BY customer ORDER BY ordered_at RANGE BETWEEN INTERVAL 30 DAYS PRECEDING AND CURRENT ROW) AS orders_30d
FROM shop.orders
""",
    ),
    "basket": (
        """\
  description: What is in an order.
  function: basket.py:basket
  inputs: [orders]
  lineage: {items: [orders.items], amount_eur: [orders.amount_eur]}
  keys: [order_id]
  columns:
    items: {type: integer, description: Items.}
    amount_eur: {type: double, unit: EUR, description: Amount.}
  expectations:
    - {expect_column_values_to_not_be_null: {column: items}, severity: warning}
""",
        "",
    ),
    "sales_outcomes": (
        """\
  description: Units sold on a day.
  sql: view.sql
  keys: [series, target_at]
  event_time: target_at
  columns:
    units: {type: double, nullable: false, description: Units sold.}
    is_saturday: {type: boolean, nullable: false, description: Whether it is one of the strange days.}
""",
        "SELECT series, day AS target_at, units, dayofweek(day) = 7 AS is_saturday FROM shop.sales WHERE units IS NOT NULL\n",
    ),
    "sales_recent": (
        """\
  description: The newest values of a series.
  sql: view.sql
  keys: [series]
  event_time: day
  lookback: 7d
  columns:
    last_value: {type: double, description: The newest value.}
    mean_7: {type: double, description: Mean of the newest seven days.}
""",
        """\
SELECT
    series, day, units AS last_value,
    avg(units) OVER (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL 6 DAYS PRECEDING AND CURRENT ROW) AS mean_7
FROM shop.sales
""",
    ),
    "sales_season": (
        """\
  description: The value at the same place in the week.
  sql: view.sql
  keys: [series, season_phase]
  event_time: day
  columns:
    value_a_week_ago: {type: double, description: 'The newest value whole weeks before the target: the naive forecast.'}
""",
        "SELECT series, (unix_timestamp(day) DIV 86400) % 7 AS season_phase, day, units AS value_a_week_ago FROM shop.sales\n",
    ),
}
ORDERS_FEATURES = """\
    history: {columns: "*", max_age: 60d}
    basket: [items, amount_eur]
    customers: [country]
"""
ORDERS_AUTOMATION = f"""\
  partitions: {PARTITIONS}
  retrain: {{schedule: "@yearly", causes: [data]}}
"""
ORDERS_SPINE = "SELECT order_id, customer, ordered_at AS predict_at FROM shop.orders\n"
SHIPPED_SPINE = """\
SELECT o.order_id, o.customer, c.country, o.ordered_at AS predict_at FROM shop.orders o JOIN shop.customers c ON o.customer = c.customer
"""
NEXT_DAY_SPINE = "SELECT series, day + INTERVAL 1 DAY AS target_at, day AS predict_at FROM shop.sales\n"
WORKFLOWS = {
    "returns": (
        f"""\
  description: Will the order be sent back? Asked when it is placed.
  task: binary_classification
  spine: spine.sql
  keys: [order_id, customer]
  label: {{view: outcomes, column: returned}}
  features:
{ORDERS_FEATURES}\
  model: {{pipeline: linear, calibrate: true}}
  search: {{trials: 3, folds: 1, space: {{C: {{low: 0.01, high: 10.0, log: true}}}}}}
  split: {{train: 30d, validation: 6d, test: 14d, gap: 1d}}
  evaluation: {{primary: roc_auc, slices: [country], cluster: day, costs: {{false_positive: 1, false_negative: 5}}}}
  gates: {{roc_auc: {{min: 0.5}}, calibration_error: {{max: 0.5, severity: warning}}, champion: {{max_drop: 0.4, error_rate: 0.2}}}}
  batch: {{schedule: "0 2 * * *"}}
  online: {{}}
{ORDERS_AUTOMATION}""",
        ORDERS_SPINE,
    ),
    "returns_own": (
        f"""\
  description: The same, by a pipeline of the shop's own.
  task: binary_classification
  spine: ../returns/spine.sql
  keys: [order_id, customer]
  label: {{view: outcomes, column: returned}}
  features:
{ORDERS_FEATURES}\
  model: {{pipeline: clipped.py, params: {{C: 0.5}}, seed: 3}}
  split: {{train: 40d, test: 14d, gap: 1d}}
  evaluation: {{primary: log_loss}}
  gates: {{champion: {{max_drop: 0.4}}}}
  batch: {{}}
  online: {{}}
{ORDERS_AUTOMATION}""",
        "",
    ),
    "fates": (
        f"""\
  description: What will become of the order?
  task: multiclass_classification
  spine: spine.sql
  keys: [order_id, customer, country]
  label: {{view: outcomes, column: fate, classes: [kept, returned, 'kept, large']}}
  features:
    basket: [items, amount_eur]
    rates: [rate_eur]
  model: {{pipeline: gradient_boosting, params: {{max_iter: 5, max_leaf_nodes: 4, min_samples_leaf: 10}}, warm_start: {{trees: 2, limit: 20}}}}
  split: {{train: 40d, test: 14d, gap: 1d}}
  evaluation: {{primary: log_loss}}
  gates: {{champion: {{max_drop: 0.4}}}}
  batch: {{}}
  online: {{}}
{ORDERS_AUTOMATION}""",
        SHIPPED_SPINE,
    ),
    "amounts": (
        f"""\
  description: How much will be paid?
  task: regression
  spine: ../returns/spine.sql
  keys: [order_id, customer]
  label: {{view: outcomes, column: amount_eur}}
  features:
    basket: [items]
    history: [last_amount_eur]
  model: {{estimator: "sklearn.linear_model:Lasso", params: {{alpha: 0.1}}}}
  split: {{train: 40d, test: 14d, gap: 1d}}
  evaluation: {{primary: mae, cluster: customer}}
  gates: {{r2: {{max: 0.9999}}, champion: {{max_drop: 0.0}}}}
  batch: {{}}
  online: {{}}
{ORDERS_AUTOMATION}""",
        "",
    ),
    "sales_forecast": (
        """\
  description: What will be sold in the next two days?
  task: forecasting
  spine: spine.sql
  keys: [series, target_at, steps_ahead, season_phase]
  label: {view: sales_outcomes, column: units}
  forecast: {series: [series], target: target_at, ahead: steps_ahead, horizon: 2, every: 1d, naive: value_a_week_ago}
  features:
    sales_recent: "*"
    sales_season: "*"
  model: {pipeline: linear}
  split: {train: 50d, test: 20d, gap: 2d}
  evaluation: {primary: mae}
  gates: {champion: {max_drop: 1.0}}
  batch: {}
  online: {}
""",
        """\
SELECT
    series, day + steps_ahead * INTERVAL 1 DAY AS target_at, steps_ahead,
    (unix_timestamp(day) DIV 86400 + steps_ahead) % 7 AS season_phase, day AS predict_at
FROM shop.sales
CROSS JOIN (SELECT explode(sequence(1, 2)) AS steps_ahead)
""",
    ),
    "sales_range": (
        """\
  description: Between which numbers will tomorrow's sales lie?
  task: quantile_regression
  spine: spine.sql
  keys: [series, target_at]
  label: {view: sales_outcomes, column: units}
  quantiles: [0.1, 0.5, 0.9]
  features:
    sales_recent: "*"
  model: {pipeline: linear}
  split: {train: 50d, test: 20d, gap: 1d}
  evaluation: {primary: pinball_loss}
  gates: {champion: {max_drop: 1.0}}
  batch: {}
  online: {}
""",
        NEXT_DAY_SPINE,
    ),
    "strange_days": (
        """\
  description: Which days are unlike the others?
  task: anomaly_detection
  spine: ../sales_range/spine.sql
  keys: [series, target_at]
  label: {view: sales_outcomes, column: is_saturday}
  features:
    sales_recent: "*"
  model: {pipeline: anomaly.py, params: {n_estimators: 10, max_samples: 16}}
  anomaly: {alert_rate: 0.05}
  split: {train: 50d, test: 20d, gap: 1d}
  evaluation: {primary: roc_auc}
  gates: {champion: {max_drop: 1.0}}
  batch: {}
  online: {}
""",
        "",
    ),
}
TAKEN = """\
  description: The same once more, by a model that is registered already.
  task: quantile_regression
  spine: ../sales_range/spine.sql
  keys: [series, target_at]
  label: {view: sales_outcomes, column: units}
  quantiles: [0.1, 0.5, 0.9]
  features:
    sales_recent: "*"
  model: {registered: shop.sales_range, version: 1}
  split: {train: 50d, test: 20d, gap: 1d}
  evaluation: {primary: pinball_loss}
  gates: {champion: {max_drop: 1.0}}
  batch: {}
  retrain: {causes: [data]}
"""
CODE = {
    # Not changed with the releases: files that users wrote for 0.1.0 go on working.
    "returns_own/clipped.py": '''\
"""A linear model of the shop's own, from the ready-made one: numbers beyond what was seen count as the furthest that was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from lakeloop.frames import Kind
from lakeloop.spec import Task
from lakeloop.tasks import Answer

TASKS: tuple[Task, ...] = ("binary_classification",)


class Clip(TransformerMixin, BaseEstimator):
    """Cuts columns to the range that they had when it was fitted."""

    def fit(self, rows: Any, label: Any = None) -> Clip:
        self.low_, self.high_ = np.min(rows, axis=0), np.max(rows, axis=0)
        return self

    def transform(self, rows: Any) -> Any:
        return np.clip(rows, self.low_, self.high_)


def estimator(kinds: Mapping[str, Kind], answer: Answer, params: Mapping[str, Any], seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from lakeloop.pipelines import make
    from lakeloop.pipelines.linear import preprocessing

    assert answer.kind.label != "none"
    return make_pipeline(preprocessing(kinds), Clip(), make(LogisticRegression, {"max_iter": 500}, params, seed))


def search_space(task: Task) -> dict[str, Any]:
    return {"C": {"low": 0.001, "high": 100.0, "log": True}}
''',
    "sales/sales.py": """\
import math
from datetime import datetime, timedelta

import pyarrow as pa


def sales():
    days = range(90)
    units = [20.0 + 0.3 * day + 6.0 * (day % 7 == 5) + math.sin(day * day) for day in days]
    start = datetime(2024, 1, 1)
    return pa.table({"series": ["all"] * len(units), "day": [start + timedelta(days=day) for day in days], "units": units})
""",
    "basket/basket.py": """\
def basket(orders):
    return orders.select("order_id", "items", "amount_eur")
""",
}
COPIED_PIPELINES = {"strange_days": "anomaly"}
"""Workflows that get a ready-made pipeline by `lakeloop copy-pipeline`, as it is in this release."""


def write_project(root: Path) -> None:
    """Write definitions, source files and the shop's database below a folder."""
    for name, body in TABLES.items():
        _write(root, f"{name}/defs.yaml", _definition("LakeTable", name, body))
    for name, (body, sql) in VIEWS.items():
        _write(root, f"{name}/defs.yaml", _definition("FeatureView", name, body))
        if sql:
            _write(root, f"{name}/view.sql", sql)
    for name, (body, sql) in WORKFLOWS.items():
        _write(root, f"{name}/defs.yaml", _definition("MLWorkflow", name, body))
        if sql:
            _write(root, f"{name}/spine.sql", sql)
    for path, text in CODE.items():
        _write(root, path, text)
    _write_orders(root, FIRST_DAYS)
    with closing(sqlite3.connect(root / DATABASE_FILE)) as connection:
        connection.execute("CREATE TABLE customers (customer TEXT PRIMARY KEY, email TEXT, country TEXT, changed_at TIMESTAMP NOT NULL)")
        for number in range(CUSTOMERS):
            row = (f"c{number}", f"c{number}@example.org", "de" if number % 3 else "fr", f"2024-01-{number + 1:02d} 12:00:00")
            connection.execute("INSERT INTO customers VALUES (?, ?, ?, ?)", row)
        connection.commit()


def change_project(root: Path) -> None:
    """Change what a project's owners change after its first models are released."""
    _write_orders(root, ALL_DAYS)
    with closing(sqlite3.connect(root / DATABASE_FILE)) as connection:
        connection.execute("UPDATE customers SET country = 'at', changed_at = '2024-03-01 08:00:00' WHERE customer = 'c3'")
        connection.commit()
    body, sql = VIEWS["history"]
    _write(root, "history/defs.yaml", _definition("FeatureView", "history", "  version: 2\n" + body))
    _write(root, "history/view.sql", sql.replace("amount_eur AS last_amount_eur", "round(amount_eur) AS last_amount_eur"))
    _write(root, "range_taken/defs.yaml", _definition("MLWorkflow", "range_taken", TAKEN))


def _definition(noun: str, name: str, body: str) -> str:
    return f"type: platform_assets.components.{noun}\nattributes:\n  name: {name}\n{body}"


def _write(root: Path, path: str, text: str) -> None:
    file = root / DEFS / "shop" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _write_orders(root: Path, days: int) -> None:
    """The orders of so many days, as the shop delivers them after the last one: outcomes of the last two weeks aren't known yet."""
    drawn = random.Random(7)
    rows: list[Mapping[str, object]] = []
    for day in range(days):
        for number in range(ORDERS_A_DAY):
            at = START + timedelta(days=day, hours=number + 8, minutes=drawn.randrange(60))
            items = drawn.randrange(1, 20)
            amount = round(10 + 3 * items + drawn.gauss(0, 6), 2)
            returned = drawn.random() < 0.05 * items
            rows.append(
                {
                    "order_id": f"o{day:03d}-{number}",
                    "customer": f"c{drawn.randrange(CUSTOMERS)}",
                    "ordered_at": f"{at:%Y-%m-%d %H:%M:%S}",
                    "items": items,
                    "amount": amount,
                    "returned": "" if day >= days - LABEL_DAYS else str(returned).lower(),
                }
            )
    rows[30] = {**rows[30], "items": 99}  # to quarantine, by an expectation
    rows[90] = {**rows[90], "amount": -5}  # to quarantine, by a rule
    rows.append(rows[40])  # a duplicate
    if days > FIRST_DAYS:
        rows[50] = {**rows[50], "amount": 77.5}  # corrected
        del rows[60]  # vanished
    file = root / DEFS / "shop" / "orders" / "data" / "orders.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rates() -> dict[str, list[object]]:
    """The rows of the Delta table that the project adopts."""
    return {"country": ["de", "fr", "at"], "rate": [4.9, 7.5, 6.2], "since": [date(2024, 1, 1)] * 3}
