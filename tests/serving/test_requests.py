"""Requests and answers of the Open Inference Protocol through the whole application: what is taken, and what is refused with its field."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import struct
import zlib
from collections import Counter
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import Answer
from resources.serving.answers import Outputs, encode_v1, encode_v2
from resources.serving.app import PredictionApp
from resources.serving.models import LoadedModel
from resources.tracking.model_format import Field, ServableModel
from tests.worlds.servers.random_requests import random_request

BIG = 2**53 + 1
FIELDS = (Field("amount", "double"), Field("country", "string"), Field("size", "double"))


class Sums:
    """Answers amount + size, and a thousand for each letter of the country."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Predict."""
        lengths = [0 if text is None else 1000 * len(text) for text in frame["country"]]
        return frame["amount"].to_numpy() + frame["size"].to_numpy() + np.array(lengths)


def app(personal: tuple[str, ...] | None = None) -> PredictionApp:
    spec = FeatureSpec(("customer",), "asked_at", personal=personal)
    model = ServableModel("shop.sums", "7", Answer("regression"), FIELDS, spec, Sums())  # type: ignore[arg-type]
    return PredictionApp({"shop.sums": LoadedModel(model, "not compiled")})


def post(path: str, body: Any, *, headers: dict[str, str] | None = None, served: PredictionApp | None = None) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(served or app())
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return await client.post(path, content=content, headers=headers)

    return asyncio.run(ask())


V1, V2 = "/v1/models/shop.sums:predict", "/v2/models/shop.sums/infer"
ROW = {"amount": 1.5, "country": "de", "size": 2}


def tensor(name: str, datatype: str, data: list[Any], shape: Any = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)] if shape is None else shape, "data": data}


def three(**changed: Any) -> dict[str, Any]:
    tensors = {
        "amount": tensor("amount", "FP64", [1.5]),
        "country": tensor("country", "BYTES", ["de"]),
        "size": tensor("size", "INT64", [2]),
    }
    return {"inputs": [each for each in {**tensors, **changed}.values() if each is not None]}


def test_answers_have_integers_as_integers_and_what_is_not_finite_as_null() -> None:
    whole = Outputs(Answer("multiclass_classification", classes=(7, 3)))
    columns = whole.columns(np.array([[0.25, 0.75], [1.0, 0.0]]))
    assert json.loads(encode_v1(columns, "m", "1"))["predictions"][0] == {"prediction": 3, "probability_7": 0.25, "probability_3": 0.75}
    first, second, _ = json.loads(encode_v2(columns, whole.types, "m", "1", None))["outputs"]
    assert first == {"name": "prediction", "shape": [2], "datatype": "INT64", "data": [3, 7]} and second["datatype"] == "FP64"
    plain = Outputs(Answer("regression"))
    assert json.loads(encode_v1(plain.columns(np.array([1.5, np.nan])), "m", "1"))["predictions"] == [1.5, None]


@pytest.mark.parametrize(
    ("row", "prediction"),
    [
        (ROW, 2003.5),
        ({"size": True, "amount": 0, "country": ""}, 1.0),
        ({**ROW, "amount": None}, None),
        ({**ROW, "country": None}, 3.5),
        ({**ROW, "amount": 2**53, "country": None, "size": 0}, float(2**53)),
        ({**ROW, "amount": -1e300, "country": None}, -1e300),
        ({**ROW, "customer": "c1", "asked_at": "2026-01-01T00:00:00Z"}, 2003.5),
        ({**ROW, "customer": 12}, 2003.5),
    ],
)
def test_a_row_is_taken_as_it_is(row: dict[str, Any], prediction: float | None) -> None:
    for body in ({"instances": [row]}, {"inputs": {name: [value] for name, value in row.items()}}):
        answered = post(V1, body)
        assert answered.status_code == 200, answered.text
        assert answered.json() == {"predictions": [prediction], "model_name": "shop.sums", "model_version": "7"}


