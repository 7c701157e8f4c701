"""The settings page lists exactly the variables that are read."""

import re
from pathlib import Path

import pytest

from resources.settings import Settings
from tests.worlds.places import ROOT


def test_the_page_lists_every_variable_that_is_read() -> None:
    listed = set(re.findall(r"^\| `(LAKELOOP_\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.M))
    sources = [(ROOT / "resources" / name).read_text() for name in ("settings.py", "project.py", "serving/access.py")]
    read = {name for text in sources for name in re.findall(r'"(LAKELOOP_\w+)"', text)}
    assert listed == read


def test_environments_share_nothing() -> None:
    dev, prod = Settings.from_environment({}), Settings.from_environment({"LAKELOOP_ENV": "prod"})
    assert dev.home != prod.home and dev.lake_url != prod.lake_url
    assert dev.mlflow_name("flights", "delay") == "flights.delay"
    assert prod.mlflow_name("flights", "delay") == "prod.flights.delay"


def test_relative_folders_stand_in_the_project_wherever_a_process_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment({"LAKELOOP_HOME": "state", "LAKELOOP_LAKE": "lake"})
    assert (settings.home, settings.lake_url) == (ROOT / "state" / "dev", str(ROOT / "lake"))
    assert Settings.from_environment({"LAKELOOP_LAKE": "s3://bucket/lake"}).lake_url == "s3://bucket/lake"
