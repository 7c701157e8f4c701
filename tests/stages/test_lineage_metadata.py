"""Column lineage in Dagster's metadata: that of the definitions, and worked out only where it is stored."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from lakeloop.checking.project import load_checked
from lakeloop.project.lineage import ColumnRef, Lineage
from tests.worlds.places import DEFS
from tests.worlds.shop import make_shop
from tests.worlds.shop_project import Shop

RETURNS = "training_sets.shop.returns"


@pytest.mark.parametrize("defs", [DEFS, None])
def test_lineage_has_exactly_the_columns_that_each_asset_shows(defs: Path | None, tmp_path: Path) -> None:
    from platform_assets.definitions import build_defs

    folder = defs or make_shop(tmp_path)
    lineage = Lineage(load_checked(folder)[0])
    compared = 0
    for asset in build_defs(defs=folder).assets:
        for key, metadata in asset.metadata_by_key.items():
            schema = metadata.get("dagster/column_schema")
            if schema is not None:
                assert {c.name for c in schema.columns} == {ref.column for ref in lineage.find(".".join(key.path))}, key
                compared += 1
    assert compared >= 4


def test_what_is_materialised_carries_its_lineage_also_when_it_was_fresh(shop: Shop) -> None:
    for _ in range(2):
        with dg.DagsterInstance.ephemeral() as instance:
            assert shop.materialize("raw", "validated", "features", "training_sets", instance=instance).success
            expected = Lineage(load_checked(shop.defs)[0])
            for name in ("validated.shop.orders", "features.shop.history", RETURNS):
                event = instance.get_latest_materialization_event(dg.AssetKey(name.split(".")))
                stored = event.asset_materialization.metadata["dagster/column_lineage"].value
                shown = {
                    column: sorted(ColumnRef(*dep.asset_key.path, dep.column_name) for dep in deps)
                    for column, deps in stored.deps_by_column.items()
                }
                assert shown == {ref.column: sorted(expected.columns[ref]) for ref in expected.find(name)}
            raw = instance.get_latest_materialization_event(dg.AssetKey(["raw", "shop", "orders"]))
            assert "dagster/column_lineage" not in raw.asset_materialization.metadata


def test_loading_the_code_location_works_out_no_lineage(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, platform_assets.definitions as d; d.build_defs(); print('sqlglot.lineage' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=DEFS.parent.parent)
    assert process.stdout.split() == ["False"]
