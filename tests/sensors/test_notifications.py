"""Failures reach people: real failing runs on a real instance, real messages by apprise to a small HTTP server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.lake.published import TableKey
from resources.settings import Settings
from sensors import notifications
from tests.worlds.notified import BAD_FILE, Sensor, env
from tests.worlds.servers.mailbox import Mailbox
from tests.worlds.shop import orders, write_orders
from tests.worlds.shop_project import Shop


def test_a_failed_run_is_told_once_with_reason_and_links_and_again_only_after_it_was_well(
    shop: Shop, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    monkeypatch.setenv("LAKELOOP_UI", "https://dagster.example/")
    good, sensor = shop.data.read_bytes(), Sensor(shop, instance)
    shop.data.write_bytes(BAD_FILE)
    failed = shop.materialize("raw", "validated", instance=instance)
    assert not failed.success
    assert sensor.tick() == "channel 1 (json): 1 sent, 1 runs read"
    (message,) = mailbox.messages
    assert message["title"] == f"[{env()}] raw/shop/orders failed"
    assert "no column 'returned'" in message["message"] and "materialise it again" in message["message"]
    assert f"Run: https://dagster.example/runs/{failed.run_id}" in message["message"]
    assert "Asset: https://dagster.example/assets/raw/shop/orders" in message["message"]

    assert sensor.tick() == "channel 1 (json): 0 sent, 0 runs read"
    assert not shop.materialize("raw", "validated", instance=instance).success
    assert sensor.tick() == "channel 1 (json): 0 sent, 1 runs read"
    shop.data.write_bytes(good)
    assert shop.materialize("raw", instance=instance).success
    shop.data.write_bytes(BAD_FILE)
    assert not shop.materialize("raw", instance=instance).success
    sensor.tick()
    assert len(mailbox.messages) == 2
    assert "SECRETword" not in str(sensor.cursor) + repr(Settings.from_environment())


def test_a_blocking_check_and_the_failure_that_it_leads_to_are_one_message_and_warnings_come_by_setting(
    shop: Shop, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    sensor = Sensor(shop, instance)
    rows = orders()
    rows[5]["amount_eur"] = 20_000
    write_orders(shop.data, rows)
    path = shop.defs / "shop" / "orders" / "defs.yaml"
    path.write_text(path.read_text() + "    - expect_column_values_to_be_between: {column: items, max_value: 1}\n      severity: warning\n")
    assert not shop.materialize("raw", "validated", instance=instance).success
    sensor.tick()
    (message,) = mailbox.messages
    assert message["title"] == f"[{env()}] validated/shop/orders failed"
    assert "was not published" in message["message"] and "between__amount_eur" in message["message"]
    write_orders(shop.data, orders())
    assert shop.materialize("raw", "validated", instance=instance).success
    sensor.tick()
    assert len(mailbox.messages) == 1

    monkeypatch.setenv("LAKELOOP_NOTIFY_WARNINGS", "true")
    assert shop.materialize("raw", "validated", instance=instance).success
    sensor.tick()
    assert mailbox.titles[1:] == [f"[{env()}] check between__items_2 of validated/shop/orders failed"]
    assert shop.materialize("raw", "validated", instance=instance).success
    sensor.tick()
    assert len(mailbox.messages) == 2


@pytest.mark.minimum(0.999)
def test_a_refused_model_is_told_with_its_reason_and_the_model_and_not_a_second_time(
    shop: Shop, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    monkeypatch.setenv("LAKELOOP_NOTIFY_WARNINGS", "true")
    sensor = Sensor(shop, instance)
    for _ in range(2):
        assert shop.materialize(instance=instance).success
        sensor.tick()
    (message,) = mailbox.messages
    assert message["title"] == f"[{env()}] version 1 of shop.returns was not promoted"
    assert "roc_auc" in message["message"]
    name = Settings.from_environment().mlflow_name("shop", "returns")
    assert f"Model: {shop.uri}/#/models/{name}/versions/1" in message["message"]


def test_a_canceled_run_and_a_run_that_died_without_a_word_are_told(
    shop: Shop, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    sensor = Sensor(shop, instance)
    job = shop.definitions().resolve_implicit_global_asset_job_def()
    canceled, died = (instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED) for _ in range(2))
    instance.report_run_canceled(canceled, message="the platform was stopped while this ran")
    instance.report_run_failed(died, message="the run's worker is gone")
    sensor.tick()
    assert mailbox.titles == [f"[{env()}] run {canceled.run_id[:8]} was canceled", f"[{env()}] run {died.run_id[:8]} failed"]
    assert "the platform was stopped" in mailbox.messages[0]["message"] and "worker is gone" in mailbox.messages[1]["message"]


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_run_that_was_killed_is_told_only_if_the_run_in_its_place_fails_too(
    shop: Shop, tmp_path: Path, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, *, ends_well: bool
) -> None:
    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    (tmp_path / "retrying").mkdir()
    retries = {"run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}}
    with dg.DagsterInstance.local_temp(str(tmp_path / "retrying"), overrides=retries) as instance:
        sensor = Sensor(shop, instance)
        job = shop.definitions().resolve_implicit_global_asset_job_def()
        killed = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(killed, message="the run's worker is gone")
        assert sensor.tick() == "channel 1 (json): 0 sent, 0 runs read"
        # As Dagster's daemon does.
        tags = {"dagster/retry_number": "1", "dagster/parent_run_id": killed.run_id, "dagster/root_run_id": killed.run_id}
        again = instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, tags=tags, parent_run_id=killed.run_id, root_run_id=killed.run_id
        )
        instance.add_run_tags(killed.run_id, {"dagster/auto_retry_run_id": again.run_id})
        assert sensor.tick() == "channel 1 (json): 0 sent, 1 runs read"
        if ends_well:
            instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job.name), again.run_id)
        else:
            instance.report_run_failed(again, message="the run's worker is gone again")
        sensor.tick()
        assert mailbox.titles == ([] if ends_well else [f"[{env()}] run {again.run_id[:8]} failed"])


def test_a_run_whose_retry_never_comes_is_told_after_all(
    shop: Shop, tmp_path: Path, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    (tmp_path / "retrying").mkdir()
    retries = {"run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}}
    with dg.DagsterInstance.local_temp(str(tmp_path / "retrying"), overrides=retries) as instance:
        sensor = Sensor(shop, instance)
        job = shop.definitions().resolve_implicit_global_asset_job_def()
        killed = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(killed, message="the run's worker is gone")
        sensor.tick()
        assert mailbox.titles == []
        monkeypatch.setattr(notifications, "RETRY_S", 0.0)
        sensor.tick()
        assert mailbox.titles == [f"[{env()}] run {killed.run_id[:8]} failed"]


def test_a_database_that_is_down_is_one_message_of_all_its_tables_and_each_gets_well_by_itself(
    tmp_path: Path, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy as sa

    from platform_assets import assets
    from tests.worlds.source_tables import define

    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    monkeypatch.setattr(assets, "RETRIES", dg.RetryPolicy(max_retries=0))
    file, names = tmp_path / "shop.db", ("clients", "orders", "staff__old")
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{file}")
    shop = Shop(tmp_path / "platform_assets" / "defs", str(tmp_path / "lake"), "http://127.0.0.1:9")
    keys = [TableKey("raw", "the__shop", name) for name in names]
    for key in keys:
        define(shop.defs, key, f"{{database: SHOP_DB, table: {key.name}}}")
    sensor = Sensor(shop, instance)

    def run(*chosen: TableKey) -> bool:
        asset_keys = [dg.AssetKey([key.stage, key.domain, key.name]) for key in chosen]
        return bool(shop.run(asset_keys, {}, instance).success)

    file.mkdir()  # which no database can be
    assert not run(*keys)
    sensor.tick()
    (message,) = mailbox.messages
    assert message["title"] == f"[{env()}] 3 assets failed for one cause"
    assert message["message"].count("unable to open database file") == 1 and "Error: " not in message["message"]
    assert all(str(key) in message["message"] for key in keys)

    file.rmdir()
    with sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool).begin() as connection:
        for name in names:
            connection.exec_driver_sql(f"CREATE TABLE {name} AS SELECT 1 AS id")
    assert run(keys[0], keys[2])
    sensor.tick()
    (place,) = json.loads(sensor.cursor).values()
    assert list(place["troubles"]) == ["raw/the__shop/orders"]


def test_a_step_of_a_spread_asset_is_its_assets_trouble_until_it_is_made(
    shop: Shop, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from platform_assets.spread import spread_asset

    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    sensor, key, broken = Sensor(shop, instance), dg.AssetKey(["studies", "shop", "returns__b"]), [True]

    def helper(context: Any) -> None:
        if broken:
            raise dg.Failure("no trial converged", allow_retries=False)

    asset = spread_asset(
        {"key": key}, [], lambda context: iter([dg.MaterializeResult()]), [helper, helper], set(), dg.RetryPolicy(max_retries=0)
    )

    def run() -> bool:
        return bool(dg.materialize([asset], instance=instance, raise_on_error=False).success)

    for _ in range(2):
        assert not run()
        sensor.tick()
    (message,) = mailbox.messages
    assert message["title"] == f"[{env()}] studies/shop/returns__b failed"
    assert f"Asset: {Settings.from_environment().ui_url}/assets/studies/shop/returns__b" in message["message"]
    broken.clear()
    assert run()
    sensor.tick()
    assert [place["troubles"] for place in json.loads(sensor.cursor).values()] == [{}]


@pytest.mark.parametrize(
    ("step", "asset"),
    [
        ("raw__shop__orders", "raw/shop/orders"),
        ("raw__shop__orders__old", "raw/shop/orders__old"),
        ("studies__shop__w.studies__shop__w__1", "studies/shop/w"),
        ("studies__shop__w.studies__shop__w__found", "studies/shop/w"),
        ("raw__the__shop__orders", "raw/the__shop/orders"),
        ("an_op", "an_op"),
    ],
)
def test_the_asset_of_a_step_is_found_where_names_hold_underscores(step: str, asset: str) -> None:
    from sensors.notifications import _asset_of

    assert _asset_of(step, {"raw__the__shop__orders": "raw/the__shop/orders"}) == asset
