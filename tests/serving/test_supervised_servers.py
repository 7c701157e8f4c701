"""A supervisor and its model servers, one of which ends: what is served then."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from resources.serving.desired import Deployment, read_status, write_desired
from resources.serving.supervisor import Supervisor
from tests.worlds.servers.endpoint import Endpoint


def test_after_a_start_without_a_report_and_a_crash_the_last_good_set_serves_and_the_new_version_follows(
    tmp_path: Path, mlflow_uri: str, versions: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def want(name: str, version: str) -> Deployment:
        deployment = Deployment(f"shop.{name}", version, f"models:/shop.prices/{version}")
        write_desired(tmp_path, deployment)
        return deployment

    def until(true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not true():
            assert time.monotonic() < deadline, (supervisor.serving, supervisor.starting, supervisor.failed)
            supervisor.step()
            time.sleep(0.05)

    def answers(name: str) -> str:
        url, rows = f"{supervisor.address}/v1/models/shop.{name}:predict", [{"amount": 1.0, "country": "de"}]
        return str(httpx.post(url, json={"instances": rows}, timeout=20).json()["model_version"])

    want("changed", versions[0])
    want("unchanged", versions[0])
    supervisor = Supervisor(tmp_path, 0, mlflow_uri)
    try:
        until(lambda: supervisor.serving is not None)
        second = want("changed", versions[1])
        supervisor.step()
        assert supervisor.starting is not None
        supervisor.starting.send_signal(signal.SIGKILL)
        until(lambda: bool(supervisor.failed))
        assert set(supervisor.failed) == {second}
        status = read_status(tmp_path)
        assert status is not None
        changed, unchanged = status.models["shop.changed"], status.models["shop.unchanged"]
        assert (changed["version"], changed["failed_version"]) == (versions[0], versions[1])
        assert "ended with exit code -9 while it started (attempt 1, the next in 5 s)" in changed["message"]
        assert (unchanged["state"], unchanged["message"]) == ("ready", "")

        supervisor.serving.send_signal(signal.SIGKILL)
        until(lambda: supervisor.serving is None)
        until(lambda: supervisor.serving is not None)
        assert [answers("changed"), answers("unchanged")] == [versions[0], versions[0]]

        until(lambda: supervisor.serving is not None and supervisor.serving.serves["shop.changed"] == second)
        assert [answers("changed"), answers("unchanged")] == [versions[1], versions[0]]
        assert supervisor.failed == {}
        assert f"shop.changed version {versions[1]} can't be served: its server ended" in capsys.readouterr().out
    finally:
        supervisor.shut_down()


def test_when_the_supervisor_is_killed_its_server_goes_too(tmp_path: Path, mlflow_uri: str, versions: list[str]) -> None:
    import psutil

    running = Endpoint(tmp_path, mlflow_uri)
    running.deploy("prices", versions[0])
    child = psutil.Process(running.server_pid)
    running.process.kill()
    running.process.wait(10)
    assert psutil.wait_procs([child], timeout=20)[1] == []
