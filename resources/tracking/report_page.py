"""Evaluation reports as pages: MLflow's server sends every artifact as a download, here a report opens in the browser.

The page can only be read: it runs no script, sends no request and doesn't belong to MLflow's origin.
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
    """The address of the report that an MLflow run logged."""
    return f"{tracking_uri.rstrip('/')}/reports/{run_id}"


class ReportPages:
    """ASGI middleware: `GET /reports/<run id>` answers with the run's report; other requests go to MLflow, whose access rules apply to both."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Get the artifact from MLflow, and replace the headers that make it a download."""
        requested = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        if requested is None:
            await self.app(scope, receive, send)
            return

        async def send_as_page(message: MutableMapping[str, Any]) -> None:
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

        query = f"run_uuid={requested[1]}&path={ARTIFACT}".encode()
        await self.app({**scope, "path": "/get-artifact", "raw_path": b"/get-artifact", "query_string": query}, receive, send_as_page)