@pytest.mark.parametrize(
    ("second", "field", "words"),
    [
        ({"amount": 1.0, "country": "de"}, "size", "row 1: this input is missing"),
        ({**ROW, "contry": "fr"}, "contry", "row 1: the model has no input 'contry'.*country"),
        ({**ROW, "amount": "many"}, "amount", "row 1: wanted a number, found the string 'many'"),
        ({**ROW, "amount": "1.5"}, "amount", "row 1: wanted a number"),
        ({**ROW, "amount": [1.0]}, "amount", "row 1: wanted a number, found a list"),
        ({**ROW, "country": 3}, "country", "row 1: wanted a string, found 3"),
        ({**ROW, "country": {}}, "country", "row 1: wanted a string, found an object"),
        ({**ROW, "amount": BIG}, "amount", "row 1: wanted a number that a double holds"),
        ({**ROW, "amount": -BIG}, "amount", "row 1: wanted a number that a double holds"),
        ([1.5, "de", 2], "instances", "row 1: wanted an object"),
        (None, "instances", "row 1: wanted an object"),
    ],
)
def test_one_wrong_row_is_named_among_others(second: Any, field: str, words: str) -> None:
    answered = post(V1, {"instances": [ROW, second, ROW]})
    assert answered.status_code == 400 and answered.json()["field"] == field
    assert re.match(words, answered.json()["error"]), answered.text


@pytest.mark.parametrize("number", ["9007199254740993.0", "18446744073709551617", "-18446744073709551617", "9007199254740993"])
def test_whole_numbers_that_no_double_holds_are_refused_however_they_are_written(number: str) -> None:
    row = json.dumps(ROW).replace("1.5", number).encode()
    two = json.dumps(three()).replace("1.5", number).encode()
    for path, body in ((V1, b'{"instances": [%s]}' % row), (V2, two)):
        answered = post(path, body)
        assert answered.status_code == 400 and "a double holds" in answered.json()["error"], answered.text


@pytest.mark.parametrize(
    "body", [{"instances": []}, {"instances": {}}, {}, [], {"inputs": {}}, {"inputs": {name: [] for name in ROW}}, b"{", b"\xff"]
)
def test_what_has_no_rows_is_refused(body: Any) -> None:
    assert post(V1, body).status_code == 400


def test_instances_beside_inputs_are_refused() -> None:
    assert post(V1, {"instances": [ROW], "inputs": {"amount": [1]}}).json()["field"] == "inputs"


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP64", [1.5]), ("FP64", [None]), ("FP64", [3]), ("INT8", [-128]), ("INT16", [5]), ("INT32", [5]), ("INT64", [2**53]), ("UINT8", [255]),
        ("UINT16", [5]), ("UINT32", [5]), ("UINT64", [5]), ("BOOL", [True]), ("INT64", [3.0]), ("FP64", [[1.5]]),
    ],
)  # fmt: skip
def test_a_datatype_that_holds_the_value_is_taken(datatype: str, data: list[Any]) -> None:
    answered = post(V2, three(amount=tensor("amount", datatype, data), country=tensor("country", "BYTES", [None])))
    value = data[0][0] if isinstance(data[0], list) else data[0]
    assert answered.status_code == 200, answered.text
    assert answered.json()["outputs"][0]["data"] == [None if value is None else value + 2.0]


@pytest.mark.parametrize(
    ("name", "datatype", "data"),
    [
        ("amount", "FP32", [1.5]), ("amount", "FP16", [1.5]), ("amount", "INT64", [3.7]), ("amount", "INT64", [BIG]), ("amount", "FP64", [BIG]),
        ("amount", "UINT8", [300]), ("amount", "UINT8", [-1]), ("amount", "INT8", [128]), ("amount", "UINT64", [BIG]), ("amount", "BOOL", [1]),
        ("amount", "BYTES", ["1"]), ("amount", "FP64", ["1"]), ("amount", "FP64", [True]), ("amount", "DATE", [1]), ("country", "FP64", [1.0]),
        ("country", "BYTES", [1]), ("country", "BYTES", [["de", "fr"]]),
    ],
)  # fmt: skip
def test_a_datatype_or_value_that_loses_something_is_refused_with_the_field(name: str, datatype: str, data: list[Any]) -> None:
    answered = post(V2, three(**{name: tensor(name, datatype, data)}))
    assert (answered.status_code, answered.json()["field"]) == (400, name), answered.text


