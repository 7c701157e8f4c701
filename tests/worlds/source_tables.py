"""Small tables of one key column, defined over any source."""

from __future__ import annotations

from pathlib import Path

from resources.lake.published import TableKey

TABLE = """\
type: platform_assets.components.LakeTable
attributes:
  name: {name}
  description: One row per thing.
  source: {source}
  keys: [id]
  columns:
    id: {{type: integer, nullable: false, description: Which.}}
"""


def define(defs: Path, key: TableKey, source: str) -> Path:
    """Write a table's definition; returns its folder."""
    path = defs / key.domain / key.name / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TABLE.format(name=key.name, source=source))
    return path.parent
