"""KServe's model server on an inherited socket; prediction requests are answered by a codec of ours in front of KServe's app.

Started by the supervisor. KServe's default codec accepts one tensor only and writes NaN as invalid JSON; its endpoints for readiness, metadata
and metrics are used unchanged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

import resources.host.fewer_collections  # noqa: F401
from lakeloop.errors import ServiceUnavailable, nearest
from lakeloop.masking import message_of
from resources.host.bounded_connections import bound_connections
from resources.host.web_guard import App, Receive, Scope, Send, WebGuard, answer
from resources.serving.codec import RequestError, decode_v1, decode_v2, encode_v1, encode_v2, output_types
from resources.serving.desired import write_json
from resources.tracking.model_format import Contents, ServableModel, load_model
from resources.tracking.server import wait_until_ready

if TYPE_CHECKING:
    import uvicorn
    from kserve import Model

MOST_BYTES = 16 * 2**20
MLFLOW_TIMEOUT_S = 30.0
"""How long MLflow's server, which may start at the same time, is waited for; after that its client raises its own error."""
DRAIN_S = 10.0
_V1 = re.compile(r"^/v1/models/([^/:]+):predict$")
_V2 = re.compile(r"^/v2/models/([^/]+)(?:/versions/([^/]+))?/infer$")


class Predictions:
    """ASGI: V1 and V2 prediction requests; everything else is forwarded to KServe's app."""

    def __init__(self, models: Mapping[str, ServableModel], app: App) -> None:
        self.models, self.app, self.draining = models, app, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        close = [(b"connection", b"close")] if self.draining else []

        async def send_and_close(message: MutableMapping[str, Any]) -> None:
            if self.draining and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        path = unquote(scope["path"])
        v1, v2 = _V1.match(path), _V2.match(path)
        matched = v1 or v2
        if scope["method"] != "POST" or matched is None:
            await self.app(scope, receive, send_and_close)
            return
        try:
            content = await self._predict(matched, is_v1=v1 is not None, receive=receive)
            await answer(send, 200, orjson.dumps(content), close)
        except RequestError as error:
            await answer(send, error.status, {"error": error.message, "field": error.field}, close)
        except Exception as error:  # the process boundary: the client gets an id of a model's failure, the log its message
            failure_id = uuid.uuid4().hex[:12]
            hide = matched[1] in self.models and self.models[matched[1]].holds_personal
            message = message_of(error, hide=True) if hide else f"{type(error).__name__}: {error}"
            print(f"prediction failed [{failure_id}]: {message}", file=sys.stderr, flush=True)
            await answer(send, 500, {"error": f"the model failed on this request; see the server's log for {failure_id}"}, close)

    async def _predict(self, path: re.Match[str], *, is_v1: bool, receive: Receive) -> dict[str, Any]:
        """Decode a request, predict its rows, and encode the predictions."""
        name, version = path[1], None if is_v1 else path[2]
        model = self.models.get(name)
        if model is None:
            raise RequestError(f"no model {name!r} is served; {nearest(name, self.models)}", field="model", status=404)
        if version and version != model.version:
            raise RequestError(f"version {version} is not served, version {model.version} is", field="version", status=404)
        body = await _body(receive)
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise RequestError(f"the body is not JSON: {error}") from error
        frame = decode_v1(request, model.fields) if is_v1 else decode_v2(request, model.fields)
        scores = await asyncio.to_thread(model.predict, frame) if len(frame) > 100 else model.predict(frame)
        if is_v1:
            return encode_v1(scores, model.answer, model.name, model.version, alert_above=model.alert_above)
        return encode_v2(scores, model.answer, model.name, model.version, request.get("id"), alert_above=model.alert_above)


async def _body(receive: Receive) -> bytes:
    """The whole body of a request, up to `MOST_BYTES`."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError("the client went away", status=400)
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BYTES:
            raise RequestError(f"wanted a body of at most {MOST_BYTES // 2**20} MiB", status=413)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--tracking-uri", required=True)
    return parser.parse_args()


def load_models(deployments: list[dict[str, Any]], tracking_uri: str) -> tuple[dict[str, ServableModel], dict[str, str]]:
    """Load what should be served: the models by name, and for the others the reason why they can't be loaded."""
    models, problems = {}, {}
    for deployment in deployments:
        try:
            contents = deployment.get("contents")
            known = Contents.from_record(json.loads(contents)) if contents else None
            if known is None:
                print(
                    f"{deployment['name']}: no digests of its files are known; deployments states them when it is materialised",
                    file=sys.stderr,
                )
            model = load_model(deployment["uri"], tracking_uri, known=known)
            model.name, model.version = deployment["name"], deployment["version"]
            models[deployment["name"]] = model
        except Exception as error:  # whatever a broken model raises is a state of it, and doesn't end the server
            problems[deployment["name"]] = f"{type(error).__name__}: {message_of(error, hide=False)[:300]}"
    return models, problems


