"""A real PostgreSQL as a source: types, positions, overlap, changes, and what must never be shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from lakeloop.errors import DataError, ServiceUnavailable
from lakeloop.spec.tables import DatabaseSource
from resources.lake.lake import Lake
from resources.lake.published import TableKey
from resources.sources.database import DatabaseReader
from tests.worlds.servers.ports import free_port
from tests.worlds.servers.postgres import PASSWORD, run
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


def reader(**options: Any) -> DatabaseReader:
    return DatabaseReader(DatabaseSource(database="SALES_DB", **options), Path())


ORDERS_TABLE = (
    "CREATE TABLE orders (order_id bigint PRIMARY KEY, ordered_at timestamptz NOT NULL, amount numeric(10,2), updated_at timestamptz)"
)


def order(number: int, day: int, amount: str = "1.50", *, updated: str | None = None, month: int = 3) -> str:
    at = f"2024-{month:02d}-{day:02d} 10:00:00+01"
    return f"INSERT INTO orders VALUES ({number}, '{at}', {amount}, '{updated or at}')"


def test_every_type_comes_as_it_is(engine: sa.Engine) -> None:
    run(
        engine,
        """CREATE TABLE kinds (big bigint, small smallint, real4 real, real8 double precision, exact numeric(38,10), loose numeric, yes boolean,
        day date, local timestamp, moment timestamptz, words text, code varchar(5), doc jsonb, id uuid, list int[], raw bytea, span interval)""",
        """INSERT INTO kinds VALUES (9007199254740993, -7, 0.1, 0.1, 12345678901234567890.0123456789, 0.1000000000000000055511151231257827, true,
        '2024-02-29', '2024-02-29 23:59:59.999999', '2024-03-31 03:30:00+02', 'Grüße: 100%', '00042', '{"a": [1, null]}',
        '00000000-0000-0000-0000-00000000002a', '{1,2}', '\\x00ff', '1 day')""",
        "INSERT INTO kinds (big) VALUES (NULL)",
    )
    rows, _ = reader(table="kinds").read(None)
    one, empty = rows.to_pylist()
    assert set(empty.values()) == {None}
    assert one["big"] == 9007199254740993 and one["small"] == -7 and one["yes"] is True
    assert str(one["exact"]) == "12345678901234567890.0123456789" and one["loose"] == "0.1000000000000000055511151231257827"
    assert one["local"].isoformat() == "2024-02-29T23:59:59.999999" and one["moment"].isoformat() == "2024-03-31T01:30:00+00:00"
    assert one["day"].isoformat() == "2024-02-29" and one["words"] == "Grüße: 100%" and one["code"] == "00042"
    assert json.loads(one["doc"]) == {"a": [1, None]} and json.loads(one["list"]) == [1, 2]
    assert one["id"] == "00000000-0000-0000-0000-00000000002a" and one["raw"] == b"\x00\xff" and one["span"] == "1 day, 0:00:00"
    assert one["real8"] == 0.1
    kinds = {field.name: field.type for field in rows.schema}
    assert (
        kinds["exact"] == pa.decimal128(38, 10) and kinds["moment"] == pa.timestamp("us", tz="UTC") and kinds["local"] == pa.timestamp("us")
    )
    run(engine, "DELETE FROM kinds WHERE big IS NOT NULL")
    assert reader(table="kinds").read(None)[0].schema == rows.schema


def test_a_read_goes_on_from_its_position_with_its_overlap(engine: sa.Engine) -> None:
    run(engine, ORDERS_TABLE, order(1, 1), order(2, 2), order(3, 3))
    source = reader(table="orders", cursor="updated_at", overlap="25h")
    rows, position = source.read(None)
    assert rows.num_rows == 3
    again, same = source.read(position)
    assert sorted(again["order_id"].to_pylist()) == [2, 3] and same == position
    run(engine, order(4, 4), "INSERT INTO orders VALUES (5, now(), 1, NULL)")
    later, moved = source.read(position)
    assert sorted(later["order_id"].to_pylist()) == [2, 3, 4, 5] and moved != position
    run(engine, "DELETE FROM orders")
    assert source.read(moved)[1] == moved


def test_a_position_may_be_a_number_and_its_overlap_too(engine: sa.Engine) -> None:
    run(engine, ORDERS_TABLE, *[order(n, 1) for n in range(1, 11)])
    source = reader(table="orders", cursor="order_id", overlap=3)
    _, position = source.read(None)
    assert sorted(source.read(position)[0]["order_id"].to_pylist()) == [7, 8, 9, 10]
    with pytest.raises(DataError, match="1h can't be taken off a cursor of numbers"):
        reader(table="orders", cursor="order_id", overlap="1h").read(None)


def test_a_query_may_hold_colons_and_percent_signs(engine: sa.Engine, tmp_path: Path) -> None:
    run(engine, ORDERS_TABLE, order(1, 1), order(2, 2))
    (tmp_path / "q.sql").write_text("SELECT order_id::text AS id, '100%:x' AS note, updated_at FROM orders WHERE amount > 1;\n")
    spec = DatabaseSource(database="SALES_DB", query="q.sql", cursor="updated_at")
    rows, position = DatabaseReader(spec, tmp_path).read(None)
    assert rows["id"].to_pylist() == ["1", "2"] and rows["note"][0].as_py() == "100%:x"
    assert DatabaseReader(spec, tmp_path).read(position)[0]["id"].to_pylist() == ["2"]


def test_rows_are_held_in_chunks(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.sources import database

    monkeypatch.setattr(database, "CHUNK_ROWS", 7)
    run(engine, "CREATE TABLE many AS SELECT g AS id, CASE WHEN g > 90 THEN 'x' END AS late FROM generate_series(1, 100) g")
    rows, _ = reader(table="many").read(None)
    assert rows["id"].to_pylist() == list(range(1, 101)) and rows["late"].null_count == 90
    assert rows["id"].num_chunks == 15


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        (None, DataError, "the environment variable SALES_DB isn't set"),
        ("no url at all", DataError, "SALES_DB holds no URL"),
        ("nosuchdb://u:PASS@h/d", DataError, "no driver"),
        ("postgresql+psycopg2://nobody:PASS@127.0.0.1:PORT/shop?application_name=PASS", ServiceUnavailable, "127.0.0.1:PORT/shop"),
        ("REAL", ServiceUnavailable, "does not answer"),
    ],
)
def test_no_error_shows_what_the_url_keeps_to_itself(
    postgres: str, monkeypatch: pytest.MonkeyPatch, url: str | None, error: type[Exception], told: str
) -> None:
    import traceback

    port = str(free_port())
    if url is None:
        monkeypatch.delenv("SALES_DB", raising=False)
    else:
        real = sa.make_url(postgres).set(password="wr0ng-pass").render_as_string(hide_password=False)
        monkeypatch.setenv("SALES_DB", real if url == "REAL" else url.replace("PASS", "wr0ng-pass").replace("PORT", port))
    with pytest.raises(error, match=told.replace("PORT", port)) as found:
        reader(table="orders").read(None)
    text = "".join(traceback.format_exception(found.value))
    assert "wr0ng-pass" not in text and PASSWORD not in text


def test_a_wrong_table_column_or_cursor_is_told_with_the_nearest(engine: sa.Engine) -> None:
    run(engine, ORDERS_TABLE, order(1, 1))
    with pytest.raises(DataError, match="did you mean 'orders'"):
        reader(table="order").read(None)
    with pytest.raises(DataError, match="did you mean 'updated_at'"):
        reader(table="orders", cursor="update_at").read(None)
    with pytest.raises(ValueError, match="kept out of this message") as found:
        DatabaseSource(database="postgresql://u:secret@h/d", table="x")
    assert "secret" not in str(found.value).split("input_value")[0]


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
