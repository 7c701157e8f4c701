"""Rows that a source no longer delivers: unknown from their landing on, and known before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.lake.published import TableKey
from tests.worlds.shop import make_shop, orders, write_orders
from tests.worlds.shop_project import Shop
from tests.worlds.trailing_shop import HISTORY, spent


def test_a_row_that_vanishes_is_unknown_from_then_on_and_known_before(trailing: Shop) -> None:
    rows, before = orders(), spent(trailing)
    training = TableKey("training_sets", "shop", "returns")
    read = ["order_id", "history__spent_3d_eur"]
    older = {row["order_id"]: row for row in trailing.lake.read(trailing.lake.current(training), columns=read).to_pylist()}
    victim = max(rows, key=lambda row: (row["ordered_at"] < "2024-04-20", row["ordered_at"]))
    write_orders(trailing.data, [row for row in rows if row is not victim])
    started = datetime.now(UTC)
    assert trailing.materialize("raw", "validated", "features", "training_sets").success
    place = (victim["customer"], datetime.fromisoformat(victim["ordered_at"]).replace(tzinfo=UTC))
    versions = sorted(
        (row for row in trailing.lake.read(trailing.lake.current(HISTORY)).to_pylist() if (row["customer"], row["ordered_at"]) == place),
        key=lambda row: row["known_at"],
    )
    assert [row["spent_3d_eur"] for row in versions] == [before[place], None]
    assert versions[0]["known_at"] < started <= versions[1]["known_at"]
    # What was known at the time of each order hasn't changed; only the order that is gone has no row of its own.
    newer = {row["order_id"]: row for row in trailing.lake.read(trailing.lake.current(training), columns=read).to_pylist()}
    assert newer == {order: row for order, row in older.items() if order != victim["order_id"]}
    # In the table itself, when it is used as a feature, too.
    key = TableKey("superseded", "shop", "orders")
    table = trailing.lake.open(key)
    assert table is not None
    ended = [row for row in table.to_pyarrow_table().to_pylist() if row["order_id"] == victim["order_id"]]
    assert sorted((row["amount_eur"] is None, row["known_at"] >= started) for row in ended) == [(False, False), (True, True)]


def test_a_month_that_vanishes_alone_is_emptied_and_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    from platform_assets.definitions import read_project
    from platform_assets.stages.base import Platform
    from platform_assets.stages.tables import raw, validated
    from resources.settings import Settings

    defs = make_shop(tmp_path)
    shop, project = Shop(defs, str(tmp_path / "lake"), "http://127.0.0.1:9"), read_project(defs)
    located, months = project.tables[("shop", "orders")], ["2024-01", "2024-02"]
    platform = Platform(Settings.from_environment(), project, shop.lake, None, None, "run")  # type: ignore[arg-type]
    january = [row for row in orders() if str(row["ordered_at"]) < "2024-02"]
    february = [row for row in orders() if "2024-02" < str(row["ordered_at"]) < "2024-03"]

    def counts(day: int, rows: list[dict[str, object]]) -> dict[str, int] | str:
        write_orders(shop.data, rows)
        raw.land(platform, located, now=datetime(2024, 6, day, tzinfo=UTC))
        refused = validated.validate(platform, located, months).refused
        states = shop.lake.states()[TableKey("validated", "shop", "orders")]
        return refused or {name: states[name].rows for name in months}

    assert counts(1, january + february) == {"2024-01": 310, "2024-02": 290}
    assert counts(2, january + [{**row, "items": "many"} for row in february]) == "a blocking expectation failed"
    assert counts(3, january) == {"2024-01": 310, "2024-02": 0}
    ended = shop.lake.open(TableKey("superseded", "shop", "orders"))
    assert ended is not None and sum(row["amount_eur"] is None for row in ended.to_pyarrow_table().to_pylist()) == 290
    assert counts(4, january + february) == {"2024-01": 310, "2024-02": 290}


@pytest.mark.parametrize("on_missing", ["keep", "retire"])
def test_a_file_that_is_gone_keeps_its_rows_or_takes_them_away(tmp_path: Path, on_missing: str) -> None:
    """A day's file is renamed, comes back under its name, and never makes an older value unknown before its landing noticed."""
    from platform_assets.definitions import read_project
    from platform_assets.stages.base import Platform
    from platform_assets.stages.tables import raw, validated
    from resources.settings import Settings

    defs = make_shop(tmp_path)
    path = defs / "shop" / "orders" / "defs.yaml"
    if on_missing == "retire":
        assert "source: {files: data/*.csv" in path.read_text()
        path.write_text(path.read_text().replace("source: {files: data/*.csv", "source: {on_missing: retire, files: data/*.csv"))
    shop = Shop(defs, str(tmp_path / "lake"), "http://127.0.0.1:9")
    located = read_project(defs).tables[("shop", "orders")]
    platform = Platform(Settings.from_environment(), read_project(defs), shop.lake, _Log(), None, "run")  # type: ignore[arg-type]
    january = [row for row in orders() if str(row["ordered_at"]) < "2024-02"]
    extra = {**january[0], "order_id": "extra"}
    more, renamed = shop.data.with_name("more.csv"), shop.data.with_name("renamed.csv")

    def state(day: int) -> tuple[int, set[datetime]]:
        is_stale = not raw.is_fresh(located, shop.lake.states().partition(raw.SourceState, located, raw.SOURCE))
        assert raw.land(platform, located, now=datetime(2024, 6, day, tzinfo=UTC)).fresh is not is_stale
        assert not validated.validate(platform, located, ["2024-01"]).refused
        table = shop.lake.open(TableKey("superseded", "shop", "orders"))
        stored = table.to_pyarrow_table().to_pylist() if table is not None else []
        rows = shop.lake.states()[TableKey("validated", "shop", "orders")]["2024-01"].rows
        return rows, {row["known_at"] for row in stored if row["amount_eur"] is None}

    write_orders(shop.data, january)
    write_orders(more, [extra])
    assert state(1) == (311, set())
    more.unlink()
    gone = {datetime(2024, 6, 2, tzinfo=UTC)}
    assert state(2) == ((310, gone) if on_missing == "retire" else (311, set()))
    write_orders(renamed, [{**extra, "order_id": "other"}])
    assert state(3) == ((311, gone) if on_missing == "retire" else (312, set()))
    write_orders(more, [extra])
    # The row that is back with its file was gone in between.
    assert state(4) == (312, gone if on_missing == "retire" else set())


