"""Decimals that were given more digits at the source: what has landed keeps its values, and a declared type that is too narrow costs rows."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.lake.lake import Lake
from resources.lake.published import TableKey
from tests.worlds.shop_project import Shop

TABLE = """\
type: platform_assets.components.LakeTable
attributes:
  name: prices
  description: One row per price.
  source: {files: "*.parquet"}
  keys: [id]
  columns:
    id: {type: string, nullable: false}
    price: {type: "decimal(10,2)"}
    exact: {type: "decimal(14,4)", source: price}
"""


def deliver(shop: Shop, file: str, prices: dict[str, str], kind: pa.DataType) -> None:
    rows = pa.table({"id": list(prices), "price": pa.array([Decimal(value) for value in prices.values()], kind)})
    pq.write_table(rows, shop.defs / "shop" / "prices" / file)


def read(shop: Shop, stage: str) -> pa.Table:
    return Lake(shop.lake_url).open(TableKey(stage, "shop", "prices")).to_pyarrow_table().sort_by("id" if stage != "quarantine" else "_row")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "defs" / "shop" / "prices").mkdir(parents=True)
    (tmp_path / "defs" / "shop" / "prices" / "defs.yaml").write_text(TABLE)
    return Shop(tmp_path / "defs", str(tmp_path / "lake"), "http://127.0.0.1:9")


def test_a_decimal_with_more_digits_is_followed_and_what_landed_stays(shop: Shop) -> None:
    deliver(shop, "1.parquet", {"a": "1.10", "b": "99999999.99"}, pa.decimal128(10, 2))
    assert shop.materialize("raw", "validated").success
    deliver(shop, "2.parquet", {"c": "3.3333", "d": "9999999999.0000"}, pa.decimal128(14, 4))
    assert shop.materialize("raw", "validated").success
    landed = read(shop, "raw")
    assert landed.schema.field("price").type == pa.decimal128(14, 4)
    assert landed["price"].to_pylist() == [Decimal(v) for v in ("1.1000", "99999999.9900", "3.3333", "9999999999.0000")]
    valid = read(shop, "validated").to_pydict()
    assert (valid["id"], valid["price"]) == (["a", "b"], [Decimal("1.10"), Decimal("99999999.99")])
    reasons = read(shop, "quarantine")["reason"].to_pylist()
    assert [reason.split(",")[0] for reason in reasons] == ["price: wanted a number of at most 10 digits"] * 2
    path = shop.defs / "shop" / "prices" / "defs.yaml"
    path.write_text(TABLE.replace("decimal(10,2)", "decimal(14,4)"))
    assert shop.materialize("raw", "validated").success
    assert read(shop, "validated")["price"].to_pylist() == landed["price"].to_pylist()
    deliver(shop, "3.parquet", {"e": "5.50"}, pa.decimal128(10, 2))
    assert shop.materialize("raw", "validated").success
    assert read(shop, "validated")["price"].to_pylist()[-1] == Decimal("5.5000")


def test_decimals_that_no_type_holds_together_are_refused(shop: Shop) -> None:
    deliver(shop, "1.parquet", {"a": "1"}, pa.decimal128(38, 0))
    assert shop.materialize("raw").success
    deliver(shop, "2.parquet", {"b": "0.5"}, pa.decimal128(38, 20))
    assert not shop.materialize("raw").success
    assert read(shop, "raw")["price"].to_pylist() == [Decimal(1)]
