"""A stage is one module and one line: with a stage more, everything that goes by stages has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakeloop.cli.up_runs import Built
from lakeloop.cli.up_summary import print_summary
from lakeloop.project.lineage import ColumnRef, Lineage
from platform_assets.graph import dependencies, reads_of
from platform_assets.loading import read_project
from platform_assets.plan import runs_for, stale_assets
from platform_assets.stages import registry
from resources.lake.published import WHOLE, TableKey
from resources.settings import Settings
from sensors.all import data_request
from tests.worlds.extra_stage import COUNTED, STAGE, SizeState

SIZES, VALIDATED = TableKey("sizes", "shop", "orders"), TableKey("validated", "shop", "orders")


@pytest.fixture(autouse=True)
def one_stage_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in the registry."""
    monkeypatch.setattr(registry, "STAGES", (*registry.STAGES, STAGE))


def test_every_stage_has_a_record_of_its_own() -> None:
    names = registry.stage_names()
    assert len(set(names)) == len(names) and registry.stage_named("sizes") is STAGE
    assert registry.data_stages() == {"raw", "validated", "features", "sizes"}


def test_it_is_in_the_graph_and_in_the_plan(shop: Any) -> None:
    project = read_project(shop.defs)
    assert dependencies(project)[SIZES] == (VALIDATED,)
    assert TableKey("raw", "shop", "orders") in reads_of(project, [SIZES])
    stale = stale_assets(project, shop.lake.states())
    assert stale[SIZES] == [WHOLE]
    assert SIZES in [key for run in runs_for(project, stale) for key in run.assets]


def test_its_columns_have_a_lineage(shop: Any) -> None:
    lineage = Lineage(read_project(shop.defs))
    column = ColumnRef("sizes", "shop", "orders", "counted")
    assert lineage.columns[column] == (ColumnRef("validated", "shop", "orders", "order_id"),)
    assert lineage.roots(column) == (ColumnRef("raw", "shop", "orders", "order_id"),)


def test_it_is_materialised_checked_asked_for_and_summed_up(shop: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asset = next(asset for asset in shop.definitions().assets if next(iter(asset.keys)).path[0] == "sizes")
    assert [(spec.name, spec.blocking) for spec in asset.check_specs] == [(COUNTED, True)]
    assert asset.group_names_by_key[asset.key] == "shop_tables"

    project = read_project(shop.defs)
    assert shop.materialize("raw", "validated").success
    request = data_request(project, shop.lake.states())
    assert [*SIZES.path.split("/")] in [list(key.path) for key in request.asset_selection], "the sensor of new data asks for it"

    result = shop.materialize("sizes")
    state = shop.lake.states()[SIZES][WHOLE].typed(SizeState)
    assert result.success and state.value.counted == shop.lake.read(shop.lake.current(VALIDATED)).num_rows
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    assert SIZES not in stale_assets(project, shop.lake.states()), "the second time there is nothing to do"

    settings = Settings.from_environment({"LAKELOOP_LAKE": shop.lake_url, "LAKELOOP_HOME": str(tmp_path)})
    print_summary(project, settings, Built())
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("sizes/shop/orders"))
    assert line.split()[-3:] == ["1", "of", "1"]
