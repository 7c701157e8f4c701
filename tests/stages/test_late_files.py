"""What a late file reaches: the days within a view's lookback, in every month that they lie in, and no older training set."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from lakeloop.spec.tables import Partitions
from resources.lake.published import TableKey
from tests.worlds.shop import make_shop, orders, write_orders
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


@pytest.fixture
def trailing(tmp_path: Path) -> Shop:
    """The shop with a view that looks three days back, its tables and views materialised."""
    defs = make_shop(tmp_path)
    (defs / "shop" / "history" / "defs.yaml").write_text(TRAILING)
    (defs / "shop" / "history" / "view.sql").write_text(TRAILING_SQL)
    # Without a bulk load's date, what lands after the first landing is late.
    path = defs / "shop" / "orders" / "defs.yaml"
    path.write_text(path.read_text().replace("  bulk_loaded_until: 2024-06-01\n", ""))
    shop = Shop(defs, str(tmp_path / "lake"), "http://127.0.0.1:9")
    assert shop.materialize("raw", "validated", "features", "training_sets").success
    return shop


def late(shop: Shop, at: str) -> None:
    customer = next(row["customer"] for row in orders() if str(row["ordered_at"]) > at)
    row = {**orders()[0], "order_id": f"late-{at[:10]}", "customer": customer, "ordered_at": at, "amount_eur": 1000.0}
    write_orders(shop.data.with_name(f"late-{at[:10]}.csv"), [row])


def spent(shop: Shop) -> dict[tuple[str, datetime], float]:
    """The newest version of every row."""
    rows = sorted(shop.lake.read(shop.lake.current(HISTORY)).to_pylist(), key=lambda row: row["known_at"])
    return {(row["customer"], row["ordered_at"]): row["spent_3d_eur"] for row in rows}


@pytest.mark.parametrize(
    ("at", "months"),
    [
        ("2024-03-02 12:00:00", {"2024-03"}),
        ("2024-03-30 12:00:00", {"2024-03", "2024-04"}),
        ("2024-02-28 23:59:00", {"2024-02", "2024-03"}),  # 2024 is a leap year
    ],
)  # fmt: skip
def test_a_late_file_dirties_the_days_it_reaches(trailing: Shop, at: str, months: set[str]) -> None:
    from platform_assets.definitions import read_project
    from platform_assets.plan import stale_assets

    before, values = trailing.lake.states()[HISTORY], spent(trailing)
    late(trailing, at)
    assert trailing.materialize("raw", "validated").success
    stale = stale_assets(read_project(trailing.defs), trailing.lake.states())
    assert set(stale[HISTORY]) == months
    assert trailing.materialize("features").success
    after = trailing.lake.states()[HISTORY]
    assert {name for name in after if after[name].version != before[name].version} == months
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    changed = {key for key, value in spent(trailing).items() if key in values and abs(value - values[key]) > 1e-6}
    assert changed and len({name for name, _ in changed}) == 1
    assert all(0 <= (when - moment).total_seconds() <= 3 * 86400 for _, when in changed)


def test_older_training_sets_do_not_move_when_a_file_is_late(trailing: Shop) -> None:
    key = TableKey("training_sets", "shop", "returns")
    first = trailing.lake.current(key)
    before = {row["order_id"]: row["history__spent_3d_eur"] for row in trailing.lake.read(first).to_pylist()}
    late(trailing, "2024-03-02 12:00:00")
    assert trailing.materialize("raw", "validated", "features", "training_sets").success
    assert trailing.lake.current(key).version > first.version
    again = {row["order_id"]: row["history__spent_3d_eur"] for row in trailing.lake.read((key, first.version)).to_pylist()}
    rebuilt = {row["order_id"]: row["history__spent_3d_eur"] for row in trailing.lake.read(trailing.lake.current(key)).to_pylist()}
    assert again == before
    assert {order: rebuilt[order] for order in before} == before
    assert "late-2024-03-02" in rebuilt


def test_what_was_known_stays_when_a_view_is_described_or_cut_otherwise_and_goes_when_it_computes_something_else(trailing: Shop) -> None:
    def known() -> list[tuple[Any, ...]]:
        rows = trailing.lake.read(trailing.lake.current(HISTORY)).to_pylist()
        return sorted((row["customer"], row["ordered_at"], row["known_at"], row["spent_3d_eur"]) for row in rows)

    late(trailing, "2024-03-02 12:00:00")
    assert trailing.materialize("raw", "validated", "features").success
    before = known()
    assert len({row[:2] for row in before}) < len(before)  # what was corrected is there as it was, too
    path = trailing.defs / "shop" / "history" / "defs.yaml"
    expectation = "  expectations:\n    - expect_column_values_to_be_between: {column: spent_3d_eur, min_value: 0}\n"
    path.write_text(path.read_text().replace("Spent in the three days up to the order.", "Spent in three days.") + expectation)
    assert trailing.materialize("features").success
    assert known() == before
    # Nor are partitions a view's meaning.
    parted = path.read_text()
    for text in (parted.replace("  partitions: {start: 2024-01-01, end: 2024-06-01}\n", ""), parted):
        path.write_text(text)
        assert trailing.materialize("features").success
        assert known() == before
    path.with_name("view.sql").write_text(TRAILING_SQL.replace("sum(amount_eur)", "max(amount_eur)"))
    assert trailing.materialize("features").success
    after = known()
    assert len({row[:2] for row in after}) == len(after)


def test_without_hashes_per_day_a_month_counts_as_a_whole(trailing: Shop) -> None:
    from platform_assets.stages.inputs import input_fingerprints
    from resources.lake.published import PartitionState

    key = TableKey("validated", "shop", "orders")
    window = datetime(2024, 3, 29, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
    months = Partitions(start=date(2024, 1, 1), end=date(2024, 6, 1))
    plain: dict[str, Any] = {name: PartitionState(name, name) for name in ("2024-03", "2024-04", "undated")}
    assert input_fingerprints({key: plain}, key, months, *window) == {name: name for name in plain}
    split = {"2024-03": PartitionState("2024-03", "x", value={"days": {"2024-03-28": "a", "2024-03-29": "b"}})}
    other = {"2024-03": PartitionState("2024-03", "y", value={"days": {"2024-03-28": "changed", "2024-03-29": "b"}})}
    reached = {"2024-03": PartitionState("2024-03", "y", value={"days": {"2024-03-28": "a", "2024-03-29": "changed"}})}
    prints = [input_fingerprints({key: states}, key, months, *window)["2024-03"] for states in (split, other, reached)]
    assert prints[0] == prints[1] != prints[2]


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
    found = {may: "2024-05", booked: "undated", june: "2024-06", later: "undated"}
    assert day(datetime(2024, 6, 10, tzinfo=UTC), ["2024-05", "2024-06"], june, later) == found
    more = "2024-06-11 10:00:00"
    assert day(datetime(2024, 6, 12, tzinfo=UTC), ["2024-05", "2024-06"], more) == {**found, more: "2024-06"}


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
        found = table.to_pyarrow_table().to_pylist() if table is not None else []
        return {row["known_at"] for row in found if row["amount_eur"] is None}

    january = [row for row in orders() if str(row["ordered_at"]) < "2024-02"]
    february = [row for row in orders() if "2024-02" < str(row["ordered_at"]) < "2024-03"]
    write_orders(shop.data.with_name("other.csv"), [{**february[0], "order_id": "other"}])
    assert ended(1, shop.data.name, january + february) == set()
    assert ended(2, shop.data.name, january) == {datetime(2024, 6, 2, tzinfo=UTC)}
    # The month is computed anew for a third file, and what vanished did so when it did.
    assert ended(3, "more.csv", [{**february[0], "order_id": "another"}]) == {datetime(2024, 6, 2, tzinfo=UTC)}
    # What is back is there again.
    assert ended(4, shop.data.name, january + february) == set()
