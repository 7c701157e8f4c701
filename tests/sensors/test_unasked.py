"""Sources that can't be read: one stops no other, and a database that doesn't answer is named and not taken for fresh in silence."""

from __future__ import annotations

import logging.handlers
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lakeloop.errors import ServiceUnavailable
from resources.lake.published import States, TableKey
from resources.sources.database import DatabaseReader
from tests.worlds.shop_project import Shop
from tests.worlds.source_tables import BOOKS, ORDERS, STAFF, Sources, define


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    defs, file = tmp_path / "platform_assets" / "defs", tmp_path / "shop.db"
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{file}")
    for key in (ORDERS, STAFF):
        define(defs, key, f"{{database: SHOP_DB, table: {key.name}}}")
    books = define(defs, BOOKS, "{files: '*.csv'}") / "books.csv"
    books.write_text("id\n1\n")
    sources = Sources(Shop(defs, str(tmp_path / "lake"), "http://127.0.0.1:9"), file, books)
    for table in ("orders", "staff"):
        sources.run(f"CREATE TABLE {table} (id integer)")
        sources.run(f"INSERT INTO {table} VALUES (1)")
    return sources


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each table was asked what is new."""
    counted, probe = Counter[str](), DatabaseReader.probe

    def counting(self: DatabaseReader) -> str:
        counted[self.label] += 1
        return probe(self)

    monkeypatch.setattr(DatabaseReader, "probe", counting)
    return counted


def tick(shop: Shop) -> tuple[Any, list[str]]:
    """One tick of the sensor for data, on an instance of its own, and what stands in its log."""
    log = logging.handlers.BufferingHandler(1000)
    definitions = shop.definitions()
    sensor = next(sensor for sensor in definitions.sensors if sensor.name == "new_data")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance, resources={"lake": definitions.resources["lake"]}, repository_def=definitions.get_repository_def()
        ) as context,
    ):
        context.log.addHandler(log)
        return sensor.evaluate_tick(context), [record.getMessage() for record in log.buffer]


def plan(sources: Sources, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of `lakeloop plan` in this project, which must not call it a failure."""
    from lakeloop.cli.staleness import print_plan
    from resources.settings import Settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKELOOP_LAKE", sources.shop.lake_url)
        capsys.readouterr()
        print_plan(sources.project, Settings.from_environment())
    return capsys.readouterr().out.splitlines()


def up(sources: Sources) -> list[str]:
    """What `lakeloop up` says once its servers stand, where there is nothing to launch."""
    from lakeloop.cli.up_runs import Built, materialize_stale
    from resources.settings import Settings

    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKELOOP_LAKE", sources.shop.lake_url)
        assert materialize_stale(None, sources.project, Settings.from_environment(), None, "", said.append) == Built()  # type: ignore[arg-type]
    return said


