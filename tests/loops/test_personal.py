"""Personal values are in the data and nowhere else: planted, the loop run whole and failing, everything stored searched."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from lakeloop.checking.project import load_checked
from lakeloop.errors import DataError
from lakeloop.project.personal import has_personal_values, personal_columns
from lakeloop.rows.types import cast_exactly
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState, TableKey
from tests.worlds.personal_shop import PERSONAL_ORDERS, PERSONAL_WORKFLOW, PROFILE, PROFILE_SQL, people, planted, write
from tests.worlds.servers.mlflow_server import server
from tests.worlds.shop import write_orders
from tests.worlds.shop_project import Shop, failures, make
from tests.worlds.stored import contents, found_in

Printed = Callable[[], dict[str, str]]
DATA_TABLES = ("raw", "validated", "superseded", "features", "training_sets", "predictions")
"""Where the values must be: in the data files of these tables, and not in their logs."""


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Printed:
    """What went to the streams, and to loggers: without pytest those end in the streams too."""
    caplog.set_level(0)

    def found() -> dict[str, str]:
        streams = capfd.readouterr()
        return {"stdout": streams.out, "stderr": streams.err, "logged": caplog.text}

    return found


@pytest.fixture
def personal_shop(shop: Shop) -> Shop:
    write(shop, "orders", PERSONAL_ORDERS)
    write(shop, "profile", PROFILE, PROFILE_SQL)
    write(shop, "returns", PERSONAL_WORKFLOW)
    write_orders(shop.data, people())
    return shop


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as found:
        yield found


@pytest.fixture(scope="module")
def mlflow_uri(home: Path) -> Iterator[str]:
    """A server whose store holds what was stored here, and nothing else."""
    with server(home / "mlflow") as (uri, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKELOOP_MLFLOW", uri)
        yield uri


def search(shop: Shop, home: Path, values: list[str | float], captured: dict[str, str]) -> list[tuple[str, str | float]]:
    """Planted values in all that is stored and printed, save the data tables' own data files and the source."""
    root = Path(shop.lake_url).parent
    data_files = [f"lake/{stage}/**/*.parquet" for stage in DATA_TABLES]
    # A checkpoint of a log is Parquet too, and is no data.
    logs = list(root.glob("lake/**/_delta_log/*.parquet"))
    places = [*contents(root, [*data_files, "platform_assets/**/*"]), *contents(home)]
    places += [(str(path), path.read_bytes()) for path in logs]
    places += [(place, text.encode()) for place, text in captured.items()]
    # How many there are depends on the tests before; that both stores were searched doesn't.
    for store in ("dagster/history/runs/", "mlflow.db"):
        assert any(store in place for place, _ in places), store
    return found_in(places, values)


def test_the_search_opens_what_things_are_stored_in(tmp_path: Path) -> None:
    import gzip
    import sqlite3
    import zipfile
    import zlib

    import pyarrow.parquet as pq

    row = "PLANTED"
    (tmp_path / "plain.log").write_text(f"a {row}")
    (tmp_path / "page.html").write_text(
        f'<img src="data:image/svg+xml;base64,{base64.b64encode(f"{row * 6} 987,654.06".encode()).decode()}">'
    )
    (tmp_path / "a.gz").write_bytes(gzip.compress(row.encode()))
    with zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", row * 3)
        archive.writestr("array.npy", np.array([1.0, 987.0625]).tobytes())
    pq.write_table(pa.table({"text": [row] * 3}), tmp_path / "a.parquet", compression="zstd")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t (a TEXT, b BLOB)")
        connection.execute("INSERT INTO t VALUES (?, ?)", ("x", zlib.compress(row.encode())))
    connection.close()
    found = found_in(contents(tmp_path), [row, 987.0625, 987_654.0625])
    assert {place for place, value in found if value == 987_654.0625} == {"page.html!embedded 0"}
    assert {place.partition("!")[0] for place, value in found if value == row} == {
        "plain.log", "page.html", "a.gz", "model.skops", "a.parquet", "a.db",
    }  # fmt: skip
    assert ("model.skops!array.npy", 987.0625) in found


