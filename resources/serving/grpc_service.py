"""V2 of the Open Inference Protocol over gRPC, with the messages that KServe's package brings and a service of our own.

KServe's service takes its models from its own repository, which any client may tell to load and unload, and looks at one tensor of a request.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.metadata import version as version_of
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc

from lakeloop.errors import nearest
from lakeloop.masking import message_of
from resources.serving.access import Access
from resources.serving.answers import to_bytes
from resources.serving.app import MOST_BYTES, PredictionApp, Target, batch_of
from resources.serving.inputs import RequestError
from resources.serving.pages import EXTENSIONS, metadata
from resources.serving.tensors import Tensor

SERVICE = "inference.GRPCInferenceService"
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Where a tensor's values stand by its datatype."""


@cache
def messages() -> ModuleType:
    """The protocol's messages, without the rest of KServe's package, whose import takes more than a second."""
    name = "kserve.protocol.grpc.grpc_predict_v2_pb2"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("kserve")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("kserve")
    path = Path(package.submodule_search_locations[0], "protocol", "grpc", "grpc_predict_v2_pb2.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}.messages", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class GrpcService:
    """Answers what is asked over gRPC as the app answers it over HTTP.

    Args:
        app: with the models and the counts.
    """

    def __init__(self, app: PredictionApp) -> None:
        self.app, self.models = app, app.models

    async def infer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """ModelInfer."""
        started, app = time.perf_counter(), self.app
        request_id = _metadata_of(context).get("x-request-id", "") or request.id or app.next_id()
        target, status, rows = None, "OK", 0
        app.meter.in_flight += 1
        try:
            await context.send_initial_metadata((("x-request-id", request_id),))
            target = self._target(request.model_name, request.model_version)
            model = target.model
            app.check_busy()
            tensors = _tensors_of(request)
            names = model.outputs.select([output.name for output in request.outputs])
            batch = batch_of(tensors, model)
            columns = model.predict(batch)
            rows = batch.count
            return _response(request, target, request_id, {name: columns[name] for name in names})
        except RequestError as error:
            codes = {404: grpc.StatusCode.NOT_FOUND, 413: grpc.StatusCode.RESOURCE_EXHAUSTED, 503: grpc.StatusCode.UNAVAILABLE}
            code = codes.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
            status = code.name
            where = f"{error.field}: " if error.field else ""
            await context.abort(code, f"{where}{error.message}")
        except Exception as error:  # the process boundary, as over HTTP
            if isinstance(error, grpc.aio.AbortError):
                raise
            status = "INTERNAL"
            hide = target is not None and target.model.model.holds_personal
            print(f"prediction failed [{request_id}]: {message_of(error, hide=hide)}", file=sys.stderr, flush=True)
            await context.abort(grpc.StatusCode.INTERNAL, f"the model failed on this request; see the server's log for {request_id}")
        finally:
            app.meter.in_flight -= 1
            app.count(target, "grpc", status, rows=rows, seconds=time.perf_counter() - started)

    async def server_live(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """ServerLive."""
        return messages().ServerLiveResponse(live=True)

    async def server_ready(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """ServerReady."""
        return messages().ServerReadyResponse(ready=True)

    async def model_ready(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """ModelReady: of a model, or of one version of it."""
        model = self.models.get(request.name)
        return messages().ModelReadyResponse(ready=model is not None and request.version in ("", model.version))

    async def server_metadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """ServerMetadata."""
        return messages().ServerMetadataResponse(name="lakeloop", version=version_of("lakeloop"), extensions=EXTENSIONS)

    async def model_metadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """ModelMetadata."""
        try:
            described = metadata(self._target(request.name, request.version).model)
        except RequestError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, error.message)
        return messages().ModelMetadataResponse(**{name: value for name, value in described.items() if name != "parameters"})

    def _target(self, name: str, version: str) -> Target:
        model = self.models.get(name)
        if model is None:
            raise RequestError(f"no model {name[:200]!r} is served; {nearest(name, self.models)}", field="model", status=404)
        if version not in ("", model.version):
            raise RequestError(f"version {version[:50]} is not served, version {model.version} is", field="version", status=404)
        return Target(model, is_v1=False)

    def handlers(self) -> dict[str, Any]:
        """The methods of the service."""
        proto = messages()
        methods: dict[str, tuple[Callable[[Any, Any], Awaitable[Any]], str]] = {
            "ModelInfer": (self.infer, "ModelInfer"),
            "ServerLive": (self.server_live, "ServerLive"),
            "ServerReady": (self.server_ready, "ServerReady"),
            "ModelReady": (self.model_ready, "ModelReady"),
            "ServerMetadata": (self.server_metadata, "ServerMetadata"),
            "ModelMetadata": (self.model_metadata, "ModelMetadata"),
        }
        return {
            name: grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=getattr(proto, f"{message}Request").FromString,
                response_serializer=getattr(proto, f"{message}Response").SerializeToString,
            )
            for name, (method, message) in methods.items()
        }


async def start_grpc(app: PredictionApp, port: int, access: Access) -> grpc.aio.Server:
    """A gRPC server on loopback that answers; several processes may share its port.

    Args:
        app: with the models.
        port: to listen on.
        access: what callers need.

    Raises:
        OSError: the port can't be used.
    """
    bounds = [("grpc.max_receive_message_length", MOST_BYTES), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 1)]
    server = grpc.aio.server(options=bounds, interceptors=[_Bearer(access)] if access.token else [])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, GrpcService(app).handlers()),))
    address = f"127.0.0.1:{port}"
    try:
        if tls := access.tls():
            server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
        else:
            server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"port {port} on 127.0.0.1 can't be used for gRPC: {error}") from error
    await server.start()
    return server


