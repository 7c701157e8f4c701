"""Clients of the Open Inference Protocol that others wrote, each at its defaults and by its other ways.

Run as a program, one per library: both bring the protocol's messages, and a process can have them once.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

MODEL = "shop.asked"
TYPES = {"FP64": "float64", "BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8",
         "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64"}  # fmt: skip
Case = tuple[str, list[float], list[str]]
"""A datatype, amounts, countries."""
CLIENTS = {
    "triton": ("HTTP", "HTTP, JSON", "gRPC"),
    "kserve": ("REST", "REST, JSON", "gRPC", "gRPC, raw"),
}


def ask(library: str, address: str, grpc: str, cases: list[Case]) -> dict[str, Any]:
    """What a library's clients are answered: by client a list of answers per case, and by protocol what it says of the model."""
    asked = json.dumps({"address": address, "grpc": grpc, "cases": cases})
    ran = subprocess.run([sys.executable, "-m", __name__, library], input=asked, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _triton(client: str, address: str, grpc: str, datatype: str, amounts: np.ndarray, countries: np.ndarray) -> Any:
    import tritonclient.grpc as over_grpc
    import tritonclient.http as over_http

    library: Any = over_grpc if client == "gRPC" else over_http
    inputs = [library.InferInput("country", [len(countries)], "BYTES"), library.InferInput("amount", [len(amounts)], datatype)]
    more = {"binary_data": False} if "JSON" in client else {}
    inputs[0].set_data_from_numpy(countries, **more)
    inputs[1].set_data_from_numpy(amounts, **more)
    outputs = [library.InferRequestedOutput("prediction", binary_data=False)] if more else None
    with library.InferenceServerClient(grpc if client == "gRPC" else address.removeprefix("http://")) as connection:
        return connection.infer(MODEL, inputs, outputs=outputs).as_numpy("prediction")


def _triton_about(address: str, grpc: str, version: str) -> dict[str, Any]:
    import tritonclient.grpc as over_grpc
    import tritonclient.http as over_http

    about = {}
    for name, library, url in (("gRPC", over_grpc, grpc), ("HTTP", over_http, address.removeprefix("http://"))):
        plain = {"as_json": True} if name == "gRPC" else {}
        with library.InferenceServerClient(url) as client:
            metadata = client.get_model_metadata(MODEL, **plain)
            about[name] = {
                "live": client.is_server_live(),
                "ready": [client.is_server_ready(), client.is_model_ready(MODEL), client.is_model_ready(MODEL, metadata["versions"][0])],
                "not ready": [client.is_model_ready(MODEL, "99"), client.is_model_ready("shop.nothing")],
                "model": [metadata[key] for key in ("name", "versions", "platform")],
                "inputs": [[each["name"], each["datatype"]] for each in metadata["inputs"]],
                "extensions": client.get_server_metadata(**plain)["extensions"],
            }
    return about


def _kserve(client: str, address: str, grpc: str, datatype: str, amounts: np.ndarray, countries: np.ndarray) -> Any:
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

    binary = client in ("REST", "gRPC, raw")
    inputs = [InferInput("country", [len(countries)], "BYTES"), InferInput("amount", [len(amounts)], datatype)]
    inputs[0].set_data_from_numpy(countries, binary_data=binary)
    inputs[1].set_data_from_numpy(amounts, binary_data=binary)
    request = InferRequest(MODEL, inputs)

    async def send() -> Any:
        if client.startswith("REST"):
            return await InferenceRESTClient(RESTConfig(protocol="v2")).infer(address, request, model_name=MODEL)
        connection = InferenceGRPCClient(grpc)
        try:
            return await connection.infer(request)
        finally:
            await connection.close()

    return asyncio.run(send()).outputs[0].as_numpy()


def main() -> None:
    """Ask, and print what was answered."""
    library, asked = sys.argv[1], json.load(sys.stdin)
    send: Callable[..., Any] = {"triton": _triton, "kserve": _kserve}[library]
    answers: dict[str, Any] = {client: [] for client in CLIENTS[library]}
    for client in CLIENTS[library]:
        for datatype, amounts, countries in asked["cases"]:
            values = np.array(amounts).astype(TYPES[datatype])
            answered = send(client, asked["address"], asked["grpc"], datatype, values, np.array(countries, dtype=object))
            answers[client].append([float(value).hex() for value in np.ravel(answered)])
    about = _triton_about(asked["address"], asked["grpc"], "") if library == "triton" else {}
    print(json.dumps({"answers": answers, "about": about}))


if __name__ == "__main__":
    main()
