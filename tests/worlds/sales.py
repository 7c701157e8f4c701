"""A project of one table on a lake of its own, landed and validated without a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from platform_assets.loading import read_project
from platform_assets.stages.base import Platform
from platform_assets.stages.tables import raw
from platform_assets.stages.tables.validated import validate
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, TableKey
from resources.settings import Settings

RAW, VALIDATED = TableKey("raw", "sales", "orders"), TableKey("validated", "sales", "orders")
DEFINITION = """\
type: platform_assets.components.LakeTable
attributes:
  name: orders
  description: One row per order.
  source: SOURCE
  keys: [id]
  event_time: at
PARTITIONS  columns:
    id: {type: integer, nullable: false, description: Order.}
    at: {type: timestamp, timezone: UTC, description: When.}
    amount: {type: TYPE, description: Amount.}
"""
JSONL = "{files: data/*.jsonl}"
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@dataclass
class Sales:
    """A project of one table on a lake of its own."""

    defs: Path
    lake: Lake
    days: int = 0

    def define(self, source: str, amount: str = "double", partitions: str = "") -> None:
        folder = self.defs / "sales" / "orders"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        text = DEFINITION.replace("SOURCE", source).replace("TYPE", amount).replace("PARTITIONS", partitions)
        (folder / "defs.yaml").write_text(text)

    def write(self, name: str, *rows: dict[str, Any]) -> None:
        path = self.defs / "sales" / "orders" / "data" / name
        path.write_text("".join(json.dumps({"at": "2024-03-01T10:00:00", **row}) + "\n" for row in rows))

    def land(self) -> Any:
        self.days += 1
        platform = Platform(Settings.from_environment(), read_project(self.defs), self.lake, None, None, "run")  # type: ignore[arg-type]
        return raw.land(platform, platform.project.tables[("sales", "orders")], now=NOW + timedelta(days=self.days))

    def validate(self, *partitions: str) -> dict[int, Any]:
        """The amounts by order."""
        platform = Platform(Settings.from_environment(), read_project(self.defs), self.lake, None, None, "run")  # type: ignore[arg-type]
        validated = validate(platform, platform.project.tables[("sales", "orders")], partitions or [WHOLE])
        assert not validated.refused
        return {row["id"]: row["amount"] for row in self.lake.read(self.lake.current(VALIDATED)).to_pylist()}

    def landed(self) -> pa.Table:
        return self.lake.read(self.lake.current(RAW))