def test_a_database_that_is_down_is_named_and_asked_once_a_tick_and_a_plan(
    sources: Sources, asked: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from platform_assets.plan import stale_assets, unasked

    project = sources.project
    assert sources.shop.materialize().success
    states = sources.shop.lake.states()
    assert unasked(project, states) == {}
    result, log = tick(sources.shop)
    assert "every source file has landed" in result.skip_message and log == []
    assert plan(sources, capsys) == ["everything is fresh"]

    sources.goes_away()
    silent = unasked(project, states)
    assert list(silent) == [ORDERS, STAFF]
    assert "does not answer: unable to open database file" in silent[ORDERS]
    assert list(unasked(project, states, "library")) == []
    assert stale_assets(project, states, silent=silent) == {}

    asked.clear()
    assert plan(sources, capsys) == [
        *(f"{key}: can't be asked, taken as it was: {why}" for key, why in silent.items()),
        "everything else is fresh",
    ]
    assert asked == {"orders": 1, "staff": 1}

    asked.clear()
    assert up(sources) == [
        *(f"{key}: can't be asked, taken as it was: {why}" for key, why in silent.items()),
        "everything else is fresh, nothing to compute",
    ]
    assert asked == {"orders": 1, "staff": 1}

    asked.clear()
    result, log = tick(sources.shop)
    said = result.skip_message
    assert f"raw/shop/orders can't be asked, taken as it was: {silent[ORDERS]}; raw/shop/staff can't" in said
    assert said.endswith("everything else is fresh") and "every source file has landed" not in said
    assert log == [f"{key}: can't be asked, taken as it was: {why}" for key, why in silent.items()]
    assert asked == {"orders": 1, "staff": 1}

    # What another source has brought is asked for all the same, and the log still names what can't be asked.
    sources.books.write_text("id\n1\n2\n")
    asked.clear()
    result, again = tick(sources.shop)
    (request,) = result.run_requests
    assert dg.AssetKey(["raw", "library", "books"]) in request.asset_selection
    assert dg.AssetKey(["raw", "shop", "orders"]) not in request.asset_selection
    assert again == log
    assert asked == {"orders": 1, "staff": 1}
    told = plan(sources, capsys)
    assert told[0] == "raw/library/books  whole" and told[-1] == "2 stale" and "raw/shop/orders: can't be asked" in told[2]

    sources.comes_back()
    sources.run("INSERT INTO orders VALUES (2)")
    assert ORDERS in stale_assets(project, states, silent=unasked(project, states))


def test_one_table_that_is_refused_is_named_and_the_other_of_its_database_is_followed(sources: Sources) -> None:
    from platform_assets.plan import stale_assets, unasked

    assert sources.shop.materialize().success
    sources.run("DROP TABLE staff")
    sources.run("INSERT INTO orders VALUES (2)")
    project, states = sources.project, sources.shop.lake.states()
    silent = unasked(project, states)
    assert list(silent) == [STAFF] and "no such table: staff" in silent[STAFF]
    assert list(stale_assets(project, states, silent=silent)) == [ORDERS, TableKey("validated", "shop", "orders")]


def test_a_table_that_has_never_landed_is_stale_and_not_taken_as_it_was(sources: Sources) -> None:
    from platform_assets.plan import stale_assets, unasked

    sources.goes_away()
    assert unasked(sources.project, States()) == {}
    assert ORDERS in stale_assets(sources.project, States(), silent={})


def test_many_tables_that_cannot_be_asked_are_counted_in_a_tick() -> None:
    from lakeloop.notices import MOST_NAMED
    from lakeloop.project.project import Project
    from sensors.all import data_request

    silent = {TableKey("raw", "shop", f"t{number:02d}"): "gone" for number in range(MOST_NAMED + 3)}
    said = str(data_request(Project(), {ORDERS: {}}, silent=silent).skip_message)
    assert said.endswith("raw/shop/t09 can't be asked, taken as it was: gone; 3 more can't be asked; everything else is fresh")


def test_a_source_that_cannot_be_read_stops_the_request_of_no_other_table(sources: Sources) -> None:
    from sensors.all import data_request

    assert sources.shop.materialize("raw", "validated").success
    states, project = sources.shop.lake.states(), sources.project
    sources.run("INSERT INTO orders VALUES (2)")
    sources.books.unlink()
    request = data_request(project, states)
    assert isinstance(request, dg.RunRequest)
    assert {"/".join(key.path) for key in request.asset_selection} == {
        "raw/shop/orders", "validated/shop/orders", "raw/library/books", "validated/library/books",
    }  # fmt: skip
    assert data_request(project, states).run_key == request.run_key
    # Its contents count again when it can be read.
    sources.books.write_text("id\n7\n")
    assert data_request(project, states).run_key != request.run_key


def test_a_database_that_is_down_before_its_first_landing_is_one_cause_whatever_differs_in_what_it_says(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sensors.all import data_request

    assert sources.shop.run([dg.AssetKey(["raw", "library", "books"])], {}).success
    keys, states = [], sources.shop.lake.states()
    for why in ("refused after 12.3 s (pid 4711)", "refused after 0.2 s (pid 98)", "wrong password"):

        def down(self: DatabaseReader, why: str = why) -> str:
            raise ServiceUnavailable(f"{self.label}: postgresql db/shop does not answer: {why}")

        monkeypatch.setattr(DatabaseReader, "probe", down)
        request = data_request(sources.project, states)
        assert isinstance(request, dg.RunRequest)
        keys.append(request.run_key)
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("personal", [True, False])
def test_what_a_database_says_is_left_out_where_a_column_is_personal(
    sources: Sources, personal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakeloop.errors import DataError
    from platform_assets.plan import unasked

    assert sources.shop.materialize().success
    definition = sources.shop.defs / "shop" / "staff" / "defs.yaml"
    said = definition.read_text().replace("description: Which.", f"personal: {str(personal).lower()}, description: Which.")
    definition.write_text(said)
    project, states = sources.project, sources.shop.lake.states()

    def refused(table: Any) -> dict[str, str]:
        raise DataError("staff: refused the query", detail="no integer: ann@x.org")

    monkeypatch.setattr("platform_assets.plan.digests", refused)
    assert unasked(project, states)[STAFF] == (
        "staff: refused the query" if personal else "staff: refused the query: no integer: ann@x.org"
    )
