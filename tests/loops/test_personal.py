"""Personal values are in the data and nowhere else: planted, the loop run whole and failing, everything stored searched."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from resources.lake.published import TableKey
from tests.worlds.personal_shop import PERSONAL_ORDERS, PERSONAL_WORKFLOW, PROFILE, PROFILE_SQL, people, planted, write
from tests.worlds.servers.mlflow_server import server
from tests.worlds.shop import write_orders
from tests.worlds.shop_project import Shop, failures
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
    assert (
        outcomes[("validated", "between__salary_eur")] == "failed"
        and outcomes[("validated", "match_json_schema__email")] == "could_not_run"
    )
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
    assert "orders: column email: a value is not of type" in failures(result)
    assert "its message is kept back" in failures(result)
    assert search(personal_shop, home, planted(people()), printed()) == []
