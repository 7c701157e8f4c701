"""A real MLflow server for tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.tracking import server as mlflow_server
from tests.worlds.servers.ports import free_port


@contextmanager
def server(
    home: Path, port: int | None = None, database: str | None = None, wait: bool = True
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start one in a process group of its own; gives its address and its process. Without `wait` it may not answer yet."""
    port = port or free_port()
    uri = f"http://127.0.0.1:{port}"
    with (home.parent / "mlflow.log").open("ab") as log:
        process = subprocess.Popen(
            mlflow_server.server_command(home, port),
            env=mlflow_server.server_environment(home, port, database),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        if wait:
            mlflow_server.wait_until_ready(uri, 120, process)
        yield uri, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