def test_planted_values_are_nowhere_but_in_the_data(
    personal_shop: Shop, home: Path, instance: dg.DagsterInstance, printed: Printed
) -> None:
    from dataclasses import replace

    from lakeloop.cli.up_summary import _example_request
    from platform_assets.definitions import read_project
    from resources.settings import Settings

    shop, rows = personal_shop, people()
    result = shop.materialize(instance=instance)
    assert result.success, failures(result)
    example = _example_request(replace(Settings.from_environment(), lake_url=shop.lake_url), read_project(shop.defs), "shop.returns")
    assert example is not None
    (sent,) = json.loads(example.read_text())["instances"]
    assert sent["profile__salary_eur"] is None and sent["profile__email_length"] is not None

    # The values did go through everything: they stand in the data, and each way of failing was taken.
    values = planted(rows)
    training = shop.lake.read(shop.lake.current(TableKey("training_sets", "shop", "returns")))
    assert "PLANTEDcustomer0x" in training["customer"].to_pylist() and 987_659.0625 + 1 in training["profile__salary_eur"].to_pylist()
    set_aside = shop.lake.open(TableKey("quarantine", "shop", "orders")).to_pyarrow_table().to_pylist()
    rules = {row["rule"] for row in set_aside}
    assert rules == {"type:phone", "salary_is_positive", "match_regex__email", "key:order_id", "type:returned"}
    by_rule = {row["rule"]: json.loads(row["raw"]) for row in set_aside}
    assert by_rule["type:phone"]["tel"] == by_rule["type:phone"]["ssn"] == by_rule["type:phone"]["customer"] == "***"
    assert by_rule["type:phone"]["items"] == str(rows[0]["items"])
    assert "wanted an integer, found ***" in next(row["reason"] for row in set_aside if row["rule"] == "type:phone")
    outcomes = {(r["stage"], r["check"]): r["outcome"] for r in shop.lake.open("reports/checks").to_pyarrow_table().to_pylist()}
    assert outcomes[("validated", "between__salary_eur")] == "failed" and outcomes[("validated", "between__email")] == "could_not_run"
    assert outcomes[("training_sets", "between__basket__items")] == outcomes[("predictions", "between__prediction_2")] == "failed"
    examples = [e.metadata["examples"].value for e in result.get_asset_check_evaluations() if "examples" in e.metadata]
    assert len(examples) >= 5 and all("***" in text for text in examples if "customer" in text.splitlines()[0])
    assert search(shop, home, values, printed()) == []


@pytest.mark.parametrize(
    ("view", "sql", "told"),
    [
        ("whole: {type: integer, description: A number.}", "SELECT order_id, max(salary_eur) AS whole FROM shop.orders GROUP BY order_id", "whole: *** (row"),
        ("number: {type: integer, description: A number.}", "SELECT order_id, max(CAST(email AS INT)) AS number FROM shop.orders GROUP BY order_id", "message is kept back"),
        ("days: {type: integer, description: A number.}", "SELECT customer AS order_id, 1 AS days FROM shop.orders", "unique"),
    ],
)  # fmt: skip
def test_planted_values_are_not_in_what_a_failure_leaves(
    personal_shop: Shop, home: Path, instance: dg.DagsterInstance, printed: Printed, view: str, sql: str, told: str
) -> None:
    shop = personal_shop
    columns = PROFILE[PROFILE.index("  columns:") :]
    write(shop, "broken", PROFILE.replace("name: profile", "name: broken").replace(columns, f"  columns:\n    {view}\n"), sql)
    result = shop.materialize("raw", "validated", "features", instance=instance)
    assert not result.success
    assert told in failures(result), failures(result)
    assert search(shop, home, planted(people()), printed()) == []


def test_a_personal_key_that_stands_in_two_months_is_refused_without_its_value(
    personal_shop: Shop, home: Path, instance: dg.DagsterInstance, printed: Printed
) -> None:
    shop = personal_shop
    path = shop.defs / "shop" / "orders" / "defs.yaml"
    path.write_text(
        path.read_text().replace("order_id: {type: string, nullable: false", "order_id: {type: string, nullable: false, personal: true")
    )
    rows = people()
    for row in rows:
        row["order_id"] = f"PLANTED{row['order_id']}"
    write_orders(shop.data, rows)
    assert shop.materialize("raw", "validated", instance=instance).success
    write_orders(shop.data.with_name("more.csv"), [{**rows[20], "ordered_at": "2024-05-20 10:00:00"}])
    result = shop.materialize("raw", "validated", instance=instance)
    assert not result.success
    assert "order_id=***" in failures(result)
    assert search(shop, home, planted(people()), printed()) == []


