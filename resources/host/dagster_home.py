"""Dagster's home folder: the project's `dagster.yaml`, with its storage in PostgreSQL when a database is named."""

from __future__ import annotations

from pathlib import Path

from resources.project import ProjectFolder, find_project

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
