"""The web guard, for every route of the three servers: what a page of another site may do is to lead here, nothing else."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from resources.host.web_guard import WebGuard

pytestmark = pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")  # MLflow 3.17 imports it
HOST = "127.0.0.1:3000"
OWN = f"http://{HOST}"
READABLE = Path(__file__).parent / "readable_routes.txt"
"""Every route that is answered to GET, by server: each was looked at, and changes nothing (GraphQL only by what the guard refuses)."""


class Reached:
    """An app that notes that a request reached it."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.count += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def ask(method: str, target: str, headers: dict[str, str]) -> tuple[int, bool]:
    """The status of an answer, and whether the app behind the guard saw the request. The target goes out as it stands here."""
    app = Reached()
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": httpx.URL(OWN).copy_with(raw_path=path.encode()).path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in {"Host": HOST, **headers}.items()],
    }
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    with suppress(StopIteration):  # it waits for nothing, so that it needs no event loop
        WebGuard(app)(scope, receive, send).__await__().send(None)
    return sent[0]["status"], bool(app.count)


LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
ANSWERED = {
    "a program": {},
    "the server's own page": {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
    "an address that was typed": {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    "a forwarded port": {"Host": "localhost:9000", "Origin": "http://localhost:9000"},
}
REFUSED = {
    "a foreign host": {"Host": "evil.example"},
    "a foreign host that looks alike": {"Host": "127.0.0.1.evil.example"},
    "a foreign origin": {"Origin": "http://evil.example"},
    "an app on another port": {"Origin": "http://127.0.0.1:8888"},
    "another name of this machine": {"Origin": "http://localhost:3000"},
    "no origin that can be told": {"Origin": "null"},
    "an origin with a user": {"Origin": "http://127.0.0.1:3000@evil.example"},
    "a scheme that serves no pages": {"Origin": "file://127.0.0.1:3000"},
    "an image of another site": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "a script of another port": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "a frame in another site": {**LINK, "Sec-Fetch-Dest": "iframe"},
    "a form of another site, without its origin": {**LINK, "method": "POST", "Content-Type": "text/plain"},
    "a form of another port": {
        **LINK,
        "Sec-Fetch-Site": "same-site",
        "method": "POST",
        "Content-Type": "application/x-www-form-urlencoded",
    },
}


def flattened(routes: Iterable[Any], before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Path and methods of each route, those of included routers too."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from flattened(route.original_router.routes, before)
        elif getattr(route, "routes", None):
            yield from flattened(route.routes, before + route.path)
        elif hasattr(route, "methods"):
            yield before + route.path, set(route.methods or {"GET"})


def dagster_routes() -> Iterator[tuple[str, set[str]]]:
    from dagster_webserver.webserver import DagsterWebserver

    return flattened(DagsterWebserver(SimpleNamespace(), uses_app_path_prefix=False).build_routes())  # type: ignore[type-var, arg-type]


def mlflow_routes() -> Iterator[tuple[str, set[str]]]:
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import app

    return itertools.chain(flattened(app.routes), ((str(rule.rule), set(rule.methods or ())) for rule in flask_app.url_map.iter_rules()))


def endpoint_routes() -> Iterator[tuple[str, set[str]]]:
    from resources.serving.app import PREDICTIONS
    from resources.serving.pages import PAGES

    return itertools.chain(((path, {"GET", "HEAD"}) for path in PAGES), ((path, {"POST"}) for path in PREDICTIONS))


@pytest.fixture(scope="module")
def routes() -> dict[str, dict[str, set[str]]]:
    """By server and path the methods of every route."""
    methods_of: dict[str, dict[str, set[str]]] = {"dagster": {}, "mlflow": {}, "endpoint": {}}
    for server, pairs in (("dagster", dagster_routes()), ("mlflow", mlflow_routes()), ("endpoint", endpoint_routes())):
        for path, methods in pairs:
            methods_of[server].setdefault(path, set()).update(methods)
    return methods_of


def test_every_route_that_can_be_got_was_looked_at(routes: dict[str, dict[str, set[str]]]) -> None:
    readable = sorted(f"{server} {path}" for server, paths in routes.items() for path, methods in paths.items() if "GET" in methods)
    assert readable == READABLE.read_text().splitlines()


def test_no_route_of_any_server_is_reached_by_another_page(routes: dict[str, dict[str, set[str]]]) -> None:
    asked = 0
    for server, paths in routes.items():
        for path, methods in paths.items():
            for method in methods - {"OPTIONS"}:
                for who, headers in REFUSED.items():
                    status, reached = ask(headers.get("method", method), quote(path), {k: v for k, v in headers.items() if k != "method"})
                    assert (status, reached) == (403, False), f"{who}: {method} {path} of {server}"
                    asked += 1
                for who, headers in ANSWERED.items():
                    assert ask(method, quote(path), headers) == (200, True), f"{who}: {method} {path} of {server}"
    assert asked > 5000


def test_a_link_of_another_site_is_followed_for_reading_only() -> None:
    assert ask("GET", "/runs", LINK) == (200, True)
    assert ask("DELETE", "/runs", LINK) == (403, False)


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ("{ version }", 200),
        ("query Q { version } fragment F on Query { version }", 200),
        ("mutation { wipeAssets(assetPartitionRanges: []) { __typename } }", 405),
        ("query Q { version } mutation M { reloadWorkspace { __typename } }", 405),
        ("subscription { locationStateChangeEvents { __typename } }", 405),
        ("mutation {", 405),
        ("", 405),
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/prefix/graphql"])
def test_graphql_by_get_only_asks(path: str, document: str, status: int) -> None:
    for method in ("GET", "HEAD"):
        assert ask(method, f"{path}?a=1&query={quote(document)}", {})[0] == status
    assert ask("POST", f"{path}?query={quote(document)}", {})[0] == 200


UPWARDS = [
    "..",
    "%2e%2e",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "%25252e%25252e",
    "%2E%2E",
    "..%20",
    "%20..",
    "..;x",
    "..%00",
    "..%09",
    "..%5c",
    "..\\",
]
SLASHES = ["/", "%2f", "%2F", "%252f", "%5c"]
BEFORE = ["/logs/", "/get-artifact/", "/v2/models/"]


def test_no_spelling_of_a_path_leads_upwards() -> None:
    spellings = [f"{before}{up}{slash}{rest}" for before in BEFORE for up in UPWARDS for slash in SLASHES for rest in ("", "etc/passwd")]
    assert len(spellings) >= 200
    for spelling in spellings:
        assert ask("GET", spelling, {}) == (400, False), spelling


@pytest.mark.parametrize(
    "path", ["/assets/a..b", "/v2/models/shop.returns/infer", "/x/...", "/x/..y/", "/a%20b", "/%e4%b8%ad", "/100%25", "/a%252eb"]
)
def test_ordinary_paths_are_answered(path: str) -> None:
    assert ask("GET", path, {}) == (200, True)


def test_a_websocket_of_another_page_is_closed() -> None:
    for headers, opened in (
        ({"origin": "http://127.0.0.1:8888"}, False),
        ({"origin": OWN}, True),
        ({"sec-fetch-site": "same-site"}, False),
    ):
        sent: list[Any] = []

        async def accept(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        pairs = [(name.encode(), value.encode()) for name, value in {"host": HOST, **headers}.items()]
        asyncio.run(WebGuard(accept)({"type": "websocket", "path": "/graphql", "headers": pairs}, None, send))  # type: ignore[arg-type]
        assert [message["type"] for message in sent] == (["websocket.accept"] if opened else ["websocket.close"])
