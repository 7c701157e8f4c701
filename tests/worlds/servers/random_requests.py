"""Requests at random: right ones, and right ones with something changed, cut, repeated or replaced, in each form of the protocol."""

from __future__ import annotations

import gzip
import json
import random
import struct
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**53 + 1, 2**64, 10**30, 1e308, -0.0, 3.7, "", "1.5", "NaN", "\x00", "ü" * 50, "x" * 5000, [], [None], [[]], [[1]],
    [[1, 2]], {}, {"a": 1}, {"name": "amount"}, [1] * 300, ["de"], "FP64", "BYTES",
)  # fmt: skip
NAMES = ("amount", "country", "size", "customer", "asked_at", "country__is_null", "nothing", "")
DATATYPES = ("FP64", "FP32", "FP16", "INT8", "INT64", "UINT64", "UINT8", "BOOL", "BYTES", "DATE", "", "fp64")
Request = tuple[str, bytes, dict[str, str]]


def random_request(rng: random.Random) -> Request:
    """Path, body and headers of a request."""
    form = rng.choice(("rows", "columns", "tensors", "binary"))
    count = rng.choice((1, 1, 2, 5, 40))
    headers = {"content-type": "application/json"}
    if rng.random() < 0.1:
        headers["x-request-id"] = rng.choice(("a", "ü", "x" * 500, "\t", "1"))
    if form == "binary":
        body, length = _binary(rng, count)
        headers["inference-header-content-length"] = str(length if rng.random() < 0.9 else rng.choice((-1, 0, 3, 10**9, "x", "")))
    else:
        value = {"rows": _rows, "columns": _columns, "tensors": _tensors}[form](rng, count)
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
            value = _changed(rng, value)
        body = json.dumps(value).encode()
    if rng.random() < 0.05:
        place = rng.randrange(len(body) + 1)
        body = rng.choice((body[:place], body + b"x", body[:place] + bytes([rng.randrange(256)]) + body[place:], b""))
    if rng.random() < 0.05:
        headers["content-encoding"] = rng.choice(("gzip", "deflate", "br", "gzip, gzip", ""))
        body = gzip.compress(body) if rng.random() < 0.5 else body
    path = "/v1/models/shop.sums:predict" if form in ("rows", "columns") else "/v2/models/shop.sums/infer"
    if rng.random() < 0.03:
        path = rng.choice(
            ("/v1/models/x:predict", "/v2/models/shop.sums/versions/9/infer", "/", "/v2/repository/models/shop.sums/unload", f"{path}/")
        )
    return path, body, headers


def _row(rng: random.Random) -> dict[str, Any]:
    return {"amount": rng.choice((1.5, 2, None, True, -1e300)), "country": rng.choice(("de", None, "", "ü")), "size": rng.random()}


def _rows(rng: random.Random, count: int) -> Any:
    return {"instances": [_row(rng) for _ in range(count)]}


def _columns(rng: random.Random, count: int) -> Any:
    rows = [_row(rng) for _ in range(count)]
    return {"inputs": {name: [row[name] for row in rows] for name in rows[0]}}


def _tensors(rng: random.Random, count: int) -> Any:
    columns = _columns(rng, count)["inputs"]
    columns["amount"] = [float(value or 0) for value in columns["amount"]]
    types = {"amount": "FP64", "country": "BYTES", "size": "FP64"}
    shape = rng.choice(([count], [count, 1]))
    more = {"parameters": {"binary_data_output": rng.choice((True, False, 1))}} if rng.random() < 0.3 else {}
    return {"inputs": [{"name": n, "shape": shape, "datatype": types[n], "data": values} for n, values in columns.items()], **more}


def _binary(rng: random.Random, count: int) -> tuple[bytes, int]:
    numbers = struct.pack(f"<{count}d", *(rng.choice((1.5, float("nan"), float("inf"), -1e300, 2.0**60)) for _ in range(count)))
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (rng.choice((b"de", b"", b"\xc3\xbc", b"\xff")) for _ in range(count)))
    raw = {"amount": numbers, "country": texts, "size": numbers}
    types = {"amount": "FP64", "country": "BYTES", "size": "FP64"}
    described: Any = {
        "inputs": [
            {"name": n, "shape": [count], "datatype": types[n], "parameters": {"binary_data_size": len(part)}} for n, part in raw.items()
        ],
        "parameters": {"binary_data_output": True},
    }
    for _ in range(rng.choice((0, 0, 1, 2))):
        described = _changed(rng, described)
    head = json.dumps(described).encode()
    return head + b"".join(raw.values()), len(head)


def _changed(rng: random.Random, value: Any) -> Any:
    """A value with something in it changed, at any depth."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        way = rng.random()
        if way < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if way < 0.2:
            return {**value, rng.choice(NAMES): rng.choice(ODD)}
        if key == "datatype" and way < 0.7:
            return {**value, key: rng.choice(DATATYPES)}
        if key == "name" and way < 0.7:
            return {**value, key: rng.choice(NAMES)}
        return {**value, key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        way = rng.random()
        if way < 0.1:
            return value[:place] + value[place + 1 :]
        if way < 0.2:
            return [*value, value[place]]
        return [*value[:place], _changed(rng, value[place]), *value[place + 1 :]]
    return rng.choice(ODD)
