"""Projects that tests of several tables begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.lake.lake import Lake
from tests.worlds.sales import Sales
from tests.worlds.shop import make_shop
from tests.worlds.shop_project import Shop
from tests.worlds.trailing_shop import TRAILING, TRAILING_SQL


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


@pytest.fixture
def sales(tmp_path: Path) -> Sales:
    return Sales(tmp_path / "platform_assets" / "defs", Lake(str(tmp_path / "lake")))
