"""The supervisor: owns the listening socket and one server process, restarts it when it dies, swaps it without dropping a request.

A new set of versions gets a new process on the same socket; only when that has loaded everything is the old one told to drain. What
fails is tried again, later each time; meanwhile the last version that served stands in (`next_to_serve`, `blamed`).
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
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resources.serving.desired import Deployment, read_desired, write_json

POLL_S = 0.25
START_TIMEOUT_S = 120.0
FIRST_BACKOFF_S, MOST_BACKOFF_S = 0.5, 30.0
"""Between starts when the server itself ends; nothing may be served meanwhile, so they follow soon."""
FIRST_RETRY_S, MOST_RETRY_S = 5.0, 300.0
"""Between two tries of a deployment that fails: soon, for an outage that passes; then seldom, since a try costs a start (5 s of a core)."""
KEPT_BACK = re.compile(r"(AWS|AZURE|GOOGLE|GCS)_.*|LAKELOOP_(NOTIFY|\w+_DB)")
"""Variables that a model server isn't given: it loads models from MLflow's server, and needs no key of the lake, no password of a database."""


@dataclass
class Child:
    """A server process and what it serves."""

    process: subprocess.Popen[bytes]
    serves: dict[str, Deployment]
    report: Path
    started: float
    retries: bool
    """Whether something that has failed is among them."""

    def said(self) -> dict[str, Any] | None:
        """What it reported, once it has."""
        try:
            found = json.loads(self.report.read_text())
        except (OSError, ValueError):
            return None
        return dict(found)


@dataclass(frozen=True)
class Failure:
    """Why a deployment isn't served, and when it is tried again.

    `named` tells that a server said so of this one; otherwise it was among the suspects of a start that failed.
    """

    why: str
    named: bool
    attempts: int
    again_at: float


Serving = Mapping[str, Deployment]
"""Deployments by model name."""


def wait_s(attempts: int, first: float, most: float) -> float:
    """Seconds to wait after so many attempts: the double each time, up to a bound."""
    return min(most, first * 2.0 ** min(max(attempts - 1, 0), 30))  # the exponent is bounded too: a float overflows at 1024


def next_to_serve(
    desired: Serving, *, serving: Serving | None, good: Serving, failed: Mapping[Deployment, Failure], now: float
) -> dict[str, Deployment]:
    """What should serve now, as far as is known.

    A failed deployment is replaced by the last good one of its name until its next try is due. While nothing serves nothing failed is tried:
    first comes what can be served. A failure that was never named is tried without another of its kind and after everything else, so
    that one model that takes its server down doesn't keep the others out.

    Args:
        desired: what is wanted.
        serving: what serves, None when nothing does.
        good: the last of each name that served.
        failed: what has failed.
        now: on the clock of `Failure.again_at`.
    """

    def chosen(tried: Collection[Deployment]) -> dict[str, Deployment]:
        found = {}
        for name, wanted in desired.items():
            for deployment in (wanted, good.get(name)):
                if deployment and (deployment not in failed or deployment in tried):
                    found[name] = deployment
                    break
        return found

    if serving is None:
        return chosen(())
    due = sorted((d for d, failure in failed.items() if failure.again_at <= now), key=lambda d: failed[d].again_at)
    together = chosen([d for d in due if failed[d].named])
    if together != serving:
        return together
    alone = (chosen([d]) for d in due if not failed[d].named)
    return next((found for found in alone if found != serving), together)


def blamed(
    tried: Serving, problems: Mapping[str, str], otherwise: str, *, serving: Serving | None, good: Serving
) -> dict[Deployment, tuple[str, bool]]:
    """The deployments that a failed start speaks against: why, and whether the server named them.

    What serves is never blamed: that it can't be loaded a second time (MLflow is away) is no reason to stop serving it. When nothing that
    is new was named, all that is new is suspected, and when nothing is new, nothing is.

    Args:
        tried: what the process should have served.
        problems: reported by it, by model name; empty when it reported nothing.
        otherwise: what is known when it reported nothing.
        serving: what serves, None when nothing does.
        good: the last of each name that served.
    """
    named = {tried[name]: (why, True) for name, why in problems.items() if serving is None or serving.get(name) != tried[name]}
    known = good if serving is None else serving
    why = "; ".join(f"{name}, which serves, could not be loaded again: {said}" for name, said in problems.items()) or otherwise
    return named or {deployment: (why, False) for name, deployment in tried.items() if known.get(name) != deployment}


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
        self.desired: dict[str, Deployment] = {}
        self.good: dict[str, Deployment] = {}
        self.failed: dict[Deployment, Failure] = {}
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
        now = time.monotonic()
        self.draining = [child for child in self.draining if child.process.poll() is None]
        if self.serving and self.serving.process.poll() is not None:
            self.crashes = 0 if now - self.serving.started > 60 else self.crashes + 1
            self.not_before = now + wait_s(self.crashes, FIRST_BACKOFF_S, MOST_BACKOFF_S) if self.crashes > 1 else 0.0
            print(f"the model server ended with exit code {self.serving.process.returncode}; starting another", flush=True)
            self.serving = None
        if self.starting:
            self._look_at_starting(self.starting, now)
        desired, before = read_desired(self.folder), self.desired
        self.desired = desired
        self.failed = {d: failure for d, failure in self.failed.items() if desired.get(d.name) == before.get(d.name)}
        serves = self.serving.serves if self.serving else None
        # While a process starts, what was due when it was started is: it isn't given up because something else falls due.
        asked_at = self.starting.started if self.starting else now
        wanted = next_to_serve(desired, serving=serves, good=self.good, failed=self.failed, now=asked_at)
        if self.starting and self.starting.retries and wanted != self.starting.serves:
            # A second try may take all of START_TIMEOUT_S; a new version, or the end of what serves, doesn't wait for it.
            self.starting.process.terminate()
            self.draining.append(self.starting)
            self.starting = None
        if not self.starting and now >= self.not_before and wanted != serves:
            self.starting = self._spawn(wanted, now)
        self._write_status(now)

    def _spawn(self, wanted: dict[str, Deployment], now: float) -> Child:
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
        return Child(process, wanted, report, started=now, retries=any(d in self.failed for d in wanted.values()))

    def _look_at_starting(self, child: Child, now: float) -> None:
        said, ended = child.said(), child.process.poll() is not None
        if said and said["ready"] and not ended:
            if self.serving:
                self.serving.process.send_signal(signal.SIGUSR1)
                self.draining.append(self.serving)
            self.serving, self.starting = child, None
            self.good |= child.serves
            self.failed = {d: failure for d, failure in self.failed.items() if child.serves.get(d.name) != d}
        elif ended or now - child.started > START_TIMEOUT_S:
            self.starting = None
            if ended:
                otherwise = f"its server ended with exit code {child.process.returncode} while it started"
            else:
                otherwise = f"its server was not ready after {START_TIMEOUT_S:g} s"
                child.process.kill()
                self.draining.append(child)
            self._note(child, (said or {}).get("problems", {}), otherwise, now)

    def _note(self, child: Child, problems: dict[str, str], otherwise: str, now: float) -> None:
        """Remember what a failed start speaks against, and when to try again."""
        serves = self.serving.serves if self.serving else None
        found = blamed(child.serves, problems, otherwise, serving=serves, good=self.good)
        for deployment, (why, named) in found.items():
            attempts = self.failed[deployment].attempts + 1 if deployment in self.failed else 1
            # What has served before fails for something outside it, and is missed.
            most = MOST_BACKOFF_S if self.good.get(deployment.name) == deployment else MOST_RETRY_S
            wait = wait_s(attempts, FIRST_RETRY_S, most)
            self.failed[deployment] = Failure(why, named, attempts, now + wait)
            print(f"{deployment.name} version {deployment.version} can't be served: {why}; tried again in {wait:g} s", flush=True)
        if not found:
            self.crashes += 1
            wait = wait_s(self.crashes, FIRST_BACKOFF_S, MOST_BACKOFF_S)
            self.not_before = now + wait
            told = "; ".join(f"{name}: {why}" for name, why in problems.items()) or otherwise
            print(f"a model server could not be started: {told}; tried again in {wait:g} s", flush=True)

    def _write_status(self, now: float) -> None:
        models: dict[str, dict[str, Any]] = {}
        for name, deployment in (self.serving.serves if self.serving else {}).items():
            models[name] = {"version": deployment.version, "state": "ready", "message": ""}
        for name, deployment in self.desired.items():
            if failure := self.failed.get(deployment):
                entry = models.setdefault(name, {"version": deployment.version, "state": "failed"})
                again = f"attempt {failure.attempts}, the next in {max(failure.again_at - now, 0):.0f} s"
                entry |= {"failed_version": deployment.version, "message": f"{failure.why} ({again})"}
        for name, deployment in (self.starting.serves if self.starting else {}).items():
            models.setdefault(name, {"version": deployment.version, "state": "loading", "message": ""})
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
