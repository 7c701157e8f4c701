"""The prediction endpoint: a real supervisor, KServe's real model server, models from a real MLflow server."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from resources.serving.desired import Deployment, read_status, wait_until_serving, write_desired
from tests.worlds.servers.endpoint import SECRET, Endpoint


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str, versions: list[str]) -> Iterator[Endpoint]:
    running = Endpoint(tmp_path_factory.mktemp("serving"), mlflow_uri)
    yield running
    running.process.terminate()
    running.process.wait(40)


@pytest.fixture
def address(endpoint: Endpoint, versions: list[str]) -> str:
    return endpoint.deploy("prices", versions[0])


def v1(address: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{address}/v1/models/shop.prices:predict", json=body, headers=headers, timeout=20)


def v2(address: str, inputs: list[dict[str, Any]]) -> httpx.Response:
    return httpx.post(f"{address}/v2/models/shop.prices/infer", json={"inputs": inputs}, timeout=20)


def tensors(amount: list[Any], country: list[Any]) -> list[dict[str, Any]]:
    return [
        {"name": "country", "shape": [len(country)], "datatype": "BYTES", "data": country},
        {"name": "amount", "shape": [len(amount)], "datatype": "FP64", "data": amount},
    ]


def test_v1_and_v2_give_the_same_whatever_the_order_of_columns(address: str) -> None:
    rows = [{"amount": 1.5, "country": "fr"}, {"country": None, "amount": 4}]
    one = v1(address, {"instances": rows})
    columns = v1(address, {"inputs": {"country": ["fr", None], "amount": [1.5, 4]}})
    two = v2(address, tensors([1.5, 4], ["fr", None]))
    assert one.status_code == columns.status_code == two.status_code == 200, (one.text, two.text)
    assert one.json()["predictions"] == pytest.approx([3.0, 8.0])
    assert columns.json()["predictions"] == one.json()["predictions"] == two.json()["outputs"][0]["data"]
    assert one.json()["model_version"] == two.json()["model_version"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"instances": [{"amount": 1.0, "contry": "de"}]}, "contry"),
        ({"instances": [{"amount": 1.0}]}, "country"),
        ({"instances": [{"amount": "many", "country": "de"}]}, "amount"),
        ({"instances": [{"amount": 1.0, "country": 3}]}, "country"),
        ({"instances": {"amount": 1.0}}, "instances"),
        ({"inputs": {"amount": [1.0, 2.0], "country": ["de"]}}, "country"),
    ],
)
def test_a_wrong_request_is_refused_with_the_field(address: str, body: Any, field: str) -> None:
    answer = v1(address, body)
    assert answer.status_code == 400
    assert answer.json()["field"] == field


def test_a_tensor_of_the_wrong_shape_or_type_is_refused_with_the_field(address: str) -> None:
    wrong = tensors([1.0], ["de"])
    wrong[1]["shape"] = [2]
    assert (v2(address, wrong).status_code, v2(address, wrong).json()["field"]) == (400, "amount")
    wrong = tensors([1.0], ["de"])
    wrong[0]["datatype"] = "FP64"
    assert (v2(address, wrong).status_code, v2(address, wrong).json()["field"]) == (400, "country")


def test_no_json_an_unknown_model_and_too_many_rows_are_4xx(address: str) -> None:
    url = f"{address}/v1/models/shop.prices:predict"
    assert httpx.post(url, content=b"{", timeout=20).status_code == 400
    assert httpx.post(f"{address}/v1/models/shop.price:predict", json={}, timeout=20).status_code == 404
    many = {"inputs": {"amount": [1.0] * 10_001, "country": ["de"] * 10_001}}
    assert v1(address, many).status_code == 413


def test_a_foreign_host_or_origin_is_not_answered(address: str) -> None:
    good = {"instances": [{"amount": 1.0, "country": "de"}]}
    assert v1(address, good, Host="evil.example").status_code == 403
    assert v1(address, good, Origin="http://evil.example").status_code == 403
    assert v1(address, good, Origin="http://localhost:3000").status_code == 403
    assert v1(address, good, Origin=address).status_code == 200


def test_the_endpoint_listens_on_loopback_only(endpoint: Endpoint, address: str) -> None:
    import psutil

    for process in [psutil.Process(endpoint.process.pid), psutil.Process(endpoint.server_pid)]:
        listening = [c.laddr.ip for c in process.connections() if c.status == "LISTEN"]
        assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1"}  # gRPC listens on the second form of the same address


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="another process's environment is read from /proc")
def test_the_model_server_has_no_key_of_the_lake_and_no_password_of_a_database(endpoint: Endpoint, address: str) -> None:
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in (endpoint.process.pid, endpoint.server_pid)]
    assert [SECRET.encode() in environment for environment in environments] == [True, False]


def test_a_swap_under_load_drops_no_request(endpoint: Endpoint, versions: list[str]) -> None:
    address = endpoint.deploy("prices", versions[0])
    stop, seen, problems = threading.Event(), [], []

    def ask(fresh: bool) -> None:
        with httpx.Client(timeout=20, headers={"connection": "close"} if fresh else {}) as client:
            while not stop.is_set():
                try:
                    answer = client.post(f"{address}/v1/models/shop.prices:predict", json={"instances": [{"amount": 1.0, "country": "de"}]})
                    (seen if answer.status_code == 200 else problems).append(answer.json())
                except httpx.HTTPError as error:
                    problems.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        endpoint.deploy("prices", versions[1])
        time.sleep(2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert {answer["model_version"] for answer in seen} == set(versions)
    for answer in seen:
        assert np.isclose(answer["predictions"][0], 2.0 if answer["model_version"] == versions[0] else 3.0)


def test_a_killed_model_server_is_started_again(endpoint: Endpoint, address: str) -> None:
    before = endpoint.server_pid
    os.kill(before, signal.SIGKILL)
    deadline, status = time.monotonic() + 60, 0
    while status != 200 and time.monotonic() < deadline:
        try:
            status = v1(address, {"instances": [{"amount": 1.0, "country": "de"}]}).status_code if endpoint.server_pid != before else 0
        except (httpx.HTTPError, TypeError, ValueError):
            status = 0
        time.sleep(0.2)
    assert status == 200, (endpoint.folder / "log").read_text()[-2000:]
    assert endpoint.server_pid != before


def test_a_version_that_cannot_be_loaded_leaves_the_one_before_it(endpoint: Endpoint, address: str, versions: list[str]) -> None:
    write_desired(endpoint.folder, Deployment("shop.prices", "99", "models:/shop.prices/99"))
    outcome = wait_until_serving(endpoint.folder, "shop.prices", "99", 60)
    assert outcome.state == "failed"
    answer = v1(address, {"instances": [{"amount": 1.0, "country": "de"}]})
    assert answer.json()["model_version"] == versions[0]
    endpoint.deploy("prices", versions[0])
    forgotten, deadline = {"shop.prices": {"version": versions[0], "state": "ready", "message": ""}}, time.monotonic() + 30
    while (status := read_status(endpoint.folder)) is None or status.models != forgotten:
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
