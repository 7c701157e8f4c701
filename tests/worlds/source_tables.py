"""Small tables of one key column, defined over any source, and switches that break the source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resources.lake.published import TableKey
from tests.worlds.shop_project import Shop

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

ORDERS, STAFF, BOOKS = (TableKey("raw", domain, name) for domain, name in (("shop", "orders"), ("shop", "staff"), ("library", "books")))


def define(defs: Path, key: TableKey, source: str) -> Path:
    """Write a table's definition; returns its folder."""
    path = defs / key.domain / key.name / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TABLE.format(name=key.name, source=source))
    return path.parent


@dataclass(frozen=True)
class Sources:
    """A project of two tables in a database and one of files in another domain, and the switches that break them."""

    shop: Shop
    file: Path
    books: Path

    def run(self, statement: str) -> None:
        with sa.create_engine(f"sqlite:///{self.file}", poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql(statement)

    def goes_away(self) -> None:
        self.file.rename(self.file.with_suffix(".away"))
        self.file.mkdir()

    def comes_back(self) -> None:
        self.file.rmdir()
        self.file.with_suffix(".away").rename(self.file)

    @property
    def project(self) -> Any:
        from platform_assets.loading import read_project

        return read_project(self.shop.defs)
