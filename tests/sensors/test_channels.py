"""Channels: one that is down, one that is new, and none."""

from __future__ import annotations

import time

import dagster as dg
import pytest

from tests.worlds.notified import BAD_FILE, Sensor, env
from tests.worlds.servers.mailbox import Mailbox
from tests.worlds.servers.ports import free_port
from tests.worlds.shop_project import Shop


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
    endings = endings_after(instance, first_position(instance, hour_ago + FIRST_LOOK_S))
    assert [ending.run_id for ending in endings] == recent[:RUNS_A_TICK]
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