@pytest.mark.parametrize("shape", [[2], [1, 2], [], None, ["1"], [1, 1, 1], "1", [-1]])
def test_a_shape_that_is_not_the_datas_is_refused(shape: Any) -> None:
    wrong = tensor("amount", "FP64", [1.5])
    wrong["shape"] = shape
    assert post(V2, three(amount=wrong)).json()["field"] == "amount"


def test_outputs_are_those_that_are_asked_for() -> None:
    assert [o["name"] for o in post(V2, {**three(), "outputs": [{"name": "prediction"}]}).json()["outputs"]] == ["prediction"]
    refused = post(V2, {**three(), "outputs": [{"name": "predictions"}]})
    assert (refused.status_code, refused.json()["field"]) == (400, "predictions")


def test_ids_are_the_callers_or_one_of_the_servers() -> None:
    plain = post(V2, three())
    assert plain.headers["x-request-id"] == plain.json()["id"] != post(V2, three()).json()["id"]
    both = post(V2, {**three(), "id": "mine"}, headers={"x-request-id": "trace-1"})
    assert (both.headers["x-request-id"], both.json()["id"]) == ("trace-1", "mine")
    refused = post(V1, {"instances": [{}]}, headers={"x-request-id": "trace-2"})
    assert refused.status_code == 400 and refused.headers["x-request-id"] == refused.json()["id"] == "trace-2"
    odd = post(V1, {"instances": [ROW]}, headers={"x-request-id": "a" * 1000})
    assert len(odd.headers["x-request-id"]) < 100


def binary(parts: dict[str, tuple[str, bytes, int]], **more: Any) -> tuple[bytes, dict[str, str]]:
    described = [
        {"name": name, "datatype": datatype, "shape": [count], "parameters": {"binary_data_size": len(content)}}
        for name, (datatype, content, count) in parts.items()
    ]
    head = json.dumps({"inputs": described, **more}).encode()
    return head + b"".join(content for _, content, _ in parts.values()), {"inference-header-content-length": str(len(head))}


def text(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


PARTS = {
    "amount": ("FP64", np.array([1.5, np.nan]).tobytes(), 2),
    "country": ("BYTES", text("de", "über"), 2),
    "size": ("INT32", np.array([2, 3], "<i4").tobytes(), 2),
}


def test_binary_tensors_are_read_and_answered() -> None:
    body, headers = binary(PARTS)
    assert post(V2, body, headers=headers).json()["outputs"][0]["data"] == [2003.5, None]
    body, headers = binary(PARTS, parameters={"binary_data_output": True})
    answered = post(V2, body, headers=headers)
    length = int(answered.headers["inference-header-content-length"])
    head = json.loads(answered.content[:length])
    assert head["outputs"] == [{"name": "prediction", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}]
    np.testing.assert_array_equal(np.frombuffer(answered.content[length:]), [2003.5, np.nan])


def test_a_flag_beside_a_binary_tensor_says_what_is_null() -> None:
    body, headers = binary({**PARTS, "country__is_null": ("BOOL", b"\x00\x01", 2), "amount__is_null": ("BOOL", b"\x00\x00", 2)})
    assert post(V2, body, headers=headers).json()["outputs"][0]["data"] == [2003.5, None]
    body, headers = binary({**PARTS, "amount": ("FP64", np.array([1.5, 0.0]).tobytes(), 2), "country__is_null": ("BOOL", b"\x01\x01", 2)})
    assert post(V2, body, headers=headers).json()["outputs"][0]["data"] == [3.5, 3.0]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"amount": ("FP64", b"\x00" * 15, 2)}, "amount"),
        ({"amount": ("FP64", b"\x00" * 24, 2)}, "amount"),
        ({"amount": ("FP32", b"\x00" * 8, 2)}, "amount"),
        ({"amount": ("INT64", np.array([BIG, 1]).tobytes(), 2)}, "amount"),
        ({"amount": ("UINT64", np.array([2**64 - 1, 1], "<u8").tobytes(), 2)}, "amount"),
        ({"country": ("BYTES", b"\xff\xff\xff\xffde", 2)}, "country"),
        ({"country": ("BYTES", text("de"), 2)}, "country"),
        ({"country": ("BYTES", struct.pack("<I", 1) + b"\xff" + text("x"), 2)}, "country"),
        ({"country__is_null": ("BOOL", b"\x00", 1)}, "country__is_null"),
        ({"nothing__is_null": ("BOOL", b"\x00\x00", 2)}, "nothing__is_null"),
    ],
)
def test_a_binary_tensor_that_is_not_what_it_says_is_refused(changed: dict[str, Any], field: str) -> None:
    body, headers = binary({**PARTS, **changed})
    answered = post(V2, body, headers=headers)
    assert (answered.status_code, answered.json()["field"]) == (400, field), answered.text