def _metadata_of(context: grpc.aio.ServicerContext) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _tensors_of(request: Any) -> list[Tensor]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(f"wanted {len(request.inputs)} raw_input_contents, one per input, found {len(raw)}", field="inputs")
    if not request.inputs:
        raise RequestError("wanted at least one input tensor", field="inputs")
    tensors = []
    for place, each in enumerate(request.inputs):
        if raw:
            if each.HasField("contents"):
                raise RequestError("wanted contents or raw_input_contents, found both", field=each.name)
            data: Any = raw[place]
        else:
            if each.datatype not in _CONTENTS:
                raise RequestError(f"wanted the datatype of a number (FP64) or BYTES, found {each.datatype}", field=each.name)
            data = list(getattr(each.contents, _CONTENTS[each.datatype]))
        tensors.append(Tensor(each.name, each.datatype, list(each.shape), data))
    return tensors


def _response(request: Any, target: Target, request_id: str, columns: Mapping[str, Any]) -> Any:
    """The answer, raw where the request was."""
    model, is_raw = target.model, bool(request.raw_input_contents)
    response = messages().ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id or request_id)
    for name, values in columns.items():
        datatype = model.outputs.types[name]
        output = response.outputs.add(name=name, datatype=datatype, shape=[len(values)])
        if is_raw:
            response.raw_output_contents.append(to_bytes(values, datatype))
        elif datatype == "BYTES":
            output.contents.bytes_contents.extend(str(value).encode() for value in values)
        else:
            getattr(output.contents, _CONTENTS[datatype]).extend(values if isinstance(values, list) else values.tolist())
    return response


class _Bearer(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc declares no types
    """Refuses calls without the token, save those that ask whether the server is up."""

    def __init__(self, access: Access) -> None:
        self.access = access

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Continue a call, or refuse it."""
        sent = dict(details.invocation_metadata or ()).get("authorization", "")
        sent = sent.decode("latin-1") if isinstance(sent, bytes) else sent
        is_open = details.method in (f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady")
        if is_open or self.access.allows(sent):
            return await continuation(details)

        async def refuse(request: Any, context: grpc.aio.ServicerContext) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "wanted the endpoint's bearer token in authorization")

        return grpc.unary_unary_rpc_method_handler(refuse)
