"""Partitions that begin: rows that were there before their month, labels that are not known yet, rows of no month."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from resources.lake.published import TableKey
from tests.worlds.shop import make_shop, orders, write_orders
from tests.worlds.shop_project import Shop


def test_a_row_keeps_its_partition_when_its_month_begins(tmp_path: Path) -> None:
    from datetime import datetime

    from platform_assets.definitions import read_project
    from platform_assets.stages.base import Platform
    from platform_assets.stages.tables import raw, validated
    from resources.settings import Settings

    defs = make_shop(tmp_path)
    path = defs / "shop" / "orders" / "defs.yaml"
    path.write_text(
        path.read_text()
        .replace("  bulk_loaded_until: 2024-06-01\n", "")
        .replace("  partitions: {start: 2024-01-01, end: 2024-06-01}\n", "  partitions: {start: 2024-01-01}\n")
    )
    shop = Shop(defs, str(tmp_path / "lake"), "http://127.0.0.1:9")
    located = read_project(defs).tables[("shop", "orders")]
    platform = Platform(Settings.from_environment(), read_project(defs), shop.lake, None, None, "run")  # type: ignore[arg-type]
    shop.data.unlink()

    def day(now: datetime, months: list[str], *times: str) -> dict[str, str]:
        made = [{**orders()[0], "order_id": at, "ordered_at": at} for at in times]
        write_orders(shop.data.with_name(f"{now:%Y-%m-%d}.csv"), made)
        raw.land(platform, located, now=now)
        assert not validated.validate(platform, located, months).refused
        rows = shop.lake.read(shop.lake.current(TableKey("validated", "shop", "orders"))).to_pylist()
        return {row["order_id"]: row["_partition"] for row in rows}

    may, booked = "2024-05-10 10:00:00", "2024-06-05 10:00:00"
    assert day(datetime(2024, 5, 20, tzinfo=UTC), ["2024-05"], may, booked) == {may: "2024-05", booked: "undated"}
    june, later = "2024-06-08 10:00:00", "2024-07-05 10:00:00"
    month_of = {may: "2024-05", booked: "undated", june: "2024-06", later: "undated"}
    assert day(datetime(2024, 6, 10, tzinfo=UTC), ["2024-05", "2024-06"], june, later) == month_of
    more = "2024-06-11 10:00:00"
    assert day(datetime(2024, 6, 12, tzinfo=UTC), ["2024-05", "2024-06"], more) == {**month_of, more: "2024-06"}


def test_a_new_month_whose_labels_are_not_known_yet_stops_nothing(trailing: Shop) -> None:
    row = {**orders()[-1], "order_id": "new", "ordered_at": "2024-05-02 10:00:00"}
    write_orders(trailing.data.with_name("may.csv"), [row])
    assert trailing.materialize("raw", "validated", "features", "training_sets").success
    outcomes = trailing.lake.states()[TableKey("features", "shop", "outcomes")]
    assert outcomes["2024-05"].rows == 0 < outcomes["2024-04"].rows
    # A view that has no row at all is refused as ever.
    (trailing.defs / "shop" / "outcomes" / "view.sql").write_text("SELECT order_id, ordered_at, returned FROM orders WHERE false")
    assert not trailing.materialize("features").success
    assert trailing.lake.states()[TableKey("features", "shop", "outcomes")] == outcomes


def test_rows_of_no_partition_are_stale_until_they_are_validated(tmp_path: Path) -> None:
    from platform_assets.definitions import read_project
    from platform_assets.plan import stale_assets
    from platform_assets.stages.base import Platform
    from platform_assets.stages.tables import raw, validated
    from resources.settings import Settings

    defs = make_shop(tmp_path)
    shop, project = Shop(defs, str(tmp_path / "lake"), "http://127.0.0.1:9"), read_project(defs)
    located = project.tables[("shop", "orders")]
    platform = Platform(Settings.from_environment(), project, shop.lake, None, None, "run")  # type: ignore[arg-type]
    key = TableKey("validated", "shop", "orders")
    raw.land(platform, located, now=datetime(2024, 6, 1, tzinfo=UTC))
    validated.validate(platform, located, ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"])
    assert key not in stale_assets(project, shop.lake.states())
    # The run ends here: what it landed isn't forgotten.
    early, unread = ({**orders()[0], "order_id": at, "ordered_at": at} for at in ("2023-12-30 10:00:00", "some day"))
    write_orders(shop.data.with_name("more.csv"), [early, unread])
    raw.land(platform, located, now=datetime(2024, 6, 2, tzinfo=UTC))
    asked = stale_assets(project, shop.lake.states())[key]
    validated.validate(platform, located, asked)
    assert {row["order_id"] for row in shop.lake.read(shop.lake.current(key)).to_pylist()} >= {"2023-12-30 10:00:00"}
    aside = shop.lake.open(TableKey("quarantine", "shop", "orders"))
    assert aside is not None and "some day" in str(aside.to_pyarrow_table()["raw"].to_pylist())
    assert key not in stale_assets(project, shop.lake.states())
