"""What every server of the platform asks of a request before its app sees it.

Loopback is no boundary: a web page may post to 127.0.0.1, and its images may get from there. So a request is answered only for a known host, from
pages of the same server, and under a path that stays within it. Browsers say where a request comes from: `Origin` on whatever is sent, and
`Sec-Fetch-Site` on everything, an image too (W3C, Fetch Metadata Request Headers). Programs say neither, and are answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOOKED_AT = frozenset({b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"})
"""Headers by their names in small letters, as ASGI has them."""
READS = ("GET", "HEAD", "OPTIONS")
DEPTH = 4
"""How often a path is decoded: servers decode once, some apps twice."""


@dataclass(frozen=True)
class Refusal:
    """Why a request isn't answered, with its HTTP status."""

    status: int
    problem: str


class WebGuard:
    """ASGI middleware that answers only what `refusal` has nothing against.

    Args:
        app: the guarded app.
        hosts: the names that it answers, without port.
    """

    def __init__(self, app: App, hosts: Iterable[str] = LOOPBACK) -> None:
        self.app, self.hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or refuse it."""
        refused = refusal(scope, self.hosts) if scope["type"] in ("http", "websocket") else None
        if refused is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(send, refused.status, {"error": refused.problem})


def refusal(scope: Scope, hosts: Collection[str]) -> Refusal | None:
    """Why a request isn't answered; None if it is.

    * 400: the path has `..`, a backslash or a control character, however often it is encoded.
    * 403: the host is foreign (DNS rebinding); the origin isn't the server itself; or a page of another site, or of another port, asks for
      more than to be left for this one.
    * 405: a GraphQL request by GET that isn't a query.
    """
    headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _LOOKED_AT}
    host, method = headers.get(b"host"), scope.get("method", "GET")
    if host is None or (_host_name(f"//{host}") or "") not in hosts:
        return Refusal(403, f"this server doesn't answer the host {host!r}")
    origin = headers.get(b"origin")
    if origin is not None and not _is_same(origin, host):
        return Refusal(403, f"this server doesn't answer the origin {origin!r}; wanted its own, {host}")
    if _is_of_another_page(headers, scope["type"], method):
        return Refusal(403, f"this server doesn't answer other pages (Sec-Fetch-Site: {headers[b'sec-fetch-site']})")
    if leaves_folder(scope):
        return Refusal(400, "wanted a path without '..', backslashes and control characters")
    if method in READS and changes_by_query(scope):
        return Refusal(405, "wanted POST for GraphQL mutations and subscriptions")
    return None


def _is_same(origin: str, host: str) -> bool:
    """Whether an origin is the address that was asked; a scheme's own port may be left out."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"{urlsplit(origin).scheme}://{host}")
        own = {"http": 80, "https": 443}.get(page.scheme)
        return own is not None and (page.hostname, page.port or own) == (asked.hostname, asked.port or own)
    except ValueError:
        return False


def _is_of_another_page(headers: Mapping[bytes, str], kind: str, method: str) -> bool:
    """Whether a browser says that another site's page, or a page on another port, asks; a link that is followed to here is allowed."""
    if headers.get(b"sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    is_link = headers.get(b"sec-fetch-mode") == "navigate" and headers.get(b"sec-fetch-dest") == "document"
    return kind == "websocket" or method not in READS or not is_link


def leaves_folder(scope: Scope) -> bool:
    """Whether a path says `..`, or holds a backslash or a control character, in any of its encodings."""
    return _leaves_folder(str(scope["path"]), scope.get("raw_path", b"").decode("latin-1"))


@lru_cache(4096)
def _leaves_folder(path: str, raw_path: str) -> bool:
    paths = [path, raw_path]
    for _ in range(DEPTH):
        if any(re.search(r"[\\\x00-\x1f\x7f]|(^|/)\s*\.\.\s*(;[^/]*)?(/|$)", path) for path in paths):
            return True
        if not any("%" in path for path in paths):
            return False
        paths = [unquote(path, errors="replace") for path in paths]
    return False


def changes_by_query(scope: Scope) -> bool:
    """Whether the address itself has a GraphQL document that isn't a query, or that can't be read."""
    documents = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get("query", [])
    if not documents or not scope["path"].rstrip("/").endswith("graphql"):
        return False
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

    for document in documents:
        try:
            definitions = parse(document).definitions
        except GraphQLError:
            return True
        if any(isinstance(each, OperationDefinitionNode) and each.operation is not OperationType.QUERY for each in definitions):
            return True
    return False


async def answer(send: Send, status: int, content: object, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send an answer as JSON; bytes are sent as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    all_headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


@lru_cache(256)
def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
