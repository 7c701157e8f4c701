"""The commands of the README, and Dagster's own on this project, as a user types them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.places import ROOT

BIN = Path(sys.executable).parent


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment's `bin`, never in this project's own folder: its `.env` would win over the environment given here."""
    env = {**os.environ, "PYTHONPATH": str(cwd), **environment}
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, without its `.env`, to be changed."""
    folder = tmp_path_factory.mktemp("copy") / "project"
    ignored = shutil.ignore_patterns(".venv", ".git", ".lakeloop", ".env", "__pycache__", "*.lock", "docs", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder, ignore=ignored)
    return folder


def test_every_make_target_of_the_readme_is_there() -> None:
    named = set(re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.M))
    assert {"run", "test"} <= named
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named <= set(re.findall(r"^  make (\w+)", listed, re.M))


def test_dg_lists_the_assets_checks_and_automation(project: Path, tmp_path: Path) -> None:
    done = run("dg", "list", "defs", "--json", cwd=project, DAGSTER_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for text in ("releases/flights/flight_delay", "between__visibility_mi", "new_data", "batch_flights_flight_delay_schedule"):
        assert text in done.stdout, text


def test_dg_checks_definitions_and_yaml(project: Path, tmp_path: Path) -> None:
    for what in ("defs", "yaml"):
        done = run("dg", "check", what, cwd=project, DAGSTER_HOME=str(tmp_path))
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_definition_is_told_by_lakeloop_check_and_by_dg_check(project: Path, tmp_path: Path) -> None:
    path = project / "platform_assets" / "defs" / "flights" / "flight_delay" / "defs.yaml"
    good = path.read_text()
    path.write_text(good.replace("  evaluation:", "  evalution:"))
    try:
        line = path.read_text().splitlines().index(next(t for t in path.read_text().splitlines() if "evalution" in t)) + 1
        ours = run("lakeloop", "check", cwd=project)
        theirs = run("dg", "check", "defs", cwd=project, DAGSTER_HOME=str(tmp_path))
    finally:
        path.write_text(good)
    assert ours.returncode == 1 and theirs.returncode != 0
    place = f"platform_assets/defs/flights/flight_delay/defs.yaml:{line}"
    for told in (ours.stdout, theirs.stdout + theirs.stderr):
        flat = "".join(told.split())
        assert place in flat
        assert "unknownkey'evalution';didyoumean'evaluation'" in flat


def test_lakeloop_plan_lists_what_is_stale(project: Path, tmp_path: Path) -> None:
    done = run("lakeloop", "plan", cwd=project, LAKELOOP_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "validated/flights/flights  2013-01 to 2014-01" in done.stdout


def test_dagster_and_dg_materialise_an_asset_from_the_command_line(project: Path, tmp_path: Path) -> None:
    from resources.lake.lake import Lake
    from resources.lake.published import TableKey

    lake, home = Lake(str(tmp_path / "lake")), tmp_path / "dagster"
    home.mkdir()
    shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    places: Any = {"cwd": project, "LAKELOOP_LAKE": lake.url, "LAKELOOP_HOME": str(tmp_path), "DAGSTER_HOME": str(home)}
    done = run("dagster", "asset", "materialize", "-m", "platform_assets.definitions", "--select", "raw/flights/airlines", **places)
    assert done.returncode == 0, done.stderr[-3000:]
    done = run("dg", "launch", "--assets", "validated/flights/airlines", **places)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = lake.read(lake.current(TableKey("validated", "flights", "airlines")))
    assert rows.num_rows == 16
