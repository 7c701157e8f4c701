"""A small HTTP server that takes notifications."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Mailbox:
    """A channel's other end: what was posted to it, and whether it takes anything now."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if mailbox.status == 200:
                    mailbox.messages.append(json.loads(body))
                self.send_response(mailbox.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://someone:SECRETword@127.0.0.1:{self.server.server_port}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]
