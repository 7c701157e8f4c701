"""The MLflow server that `lakeloop up` and the tests start: SQLite or PostgreSQL, artifacts through the server, loopback only."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from lakeloop.errors import ServiceUnavailable


def server_command(home: Path, port: int) -> list[str]:
    """The command of a server that stores everything under `home` and listens on 127.0.0.1."""
    home.mkdir(parents=True, exist_ok=True)
    return [
        sys.executable, "-m", "resources.tracking.app", "server",
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--artifacts-destination", str(home / "artifacts"), "--serve-artifacts",
    ]  # fmt: skip


def server_environment(home: Path, port: int, database: str | None = None) -> dict[str, str]:
    """The environment of the server.

    It holds the database, whose password a command line would show, and loopback as the only hosts and origins, which MLflow reads when it is
    imported; no telemetry, no jobs.
    """
    hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
    return {
        **os.environ,
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}" for host in hosts),
        # On import, MLflow sees by this that it is the server.
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_BACKEND_STORE_URI": database or f"sqlite:///{home / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def wait_until_ready(uri: str, timeout: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for `/health` to answer.

    Raises:
        ServiceUnavailable: it did not within `timeout` seconds, or its process ended.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise ServiceUnavailable(f"the MLflow server for {uri} ended with exit code {process.returncode}")
        if is_up(uri):
            return
        time.sleep(0.1)
    raise ServiceUnavailable(f"the MLflow server at {uri} did not answer within {timeout:g} s")


def is_up(uri: str) -> bool:
    """Whether an MLflow server answers at an address now."""
    return is_answering(f"{uri}/health")


def is_answering(url: str) -> bool:
    """Whether an address answers with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False
