"""What the endpoint says of itself: what is served, its readiness and metadata, counts, and an OpenAPI page of the models."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import Any

from lakeloop.errors import nearest
from resources.host.web_guard import Receive, Scope, Send, answer
from resources.serving.meter import Meter
from resources.serving.models import LoadedModel
from resources.serving.openapi import describe_api, example_request

PAGES = (
    "/", "/docs", "/openapi.json", "/metrics", "/v1/models", "/v1/models/{name}", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models",
    "/v2/models/{name}", "/v2/models/{name}/ready", "/v2/models/{name}/versions/{version}", "/v2/models/{name}/versions/{version}/ready",
)  # fmt: skip
"""Every path that is got. It is what the pages are chosen by, and each is looked at by the tests of the web guard."""
_PLAIN = "application/json"
EXTENSIONS = ["binary_tensor_data"]


class Pages:
    """Answers GET and HEAD; anything else is 405.

    Args:
        models: what is served, by name.
        meter: of the counts.
    """

    def __init__(self, models: Mapping[str, LoadedModel], meter: Meter) -> None:
        self.models, self.meter = models, meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        if scope["method"] not in ("GET", "HEAD"):
            await answer(send, 405, {"error": "wanted GET, or POST of a prediction"}, [(b"allow", b"GET, HEAD, POST")])
            return
        wants_html = b"text/html" in headers.get(b"accept", b"")
        status, content, kind = self.page(scope["path"], base_url(scope, headers), wants_html=wants_html)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def page(self, path: str, base: str, *, wants_html: bool) -> tuple[int, Any, str]:
        """Status, content and media type of a path.

        Args:
            path: of the request.
            base: address by which the client asked.
            wants_html: whether a person looks at it.
        """
        template, names = _template_of(path)
        model = self.models.get(names.get("name", ""))
        if "name" in names and model is None:
            return 404, {"error": f"no model {names['name'][:200]!r} is served; {nearest(names['name'], self.models)}"}, _PLAIN
        if model is not None:
            return self._page_of(template, model, names)
        match template:
            case "/" | "/docs":
                is_index = template == "/" and not wants_html
                return (200, self._index(base), _PLAIN) if is_index else (200, self._front(base), "text/html; charset=utf-8")
            case "/openapi.json":
                return 200, describe_api(self.models, base), _PLAIN
            case "/metrics":
                content, kind = self.meter.text()
                return 200, content, kind
            case "/v1/models" | "/v2/models":
                return 200, {"models": sorted(self.models)}, _PLAIN
            case "/v2":
                return 200, {"name": "lakeloop", "version": version_of("lakeloop"), "extensions": EXTENSIONS}, _PLAIN
            case "/v2/health/live":
                return 200, {"live": True}, _PLAIN
            case "/v2/health/ready":
                return 200, {"ready": True}, _PLAIN
        return 404, {"error": "there is no such page; / says what is served"}, _PLAIN

    def _page_of(self, template: str, model: LoadedModel, names: Mapping[str, str]) -> tuple[int, Any, str]:
        asked = names.get("version", model.version)
        if asked != model.version:
            return 404, {"error": f"version {asked[:50]} is not served, version {model.version} is"}, _PLAIN
        is_readiness = template.endswith("/ready") or template.startswith("/v1")
        return 200, {"name": model.name, "ready": True} if is_readiness else metadata(model), _PLAIN

    def _index(self, base: str) -> dict[str, Any]:
        return {"status": "alive", "models": [self._entry(model, base) for _, model in sorted(self.models.items())], "docs": f"{base}/docs"}

    def _entry(self, model: LoadedModel, base: str) -> dict[str, Any]:
        return {
            "name": model.name,
            "version": model.version,
            "v1": curl(f"{base}/v1/models/{model.name}:predict", example_request(model, "v1")),
            "v2": curl(f"{base}/v2/models/{model.name}/infer", example_request(model, "v2")),
        }

    def _front(self, base: str) -> bytes:
        """The same for people: the models, how they are asked, what they take and answer."""
        parts = [_section(model, self._entry(model, base)) for _, model in sorted(self.models.items())]
        nothing = "<p>Nothing is served yet: a workflow with <code>online</code> is, once a version of it is released.</p>"
        links = f'<p><a href="{base}/openapi.json">OpenAPI</a> · <a href="{base}/metrics">metrics</a> · <a href="{base}/v2">server</a></p>'
        return f"{_TOP}<h1>Predictions</h1>{links}{''.join(parts) or nothing}".encode()


def _template_of(path: str) -> tuple[str, dict[str, str]]:
    """The page of `PAGES` that a path is, with the names in it; empty for none."""
    parts = path.rstrip("/").split("/")
    for page in PAGES:
        wanted = page.rstrip("/").split("/")
        if len(wanted) == len(parts) and all(want == part or want.startswith("{") for want, part in zip(wanted, parts, strict=True)):
            return page, {want.strip("{}"): part for want, part in zip(wanted, parts, strict=True) if want.startswith("{")}
    return "", {}


def metadata(model: LoadedModel) -> dict[str, Any]:
    """V2's metadata of a model, and beside it how it is computed."""
    inputs = [{"name": f.name, "datatype": "BYTES" if f.kind == "string" else "FP64", "shape": [-1]} for f in model.inputs.fields]
    outputs = [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in model.outputs.types.items()]
    why = {"why_not_compiled": model.why_not} if model.why_not else {}
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "mlflow_pyfunc" if model.predictor is None else "lakeloop_compiled",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"task": model.model.answer.task, **why},
    }


def base_url(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    """The address by which a client asked."""
    return f"{scope.get('scheme', 'http')}://{headers.get(b'host', b'localhost').decode('latin-1')}"


def curl(url: str, request: Mapping[str, Any]) -> str:
    """A line for the shell that posts a request."""
    body = json.dumps(request).replace("'", "'\\''")
    return f"curl -s {url} -H 'content-type: application/json' -d '{body}'"


def _section(model: LoadedModel, entry: Mapping[str, Any]) -> str:
    described = metadata(model)
    rows = [
        f"<tr><td><code>{html.escape(each['name'])}</code></td><td>{each['datatype']}</td><td>{side}</td></tr>"
        for side, columns in (("input", described["inputs"]), ("output", described["outputs"]))
        for each in columns
    ]
    how = "compiled" if not model.why_not else f"computed by the model's own library ({html.escape(model.why_not)})"
    lines = "".join(f"<h3>{version.upper()}</h3><pre>{html.escape(entry[version])}</pre>" for version in ("v1", "v2"))
    return (
        f"<h2>{html.escape(model.name)}</h2><p>Version {html.escape(model.version)}, {html.escape(model.model.answer.task.replace('_', ' '))}; "
        f"{how}.</p>{lines}<table><thead><tr><th>name</th><th>type</th><th></th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


_TOP = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Predictions</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
pre{background:#f3f3f1;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere;border-radius:4px}h3{margin-bottom:.2rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem 1.5rem .15rem 0;border-bottom:1px solid #ddd}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}pre{background:#242424}td,th{border-color:#3a3a3a}a{color:#8ab4f8}}
</style>"""
