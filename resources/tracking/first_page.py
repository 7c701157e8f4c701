"""MLflow's page as people of this platform want it at their first visit: model training, without the tour of other products.

MLflow keeps these choices in the browser, so that what somebody chose stays.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from resources.host.web_guard import App, Receive, Scope, Send

CHOICES = {
    "mlflow.workflowType_v1": '"machine_learning"',  # else it opens on traces and prompts
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",  # its panel would open, of an assistant that isn't there
    "_mlflow_model_registry_promo_modal_dismissed_v1": "true",  # a dialog over the list of models
}
"""The names and values under which MLflow 3.17's page keeps them in `localStorage`."""
_SET = "for (const [name, value] of Object.entries(%s)) if (localStorage.getItem(name) === null) localStorage.setItem(name, value);"
SCRIPT = f"<script>try {{ {_SET % json.dumps(CHOICES)} }} catch {{}}</script>".encode()


class FirstPage:
    """ASGI middleware: `GET /` answers with MLflow's page and these choices; other requests go to MLflow as they are."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the script into the page's head."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        start: MutableMapping[str, Any] = {}
        page = bytearray()

        async def send_with_choices(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            page.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            body = bytes(page).replace(b"<head>", b"<head>" + SCRIPT, 1)
            changing = (b"content-length", b"etag", b"last-modified")
            kept = [(name, value) for name, value in start["headers"] if name.lower() not in changing]
            await send({**start, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        # Asked without the browser's conditions: a page of an older version may be in its cache.
        conditions = (b"if-none-match", b"if-modified-since", b"range")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in conditions]
        await self.app({**scope, "headers": headers}, receive, send_with_choices)
