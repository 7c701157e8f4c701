"""A running supervisor with its model server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from resources.serving.desired import Deployment, read_status, wait_until_serving, write_desired

SECRET = "kept-from-models-7f3a"


class Endpoint:
    """A running supervisor."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "resources.serving.supervisor", "--dir", str(folder), "--port", "0", "--tracking-uri", uri]
        environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET, "LAKELOOP_DAGSTER_DB": SECRET}
        self.process = subprocess.Popen(command, stdout=(folder / "log").open("wb"), stderr=subprocess.STDOUT, env=environment)

    def deploy(self, name: str, version: str) -> str:
        """State a version and wait for it; returns the address."""
        deadline = time.monotonic() + 30
        while read_status(self.folder) is None:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)
        write_desired(self.folder, Deployment(f"shop.{name}", version, f"models:/shop.{name}/{version}"))
        outcome = wait_until_serving(self.folder, f"shop.{name}", version, 90)
        assert outcome.state == "serving", (outcome, (self.folder / "log").read_text()[-2000:])
        return outcome.address

    @property
    def server_pid(self) -> int:
        """Process id of the model server."""
        return int(json.loads((self.folder / "children" / "current.json").read_text())["pid"])
