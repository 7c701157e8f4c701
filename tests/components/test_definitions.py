"""Every way to write a definition: YAML, Python, functions beside it, adopted tables; and a code location per domain."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from lakeloop.errors import SpecError
from resources.lake.published import WHOLE, TableKey
from tests.worlds.places import ROOT
from tests.worlds.shop_project import Shop, failures, fresh

COUNTRIES = """\
import polars as pl

from platform_assets.components import FeatureView, LakeTable

countries = LakeTable(
    name="countries",
    description="One row per country that the shop sends to.",
    source={"function": "defs.py:rows"},
    keys=["country"],
    columns={
        "country": {"type": "string", "nullable": False, "description": "Code."},
        "vat_percent": {"type": "double", "unit": "%", "description": "Value added tax."},
    },
    expectations=[{"expect_column_values_to_be_between": {"column": "vat_percent", "min_value": 0, "max_value": 30}}],
)
vat = FeatureView(
    name="vat",
    description="Tax by country.",
    function="defs.py:as_share",
    inputs=["countries"],
    keys=["country"],
    columns={"vat_share": {"type": "double", "description": "Value added tax as a share."}},
)


def rows():
    return pl.DataFrame({"country": ["de", "fr"], "vat_percent": [19.0, 20.0]})


def as_share(countries):
    return countries.selectExpr("country", "vat_percent / 100 AS vat_share")
"""
ADOPTED = """\
type: platform_assets.components.LakeTable
attributes:
  name: customers
  description: One row per customer, kept by another system.
  source: {{delta: {where}}}
  keys: [customer]
  columns:
    customer: {{type: string, nullable: false, source: id, description: Customer.}}
    since_year: {{type: integer, source: since, description: First year.}}
  expectations:
    - expect_column_values_to_be_between: {{column: since_year, min_value: 1990, max_value: 2030}}
"""
PRICES = """\
type: platform_assets.components.LakeTable
attributes:
  name: prices
  description: What a customer pays from a day on, kept by another system.
  source: {{delta: {where}}}
  keys: [customer]
  event_time: day
  known_delay: 1d
  columns:
    customer: {{type: string, nullable: false, description: Customer.}}
    day: {{type: date, nullable: false, description: From when.}}
    price: {{type: double, description: Price.}}
