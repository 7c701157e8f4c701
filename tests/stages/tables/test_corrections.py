"""Data that change after they landed: which months are computed again, and what no correction reaches."""

from __future__ import annotations

import pytest

from resources.lake.published import TableKey
from tests.worlds.shop import orders, write_orders
from tests.worlds.shop_project import ORDERS, Shop, failures, key


def test_a_correction_that_lands_later_changes_no_older_feature(shop: Shop) -> None:
    stages = ("raw", "validated", "features", "training_sets")
    assert shop.materialize(*stages).success
    before = {r["order_id"]: r["history__last_amount_eur"] for r in shop.lake.read(shop.lake.current(key("training_sets"))).to_pylist()}
    rows = orders()
    rows[100]["amount_eur"] = 9999
    write_orders(shop.data, rows)
    result = shop.materialize(*stages)
    assert result.success, failures(result)
    current = {r["order_id"]: r["amount_eur"] for r in shop.lake.read(shop.lake.current(ORDERS)).to_pylist()}
    assert current[str(rows[100]["order_id"])] == 9999
    after = {r["order_id"]: r["history__last_amount_eur"] for r in shop.lake.read(shop.lake.current(key("training_sets"))).to_pylist()}
    assert after == before


def test_one_changed_month_rewrites_that_month_only(shop: Shop) -> None:
    assert shop.materialize("raw", "validated").success
    before = shop.lake.states()[ORDERS]
    rows = orders()
    march = next(row for row in rows if str(row["ordered_at"]).startswith("2024-03"))
    march["amount_eur"] = 1234.5
    write_orders(shop.data, rows)
    assert shop.materialize("raw", "validated").success
    after = shop.lake.states()[ORDERS]
    assert {p for p in after if after[p].version != before[p].version} == {"2024-03"}


def test_a_backfill_that_is_computed_in_several_goes_gives_what_one_go_does(
    shop: Shop, filled_lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from platform_assets.stages.features import results
    from resources.lake.lake import Lake

    goes, run_sql = [], results.run_sql
    monkeypatch.setattr(results, "run_sql", lambda *args, **window: goes.append(window) or run_sql(*args, **window))
    for module in ("platform_assets.stages.features.views", "platform_assets.stages.tables.landings", "lakeloop.rows.conform"):
        monkeypatch.setattr(f"{module}.ROWS_AT_ONCE", 500)
    assert shop.materialize("raw", "validated", "features").success
    # 310, 290, 310 and 290 orders a month, two months whose views have one partition each, and a view without partitions.
    assert len(goes) == 2 * 4 + 1
    for name in ("history", "outcomes", "basket"):
        table = TableKey("features", "shop", name)
        stored, wanted = (lake.read(lake.current(table)).to_pylist() for lake in (shop.lake, Lake(filled_lake)))
        assert sorted(map(str, stored)) == sorted(map(str, wanted))