def test_bytes_that_no_tensor_has_are_refused() -> None:
    body, headers = binary(PARTS)
    for content, length in ((body + b"x", headers), (body[:-1], headers), (body, {"inference-header-content-length": "99999"})):
        assert post(V2, content, headers=length).status_code == 400
    assert post(V2, body, headers={"inference-header-content-length": "-5"}).status_code == 400
    assert post(V1, json.dumps({"instances": [ROW]}).encode(), headers={"inference-header-content-length": "3"}).status_code == 400


def test_packed_bodies_are_unpacked_within_bounds() -> None:
    body = json.dumps({"instances": [ROW]}).encode()
    for encoding, content in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("identity", body)):
        assert post(V1, content, headers={"content-encoding": encoding}).json()["predictions"] == [2003.5]
    assert post(V1, body, headers={"content-encoding": "br"}).status_code == 415
    for content, status in (
        (body, 400),
        (gzip.compress(body)[:-4], 400),
        (gzip.compress(body) + b"x", 400),
        (gzip.compress(b" " * 2**25), 413),
    ):
        assert post(V1, content, headers={"content-encoding": "gzip"}).status_code == status


def test_personal_values_are_in_no_message() -> None:
    for path, body in (
        (V1, {"instances": [{**ROW, "amount": "+49 171"}]}),
        (V1, {"inputs": {**{k: [v] for k, v in ROW.items()}, "amount": ["+49 171"]}}),
        (V2, three(amount=tensor("amount", "FP64", ["+49 171"]))),
        (V2, three(amount=tensor("amount", "UINT8", [171171]))),
    ):
        answered = post(path, body, served=app(("amount",)))
        assert answered.status_code == 400 and "171" not in answered.json()["error"], answered.text


def test_a_model_that_fails_tells_the_client_an_id_only(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails:
        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            raise ValueError("secret of 4711")

    model = ServableModel("shop.sums", "7", Answer("regression"), FIELDS, FeatureSpec((), "at"), Fails())  # type: ignore[arg-type]
    answered = post(V1, {"instances": [ROW]}, served=PredictionApp({"shop.sums": LoadedModel(model, "")}))
    assert answered.status_code == 500 and "4711" not in answered.text
    assert answered.json()["id"] in capsys.readouterr().err


def test_no_request_at_random_is_an_error_of_the_server() -> None:
    rng, served = random.Random(7), app()
    statuses: Counter[int] = Counter()

    async def ask() -> None:
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            for number in range(6000):
                path, body, headers = random_request(rng)
                answered = await client.post(path, content=body, headers={k: v.encode() for k, v in headers.items()})
                statuses[answered.status_code] += 1
                assert answered.status_code in (200, 400, 404, 413, 415), (number, path, body[:500], headers, answered.text)
                assert answered.headers["x-request-id"]

    asyncio.run(ask())
    assert statuses[200] > 500 and statuses[400] > 500, statuses