"""


def write(shop: Shop, name: str, file: str, text: str) -> Path:
    path = shop.defs / "shop" / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def run(shop: Shop, *keys: TableKey) -> Any:
    from platform_assets.assets import asset_key

    return shop.run([asset_key(key) for key in keys], {})


RAW, COUNTRY, VAT = (
    TableKey(*path) for path in (("raw", "shop", "countries"), ("validated", "shop", "countries"), ("features", "shop", "vat"))
)


def test_definitions_in_python_with_a_function_as_source_and_a_view_in_pyspark(shop: Shop) -> None:
    path = write(shop, "countries", "defs.py", COUNTRIES)
    first = run(shop, RAW, COUNTRY, VAT)
    assert first.success, failures(first)
    rows = shop.lake.read(shop.lake.current(VAT)).select(["country", "vat_share"]).sort_by("country").to_pylist()
    assert rows == [{"country": "de", "vat_share": 0.19}, {"country": "fr", "vat_share": 0.2}]
    assert fresh(run(shop, RAW, COUNTRY, VAT)) == {True}

    path.write_text(COUNTRIES.replace("20.0", "21.0"))
    assert run(shop, RAW, COUNTRY, VAT).success
    changed = {r["country"]: r["vat_share"] for r in shop.lake.read(shop.lake.current(VAT)).to_pylist()}
    assert changed == {"de": 0.19, "fr": 0.21}


def test_a_function_that_returns_something_else_or_raises_fails_and_says_so(shop: Shop) -> None:
    path = write(
        shop,
        "countries",
        "defs.py",
        COUNTRIES.replace('return pl.DataFrame({"country": ["de", "fr"], "vat_percent": [19.0, 20.0]})', "return 7"),
    )
    result = run(shop, RAW)
    assert not result.success and "found a int" in failures(result)
    path.write_text(COUNTRIES.replace('selectExpr("country", "vat_percent / 100 AS vat_share")', 'selectExpr("country")'))
    result = run(shop, RAW, COUNTRY, VAT)
    assert not result.success and "no column 'vat_share'" in failures(result)
    assert VAT not in shop.lake.states()


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("description=\"Tax by country.\"", "descripton=\"Tax by country.\"", 16, "did you mean 'description'"),
        ("inputs=[\"countries\"]", "inputs=[\"contries\"]", 16, "did you mean 'countries'"),
        ("defs.py:as_share", "defs.py:as_shar", 16, "did you mean 'as_share'"),
        ("defs.py:rows", "rows.py:rows", 5, "no file 'rows.py'"),
        ("import polars as pl", "import polarsx as pl", 1, "No module named 'polarsx'"),
        ("def rows():", "def rows(:", 26, "SyntaxError"),
    ],
)  # fmt: skip
def test_an_error_in_a_python_definition_names_file_line_and_nearest_match(shop: Shop, old: str, new: str, line: int, told: str) -> None:
    from platform_assets.loading import load_definitions

    assert old in COUNTRIES
    write(shop, "countries", "defs.py", COUNTRIES.replace(old, new, 1))
    _, errors = load_definitions(shop.defs)
    mine = [error for error in errors if error.file == "platform_assets/defs/shop/countries/defs.py"]
    assert any(error.line == line and told in str(error) for error in mine), [str(error) for error in errors]


def test_an_adopted_table_is_checked_and_used_in_place(shop: Shop, tmp_path: Path) -> None:
    where, key = str(tmp_path / "theirs"), TableKey("validated", "shop", "customers")
    deltalake.write_deltalake(where, pa.table({"id": [f"c{i}" for i in range(40)], "since": pa.array(range(2000, 2040), pa.int64())}))
    write(shop, "customers", "defs.yaml", ADOPTED.format(where=where))
    result = run(shop, key)
    assert not result.success and "between" in failures(result)
    assert key not in shop.lake.states()

    deltalake.write_deltalake(
        where, pa.table({"id": [f"c{i}" for i in range(40)], "since": pa.array([2001] * 40, pa.int64())}), mode="overwrite"
    )
    assert run(shop, key).success
    state = shop.lake.states()[key][WHOLE]
    assert (state.version, state.rows) == (1, 40)
    assert shop.lake.open(key) is None
    assert fresh(run(shop, key)) == {True}

    dated = str(tmp_path / "dated")
    days = pa.array([date(2023, 1, 1)] * 40, pa.date32())
    deltalake.write_deltalake(dated, pa.table({"customer": [f"c{i}" for i in range(40)], "day": days, "price": [1.5] * 40}))
    write(shop, "prices", "defs.yaml", PRICES.format(where=dated))
    workflow = shop.defs / "shop" / "returns" / "defs.yaml"
    features = "    customers: [since_year]\n    prices: [price]\n    basket: [items"
    workflow.write_text(workflow.read_text().replace("    basket: [items", features))
    assert shop.materialize("raw", "validated", "features", "training_sets").success
    training = shop.lake.read(shop.lake.current(TableKey("training_sets", "shop", "returns")))
    assert set(training["customers__since_year"].to_pylist()) == {2001}
    assert set(training["prices__price"].to_pylist()) == {1.5}


def test_a_view_reads_an_adopted_table_without_a_key(shop: Shop, tmp_path: Path) -> None:
    where = str(tmp_path / "theirs")
    deltalake.write_deltalake(where, pa.table({"id": ["c1", "c1", "c2"], "since": pa.array([2001, 2001, 2003], pa.int32())}))
    write(shop, "customers", "defs.yaml", ADOPTED.format(where=where).replace("  keys: [customer]\n", ""))
    write(shop, "visits", "view.sql", "SELECT customer, CAST(count(*) AS BIGINT) AS visits FROM customers GROUP BY customer")
    write(
        shop, "visits", "defs.yaml",
        "type: platform_assets.components.FeatureView\nattributes:\n  name: visits\n  description: Visits.\n  sql: view.sql\n"
        "  keys: [customer]\n  columns: {visits: {type: integer, description: Visits.}}\n",
    )  # fmt: skip
    view = TableKey("features", "shop", "visits")
    result = run(shop, TableKey("validated", "shop", "customers"), view)
    assert result.success, failures(result)
    rows = shop.lake.read(shop.lake.current(view)).select(["customer", "visits"]).sort_by("customer").to_pylist()
    assert rows == [{"customer": "c1", "visits": 2}, {"customer": "c2", "visits": 1}]

    workflow = shop.defs / "shop" / "returns" / "defs.yaml"
    workflow.write_text(workflow.read_text().replace("    basket: [items", "    customers: [since_year]\n    basket: [items"))
    from platform_assets.loading import load_definitions

    assert any("customers has no key to look rows up by" in str(error) for error in load_definitions(shop.defs)[1])


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("path: [x]", "a field of JSON is parsed where rows land"),
        ("null_values: [x]", "texts become null where rows land"),
        ("format: hex", "values aren't parsed"),
        ("source: [id, since]", "wanted one of its columns, found id, since"),
        ("source: _row", "wanted one of its columns, found _row"),
    ],
)
def test_what_would_change_values_of_an_adopted_table_is_refused(shop: Shop, tmp_path: Path, option: str, told: str) -> None:
    from platform_assets.loading import load_definitions

    text = ADOPTED.format(where=tmp_path).replace("nullable: false, source: id", f"{option}{'' if 'source' in option else ', source: id'}")
    write(shop, "customers", "defs.yaml", text)
    (error,) = load_definitions(shop.defs)[1]
    assert "customers/defs.yaml:8" in str(error) and told in str(error)


def test_an_estimator_by_import_path_is_trained_released_and_scored(shop: Shop) -> None:
    workflow = shop.defs / "shop" / "returns" / "defs.yaml"
    text = workflow.read_text()
    workflow.write_text(
        text.replace("{pipeline: linear}", "{estimator: 'sklearn.linear_model:LogisticRegression', params: {max_iter: 2000}}")
    )
    result = shop.materialize()
    assert result.success, failures(result)
    assert shop.lake.states()[TableKey("releases", "shop", "returns")][WHOLE].value["champion"] == "1"
    assert shop.lake.read(shop.lake.current(TableKey("predictions", "shop", "returns"))).num_rows > 0
    from platform_assets.loading import load_definitions

    for estimator, told in (
        ("sklearn.naive_bayes:GausianNB", "did you mean 'GaussianNB'"),
        ("sklearn.naive:GaussianNB", "no module 'sklearn.naive'"),
    ):
        workflow.write_text(text.replace("{pipeline: linear}", f"{{estimator: '{estimator}'}}"))
        (error,) = load_definitions(shop.defs)[1]
        assert "returns/defs.yaml:" in str(error) and told in str(error)


def test_a_broken_file_stops_only_its_own_domain(shop: Shop) -> None:
    from platform_assets.definitions import build_defs

    broken = shop.defs / "bakery" / "bread" / "defs.yaml"
    broken.parent.mkdir(parents=True)
    broken.write_text("type: platform_assets.components.LakeTable\nattributes: {name: bread}\n")
    with pytest.raises(SpecError, match="bakery/bread/defs.yaml"):
        build_defs(defs=shop.defs)
    with pytest.raises(SpecError, match="bakery/bread/defs.yaml"):
        build_defs(defs=shop.defs, domain="bakery")
    keys = build_defs(defs=shop.defs, domain="shop").resolve_asset_graph().get_all_asset_keys()
    assert {key.path[1] for key in keys} == {"shop"} and len(keys) == 10


@pytest.mark.parametrize(
    "sql", ["SELECT k, 1 AS v FROM nothing", "SELEC k", None, "SELECT k, v FROM bad"], ids=["no such table", "syntax", "no file", "circle"]
)
def test_a_broken_view_stops_only_what_reads_it(shop: Shop, sql: str | None, caplog: pytest.LogCaptureFixture) -> None:
    from platform_assets.definitions import build_defs

    view = "type: platform_assets.components.FeatureView\nattributes:\n  name: {}\n  description: x\n  sql: view.sql\n  keys: [k]\n"
    files = {
        "bakery/bad": sql,
        "bakery/cake": "SELECT k, v FROM bad",
        "shop/party": "SELECT k, v FROM bakery.cake",
        "bakery/good": "SELECT order_id AS k, items AS v FROM shop.orders",
    }
    for place, query in files.items():
        folder = shop.defs / place
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(view.format(folder.name) + "  columns: {v: {type: integer, description: x}}\n")
        if query:
            (folder / "view.sql").write_text(query + "\n")
    keys = build_defs(defs=shop.defs, domain="shop").resolve_asset_graph().get_all_asset_keys()
    assert {key.path[1] for key in keys} == {"shop"} and "party" not in {key.path[2] for key in keys}
    assert "left out, as they are broken or read what is: bakery/bad, bakery/cake, shop/party" in caplog.text
    valid = build_defs(defs=shop.defs, only_valid=True).resolve_asset_graph().get_all_asset_keys()
    assert {"good"} == {key.path[2] for key in valid if key.path[1] == "bakery"}
    assert {key for key in valid if key.path[1] == "shop"} == set(keys)
    with pytest.raises(SpecError, match="bakery/bad"):
        build_defs(defs=shop.defs, domain="bakery")
    # What is wrong in the domain itself is told beside that.
    (shop.defs / "shop" / "history" / "view.sql").write_text("SELECT customer FROM shop.ordres\n")
    with pytest.raises(SpecError, match=r"shop/history/view.sql:1.*orders"):
        build_defs(defs=shop.defs, domain="shop")
    # Where everything that is broken is left out, the sensors have nothing of it either.
    valid = build_defs(defs=shop.defs, only_valid=True)
    names = {key.path[2] for key in valid.resolve_asset_graph().get_all_asset_keys()}
    assert "returns" not in names and {"orders", "good"} <= names
    assert not [sensor.name for sensor in valid.sensors if "returns" in sensor.name]


def test_a_code_location_per_domain_is_loaded_by_name() -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "platform_assets.definitions", "-a", "location_flights"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    command[-1] = "valid_defs"
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120).returncode == 0
    command[-1] = "location_flight"
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120).returncode != 0
