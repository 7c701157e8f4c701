"""The settings page lists exactly the variables that are read."""

import re
from pathlib import Path

from resources.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_lists_every_variable_that_is_read() -> None:
    listed = set(re.findall(r"^\| `(LAKELOOP_\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.M))
    read = set(re.findall(r'"(LAKELOOP_\w+)"', (ROOT / "resources" / "settings.py").read_text()))
    assert listed == read


def test_environments_share_nothing() -> None:
    dev, prod = Settings.from_environment({}), Settings.from_environment({"LAKELOOP_ENV": "prod"})
    assert dev.home != prod.home and dev.lake_url != prod.lake_url
    assert dev.mlflow_name("flights", "delay") == "flights.delay"
    assert prod.mlflow_name("flights", "delay") == "prod.flights.delay"
