"""Who may ask the endpoint: a bearer token and TLS, where the environment names them, the same for HTTP and gRPC."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakeloop.errors import LakeloopError
from resources.host.web_guard import App, Receive, Scope, Send, answer

OPEN = ("/v2/health/live", "/v2/health/ready")
"""Asked by whoever watches the server, without a token."""


@dataclass(frozen=True)
class Access:
    """What callers need.

    Attributes:
        certificate: file of the certificate chain (`LAKELOOP_SERVING_TLS_CERT`), PEM; None serves without TLS.
        key: file of its private key (`LAKELOOP_SERVING_TLS_KEY`), PEM.
        token: that callers send as `Authorization: Bearer <token>`; it stands in a file (`LAKELOOP_SERVING_TOKEN_FILE`). Empty for none.
    """

    certificate: str | None = None
    key: str | None = None
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Access:
        """Read it.

        Raises:
            LakeloopError: a file can't be read, one of certificate and key is missing, or the token is none that a header holds.
        """
        env = os.environ if environ is None else environ
        certificate, key = env.get("LAKELOOP_SERVING_TLS_CERT") or None, env.get("LAKELOOP_SERVING_TLS_KEY") or None
        if (certificate is None) != (key is None):
            missing = "LAKELOOP_SERVING_TLS_KEY" if key is None else "LAKELOOP_SERVING_TLS_CERT"
            raise LakeloopError(f"{missing}: wanted a PEM file, as the other of certificate and key is set")
        for name, file in (("LAKELOOP_SERVING_TLS_CERT", certificate), ("LAKELOOP_SERVING_TLS_KEY", key)):
            if file is not None and "-----BEGIN" not in _read(name, file):
                raise LakeloopError(f"{name}: wanted a PEM file, found none in {file}")
        token_file = env.get("LAKELOOP_SERVING_TOKEN_FILE")
        token = _read("LAKELOOP_SERVING_TOKEN_FILE", token_file).strip() if token_file else ""
        if token_file and (not token or not token.isascii() or not token.isprintable() or " " in token):
            raise LakeloopError(f"LAKELOOP_SERVING_TOKEN_FILE: wanted a token of printable ASCII without spaces in {token_file}")
        return cls(certificate, key, token)

    @property
    def scheme(self) -> str:
        """Of the endpoint's addresses."""
        return "https" if self.certificate else "http"

    def tls(self) -> tuple[bytes, bytes] | None:
        """Private key and certificate chain; None without TLS."""
        return (Path(self.key).read_bytes(), Path(self.certificate).read_bytes()) if self.key and self.certificate else None

    def allows(self, authorization: str) -> bool:
        """Whether a header is what is wanted."""
        return not self.token or hmac.compare_digest(authorization.encode(), f"Bearer {self.token}".encode())

    def guarded(self, app: App) -> App:
        """An app that answers callers with the token only."""
        if not self.token:
            return app

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            sent = next((value for name, value in scope.get("headers", ()) if name == b"authorization"), b"").decode("latin-1")
            if scope["type"] != "http" or scope["path"] in OPEN or self.allows(sent):
                await app(scope, receive, send)
            else:
                wanted = {"error": "wanted the endpoint's token: Authorization: Bearer <token>"}
                await answer(send, 401, wanted, [(b"www-authenticate", b"Bearer"), (b"connection", b"close")])

        return guard


def _read(name: str, file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise LakeloopError(f"{name}: {file} can't be read: {error}") from error
