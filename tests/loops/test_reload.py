"""Definitions that change while `lakeloop up` runs: they show in Dagster by themselves, run, and stop nothing else when they are broken."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.worlds.servers.platform import start, wait_for
from tests.worlds.shop import make_shop

TABLE = """\
type: platform_assets.components.LakeTable
attributes:
  name: {name}
  description: Where orders go to.
  source: {{files: ["data/*.csv"]}}
  keys: [code]
  columns:
    code: {{type: string, description: Its code.}}
    title: {{type: string, description: Its name.}}
"""
_ASSETS = "{repositoriesOrError {... on RepositoryConnection {nodes {name location {name} assetNodes {assetKey {path}} sensors {name}}}}}"
CHANGED = "definitions have changed, and are loaded again"


class Running:
    """A platform of a shop, and what Dagster's web server says of it."""

    def __init__(self, root: Path) -> None:
        self.defs = make_shop(root)
        self.process = start(root / "home", "--no-materialize", LAKELOOP_DEFS=str(self.defs))
        self.ui = f"http://127.0.0.1:{self.process.ports['LAKELOOP_UI_PORT']}"

    def wait(self, text: str) -> list[str]:
        return wait_for(self.process, text)

    def repository(self) -> dict[str, Any]:
        (repository,) = httpx.post(f"{self.ui}/graphql", json={"query": _ASSETS}, timeout=60).json()["data"]["repositoriesOrError"]["nodes"]
        assert repository["location"]["name"] == "lakeloop"
        return dict(repository)

    def assets(self) -> set[str]:
        return {"/".join(node["assetKey"]["path"]) for node in self.repository()["assetNodes"]}

    def add_table(self, name: str) -> Path:
        """Write a table as a slow copy does: the definition first, its data a while later."""
        folder = self.defs / "shop" / name
        (folder / "data").mkdir(parents=True)
        (folder / "defs.yaml").write_text(TABLE.format(name=name))
        time.sleep(0.5)
        (folder / "data" / "all.csv").write_text("code,title\nNO,Norway\nPT,Portugal\n")
        return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("reload"))
    with made.process:
        made.wait("Ctrl-C stops everything")
        yield made
        made.process.send_signal(2)
        made.process.wait(60)


def test_a_new_table_shows_by_itself_and_its_run_uses_the_new_definitions(running: Running) -> None:
    from lakeloop.cli.up_runs import _launch
    from platform_assets.plan import RunAsked
    from resources.lake.lake import Lake
    from resources.lake.published import TableKey

    assert "raw/shop/orders" in running.assets() and "raw/shop/countries" not in running.assets()
    running.add_table("countries")
    running.wait(CHANGED)
    assert {"raw/shop/countries", "validated/shop/countries"} <= running.assets()
    keys = (TableKey("raw", "shop", "countries"), TableKey("validated", "shop", "countries"))
    run_id = _launch(running.ui, RunAsked(keys))
    query = f'{{runOrError(runId: "{run_id}") {{... on Run {{status}}}}}}'
    deadline, status = time.monotonic() + 240, ""
    while status not in ("SUCCESS", "FAILURE", "CANCELED") and time.monotonic() < deadline:
        time.sleep(0.5)
        status = httpx.post(f"{running.ui}/graphql", json={"query": query}, timeout=60).json()["data"]["runOrError"]["status"]
    assert status == "SUCCESS"
    lake = Lake(str(running.process.home / "dev" / "lake"))
    assert lake.read(lake.current(keys[1])).num_rows == 2


def test_a_broken_definition_is_told_in_a_line_and_takes_only_what_reads_it_along(running: Running) -> None:
    before, query = running.assets(), running.defs / "shop" / "history" / "view.sql"
    right = query.read_text()
    query.write_text("SELECT customer FROM ordres\n")
    running.add_table("cities")
    lines = [line for line in running.wait(CHANGED) if "history" in line]
    assert len(lines) == 1 and "shop/history/view.sql:1: " in lines[0] and "orders" in lines[0], lines
    after = running.repository()
    assets = {"/".join(node["assetKey"]["path"]) for node in after["assetNodes"]}
    assert {"raw/shop/cities", "raw/shop/orders", "features/shop/basket"} <= assets
    assert not {"features/shop/history", "models/shop/returns"} & assets
    assert "new_data" in {sensor["name"] for sensor in after["sensors"]}
    query.write_text(right)
    lines = running.wait(CHANGED)
    assert sum("every definition is right again" in line for line in lines) == 1
    assert running.assets() == before | {"raw/shop/cities", "validated/shop/cities"}


def test_the_button_of_the_ui_loads_the_definitions_too(running: Running) -> None:
    from lakeloop.cli.up_reload import _RELOAD

    answer = httpx.post(f"{running.ui}/graphql", json={"query": _RELOAD, "variables": {"location": "lakeloop"}}, timeout=60).json()
    assert answer["data"]["reloadRepositoryLocation"]["locationOrLoadError"]["__typename"] == "RepositoryLocation"


def test_a_folder_that_is_removed_goes_by_itself(running: Running) -> None:
    running.add_table("streets")
    running.wait(CHANGED)
    assert "raw/shop/streets" in running.assets()
    shutil.rmtree(running.defs / "shop" / "streets")
    running.wait(CHANGED)
    assert "raw/shop/streets" not in running.assets()
