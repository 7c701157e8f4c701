"""Tables that land from a real PostgreSQL: each version of a row once, changes, and what must never be shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.lake.lake import Lake
from resources.lake.published import TableKey
from tests.worlds.servers.ports import free_port
from tests.worlds.servers.postgres import ORDERS_TABLE, PASSWORD, order, run
from tests.worlds.shop_project import Shop, failures

RAW, ORDERS = TableKey("raw", "sales", "orders"), TableKey("validated", "sales", "orders")
DEFINITION = """\
type: platform_assets.components.LakeTable
attributes:
  name: orders
  description: One row per order.
  source: {SOURCE}
  keys: [order_id]
  event_time: ordered_at
  partitions: {start: 2024-01-01, end: 2024-06-01}
  columns:
    order_id: {type: integer, nullable: false, description: Order.}
    ordered_at: {type: timestamp, nullable: false, description: When.}
    amount_eur: {type: double, unit: EUR, source: amount, description: Amount.}
"""


@pytest.fixture
def shop(engine: sa.Engine, tmp_path: Path) -> Shop:
    """A project with one table, from the database."""
    run(engine, ORDERS_TABLE, order(1, 1), order(2, 20), order(3, 5, month=4))
    return Shop(tmp_path / "platform_assets" / "defs", str(tmp_path / "lake"), "http://127.0.0.1:9")


def define(shop: Shop, source: str) -> None:
    path = shop.defs / "sales" / "orders" / "defs.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(DEFINITION.replace("{SOURCE}", source))


def landed(lake: Lake) -> list[int]:
    return sorted(lake.open(RAW).to_pyarrow_table()["order_id"].to_pylist())


def amounts(lake: Lake) -> dict[int, float]:
    return {row["order_id"]: row["amount_eur"] for row in lake.read(lake.current(ORDERS)).to_pylist()}


def stale(shop: Shop) -> dict[str, list[str]]:
    from platform_assets.definitions import read_project
    from platform_assets.plan import stale_assets

    return {str(key): parts for key, parts in stale_assets(read_project(shop.defs), shop.lake.states()).items()}


def test_an_incremental_table_lands_each_version_once_and_rewrites_the_months_it_reaches(shop: Shop, engine: sa.Engine) -> None:
    define(shop, "{database: SALES_DB, table: orders, cursor: updated_at, overlap: 30d}")
    assert shop.materialize().success
    assert landed(shop.lake) == [1, 2, 3] and stale(shop) == {}
    before = shop.lake.states()
    run(engine, "UPDATE orders SET amount = 9.75, updated_at = '2024-04-20' WHERE order_id = 2", order(4, 25, updated="2024-04-21"))
    assert "raw/sales/orders" in stale(shop)
    result = shop.materialize()
    assert result.success, failures(result)
    # Rows 2 and 3 lie in the overlap; only what is new in them lands again.
    assert landed(shop.lake) == [1, 2, 2, 3, 4]
    assert amounts(shop.lake) == {1: 1.5, 2: 9.75, 3: 1.5, 4: 1.5}
    after = shop.lake.states()
    assert {p for p in after[ORDERS] if p not in before[ORDERS] or after[ORDERS][p].version != before[ORDERS][p].version} == {"2024-03"}
    assert stale(shop) == {}
    assert shop.materialize().success
    assert shop.lake.states() == after


def test_the_position_is_in_the_commit_that_has_the_rows(shop: Shop, engine: sa.Engine) -> None:
    define(shop, "{database: SALES_DB, table: orders, cursor: order_id}")
    assert shop.materialize("raw").success
    commit = json.loads(shop.lake.open(RAW).history(1)[0]["lakeloop"])
    (source,) = [s for s in commit["states"] if s["partition"] == "source"]
    assert source["value"]["files"] == {"orders": '{"number": 3}'}


def test_a_table_that_was_filled_anew_below_its_position_is_told_and_read_whole_with_another_overlap(shop: Shop, engine: sa.Engine) -> None:
    import dagster as dg

    define(shop, "{database: SALES_DB, table: orders, cursor: order_id}")
    assert shop.materialize("raw").success
    run(engine, "TRUNCATE orders", order(1, 9, "7.00"))
    assert "raw/sales/orders" in stale(shop)
    with dg.DagsterInstance.ephemeral() as instance:
        result = shop.materialize("raw", instance=instance)
        assert result.success
        (told,) = [
            entry.user_message
            for entry in instance.all_logs(result.run_id)
            if "filled anew from a smaller order_id on" in entry.user_message
        ]
    assert "raw/sales/orders: orders has no row any more from where the last read ended on" in told and "change `overlap`" in told
    assert landed(shop.lake) == [1, 2, 3]
    define(shop, "{database: SALES_DB, table: orders, cursor: order_id, overlap: 1}")
    assert shop.materialize().success
    assert amounts(shop.lake)[1] == 7.0


def test_a_full_table_follows_deletions_and_lands_changed_months_only(shop: Shop, engine: sa.Engine) -> None:
    define(shop, "{database: SALES_DB, table: orders}")
    assert shop.materialize().success
    run(engine, "DELETE FROM orders WHERE order_id = 1", order(5, 6, month=5))
    assert "raw/sales/orders" in stale(shop)
    assert shop.materialize().success
    assert landed(shop.lake) == [1, 2, 2, 3, 5]
    assert set(amounts(shop.lake)) == {2, 3, 5}


def test_a_new_column_lands_with_a_warning_a_changed_type_is_refused_with_both_and_a_missing_one_fails(
    shop: Shop, engine: sa.Engine
) -> None:
    define(shop, "{database: SALES_DB, table: orders, cursor: order_id}")
    assert shop.materialize().success
    run(engine, "ALTER TABLE orders ADD COLUMN channel text", "INSERT INTO orders VALUES (6, '2024-03-07', 2, NULL, 'web')")
    result = shop.materialize()
    assert result.success, failures(result)
    (warning,) = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert warning.check_name == "no_new_columns" and "channel" in str(warning.description)
    assert shop.lake.open(RAW).to_pyarrow_table()["channel"].to_pylist().count("web") == 1
    before = shop.lake.states()

    run(engine, "ALTER TABLE orders ALTER COLUMN amount TYPE text", "INSERT INTO orders VALUES (7, '2024-03-08', '2 EUR', NULL, 'web')")
    result = shop.materialize()
    assert not result.success
    assert "amount" in failures(result) and "decimal128(10, 2)" in failures(result) and "string" in failures(result)
    assert shop.lake.states() == before

    run(engine, "ALTER TABLE orders DROP COLUMN amount")
    result = shop.materialize()
    assert not result.success and "amount" in failures(result)
    assert shop.lake.states() == before


def test_a_database_that_is_down_is_retried_and_named_and_makes_no_plan(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, engine: sa.Engine
) -> None:
    define(shop, "{database: SALES_DB, table: orders}")
    assert shop.materialize().success
    before, port = shop.lake.states(), free_port()
    monkeypatch.setenv("SALES_DB", f"postgresql://u:hush-hush@127.0.0.1:{port}/gone")
    assert stale(shop) == {}
    result = shop.materialize("raw")
    assert not result.success and f"127.0.0.1:{port}/gone" in failures(result) and "hush-hush" not in failures(result)
    assert sum(e.event_type_value == "STEP_UP_FOR_RETRY" for e in result.all_events) == 2
    assert shop.lake.states() == before


def test_the_password_is_in_no_file_of_lake_and_project(shop: Shop, engine: sa.Engine, tmp_path: Path) -> None:
    define(shop, "{database: SALES_DB, table: orders, cursor: updated_at}")
    result = shop.materialize()
    assert result.success
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in str(result.all_events)


def test_a_table_is_drafted_from_the_database_and_runs_as_it_is(engine: sa.Engine, tmp_path: Path) -> None:
    import click
    from dagster.components.component_scaffolding import scaffold_object

    kinds = "id bigint PRIMARY KEY, placed timestamptz, updated_at timestamptz, price_eur numeric, email text, lines jsonb"
    run(engine, f"CREATE TABLE sales ({kinds})")
    values = ", ".join(f"({n}, '2024-03-{1 + n % 28:02d}', '2024-04-01', {n}.25, 'p{n}@example.org', '[1]')" for n in range(1, 60))
    run(engine, f"INSERT INTO sales VALUES {values}")
    shop = Shop(tmp_path / "platform_assets" / "defs", str(tmp_path / "lake"), "http://127.0.0.1:9")
    folder = shop.defs / "sales" / "sales"
    folder.parent.mkdir(parents=True)

    def scaffold(**params: str) -> None:
        scaffold_object(folder, "platform_assets.components.LakeTable", json.dumps(params), "yaml", tmp_path)

    with pytest.raises(click.ClickException, match="kept out of this message") as refused:
        scaffold(database=engine.url.render_as_string(hide_password=False), table="sales")
    assert PASSWORD not in str(refused.value)
    scaffold(database="SALES_DB", table="sales")
    text = (folder / "defs.yaml").read_text()
    assert "cursor: updated_at, overlap: 1h" in text and "event_time: placed" in text and "keys: [id]" in text
    assert "price_eur: {type: double, unit: EUR" in text and "email: {type: string, personal: true" in text
    assert PASSWORD not in text and "example.org" not in text
    result = shop.materialize()
    assert result.success, failures(result)
    rows = shop.lake.read(shop.lake.current(TableKey("validated", "sales", "sales"))).to_pylist()
    assert len(rows) == 59 and {row["price_eur"] for row in rows} == {n + 0.25 for n in range(1, 60)}
