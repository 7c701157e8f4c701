"""What the commands that materialise say at the end: the verdict on each model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worlds.places import ROOT

if TYPE_CHECKING:
    from tests.worlds.shop_project import Shop

BIN = Path(sys.executable).parent
RELEASE = 'key:"releases/shop/returns"'


def run(shop: Shop, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment on a shop."""
    home = shop.defs.parents[1] / "home"
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LAKELOOP_DEFS": str(shop.defs),
        "LAKELOOP_LAKE": shop.lake_url,
        "LAKELOOP_HOME": str(home),
    }
    env |= {"LAKELOOP_MLFLOW": shop.uri, "DAGSTER_HOME": str(home / os.environ["LAKELOOP_ENV"] / "dagster"), **environment}
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=home.parent, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.filled
def test_each_command_ends_with_the_verdict(shop: Shop) -> None:
    first = run(shop, "lakeloop", "materialize", "returns")
    assert first.returncode == 0, first.stdout + first.stderr
    verdict = first.stdout.splitlines()[-1]
    assert verdict.startswith("shop.returns version 1 is released: roc_auc 0.") and f" {shop.uri}/reports/" in verdict
    assert "training_sets/shop/returns" not in first.stdout, "it is fresh"
    assert "releases/shop/returns" in first.stdout and first.stderr == ""

    again = run(shop, "lakeloop", "materialize", "shop")
    assert (again.returncode, again.stdout) == (0, "everything is fresh, nothing to compute\n")

    for command in (
        ("dagster", "asset", "materialize", "-m", "platform_assets.definitions", "--select"),
        ("dg", "launch", "-m", "platform_assets.definitions", "--assets"),
    ):
        done = run(shop, *command, RELEASE)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.splitlines()[-1] == verdict
        assert verdict in done.stderr, "it stands in the run's log too"


@pytest.mark.filled
@pytest.mark.minimum(0.99)
def test_a_refusal_says_why_and_a_run_without_a_release_says_nothing(shop: Shop) -> None:
    done = run(shop, "lakeloop", "materialize", "shop/returns")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("shop.returns version 1 is not released (")
    assert "0.99" in done.stdout.splitlines()[-1]
    partitions = ("--partition-range", "2024-01...2024-05")
    silent = run(shop, "dagster", "asset", "materialize", "-m", "platform_assets.definitions", "--select", "raw/shop/orders", *partitions)
    assert (silent.returncode, silent.stdout) == (0, "")


@pytest.mark.filled
def test_a_workflow_without_mlflow_is_refused_before_anything_is_computed(shop: Shop) -> None:
    done = run(shop, "lakeloop", "materialize", "returns", LAKELOOP_MLFLOW="http://127.0.0.1:9")
    assert done.returncode == 1 and done.stdout == ""
    assert (
        "models/shop/returns needs MLflow, which doesn't answer at http://127.0.0.1:9; start `lakeloop up --no-materialize`" in done.stderr
    )


@pytest.mark.filled
def test_where_a_step_failed_the_line_says_what_stays(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from platform_assets.executor import verdicts_on
    from platform_assets.loading import read_project
    from resources.lake.published import TableKey

    monkeypatch.setenv("LAKELOOP_LAKE", shop.lake_url)
    release, project = TableKey("releases", "shop", "returns"), read_project(shop.defs)
    failed = ["models/shop/returns"]
    assert verdicts_on(project, [release], set(), failed) == [
        "shop.returns: nothing was decided (models/shop/returns failed); none is released."
    ]
    assert shop.materialize("models", "evaluations", "releases").success
    assert verdicts_on(project, [release], set(), failed) == [
        "shop.returns: nothing was decided (models/shop/returns failed); version 1 stays released."
    ]
    assert verdicts_on(project, [release], {release}, [])[0].startswith("shop.returns version 1 is released")