def main() -> None:
    """Load, report, and serve until drained (SIGUSR1), stopped (SIGTERM), or until the supervisor has ended (standard input ends)."""
    options = _options()
    # KServe parses the command line when it is imported.
    sys.argv = [sys.argv[0], "--enable_docs_url", "False"]
    threading.Thread(target=_follow_parent, daemon=True).start()
    # Imported while MLflow's server may be starting, whose client would retry only after seconds. skops comes first: see `PRELOADED`.
    import skops.io  # noqa: F401
    from kserve import Model, ModelServer
    from kserve.model_server import app as kserve_app
    from kserve.protocol.rest.server import RESTServer

    with suppress(ServiceUnavailable):
        wait_until_ready(options.tracking_uri, MLFLOW_TIMEOUT_S)
    models, problems = load_models(json.loads(options.state.read_text()), options.tracking_uri)
    if problems:
        write_json(options.report, {"problems": problems, "ready": False})
        raise SystemExit(3)

    listener = socket.socket(fileno=options.fd)
    server = ModelServer(enable_grpc=False, workers=1)
    for name, model in models.items():
        _warm_up(model)  # so that the first request isn't the slowest
        server.register_model(_kserve_model(Model, name, model))
    rest = RESTServer("kserve.model_server:app", server.dataplane, server.model_repository_extension, 0, grace_period=int(DRAIN_S))
    rest.create_application()
    predictions = Predictions(models, kserve_app)
    rest.config.app = WebGuard(predictions)  # type: ignore[assignment]  # any ASGI app will do
    rest.config.host = "127.0.0.1"
    rest.config.access_log = False
    bound_connections()

    def drain(*_: Any) -> None:
        predictions.draining = True
        threading.Thread(target=_drain, args=(rest._server,), daemon=True).start()

    signal.signal(signal.SIGUSR1, drain)
    write_json(options.report, {"problems": {}, "ready": True})
    rest._server.run(sockets=[listener])


def _drain(server: uvicorn.Server) -> None:
    """Stop accepting, let clients finish (the next response closes their connection), then exit."""
    for listening in server.servers:
        listening.get_loop().call_soon_threadsafe(listening.close)
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline and server.server_state.connections:
        time.sleep(0.1)
    server.should_exit = True


def _follow_parent() -> None:
    """Stop this process when the supervisor has ended."""
    # Not through sys.stdin, whose lock aborts the interpreter's shutdown.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(DRAIN_S + 2)
    os._exit(1)


def _warm_up(model: ServableModel) -> None:
    """Predict a row of nulls."""
    import pandas as pd

    row = {f.name: pd.Series([None], dtype=object if f.kind == "string" else "float64") for f in model.fields}
    try:
        model.predict(pd.DataFrame(row))
    except Exception as error:  # a model may refuse nulls, and then refuses such requests; it is served all the same
        print(f"{model.name} doesn't accept a row of nulls: {message_of(error, hide=False)[:200]}", file=sys.stderr, flush=True)


def _kserve_model(base: type[Model], name: str, model: ServableModel) -> Model:
    """A model as KServe sees it: its readiness and metadata."""

    class ServedModel(base):  # type: ignore[misc, valid-type]  # KServe is imported late, and so is its class
        def __init__(self) -> None:
            super().__init__(name)
            self.ready = True

        async def get_input_types(self) -> list[dict[str, Any]]:
            return [{"name": f.name, "datatype": "BYTES" if f.kind == "string" else "FP64", "shape": [-1]} for f in model.fields]

        async def get_output_types(self) -> list[dict[str, Any]]:
            types = output_types(model.answer, alert_above=model.alert_above)
            return [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in types.items()]

    return ServedModel()


if __name__ == "__main__":
    main()
