"""A real `lakeloop up` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.worlds.places import ROOT
from tests.worlds.servers.ports import free_port


class Up(subprocess.Popen[str]):
    """A process of `lakeloop up`; a `with` block kills it where it still runs, and closes its output."""

    ports: dict[str, str]
    home: Path

    def __exit__(self, *error: Any) -> None:
        if self.poll() is None:
            self.kill()
        super().__exit__(*error)


def start(home: Path, *arguments: str, **environment: str) -> Up:
    """`lakeloop up` with a home and ports of its own."""
    ports = {f"LAKELOOP_{what}_PORT": str(free_port()) for what in ("UI", "MLFLOW", "SERVING", "GRPC")}
    env = {**os.environ, **ports, "LAKELOOP_HOME": str(home), **environment}
    env.pop("LAKELOOP_MLFLOW", None)
    command = [sys.executable, "-m", "lakeloop.cli", "up", *arguments]
    process = Up(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process.ports, process.home = ports, home
    return process


def wait_for(process: subprocess.Popen[str], text: str) -> list[str]:
    """Read lines until one has a text."""
    lines: list[str] = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))
