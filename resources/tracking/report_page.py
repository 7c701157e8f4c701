"""Evaluation reports, opened by a click: MLflow's server sends every artifact as a download, here a report is sent as a page.

The page may do nothing but be read: no script, no request, no part in MLflow's origin.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

from resources.host.web_guard import App, Receive, Scope, Send

PATH = re.compile(r"/reports/([0-9a-f]{32})")
ARTIFACT = "evaluation/report.html"
_POLICY = b"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def report_url(tracking_uri: str, run_id: str) -> str:
    """Where the report that an MLflow run logged is read."""
    return f"{tracking_uri.rstrip('/')}/reports/{run_id}"


class ReportPages:
    """ASGI middleware: `GET /reports/<run id>` answers with the run's report; the rest goes to MLflow, whose own access rules hold for both."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask MLflow for the artifact, and change what its answer says of itself."""
        asked = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        if asked is None:
            await self.app(scope, receive, send)
            return

        async def as_page(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                replaced = (b"content-type", b"content-disposition", b"content-security-policy")
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in replaced]
                message["headers"] = [
                    *kept,
                    (b"content-type", b"text/html; charset=utf-8"),
                    (b"content-disposition", b"inline"),
                    (b"content-security-policy", _POLICY),
                ]
            await send(message)

        query = f"run_uuid={asked[1]}&path={ARTIFACT}".encode()
        await self.app({**scope, "path": "/get-artifact", "raw_path": b"/get-artifact", "query_string": query}, receive, as_page)
