"""Dagster's home folder: the project's `dagster.yaml`, with its storage in PostgreSQL when a database is named."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from resources.project import CARRIED, ProjectFolder, find_project

_WHY = {
    "run_monitoring": "a run whose process was killed counts as running for ever",
    "run_retries": "a run whose processes were killed has to be started again by a person",
}
"""Sections of `dagster.yaml`, and what happens without them."""

_POSTGRES = """\
storage:
  postgres:
    postgres_url:
      env: LAKELOOP_DAGSTER_DB
"""


def make_home(folder: Path, database: str | None, project: ProjectFolder | None = None) -> Path:
    """Write `dagster.yaml` into a folder; for a database it names the variable, and doesn't hold the URL with its password."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (project or find_project()).own_or_carried("dagster.yaml").read_text(encoding="utf-8")
    (folder / "dagster.yaml").write_text(text + (_POSTGRES if database else ""))
    return folder


def describe_gaps(project: ProjectFolder) -> list[str]:
    """What a project's own `dagster.yaml` lacks of the sections that notice a killed run and start it again, each with the lines to add.

    A section that is there was written on purpose, `enabled: false` too. Without a file of its own a project has the one that Lakeloop carries.
    """
    path = project.root / "dagster.yaml"
    if not path.is_file():
        return []
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError):
        return []  # Dagster says what is wrong with it
    carried = (CARRIED / "dagster.yaml").read_text(encoding="utf-8")
    missing = [name for name in _WHY if not isinstance(sections, dict) or name not in sections]
    return [f"dagster.yaml: no {name}, so {_WHY[name]}; add:\n\n{_lines_of(carried, name)}\n" for name in missing]


def _lines_of(text: str, section: str) -> str:
    """The lines of one section of a YAML file, set in as an example."""
    match = re.search(rf"^{section}:\n(?:[ ].*\n)+", text, re.MULTILINE)
    assert match is not None
    return "\n".join(f"    {line}" for line in match[0].splitlines())
