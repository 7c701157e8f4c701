"""Moving windows from a definition to published values: exact in SQL views, refused in functions on the embedded engine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from resources.lake.published import TableKey
from tests.worlds.shop_project import Shop, failures, make

BASKET = TableKey("features", "shop", "basket")
OUTLIER = "amount_eur + CASE WHEN row_number() OVER (ORDER BY ordered_at, order_id) = 1 THEN 1e17D ELSE 0D END AS amount"
SQL = f"""\
SELECT order_id, items, sum(amount) OVER rows_before AS amount_eur
FROM (SELECT *, {OUTLIER} FROM shop.orders)
WINDOW rows_before AS (ORDER BY ordered_at, order_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
"""
FUNCTION = '''\
"""Means of two orders."""

import pyspark.sql.functions as F
from pyspark.sql import Window


def basket(orders):
    """The mean of an order and the one before."""
    before = Window.partitionBy(F.lit(1)).orderBy("ordered_at", "order_id").rowsBetween(-1, 0)
    return orders.select("order_id", "items", F.avg("amount_eur").over(before).alias("amount_eur"))
'''


def shop_with(root: Path, sql: str | None) -> Shop:
    shop = make(root, "http://127.0.0.1:9")
    folder = shop.defs / "shop" / "basket"
    if sql is not None:
        (folder / "view.sql").write_text(sql)
        return shop
    path = folder / "defs.yaml"
    path.write_text(path.read_text().replace("sql: view.sql", "function: basket.py:basket\n  inputs: [orders]"))
    (folder / "basket.py").write_text(FUNCTION)
    return shop


def test_an_outlier_is_in_the_frames_that_hold_it_alone(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, SQL)
    assert shop.materialize("raw", "validated", "features").success
    orders = shop.lake.read(shop.lake.current(TableKey("validated", "shop", "orders"))).to_pylist()
    orders.sort(key=lambda order: (order["ordered_at"], order["order_id"]))
    published = {row["order_id"]: row["amount_eur"] for row in shop.lake.read(shop.lake.current(BASKET)).to_pylist()}
    assert published[orders[1]["order_id"]] > 1e16
    for before, order in pairwise(orders[1:]):
        assert abs(published[order["order_id"]] - before["amount_eur"] - order["amount_eur"]) < 1e-9


def test_a_function_that_the_engine_would_compute_by_subtraction_publishes_nothing(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, None)
    result = shop.materialize("raw", "validated", "features")
    assert not result.success
    assert "basket.py:10: avg over a window of a DataFrame" in failures(result)
    assert BASKET not in shop.lake.states()
