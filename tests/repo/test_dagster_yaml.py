"""A project's own `dagster.yaml`: what it lacks to notice a killed run and to start it again is told with the lines to add."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from resources.host.dagster_home import describe_gaps
from resources.project import ProjectFolder
from tests.worlds.places import ROOT


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (None, []),
        ((ROOT / "dagster.yaml").read_text(), []),
        ("telemetry:\n  enabled: false\n", ["run_monitoring", "run_retries"]),
        ("run_monitoring: {enabled: true}\n", ["run_retries"]),
        ("run_monitoring: {enabled: true}\nrun_retries: {enabled: false}\n", []),
        ("", ["run_monitoring", "run_retries"]),
    ],
)
def test_what_a_project_lacks_is_told_with_the_lines_to_add(tmp_path: Path, text: str | None, missing: list[str]) -> None:
    if text is not None:
        (tmp_path / "dagster.yaml").write_text(text)
    gaps = describe_gaps(ProjectFolder(tmp_path, tmp_path / "defs"))
    assert [gap.partition(" no ")[2].partition(",")[0] for gap in gaps] == missing
    ours = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    for name, gap in zip(missing, gaps, strict=True):
        assert yaml.safe_load(gap.partition("add:\n")[2]) == {name: ours[name]}
