"""Clients of the Open Inference Protocol that others wrote, at their defaults, against the endpoint: answers are the model's own, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pandas as pd
import pytest

from resources.serving.grpc_service import messages
from resources.tracking.model_format import ServableModel, load_model
from tests.worlds.servers.endpoint import Endpoint, log_version
from tests.worlds.servers.protocol_clients import CLIENTS, TYPES, Case, ask

TOKEN = "s3cret-token"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Iterator[tuple[Endpoint, str, ServableModel]]:
    """An endpoint of two workers, its address, and the model as it is loaded here."""
    version = log_version(mlflow_uri, "asked", 1.7)
    running = Endpoint(tmp_path_factory.mktemp("clients"), mlflow_uri, workers=2)
    try:
        yield running, running.deploy("asked", version), load_model(f"models:/shop.asked/{version}", mlflow_uri)
    finally:
        running.stop()


CASES: list[Case] = [
    ("FP64", [1.5, -2.0, 1e300, 0.1 + 0.2, 2.0**53], ["de", "fr", "", "nowhere", "über"]),
    *((datatype, [1, 0, 1], ["de", "fr", "de"]) for datatype in TYPES if datatype != "FP64"),
]


def own(model: ServableModel, amounts: list[float], countries: list[str]) -> list[float]:
    return [float(score) for score in model.predict(pd.DataFrame({"amount": np.array(amounts, float), "country": countries}))]


@pytest.fixture(scope="module")
def said(served: tuple[Endpoint, str, ServableModel]) -> dict[str, dict[str, Any]]:
    """What the clients of each library were answered."""
    running, address, _ = served
    return {library: ask(library, address, running.grpc, CASES) for library in CLIENTS}


@pytest.mark.parametrize(("library", "client"), [(library, client) for library, clients in CLIENTS.items() for client in clients])
def test_a_client_gets_what_the_model_itself_answers_for_every_datatype(
    served: tuple[Endpoint, str, ServableModel], said: dict[str, dict[str, Any]], library: str, client: str
) -> None:
    for (datatype, amounts, countries), answered in zip(CASES, said[library]["answers"][client], strict=True):
        assert [float.fromhex(value) for value in answered] == own(served[2], amounts, countries), datatype


def test_grpc_says_what_is_served_as_rest_does(served: tuple[Endpoint, str, ServableModel], said: dict[str, dict[str, Any]]) -> None:
    over_grpc, over_http = said["triton"]["about"]["gRPC"], said["triton"]["about"]["HTTP"]
    assert over_grpc == over_http
    assert (over_grpc["live"], over_grpc["ready"], over_grpc["not ready"]) == (True, [True] * 3, [False] * 2)
    assert over_grpc["model"] == ["shop.asked", [served[2].version], "mlflow_pyfunc"]
    assert over_grpc["inputs"] == [["amount", "FP64"], ["country", "BYTES"]] and over_grpc["extensions"] == ["binary_tensor_data"]


def call(address: str, request: Any, **metadata: str) -> tuple[Any, dict[str, Any]]:
    proto = messages()
    with grpc.insecure_channel(address) as channel:
        method = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=proto.ModelInferRequest.SerializeToString,
            response_deserializer=proto.ModelInferResponse.FromString,
        )
        answer, made = method.with_call(request, metadata=[(k.replace("_", "-"), v) for k, v in metadata.items()], timeout=20)
        return answer, dict(made.initial_metadata())


def asked(**changed: Any) -> Any:
    proto = messages()
    request = proto.ModelInferRequest(
        model_name="shop.asked", **{k: v for k, v in changed.items() if k in ("model_version", "id", "outputs")}
    )
    amount = request.inputs.add(name="amount", datatype=changed.get("datatype", "FP64"), shape=[1])
    getattr(amount.contents, changed.get("contents", "fp64_contents")).append(changed.get("value", 1.5))
    country = request.inputs.add(name=changed.get("second", "country"), datatype="BYTES", shape=[1])
    country.contents.bytes_contents.append(b"de")
    return request


def test_a_grpc_request_has_an_id_and_a_wrong_one_a_status_with_the_field(served: tuple[Endpoint, str, ServableModel]) -> None:
    running, _, model = served
    answer, head = call(running.grpc, asked(id="mine"), x_request_id="trace-9")
    assert (answer.id, head["x-request-id"], answer.model_version) == ("mine", "trace-9", model.version)
    assert answer.outputs[0].contents.fp64_contents == own(model, [1.5], ["de"])
    plain, head = call(running.grpc, asked())
    assert plain.id == head["x-request-id"] != ""
    wrong = {
        "country": asked(second="contry"),
        "amount": asked(datatype="FP32", contents="fp32_contents"),
        "amount: row 0": asked(datatype="UINT8", contents="uint_contents", value=300),
        "version": asked(model_version="99"),
        "no output 'nonsense'": asked(outputs=[messages().ModelInferRequest.InferRequestedOutputTensor(name="nonsense")]),
    }
    for words, request in wrong.items():
        with pytest.raises(grpc.RpcError) as refused:
            call(running.grpc, request)
        expected = grpc.StatusCode.NOT_FOUND if words == "version" else grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.code() == expected and words in refused.value.details(), refused.value.details()


def test_the_counts_of_all_workers_are_one_page_for_prometheus(served: tuple[Endpoint, str, ServableModel]) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    _, address, model = served

    def counted() -> dict[str, float]:
        families = text_string_to_metric_families(httpx.get(f"{address}/metrics", timeout=20).text)
        samples = [sample for family in families for sample in family.samples]
        of_model = [s for s in samples if s.labels.get("model") == "shop.asked" and s.labels.get("version") == model.version]
        wanted = {"rows": "lakeloop_rows_total", "requests": "lakeloop_requests_total", "timed": "lakeloop_request_duration_seconds_count"}
        return {
            name: sum(s.value for s in of_model if s.name == metric and s.labels.get("status", "200") == "200")
            for name, metric in wanted.items()
        }

    time.sleep(2.5)
    before = counted()
    for _ in range(40):
        httpx.post(f"{address}/v1/models/shop.asked:predict", json={"inputs": {"amount": [1, 2], "country": ["de", "fr"]}}, timeout=20)
    time.sleep(2.5)
    after = counted()
    assert {name: after[name] - before[name] for name in ("rows", "requests")} == {"rows": 80.0, "requests": 40.0}
    assert after["timed"] >= after["requests"]


def test_a_worker_that_dies_is_replaced_while_the_other_answers(served: tuple[Endpoint, str, ServableModel]) -> None:
    running, address, _ = served
    before = running.server_pids
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 180
    time.sleep(0.1)
    while set(running.server_pids) & set(before):
        body = {"instances": [{"amount": 1.0, "country": "de"}]}
        assert httpx.post(f"{address}/v1/models/shop.asked:predict", json=body, timeout=20).status_code == 200
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(running.server_pids) == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    more = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *more], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def test_tls_and_a_token_guard_both_protocols(tmp_path: Path, mlflow_uri: str, certificate: tuple[Path, Path]) -> None:
    version = log_version(mlflow_uri, "guarded", 2.0)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    variables = {
        "LAKELOOP_SERVING_TLS_CERT": str(certificate[0]),
        "LAKELOOP_SERVING_TLS_KEY": str(certificate[1]),
        "LAKELOOP_SERVING_TOKEN_FILE": str(tmp_path / "token"),
    }
    folder = tmp_path / "serving"
    folder.mkdir()
    running = Endpoint(folder, mlflow_uri, **variables)
    try:
        address = running.deploy("guarded", version)
        assert address.startswith("https://")
        body = {"instances": [{"amount": 1.0, "country": "de"}]}
        import ssl

        with httpx.Client(verify=ssl.create_default_context(cafile=str(certificate[0])), base_url=address, timeout=20) as client:
            path, bearer = "/v1/models/shop.guarded:predict", {"authorization": f"Bearer {TOKEN}"}
            assert client.get("/v2/health/ready").status_code == 200
            assert [client.post(path, json=body, headers=h).status_code for h in ({}, {"authorization": "Bearer x"}, bearer)] == [
                401,
                401,
                200,
            ]
            assert [client.get("/metrics", headers=h).status_code for h in ({}, bearer)] == [401, 200]
        credentials = grpc.ssl_channel_credentials(certificate[0].read_bytes())
        proto = messages()
        with grpc.secure_channel(running.grpc, credentials) as channel:
            ready = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelReady",
                request_serializer=proto.ModelReadyRequest.SerializeToString,
                response_deserializer=proto.ModelReadyResponse.FromString,
            )
            with pytest.raises(grpc.RpcError) as refused:
                ready(proto.ModelReadyRequest(name="shop.guarded"), timeout=20)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert ready(proto.ModelReadyRequest(name="shop.guarded"), timeout=20, metadata=[("authorization", f"Bearer {TOKEN}")]).ready
        assert TOKEN not in (running.folder / "log").read_text()
    finally:
        running.stop()
