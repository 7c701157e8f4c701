"""The supervisor: owns the listening socket and one server process, restarts it when it dies, swaps it without dropping a request.

A new set of versions gets a new process on the same socket; only when that has loaded everything is the old one told to drain.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resources.serving.desired import Deployment, read_desired, write_json

POLL_S = 0.25
START_TIMEOUT_S = 120.0
MOST_BACKOFF_S = 30.0
KEPT_BACK = re.compile(r"(AWS|AZURE|GOOGLE|GCS)_.*|LAKELOOP_(NOTIFY|\w+_DB)")
"""Variables that a model server isn't given: it loads models from MLflow's server, and needs no key of the lake, no password of a database."""


@dataclass
class Child:
    """A server process and what it serves."""

    process: subprocess.Popen[bytes]
    serves: dict[str, Deployment]
    report: Path
    started: float = field(default_factory=time.monotonic)

    def said(self) -> dict[str, Any] | None:
        """What it reported, once it has."""
        try:
            found = json.loads(self.report.read_text())
        except (OSError, ValueError):
            return None
        return dict(found)


class Supervisor:
    """Keeps what serves equal to what is desired.

    Args:
        folder: of the desired and status files.
        port: to listen on, 127.0.0.1 only; 0 takes a free one.
        tracking_uri: where models are loaded from.
    """

    def __init__(self, folder: Path, port: int, tracking_uri: str) -> None:
        self.folder, self.tracking_uri = folder, tracking_uri
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(512)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.serving: Child | None = None
        self.starting: Child | None = None
        self.draining: list[Child] = []
        self.failed: dict[str, tuple[Deployment, str]] = {}
        self.generation = 0
        self.crashes = 0
        self.not_before = 0.0
        self.stopping = False

    def run(self) -> None:
        """Work until told to stop."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        try:
            while not self.stopping:
                self.step()
                time.sleep(POLL_S)
        finally:
            self.shut_down()

    def step(self) -> None:
        """Look once at everything, and do what is due."""
        self.draining = [child for child in self.draining if child.process.poll() is None]
        if self.serving and self.serving.process.poll() is not None:
            lived = time.monotonic() - self.serving.started
            self.crashes = 0 if lived > 60 else self.crashes + 1
            self.not_before = time.monotonic() + min(MOST_BACKOFF_S, 0.5 * 2 ** max(self.crashes - 1, 0)) if self.crashes > 1 else 0.0
            print(f"the model server ended with exit code {self.serving.process.returncode}; starting another", flush=True)
            self.serving = None
        if self.starting:
            self._look_at_starting(self.starting)
        if not self.starting and time.monotonic() >= self.not_before:
            wanted = self._effective(read_desired(self.folder))
            if self.serving is None or wanted != self.serving.serves:
                self.starting = self._spawn(wanted)
        self._write_status()

    def _effective(self, desired: dict[str, Deployment]) -> dict[str, Deployment]:
        """What can serve: a version that failed to load leaves the one before it in place."""
        wanted = {}
        for name, deployment in desired.items():
            if name in self.failed and self.failed[name][0] == deployment:
                if self.serving and name in self.serving.serves:
                    wanted[name] = self.serving.serves[name]
            else:
                self.failed.pop(name, None)
                wanted[name] = deployment
        return wanted

    def _spawn(self, wanted: dict[str, Deployment]) -> Child:
        self.generation += 1
        state = self.folder / "children" / f"{self.generation}.json"
        report = self.folder / "children" / f"{self.generation}.report.json"
        report.unlink(missing_ok=True)
        write_json(state, [asdict(d) for d in wanted.values()])
        descriptor = os.dup(self.socket.fileno())
        os.set_inheritable(descriptor, True)
        command = [
            sys.executable, "-m", "resources.serving.server", "--fd", str(descriptor), "--state", str(state), "--report", str(report),
            "--tracking-uri", self.tracking_uri,
        ]  # fmt: skip
        try:
            environment = {name: value for name, value in os.environ.items() if not KEPT_BACK.fullmatch(name)}
            process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[descriptor], env=environment)
        finally:
            os.close(descriptor)
        return Child(process, wanted, report)

    def _look_at_starting(self, child: Child) -> None:
        said, ended = child.said(), child.process.poll() is not None
        if said and said["ready"] and not ended:
            if self.serving:
                self.serving.process.send_signal(signal.SIGUSR1)
                self.draining.append(self.serving)
            self.serving, self.starting = child, None
        elif ended or time.monotonic() - child.started > START_TIMEOUT_S:
            if not ended:
                child.process.kill()
            problems = (said or {}).get("problems") or dict.fromkeys(child.serves, "the server ended while it started")
            if said is None and self.serving is None:
                # Nothing is known to be wrong with the models: try again, later each time.
                self.crashes += 1
                self.not_before = time.monotonic() + min(MOST_BACKOFF_S, 0.5 * 2**self.crashes)
            else:
                for name, why in problems.items():
                    self.failed[name] = (child.serves[name], why)
                    print(f"{name} version {child.serves[name].version} can't be served: {why}", flush=True)
            self.starting = None

    def _write_status(self) -> None:
        models: dict[str, dict[str, Any]] = {}
        for name, deployment in (self.serving.serves if self.serving else {}).items():
            models[name] = {"version": deployment.version, "state": "ready", "message": ""}
        for name, deployment in (self.starting.serves if self.starting else {}).items():
            models.setdefault(name, {"version": deployment.version, "state": "loading", "message": ""})
        for name, (deployment, why) in self.failed.items():
            entry = models.setdefault(name, {"version": deployment.version, "state": "failed"})
            entry |= {"failed_version": deployment.version, "message": why}
        pid = self.serving.process.pid if self.serving else None
        write_json(self.folder / "status.json", {"at": time.time(), "pid": os.getpid(), "address": self.address, "models": models})
        write_json(self.folder / "children" / "current.json", {"pid": pid, "generation": self.generation})

    def _stop(self, *_: Any) -> None:
        self.stopping = True

    def shut_down(self) -> None:
        """Stop every child and wait for it."""
        children = [child for child in (self.serving, self.starting, *self.draining) if child]
        for child in children:
            child.process.terminate()
        for child in children:
            try:
                child.process.wait(15)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        (self.folder / "status.json").unlink(missing_ok=True)
        self.socket.close()


def main() -> None:
    """Run a supervisor until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tracking-uri", required=True)
    options = parser.parse_args()
    try:
        supervisor = Supervisor(options.dir, options.port, options.tracking_uri)
    except OSError as error:
        raise SystemExit(f"port {options.port} on 127.0.0.1 can't be used for the prediction endpoint: {error.strerror}") from error
    supervisor.run()


if __name__ == "__main__":
    main()
