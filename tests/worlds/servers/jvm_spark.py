"""Spark on this machine's Java: a Connect server from the pyspark package, on loopback."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.places import ROOT
from tests.worlds.servers.ports import free_port

READY_S = 120.0


def missing() -> str:
    """Why there is no Spark on a JVM here; empty when there is."""
    return "" if shutil.which("java") else "no `java` on the path: what only Spark on a JVM can show is left out"


@contextmanager
def connect_server(folder: Path) -> Iterator[str]:
    """Run a Connect server with two cores; gives its address."""
    spec = importlib.util.find_spec("pyspark")
    assert spec is not None and spec.origin is not None
    home = Path(spec.origin).parent
    port = free_port()
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    command = [
        str(home / "bin" / "spark-submit"), "--master", "local[2]", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
        *[part for name, value in settings.items() for part in ("--conf", f"{name}={value}")], "spark-internal",
    ]  # fmt: skip
    project = str(ROOT)
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": project,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    # spark-submit becomes the server by `exec`, so its process id is the server's.
    with (folder / "spark.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(port, process, folder / "spark.log")
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import socket

    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    raise AssertionError(f"no Spark Connect at {port} within {READY_S:g} s: {log.read_text()[-2000:]}")
