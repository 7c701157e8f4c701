"""Rows and files that aren't as they are declared: set aside, or refused with nothing changed."""

from __future__ import annotations

import pytest

from resources.lake.published import TableKey
from tests.worlds.shop import orders, write_orders
from tests.worlds.shop_project import ORDERS, RAW, Shop, failures


def test_bad_rows_go_to_quarantine_with_rule_and_raw_row_and_nothing_is_lost(shop: Shop) -> None:
    rows = orders()
    rows[0]["amount_eur"] = -5
    rows[1]["items"] = "9.7"
    rows[2]["items"] = 77
    rows.append(dict(rows[3]))
    write_orders(shop.data, rows)
    result = shop.materialize("raw", "validated")
    assert result.success, failures(result)
    set_aside = shop.lake.open(TableKey("quarantine", "shop", "orders")).to_pyarrow_table().to_pylist()
    reasons = {row["rule"]: str(row) for row in set_aside}
    assert len(set_aside) == 3
    assert any("amount_is_positive" in rule for rule in reasons)
    assert any("9.7" in text for text in reasons.values())
    landed = len(rows)
    assert shop.lake.read(shop.lake.current(ORDERS)).num_rows == landed - 3 - 1


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("orders.csv", b"order_id,customer,ordered_at,items,amount_eur\no1,c1,2024-01-01 00:00:00,1,2\n", "returned"),
        ("orders.csv", b"order_id,customer,ordered_at,items,amount_eur,returned\n", "row"),
        ("orders.csv", b"order_id,customer,ordered_at,items,amount_eur,returned\no\xff,c,2024-01-01 00:00:00,1,2,true\n", "UTF-8"),
    ],
)  # fmt: skip
def test_a_bad_file_fails_and_leaves_the_table_as_it_was(shop: Shop, name: str, content: bytes, told: str) -> None:
    assert shop.materialize("raw", "validated").success
    before = shop.lake.states()
    shop.data.write_bytes(content)
    result = shop.materialize("raw", "validated")
    assert not result.success
    assert told.lower() in failures(result).lower()
    assert shop.lake.states() == before


def test_a_truncated_gzip_fails_by_name(shop: Shop) -> None:
    import gzip

    packed = gzip.compress(shop.data.read_bytes())
    target = shop.data.with_suffix(".csv.gz")
    target.write_bytes(packed[: len(packed) // 2])
    defs = shop.defs / "shop" / "orders" / "defs.yaml"
    defs.write_text(defs.read_text().replace("data/*.csv", "data/*.csv.gz"))
    result = shop.materialize("raw")
    assert not result.success
    assert "orders.csv.gz" in failures(result)
    assert RAW not in shop.lake.states()


def test_a_key_that_stands_in_another_month_is_refused(shop: Shop) -> None:
    assert shop.materialize("raw", "validated").success
    before = shop.lake.states()[ORDERS]
    row = dict(orders()[0])
    row["ordered_at"] = "2024-05-20 10:00:00"
    write_orders(shop.data.with_name("more.csv"), [row])
    result = shop.materialize("raw", "validated")
    assert not result.success
    assert f"order_id={row['order_id']}" in failures(result)
    assert shop.lake.states()[ORDERS] == before
