"""Failures reach people: real failing runs on a real instance, real messages by apprise to a small HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lakeloop.notices import CheckOutcome, EndedRun, Refusal, StepFailure, clear_resolved, collect_notices, record_notice, select_new
from resources.lake.published import TableKey
from resources.settings import Settings
from tests.worlds.servers.ports import free_port
from tests.worlds.shop import orders, write_orders
from tests.worlds.shop_project import Shop

BAD_FILE = b"order_id,customer,ordered_at,items,amount_eur\no1,c1,2024-01-01 00:00:00,1,2\n"


class Mailbox:
    """A channel's other end: what was posted to it, and whether it takes anything now."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if mailbox.status == 200:
                    mailbox.messages.append(json.loads(body))
                self.send_response(mailbox.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://someone:SECRETword@127.0.0.1:{self.server.server_port}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    found = Mailbox()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as found:
        yield found


class Sensor:
    """The shop's own sensor with its cursor, ticked by hand."""

    def __init__(self, shop: Shop, instance: dg.DagsterInstance) -> None:
        definitions = shop.definitions()
        self.sensor = next(sensor for sensor in definitions.sensors if sensor.name == "notify")
        self.resources = {name: definitions.resources[name] for name in ("lake", "tracking")}
        self.instance, self.cursor = instance, None

    def tick(self) -> str:
        with dg.build_sensor_context(self.instance, cursor=self.cursor, resources=self.resources) as context:
            result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return str(result.skip_message)


def env() -> str:
    return Settings.from_environment().environment


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


def test_a_channel_that_is_down_loses_nothing_and_holds_up_no_other(
    shop: Shop, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"json://127.0.0.1:{free_port()}"
    monkeypatch.setenv("LAKELOOP_NOTIFY", f"{nobody} {mailbox.url} nonsense://SECRETword")
    sensor = Sensor(shop, instance)
    shop.data.write_bytes(BAD_FILE)
    assert not shop.materialize("raw", instance=instance).success
    mailbox.status = 500
    said = sensor.tick()
    assert "channel 1 (json) did not take a message" in said and "channel 2 (json) did not take a message" in said
    assert "channel 3 (nonsense) of LAKELOOP_NOTIFY is no address that apprise knows" in said
    assert "SECRETword" not in said
    mailbox.status = 200
    assert "channel 2 (json): 1 sent" in sensor.tick()
    assert "channel 2 (json): 0 sent" in sensor.tick()
    assert mailbox.titles == [f"[{env()}] raw/shop/orders failed"]


def test_nobody_to_tell_is_said_and_no_run_is_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKELOOP_NOTIFY", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        sensor = Sensor(shop, instance)
        assert "LAKELOOP_NOTIFY is not set" in sensor.tick()
        assert sensor.cursor is None


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


def test_a_new_channel_begins_an_hour_back_however_many_runs_have_ended_since(instance: dg.DagsterInstance) -> None:
    from sensors.notifications import FIRST_LOOK_S, RUNS_A_TICK, endings_after, first_position

    @dg.job
    def fails() -> None:
        pass

    def end(count: int) -> list[str]:
        runs = [instance.create_run_for_job(fails, status=dg.DagsterRunStatus.STARTED) for _ in range(count)]
        for run in runs:
            instance.report_run_failed(run)
        return [run.run_id for run in runs]

    end(2)
    time.sleep(0.05)
    hour_ago = time.time()
    recent = end(RUNS_A_TICK + 1)
    found = endings_after(instance, first_position(instance, hour_ago + FIRST_LOOK_S))
    assert [ending.run_id for ending in found] == recent[:RUNS_A_TICK]
    assert first_position(instance, hour_ago - 60 + FIRST_LOOK_S) == 0


def test_a_channel_that_is_new_is_not_told_of_the_history(
    shop: Shop, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sensors import notifications

    monkeypatch.setenv("LAKELOOP_NOTIFY", mailbox.url)
    monkeypatch.setattr(notifications, "FIRST_LOOK_S", -60.0)
    job = shop.definitions().resolve_implicit_global_asset_job_def()
    instance.report_run_failed(instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED), message="long ago")
    sensor = Sensor(shop, instance)
    sensor.tick()
    assert mailbox.messages == []


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


def judged(run: EndedRun, *, warnings: bool = False) -> list[str]:
    return [notice.subject for notice in collect_notices(run, ui="http://ui", environment="dev", warnings=warnings)]


RUN = EndedRun("0123456789", "FAILURE", request="raw/d/t")


def test_one_cause_makes_one_notice_whatever_its_signs() -> None:
    check = CheckOutcome("validated/d/t", "unique", passed=False, blocking=True, reason="3 rows")
    gate = CheckOutcome("evaluations/d/w", "roc_auc", passed=False, blocking=False)
    refusal = Refusal("d", "w", "4", "roc_auc is too low")
    assert judged(replace(RUN, failures=[StepFailure("validated/d/t", "not published")], checks=[check])) == ["validated/d/t"]
    warning = replace(check, check="seats", blocking=False)
    stopped = replace(RUN, failures=[StepFailure("validated/d/t", "not published")], checks=[check, warning])
    assert judged(stopped, warnings=True) == ["validated/d/t", "validated/d/t#seats"]
    assert judged(replace(RUN, status="SUCCESS", checks=[check])) == ["validated/d/t#unique"]
    assert judged(replace(RUN, status="SUCCESS", checks=[gate])) == []
    assert judged(replace(RUN, status="SUCCESS", checks=[gate]), warnings=True) == ["evaluations/d/w#roc_auc"]
    assert judged(replace(RUN, status="SUCCESS", checks=[gate], refusals=[refusal]), warnings=True) == ["refused:d.w"]


def test_a_trouble_is_told_again_for_another_reason_or_after_a_success() -> None:
    failing = replace(RUN, failures=[StepFailure("raw/d/t", "no file")])
    (told,) = collect_notices(failing, ui="http://ui", environment="dev", warnings=False)
    known = record_notice(told, {})
    assert select_new([told], known) == []
    (other,) = collect_notices(
        replace(RUN, failures=[StepFailure("raw/d/t", "no column")]), ui="http://ui", environment="dev", warnings=False
    )
    assert select_new([other], known) == [other]
    assert clear_resolved(failing, known) == known
    assert clear_resolved(EndedRun("1", "SUCCESS", succeeded=["raw/d/t"]), known) == {}
    assert clear_resolved(EndedRun("1", "SUCCESS", succeeded=["raw/d/other"]), known) == known


def test_the_gates_of_a_refused_model_are_known_with_the_refusal() -> None:
    gate = CheckOutcome("evaluations/d/w", "roc_auc", passed=False, blocking=False)
    run = replace(RUN, status="SUCCESS", checks=[gate], refusals=[Refusal("d", "w", "4", "too low")])
    (told,) = collect_notices(run, ui="http://ui", environment="dev", warnings=True)
    again = collect_notices(replace(run, refusals=[]), ui="http://ui", environment="dev", warnings=True)
    assert [notice.subject for notice in again] == ["evaluations/d/w#roc_auc"]
    assert select_new(again, record_notice(told, {})) == []
    assert select_new(
        collect_notices(replace(run, refusals=[Refusal("d", "w", "5", "too low")]), ui="", environment="dev", warnings=True),
        record_notice(told, {}),
    )


def test_a_long_reason_is_cut_for_a_chat() -> None:
    (notice,) = collect_notices(
        replace(RUN, failures=[StepFailure("raw/d/t", "x" * 5000)]), ui="http://ui", environment="prod", warnings=False
    )
    assert notice.title == "[prod] raw/d/t failed"
    assert len(notice.text) < 1200 and "…" in notice.text
