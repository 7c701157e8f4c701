"""`lakeloop release rollback` as a person types it: endpoint, alias and ledger move together, also after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.places import ROOT
from tests.worlds.shop_project import Shop, failures

BIN = Path(sys.executable).parent


def run(shop: Shop, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `lakeloop release` on a shop."""
    home = shop.defs.parents[1] / "home"
    places = {"PYTHONPATH": str(ROOT), "LAKELOOP_DEFS": str(shop.defs), "LAKELOOP_HOME": str(home)}
    return subprocess.run(
        [str(BIN / "lakeloop"), "release", *command],
        cwd=home.parent,
        env={**shop.environment, **places, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.filled
def test_a_rollback_that_was_killed_is_finished_and_the_endpoint_goes_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.serving.desired import read_desired
    from resources.settings import Settings
    from resources.tracking.registry import Registry

    monkeypatch.setenv("LAKELOOP_HOME", str(shop.defs.parents[1] / "home"))
    path = shop.defs / "shop" / "returns" / "defs.yaml"
    path.write_text(path.read_text() + "  online: {}\n")
    assert shop.materialize("models", "evaluations", "releases", "deployments").success
    path.write_text(path.read_text().replace("model: {pipeline: linear}", "model: {pipeline: linear, params: {C: 0.5}}"))
    second = shop.materialize("models", "evaluations", "releases", "deployments")
    assert second.success, failures(second)
    folder = Settings.from_environment().home / "serving"
    assert read_desired(folder)["shop.returns"].version == "2"

    unknown = run(shop, "promote", "retruns", "1", "--reason", "x")
    assert unknown.returncode == 1 and "did you mean 'returns'" in unknown.stderr
    unknown = run(shop, "rollback", "returns", "--to", "22", "--reason", "x")
    assert unknown.returncode == 1 and "no version '22' of shop.returns is registered; did you mean '2'" in unknown.stderr
    wrong = run(shop, "rollback", "returns", "1", "--reason", "x")
    assert wrong.returncode == 2 and "--to 1" in wrong.stderr

    # Dagster tries a step again whose process was killed, and that attempt finishes what is written down.
    killed = run(shop, "rollback", "returns", "--reason", "too slow", "--by", "ada", LAKELOOP_CRASH_AT="order.written:kill")
    assert killed.returncode == 0 and "will be tried again" in killed.stdout, killed.stdout + killed.stderr
    assert "version 1 of shop.returns is released; the next batch predictions are made by it" in killed.stdout
    name = Settings.from_environment().mlflow_name("shop", "returns")
    assert read_desired(folder)["shop.returns"].version == "1" and Registry(shop.uri).version_of(name, "champion") == "1"
    rows = shop.lake.open("reports/decisions").to_pyarrow_table().sort_by("at").to_pylist()
    assert [(row["action"], row["who"]) for row in rows][2:] == [("rollback", "ada")]
    twice = run(shop, "rollback", "returns", "--reason", "too slow")
    assert twice.returncode == 0 and "was rolled back already, to version 1, by ada (too slow)" in twice.stdout, twice.stdout