class _Log:
    def warning(self, text: str) -> None:
        assert text.endswith("gone with their rows (on_missing: retire): data/more.csv")


def test_when_a_whole_month_vanishes_is_told_by_its_landing_and_stays_told(tmp_path: Path) -> None:
    from platform_assets.definitions import read_project
    from platform_assets.stages.base import Platform
    from platform_assets.stages.tables import raw, validated
    from resources.settings import Settings

    defs = make_shop(tmp_path)
    shop = Shop(defs, str(tmp_path / "lake"), "http://127.0.0.1:9")
    located = read_project(defs).tables[("shop", "orders")]
    platform = Platform(Settings.from_environment(), read_project(defs), shop.lake, None, None, "run")  # type: ignore[arg-type]

    def ended(day: int, name: str, rows: list[dict[str, object]]) -> set[datetime]:
        write_orders(shop.data.with_name(name), rows)
        raw.land(platform, located, now=datetime(2024, 6, day, tzinfo=UTC))
        assert not validated.validate(platform, located, ["2024-01", "2024-02"]).refused
        table = shop.lake.open(TableKey("superseded", "shop", "orders"))
        stored = table.to_pyarrow_table().to_pylist() if table is not None else []
        return {row["known_at"] for row in stored if row["amount_eur"] is None}

    january = [row for row in orders() if str(row["ordered_at"]) < "2024-02"]
    february = [row for row in orders() if "2024-02" < str(row["ordered_at"]) < "2024-03"]
    write_orders(shop.data.with_name("other.csv"), [{**february[0], "order_id": "other"}])
    assert ended(1, shop.data.name, january + february) == set()
    assert ended(2, shop.data.name, january) == {datetime(2024, 6, 2, tzinfo=UTC)}
    # The month is computed anew for a third file, and what vanished did so when it did.
    assert ended(3, "more.csv", [{**february[0], "order_id": "another"}]) == {datetime(2024, 6, 2, tzinfo=UTC)}
    # What is back is there again, and wasn't in between.
    assert ended(4, shop.data.name, january + february) == {datetime(2024, 6, 2, tzinfo=UTC)}
    table = shop.lake.read(shop.lake.current(TableKey("validated", "shop", "orders")), columns=["ordered_at", "ingested_at"])
    assert {row["ingested_at"].day for row in table.to_pylist() if f"{row['ordered_at']:%m}" == "02"} == {1, 3, 4}
