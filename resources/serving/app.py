"""The prediction endpoint as an ASGI app: predictions of the Open Inference Protocol, V1 and V2, with everything else on pages of its own.

Nothing here changes what is served: the data port has no route for that.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import zlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from lakeloop.errors import nearest
from lakeloop.masking import message_of
from resources.host.web_guard import Receive, Scope, Send, answer
from resources.serving.answers import encode_binary, encode_v1, encode_v2
from resources.serving.inputs import Batch, RequestError, check_integers, describe
from resources.serving.meter import Meter
from resources.serving.models import LoadedModel
from resources.serving.pages import Pages
from resources.serving.tensors import Tensor, columns_of

MOST_BYTES = 16 * 2**20
"""Of a request's body, packed or not."""
MOST_BYTES_AT_ONCE = 256 * 2**20
MOST_AT_ONCE = 256
"""Requests that a worker has in hand; one more is shed, since each waits for those before it."""
INLINE_BYTES = 64 * 2**10
"""Of a body that is answered where it arrived; a larger one is answered in a thread, so that it doesn't keep small ones waiting."""
PREDICTIONS = ("/v1/models/{name}:predict", "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
"""Every path that is posted to."""
LONGEST_ID = 200
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_UNKNOWN = ""
"""The name of a model that isn't served, in the counts: names are the caller's, who would make a series of each."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a path asks for."""

    model: LoadedModel
    is_v1: bool


@dataclass(slots=True)
class Head:
    """What the head of a request says."""

    length: int | None = None
    encoding: bytes = b""
    json_length: int | None = None
    request_id: str = ""


@dataclass(slots=True)
class Answered:
    """An answer on its way."""

    body: bytes
    headers: list[tuple[bytes, bytes]]
    rows: int


class PredictionApp:
    """Answers prediction requests; other paths are `Pages`.

    Args:
        models: what is served, by name.
        meter: counts the answers.
    """

    def __init__(self, models: Mapping[str, LoadedModel], meter: Meter | None = None) -> None:
        self.models, self.meter = models, meter or Meter()
        self.pages = Pages(models, self.meter)
        self.draining = False
        self._boot, self._seq = os.urandom(6).hex(), 0
        self._bytes = 0
        self._targets: dict[str, Target] = {}
        for name, model in models.items():
            self._targets[f"/v1/models/{name}:predict"] = Target(model, is_v1=True)
            self._targets[f"/v2/models/{name}/infer"] = Target(model, is_v1=False)
            self._targets[f"/v2/models/{name}/versions/{model.version}/infer"] = Target(model, is_v1=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await _close(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self.pages(scope, receive, self._closing(send) if self.draining else send)
            return
        started, head = time.perf_counter(), _read_head(scope)
        request_id = head.request_id or self.next_id()
        target, meter, status, rows = None, self.meter, "200", 0
        headers = [(b"x-request-id", request_id.encode("latin-1")), *([(b"connection", b"close")] if self.draining else ())]
        meter.in_flight += 1
        try:
            target = self._target(scope["path"])
            answered = await self._answer(target, head, request_id, receive)
            rows = answered.rows
            headers = [*answered.headers, (b"content-length", str(len(answered.body)).encode()), *headers]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": answered.body})
        except RequestError as error:
            status = str(error.status)
            more = [(b"retry-after", b"1")] if error.status == 503 else [(b"connection", b"close")] if error.status == 413 else []
            await answer(send, error.status, {"error": error.message, "field": error.field, "id": request_id}, [*headers, *more])
        except Exception as error:  # the process boundary: the client gets an id of a model's failure, the log its message
            status = "500"
            hide = target is not None and target.model.model.holds_personal
            message = message_of(error, hide=True) if hide else f"{type(error).__name__}: {error}"
            print(f"prediction failed [{request_id}]: {message}", file=sys.stderr, flush=True)
            told = {"error": f"the model failed on this request; see the server's log for {request_id}", "id": request_id}
            await answer(send, 500, told, headers)
        finally:
            meter.in_flight -= 1
            protocol = "v1" if target is None or target.is_v1 else "v2"
            self.count(target, protocol, status, rows=rows, seconds=time.perf_counter() - started)

    def next_id(self) -> str:
        """An id for a request whose caller sent none."""
        self._seq += 1
        return f"{self._boot}-{self._seq:x}"

    def check_busy(self, length: int = 0) -> None:
        """Shed a request where there are enough.

        Raises:
            RequestError: 503.
        """
        if self.meter.in_flight > MOST_AT_ONCE or self._bytes + length > MOST_BYTES_AT_ONCE:
            raise RequestError("the server is busy; try again", status=503)

    def count(self, target: Target | None, protocol: str, status: str, *, rows: int, seconds: float) -> None:
        """Count a request that was answered."""
        name, version = (target.model.name, target.model.version) if target else (_UNKNOWN, _UNKNOWN)
        self.meter.count(name, version, "champion", protocol, status, rows=rows, seconds=seconds)

    def _target(self, path: str) -> Target:
        """What a path asks for.

        Raises:
            RequestError: it isn't served, or is no path of a prediction.
        """
        if target := self._targets.get(path):
            return target
        match path.split("/"):
            case ["", "v1", "models", action] if action.endswith(":predict"):
                name, version = action.removesuffix(":predict"), ""
            case ["", "v2", "models", name, "infer"]:
                version = ""
            case ["", "v2", "models", name, "versions", version, "infer"]:
                pass
            case _:
                raise RequestError(
                    f"nothing is posted to {quote(path)[:200]}; predictions are asked of /v2/models/<name>/infer", status=404
                )
        if name in self.models:
            served = self.models[name].version
            raise RequestError(f"version {version} is not served, version {served} is", field="version", status=404)
        raise RequestError(f"no model {name!r} is served; {nearest(name, self.models)}", field="model", status=404)

    async def _answer(self, target: Target, head: Head, request_id: str, receive: Receive) -> Answered:
        self.check_busy(head.length or 0)
        if head.length is not None and head.length > MOST_BYTES:
            raise RequestError(f"wanted a body of at most {MOST_BYTES // 2**20} MiB, found {head.length} bytes", status=413)
        body = await self._body(receive)
        if head.encoding:
            body = _unpack(body, head.encoding)
        if len(body) > INLINE_BYTES:
            return await asyncio.to_thread(respond, target, head, body, request_id)
        return respond(target, head, body, request_id)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body of a request, up to `MOST_BYTES`."""
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            return body
        parts, size = [], 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise RequestError("the client went away", status=400)
                part = message.get("body", b"")
                size += len(part)
                self._bytes += len(part)
                if size > MOST_BYTES:
                    raise RequestError(f"wanted a body of at most {MOST_BYTES // 2**20} MiB", status=413)
                self.check_busy()
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._bytes -= size

    def _closing(self, send: Send) -> Send:
        async def send_and_close(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        return send_and_close


def respond(target: Target, head: Head, body: bytes, request_id: str) -> Answered:
    """The answer to the body of a prediction request.

    Raises:
        RequestError: it can't be answered.
    """
    if head.json_length is not None and (target.is_v1 or not 0 <= head.json_length <= len(body)):
        wanted = "none for V1" if target.is_v1 else f"at most the {len(body)} bytes of the body"
        raise RequestError(f"Inference-Header-Content-Length: wanted {wanted}")
    text = body if head.json_length is None else body[: head.json_length]
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise RequestError(f"wanted a JSON object, found {describe(request)}")
    model = target.model
    if target.is_v1:
        batch = _batch_v1(request, model)
        _check_exact(batch, text)
        return Answered(encode_v1(model.predict(batch), model.name, model.version), [_JSON], batch.count)
    names, binary = _outputs_of(request, model)
    batch = _batch_v2(request, model, memoryview(body)[len(text) :])
    _check_exact(batch, text)
    columns = model.predict(batch)
    columns = {name: columns[name] for name in names}
    client_id = _client_id(request, request_id)
    if not binary:
        return Answered(encode_v2(columns, model.outputs.types, model.name, model.version, client_id), [_JSON], batch.count)
    content, length = encode_binary(columns, model.outputs.types, model.name, model.version, client_id, binary)
    headers = [_BINARY, (b"inference-header-content-length", str(length).encode())]
    return Answered(content, headers, batch.count)


def _check_exact(batch: Batch, text: bytes) -> None:
    if batch.is_large:
        check_integers(text.decode())


def _batch_v1(request: Mapping[str, Any], model: LoadedModel) -> Batch:
    """`{"instances": [{column: value}, …]}` or `{"inputs": {column: [value, …]}}`."""
    if "instances" in request and "inputs" in request:
        raise RequestError("wanted instances or inputs, found both", field="inputs")
    if "instances" in request:
        rows = request["instances"]
        if not isinstance(rows, list) or not rows:
            raise RequestError(f"wanted a list of at least one object, found {describe(rows)}", field="instances")
        return model.inputs.from_rows(rows)
    if "inputs" not in request:
        raise RequestError(f"wanted the key instances or inputs; {nearest(next(iter(request), ''), ['instances', 'inputs'])}")
    columns = request["inputs"]
    if not isinstance(columns, dict) or not columns:
        raise RequestError(f"wanted an object of column and list, found {describe(columns)}", field="inputs")
    for name, values in columns.items():
        if not isinstance(values, list):
            model.inputs.kind_of(name)
            raise RequestError(f"wanted a list of values, found {describe(values)}", field=name)
    return model.inputs.from_columns(columns)


def _batch_v2(request: Mapping[str, Any], model: LoadedModel, content: memoryview) -> Batch:
    """`{"inputs": [{"name", "shape", "datatype", "data"}, …]}`, one tensor per column; in place of data, the size of its part of the content."""
    described = request.get("inputs")
    if not isinstance(described, list) or not described:
        raise RequestError("wanted a JSON object with a list of input tensors", field="inputs")
    tensors, at = [], 0
    for each in described:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str) or not isinstance(each.get("datatype"), str):
            raise RequestError("wanted tensors with name, shape, datatype and data", field="inputs")
        parameters = each.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        data: Any = each.get("data")
        if size is not None:
            if data is not None:
                raise RequestError("wanted data or binary_data_size, found both", field=each["name"])
            if type(size) is not int or size < 0 or at + size > len(content):
                wanted = f"wanted at most the {len(content) - at} bytes that are left"
                raise RequestError(f"binary_data_size: {wanted}, found {describe(size)}", field=each["name"])
            data, at = content[at : at + size], at + size
        elif not isinstance(data, list):
            raise RequestError(f"wanted data as a list, found {describe(data)}", field=each["name"])
        shape = each.get("shape")
        tensors.append(Tensor(each["name"], each["datatype"], shape if isinstance(shape, list) else (), data))
    if at != len(content):
        raise RequestError(f"{len(content) - at} bytes after the last tensor belong to none", field="inputs")
    return batch_of(tensors, model)


def batch_of(tensors: list[Tensor], model: LoadedModel) -> Batch:
    """The rows of a request's tensors.

    Raises:
        RequestError: they aren't what the model takes.
    """
    return model.inputs.from_columns(columns_of(tensors, model.inputs))


def _outputs_of(request: Mapping[str, Any], model: LoadedModel) -> tuple[list[str], set[str]]:
    """The outputs that a request asks for, and those among them that it wants as bytes."""
    parameters, asked = request.get("parameters") or {}, request.get("outputs")
    if not isinstance(parameters, dict):
        raise RequestError(f"wanted an object, found {describe(parameters)}", field="parameters")
    if asked is not None and not isinstance(asked, list):
        raise RequestError(f"wanted a list of outputs, found {describe(asked)}", field="outputs")
    all_binary = parameters.get("binary_data_output") is True
    if not asked:
        names = model.outputs.select(None)
        return names, set(names) if all_binary else set()
    names, binary = [], set()
    for output in asked:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise RequestError("wanted outputs with a name", field="outputs")
        names.append(output["name"])
        own = output.get("parameters")
        if (own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary) is True:
            binary.add(output["name"])
    return model.outputs.select(names), binary


def _client_id(request: Mapping[str, Any], request_id: str) -> str:
    """V2's `id`: the caller's, else the request's."""
    client_id = request.get("id")
    if client_id is None or client_id == "":
        return request_id
    if isinstance(client_id, (str, int)) and not isinstance(client_id, bool) and len(str(client_id)) <= LONGEST_ID:
        return str(client_id)
    raise RequestError(f"wanted a string of at most {LONGEST_ID} characters, found {describe(client_id)}", field="id")


def _read_head(scope: Scope) -> Head:
    head = Head()
    for name, value in scope["headers"]:
        if name == b"content-length":
            head.length = int(value) if value.isdigit() else None
        elif name == b"content-encoding":
            head.encoding = value.strip().lower().replace(b"identity", b"")
        elif name == b"inference-header-content-length":
            head.json_length = int(value) if value.isdigit() else -1
        elif name == b"x-request-id" and value and len(value) <= LONGEST_ID and value.isascii() and value.decode("ascii").isprintable():
            head.request_id = value.decode("ascii")
    return head


def _unpack(body: bytes, encoding: bytes) -> bytes:
    """A body that was sent packed.

    Raises:
        RequestError: 415 for an encoding that isn't known, 413 for more than `MOST_BYTES`, 400 for what can't be unpacked.
    """
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        raise RequestError(f"Content-Encoding: wanted gzip or deflate, found {encoding.decode('latin-1')[:40]!r}", status=415)
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        content = unpacker.decompress(body, MOST_BYTES + 1)
    except zlib.error as error:
        raise RequestError(f"the body is not {encoding.decode()}: {error}") from error
    if len(content) > MOST_BYTES:
        raise RequestError(f"wanted a body of at most {MOST_BYTES // 2**20} MiB, unpacked", status=413)
    if not unpacker.eof or unpacker.unused_data:
        raise RequestError(f"the body is not {encoding.decode()}: it ends too early, or goes on after its end")
    return content


async def _close(scope: Scope, receive: Receive, send: Send) -> None:
    """End what isn't HTTP: a web socket is refused, and the server's own start and end have nothing to wait for."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
