"""The example that has nothing to do with flights: its files are what the scaffold writes, to the letter."""

from __future__ import annotations

from pathlib import Path

from tests.worlds.places import DEFS, ROOT
from tests.worlds.scaffolded import problems, scaffold

EXAMPLE = DEFS / "climate"


def test_the_third_example_is_what_two_commands_write(project: Path) -> None:
    scaffold(project, "LakeTable", "climate/seattle_weather", source="package:vega_datasets/_data/seattle-weather.csv")
    scaffold(
        project, "MLWorkflow", "climate/max_temperature", table="seattle_weather", label="temp_max", task="forecasting", horizon=7, season=1
    )
    assert problems(project) == []
    base = project / "platform_assets" / "defs" / "climate"
    written = {str(path.relative_to(base)): path.read_text() for path in base.rglob("*") if path.is_file()}
    kept = {str(path.relative_to(EXAMPLE)): path.read_text() for path in EXAMPLE.rglob("*") if path.is_file()}
    assert kept == written, "scaffold platform_assets/defs/climate again, by the two commands above"


def test_nothing_in_the_platform_knows_the_examples() -> None:
    places = [ROOT / folder for folder in ("lakeloop", "resources", "sensors", "platform_assets")]
    code = [path for place in places for path in place.rglob("*.py") if "defs" not in path.relative_to(ROOT).parts]
    assert len(code) > 100
    for word in ("flight_delay", "nycflights", "seattle", "vega", "climate"):
        mentions = [str(path.relative_to(ROOT)) for path in code if word in path.read_text().lower() and "cli" not in path.parts]
        assert not mentions, f"{word!r} in {mentions}"  # the command line's help gives an example
