"""Dagster's pages in a real headless browser: the graph, a table's schema, a failed check with its unexpected rows, plots."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.tracking.server import is_answering
from tests.worlds.places import ROOT
from tests.worlds.servers.ports import free_port
from tests.worlds.shop import orders, write_orders
from tests.worlds.shop_project import make

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# In CI a missing browser is a failure: `.ci/run` installs it.
pytestmark = pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium on the path")
TOO_DEAR = 123456.0
PATIENCE_MS = 20_000
SHOW = "[Show Markdown]"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Iterator[str]:
    """Dagster's UI over a shop that was built once, and whose newest orders then broke an expectation."""
    import dagster as dg

    folder, dagster_home = tmp_path_factory.mktemp("browser"), tmp_path_factory.mktemp("dagster")
    shutil.copyfile(ROOT / "dagster.yaml", dagster_home / "dagster.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(dagster_home))
        patch.setenv("LAKELOOP_ENV", "browser")
        shop = make(folder, mlflow_uri)
        with dg.DagsterInstance.get() as instance:
            assert shop.materialize(instance=instance).success
            again = shop.materialize("evaluations", instance=instance)
            (event,) = again.get_asset_materialization_events()
            assert event.materialization.metadata["fresh"].value is True
            spoilt = orders()
            spoilt[5]["amount_eur"] = TOO_DEAR
            write_orders(shop.data, spoilt)
            assert not shop.materialize("raw", "validated", instance=instance).success
        yield from _serve(shop.location(folder))


def _serve(location: Path) -> Iterator[str]:
    port, folder = free_port(), location.parent
    command = [sys.executable, "-m", "resources.host.dagster_ui", "-h", "127.0.0.1", "-p", str(port), "-f", str(location)]
    with (folder / "ui.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ.copy(), stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while not is_answering(f"{url}/server_info"):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "ui.log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def page(ui: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1600, "height": 1000}, base_url=ui)
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


def test_the_graph_shows_groups_for_tables_features_and_each_workflow(page: Any) -> None:
    from playwright.sync_api import expect

    page.goto("/asset-groups")
    for group in ("shop_tables", "shop_features", "shop_returns"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_table_shows_types_units_and_descriptions_of_its_columns(page: Any) -> None:
    from playwright.sync_api import expect

    page.goto("/assets/validated/shop/orders?view=overview")
    for text in ("amount_eur", "Amount. [EUR]", "double", "non-nullable"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_failed_check_shows_the_unexpected_rows(page: Any) -> None:
    from playwright.sync_api import expect

    page.goto("/assets/validated/shop/orders?view=checks")
    page.get_by_text("between__amount_eur").first.click()
    expect(page.get_by_text("Failed").first).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_text(SHOW).first.click()
    expect(page.get_by_text(f"{TOO_DEAR:.6g}").first).to_be_visible(timeout=PATIENCE_MS)


def test_an_evaluation_shows_its_plots_even_after_a_run_that_found_it_fresh(page: Any) -> None:
    page.goto("/assets/evaluations/shop/returns?view=overview")
    page.get_by_text("plots", exact=True).first.scroll_into_view_if_needed()
    page.get_by_text(SHOW).last.click()
    picture = page.locator("img[src^='data:image/svg+xml']").first
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 500


def test_mlflow_opens_on_its_registry_of_models_and_nothing_covers_it(page: Any, mlflow_uri: str) -> None:
    page.goto(f"{mlflow_uri}/#/models")
    page.get_by_role("link", name="Model registry").wait_for()
    page.get_by_text("champion").first.wait_for()
    assert page.get_by_role("dialog").count() == 0 and page.get_by_text("Welcome to MLflow Assistant").count() == 0
