"""Servers as child processes on loopback: they end with the process that started them, are watched, and are stopped together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lakeloop.errors import LakeloopError, ServiceUnavailable
from resources.host.ports import is_free, projects_with
from resources.project import PLATFORM_ROOT

READY_S = 120.0
STOP_S = 20.0
"""For all servers together to end; the tether of each kills what hasn't after 15 s."""


@dataclass
class Child:
    """A running server: its name in messages, its process, its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Servers:
    """The servers of one `up`, started together and stopped together.

    Attributes:
        home: folder of their logs.
        environment: theirs.
        look: raises whatever ends the platform, and is called at every look at the servers.
        children: those that run.
    """

    home: Path
    environment: dict[str, str]
    look: Callable[[], None] = lambda: None
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], **variables: str) -> Child:
        """Start a server that ends with this process; `variables` are added to its environment."""
        log = self.home / "logs" / f"{name.lower().replace(' ', '_')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "resources.host.tether", *command],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Not in the project's folder, where Dagster's servers would let a `.env` override their environment; hence its path.
                env={
                    **self.environment,
                    "PYTHONPATH": os.pathsep.join(filter(None, [str(PLATFORM_ROOT), os.environ.get("PYTHONPATH")])),
                    **variables,
                },
                cwd=self.home,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raise ServiceUnavailable if a server has ended."""
        self.look()
        for child in self.children:
            if child.process.poll() is not None:
                code = child.process.returncode
                ending = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
                raise ServiceUnavailable(f"the {child.name} {ending}; its log is {_relative(child.log)}")

    def stop(self, names: Sequence[str] = ()) -> None:
        """Stop servers, all of them unless some are named, and wait until they have ended."""
        stopped = [child for child in self.children if not names or child.name in names]
        for child in stopped:
            if child.process.stdin:
                child.process.stdin.close()
            # Either is enough. Another process may have the pipe open, too.
            child.process.terminate()
        deadline = time.monotonic() + STOP_S
        for child in stopped:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill_all(child.process.pid)
                child.process.wait()
            self.children.remove(child)

    def wait(self, is_ready: Callable[[], bool], what: str) -> None:
        """Wait until a server is ready.

        Raises:
            ServiceUnavailable: it isn't after two minutes, or a server has ended.
        """
        deadline = time.monotonic() + READY_S
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"{what} did not answer within {READY_S:g} s; the logs are in {_relative(self.home / 'logs')}")
            time.sleep(0.2)


def _kill_all(pid: int) -> None:
    """Kill a process and all that it has started."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def require_free(port: int, what: str, variable: str, root: Path) -> None:
    """Raise a LakeloopError unless a loopback port is free; it names the variable that selects another, and other projects that have the port."""
    if not is_free(port):
        others = projects_with(port, but=root)
        owner = f" (the project in {others[0]} has it too)" if others else ""
        raise LakeloopError(f"port {port}, wanted for {what}, is in use{owner}; free it or set {variable} to another")


def require_on_path(folder: Path) -> None:
    """Raise a LakeloopError unless a folder can be named to Python processes as one to import from."""
    if os.pathsep in str(folder):
        raise LakeloopError(
            f"{folder}: the servers and steps can't be started from there, as {os.pathsep!r} separates folders in PYTHONPATH; rename the folder"
        )


def _relative(path: Path) -> str:
    return os.path.relpath(path)
