"""A world on the platform: its definitions and sources in a folder, landed, validated and computed by the stage functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.known.oracle import arrow_of
from benchmarks.known.views import Kind
from benchmarks.known.worlds import Rows, World
from lakeloop.project.project import load_project
from lakeloop.rows.verdicts import Verdict
from lakeloop.spec.partitions import partition_keys
from platform_assets.stages.base import Platform, StageResult
from platform_assets.stages.features import views
from platform_assets.stages.tables import raw, validated
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, TableKey
from resources.settings import Settings
from resources.spark.sessions import SparkResource

DOMAIN = "shop"


@contextmanager
def without_checks() -> Iterator[None]:
    """Let every batch pass unjudged: no history depends on what Great Expectations says, and it takes more than half of the time."""
    modules: tuple[Any, ...] = (raw, validated, views)
    before = [module.run_suite for module in modules]
    try:
        for module in modules:
            module.run_suite = lambda *_, **__: Verdict(passed=True, results=())
        yield
    finally:
        for module, judge in zip(modules, before, strict=True):
            module.run_suite = judge


def run_world(world: World, root: Path) -> dict[str, pa.Table]:
    """Run the platform over a world in a folder; by view its published rows.

    Raises:
        AssertionError: the platform refuses something.
    """
    defs = root / "defs"
    _write_definitions(world, defs / DOMAIN, root)
    project, errors = load_project(defs)
    assert not errors, errors
    platform = Platform(Settings.from_environment(), project, Lake(str(root / "lake")), SparkResource(), None, "run")  # type: ignore[arg-type]
    versions = {"prices": -1, "orders": -1}
    for number, landing in enumerate(world.landings):
        for name, rows in landing.tables.items():
            if name == "orders" and world.has_adopted_orders:
                versions[name] = _write_version(root / name, name, rows, versions[name] + 1, landing.at, vacuum=False)
            elif name != "prices":
                _write_source(defs / DOMAIN / name / "rows.parquet", name, rows)
                raw.land(platform, project.tables[(DOMAIN, name)], now=landing.at)
            elif world.is_adopted:
                versions[name] = _write_version(root / name, name, rows, versions[name] + 1, landing.at, vacuum=world.is_vacuumed)
        if number in world.runs:
            for table in project.tables.values():
                _passed(validated.validate(platform, table, _partitions(table.spec)))
        if number in world.computes:
            for kind in world.views:
                located = project.views[(DOMAIN, kind.name)]
                _passed(views.compute(platform, located, _partitions(located.spec)))
    lake = platform.lake
    return {kind.name: lake.read(lake.current(TableKey("features", DOMAIN, kind.name))) for kind in world.views if kind.has_time}


def _passed(result: StageResult) -> None:
    assert not result.refused, (result.refused, result.checks)


def _partitions(spec: Any) -> Sequence[str]:
    return partition_keys(spec.partitions, datetime(2024, 3, 1, tzinfo=UTC)) if spec.partitions else [WHOLE]


def _write_definitions(world: World, folder: Path, root: Path) -> None:
    start = "2024-01-20" if world.partitions == "day" else "2024-01-01"
    parted = {"partitions": {"start": start, "end": "2024-03-01", "grain": world.partitions}} if world.partitions else {}
    delayed = {"known_delay": f"{int(world.known_delay / timedelta(hours=1))}h"} if world.known_delay else {}
    signup = {"event_time": "signup"} if world.has_signup_time else {}
    timed = {"ordered_at": "timestamp", "signup": "timestamp"}
    tables: dict[str, dict[str, Any]] = {
        "orders": {
            "columns": ("order_id", "customer", "ordered_at", "amount"),
            "keys": ["order_id"],
            "event_time": "ordered_at",
            **parted,
            **delayed,
        },
        "customers": {"columns": ("customer", "signup", "tier"), "keys": ["customer"], **signup},
    }
    if world.has_adopted_orders:
        tables["orders"]["source"] = {"delta": str(root / "orders")}
    if world.is_adopted:
        tables["prices"] = {"columns": ("customer", "price"), "keys": ["customer"], "source": {"delta": str(root / "prices")}}
    types = {**timed, "amount": "double", "price": "double", "tier": "integer"}
    for name, spec in tables.items():
        columns = {column: {"type": types.get(column, "string")} for column in spec["columns"]}
        _write(folder / name / "defs.yaml", "LakeTable", {"source": {"files": "rows.parquet"}, **spec, "name": name, "columns": columns})
    for kind in world.views:
        _write_view(world, kind, folder / kind.name, parted)


def _write_view(world: World, kind: Kind, folder: Path, parted: Mapping[str, Any]) -> None:
    spec: dict[str, Any] = {"name": kind.name, "keys": list(kind.keys)}
    if kind.has_time:
        spec["event_time"] = "ordered_at"
        spec |= {"known_at": kind.known_at} if kind.known_at else {"delay": f"{int(world.delay_of(kind) / timedelta(hours=1))}h"}
        if parted and kind.trails is not None:
            spec |= {**parted, "lookback": f"{kind.trails}d"}
    spec |= {"function": f"view.py:{kind.name}", "inputs": list(kind.reads)} if kind.function else {"sql": "view.sql"}
    spec["columns"] = {name: {"type": type_} for name, type_ in kind.columns.items()}
    _write(folder / "defs.yaml", "FeatureView", spec)
    (folder / ("view.py" if kind.function else "view.sql")).write_text(kind.function or kind.sql)


def _write(path: Path, kind: str, attributes: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"type": f"platform_assets.components.{kind}", "attributes": {"description": "Of a world.", **attributes}})
    path.write_text(text)


def _write_source(path: Path, name: str, rows: Rows) -> None:
    import pyarrow.parquet as pq

    pq.write_table(arrow_of(name, list(rows.values())), path)


def _write_version(path: Path, name: str, rows: Rows, version: int, at: datetime, *, vacuum: bool) -> int:
    """Write a version of an adopted table, committed at a moment."""
    import deltalake

    deltalake.write_deltalake(str(path), arrow_of(name, list(rows.values())), mode="overwrite")
    log = path / "_delta_log" / f"{version:020d}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "commitInfo" in action:
            action["commitInfo"]["timestamp"] = int(at.timestamp() * 1000)
    log.write_text("\n".join(map(json.dumps, actions)))
    if vacuum:
        current = set(map(Path, deltalake.DeltaTable(str(path)).file_uris()))
        for file in set(path.glob("*.parquet")) - current:
            file.unlink()
    return version