def test_an_exception_of_a_users_function_is_told_by_kind_and_place_only(
    personal_shop: Shop, home: Path, instance: dg.DagsterInstance, printed: Printed
) -> None:
    path = personal_shop.defs / "shop" / "orders" / "defs.yaml"
    path.write_text(
        path.read_text().replace("source: {files: data/*.csv}", "source: {function: tests.worlds.personal_shop:source_that_fails}")
    )
    result = personal_shop.materialize("raw", instance=instance)
    assert not result.success
    assert "a ValueError; its message is kept back" in failures(result)
    failed = next(e for e in result.all_events if e.event_type_value == "STEP_FAILURE")
    assert "in source_that_fails" in failed.event_specific_data.user_failure_data.metadata["raised"].value
    assert search(personal_shop, home, planted(people()), printed()) == []


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a source may stand whose values are searched for."""
    return tmp_path_factory.mktemp("elsewhere")


def test_what_a_database_says_of_a_value_is_kept_back(
    personal_shop: Shop, home: Path, instance: dg.DagsterInstance, printed: Printed, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(elsewhere / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (ordered_at, email)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", [("2024-01-01", 7), ("2024-01-02", people()[5]["email"])])
        connection.commit()
    monkeypatch.setenv("SHOP_DATABASE", f"sqlite:///{elsewhere / 'shop.db'}")
    path = personal_shop.defs / "shop" / "orders" / "defs.yaml"
    path.write_text(path.read_text().replace("source: {files: data/*.csv}", "source: {database: SHOP_DATABASE, table: orders}"))
    result = personal_shop.materialize("raw", instance=instance)
    assert not result.success
    assert "orders: column email: a value is no" in failures(result)
    assert "its message is kept back" in failures(result)
    assert search(personal_shop, home, planted(people()), printed()) == []


def test_without_personal_columns_messages_and_statistics_stay(shop: Shop) -> None:
    assert shop.materialize("raw", "validated").success
    log = (Path(shop.lake_url) / "validated/shop/orders/_delta_log/00000000000000000000.json").read_text()
    assert '\\"amount_eur\\":' in log
    with pytest.raises(DataError, match=r"amount: 9.5 \(row 0\)"):
        cast_exactly(pa.table({"amount": [9.5]}), pa.schema([("amount", pa.int64())]), "here")


def test_a_table_whose_columns_become_personal_later_keeps_their_values_out_of_its_log_from_then_on(tmp_path: Path) -> None:
    lake, key = Lake(str(tmp_path)), TableKey("validated", "d", "t")
    rows = pa.table({"email": ["PLANTED"]})
    for number, statistics in enumerate([True, False, False]):
        lake.settle(key)
        lake.publish(key, rows, [PartitionState(WHOLE, str(number))], statistics=statistics)
    logs = sorted((tmp_path / key.path / "_delta_log").glob("*.json"))
    assert ["PLANTED" in log.read_text() for log in logs] == [True, False, False, False]
    assert lake.current(key).version == 3 and lake.read(lake.current(key)).num_rows == 1
    (mine,) = lake.states()[key].values()
    assert mine.fingerprint == "2"


def project_with(tmp_path: Path, *changes: tuple[str, str, str]) -> tuple[Any, list[str]]:
    shop = make(tmp_path, "")
    write(shop, "orders", PERSONAL_ORDERS)
    write(shop, "profile", PROFILE, PROFILE_SQL)
    write(shop, "returns", PERSONAL_WORKFLOW)
    for name, old, new in changes:
        path = shop.defs / "shop" / name / "defs.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    project, errors = load_checked(shop.defs)
    return project, [str(error) for error in errors]


def test_what_is_computed_from_a_personal_column_is_personal_unless_its_view_says_otherwise(tmp_path: Path) -> None:
    project, errors = project_with(tmp_path)
    assert errors == []
    found = {
        stage: set(personal_columns(project, stage, located))
        for stage, located in [
            ("raw", project.tables[("shop", "orders")]),
            ("validated", project.tables[("shop", "orders")]),
            ("features", project.views[("shop", "profile")]),
            ("training_sets", project.workflows[("shop", "returns")]),
            ("predictions", project.workflows[("shop", "returns")]),
        ]
    }
    assert found == {
        "raw": {"customer", "email", "tel", "salary_eur"},
        "validated": {"customer", "email", "phone", "salary_eur"},
        "features": {"salary_eur", "email"},
        "training_sets": {"customer", "profile__salary_eur"},
        "predictions": {"customer"},
    }
    assert personal_columns(project, "features", project.views[("shop", "history")]) == {"customer"}
    assert has_personal_values(project, project.views[("shop", "outcomes")])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT `order_id`, `salary_eur`, upper(`o`.`email`) AS email, 1 AS email_length FROM `shop`.`orders` `o`",
        "SELECT order_id, struct(o.*).salary_eur AS salary_eur, to_json(struct(*)) AS email, 1 AS email_length FROM shop.orders o",
    ],
)
def test_a_personal_column_in_backticks_or_behind_a_star_is_personal(tmp_path: Path, query: str) -> None:
    shop = make(tmp_path, "")
    write(shop, "orders", PERSONAL_ORDERS)
    write(shop, "profile", PROFILE, query)
    project, errors = load_checked(shop.defs)
    assert errors == []
    assert personal_columns(project, "features", project.views[("shop", "profile")]) == {"salary_eur", "email"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("returns", ", allow_personal: true", ""),
            ["returns/defs.yaml", "features.profile", "personal: salary_eur", "allow_personal: true"],
        ),
        (("returns", "primary: roc_auc", "primary: roc_auc, slices: [customer]"), ["evaluation.slices.0", "customer is personal"]),
        (("orders", "returned: {type: boolean", "returned: {type: boolean, personal: true"), ["label", "outcomes.returned is personal"]),
        (("orders", "ordered_at: {type: timestamp", "ordered_at: {type: timestamp, personal: true"), ["event_time", "can't be personal"]),
        (("orders", "{files: data/*.csv}", "{database: URL, table: orders, cursor: customer}"), ["source.cursor", "customer is personal"]),
        (("orders", "{files: data/*.csv}", "{database: URL, table: orders, cursor: changed_at}"), ["source.cursor", "or undeclared"]),
    ],
)
def test_a_definition_that_would_let_personal_values_out_is_refused(tmp_path: Path, change: tuple[str, str, str], told: list[str]) -> None:
    _, errors = project_with(tmp_path, change)
    assert any(all(part in error for part in told) for error in errors), errors


def test_a_refusal_stands_beside_errors_elsewhere_and_views_in_a_circle(tmp_path: Path) -> None:
    allowed = ("returns", ", allow_personal: true", "")
    _, errors = project_with(
        tmp_path, allowed, ("orders", "type: double, unit: EUR, description: Amount", "type: dubble, description: Amount")
    )
    assert any("dubble" in error for error in errors)
    (tmp_path / "circle").mkdir()
    project_with(tmp_path / "circle", allowed)
    folder = tmp_path / "circle" / "platform_assets" / "defs" / "shop"
    (folder / "history" / "view.sql").write_text("SELECT customer, ordered_at, last_amount_eur, last_items FROM shop.second")
    (folder / "second").mkdir()
    text = (folder / "history" / "defs.yaml").read_text()
    (folder / "second" / "defs.yaml").write_text(text.replace("name: history", "name: second"))
    (folder / "second" / "view.sql").write_text("SELECT customer, ordered_at, last_amount_eur, last_items FROM shop.history")
    told = [str(error) for error in load_checked(folder.parent)[1]]
    assert any("in a circle" in error for error in told)
    assert any("personal: salary_eur" in error for error in told)


def test_a_static_table_with_a_personal_key_twice_is_refused_without_its_value() -> None:
    from lakeloop.rows.asof import FeatureRows, point_in_time_join

    moment = pa.array([0], pa.timestamp("us", tz="UTC"))
    rows = FeatureRows("people", pa.table({"who": ["Jane", "Jane"], "x": [1, 2]}), ("who",), {"x": "x"}, personal={"who"})
    with pytest.raises(DataError, match=r"found 2 for \{'who': '\*\*\*'\}"):
        point_in_time_join(pa.table({"who": ["Jane"], "at": moment}), [rows], at="at")
