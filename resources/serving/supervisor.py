"""The supervisor: owns the ports and the server's worker processes, restarts them when they die, replaces them without dropping a request.

A new set of versions gets a new process on the same socket; the old one drains only when the new one has loaded everything. What fails is
retried after growing delays; meanwhile the last version that was served replaces it (`next_to_serve`, `find_suspects`).
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

from resources.serving.access import Access
from resources.serving.desired import Deployment, read_desired, write_json

POLL_S = 0.5
BEAT_S = 2.0
"""Between two writings of a state that hasn't changed; well below `HEARTBEAT_S`."""
START_TIMEOUT_S = 120.0
FIRST_BACKOFF_S, MOST_BACKOFF_S = 0.5, 30.0
"""Delays between starts when the server itself ends: short, since nothing may be served meanwhile."""
FIRST_RETRY_S, MOST_RETRY_S = 5.0, 300.0
"""Delays between two tries of a deployment that fails: short at first, for a brief outage; then long, since a try costs a start (5 s of a core)."""
WITHHELD = re.compile(r"(AWS|AZURE|GOOGLE|GCS)_.*|LAKELOOP_(NOTIFY|\w+_DB)")
"""Variables that a model server doesn't get: it loads models from MLflow's server, and needs no key of the lake and no database password."""


@dataclass
class Child:
    """The worker processes of one generation, and what they serve."""

    workers: list[Worker]
    serves: dict[str, Deployment]
    started: float
    retries: bool
    """Whether a deployment that has failed before is among them."""

    def ended(self) -> list[Worker]:
        """The workers that have ended, whose input is closed then."""
        return [worker for worker in self.workers if worker.has_ended()]

    def has_ended(self) -> bool:
        """Whether all of it has ended."""
        return len(self.ended()) == len(self.workers)

    def send_signal(self, number: int) -> None:
        """Send a signal to each worker that runs."""
        for worker in self.workers:
            if not worker.has_ended():
                worker.process.send_signal(number)

    def read_problems(self) -> dict[str, str]:
        """Why models can't be loaded, by model name, as the workers reported it."""
        return {name: problem for worker in self.workers for name, problem in (worker.read_report() or {}).get("problems", {}).items()}

    def is_ready(self) -> bool:
        """Whether every worker has loaded everything."""
        return all((worker.read_report() or {}).get("ready") for worker in self.workers)


@dataclass
class Worker:
    """A server process.

    Attributes:
        slot: number that no other living worker has, by which its counts are kept.
        report: file in which it says that it is ready, or why it isn't.
    """

    process: subprocess.Popen[bytes]
    slot: int
    report: Path

    def has_ended(self) -> bool:
        """Whether the process has ended, whose input is closed then."""
        if self.process.poll() is None:
            return False
        if self.process.stdin:
            self.process.stdin.close()
        return True

    def read_report(self) -> dict[str, Any] | None:
        """Read its report; None before it has written one."""
        try:
            return dict(json.loads(self.report.read_text()))
        except (OSError, ValueError):
            return None


@dataclass(frozen=True)
class Failure:
    """Why a deployment isn't served, and when it is retried.

    Attributes:
        reason: why it can't be served.
        is_confirmed: whether a server reported the problem for this one; otherwise it is one of the suspects of a failed start.
        attempts: how often it was tried.
        again_at: when it is due.
    """

    reason: str
    is_confirmed: bool
    attempts: int
    again_at: float


Serving = Mapping[str, Deployment]
"""Deployments by model name."""


def backoff_s(attempts: int, first: float, most: float) -> float:
    """Seconds to wait after so many attempts: doubled each time, up to a bound."""
    return min(most, first * 2.0 ** min(max(attempts - 1, 0), 30))  # the exponent is bounded too: a float overflows at 1024


def next_to_serve(
    desired: Serving, *, serving: Serving | None, good: Serving, failed: Mapping[Deployment, Failure], now: float
) -> dict[str, Deployment]:
    """What should be served now, as far as is known.

    A failed deployment is replaced by the last good one of its name until its retry is due. While nothing is served, nothing is retried: what
    can be served comes first. A deployment whose failure isn't confirmed is retried alone and after everything else, so that a model that
    ends its server doesn't keep the others from being served.

    Args:
        desired: what should be served.
        serving: what is served, None when nothing is.
        good: for each name the last deployment that was served.
        failed: what has failed.
        now: on the clock of `Failure.again_at`.
    """

    def choose(retried: Collection[Deployment]) -> dict[str, Deployment]:
        chosen = {}
        for name, wanted in desired.items():
            for deployment in (wanted, good.get(name)):
                if deployment and (deployment not in failed or deployment in retried):
                    chosen[name] = deployment
                    break
        return chosen

    if serving is None:
        return choose(())
    due = sorted((d for d, failure in failed.items() if failure.again_at <= now), key=lambda d: failed[d].again_at)
    together = choose([d for d in due if failed[d].is_confirmed])
    if together != serving:
        return together
    alone = (choose([d]) for d in due if not failed[d].is_confirmed)
    return next((deployments for deployments in alone if deployments != serving), together)


def find_suspects(
    tried: Serving, problems: Mapping[str, str], otherwise: str, *, serving: Serving | None, good: Serving
) -> dict[Deployment, tuple[str, bool]]:
    """The deployments that may have caused a failed start, each with the reason and whether the server confirmed it.

    What is being served is never among them: that it can't be loaded a second time (MLflow is away) is no reason to stop serving it. If the
    server reported no newly deployed version, all newly deployed ones are suspects, and if none is new, there is no suspect.

    Args:
        tried: what the process should have served.
        problems: reported by it, by model name; empty when it reported nothing.
        otherwise: the reason when it reported nothing.
        serving: what is served, None when nothing is.
        good: for each name the last deployment that was served.
    """
    confirmed = {tried[name]: (reason, True) for name, reason in problems.items() if serving is None or serving.get(name) != tried[name]}
    known = good if serving is None else serving
    reason = "; ".join(f"{name}, which is served, could not be loaded again: {problem}" for name, problem in problems.items()) or otherwise
    return confirmed or {deployment: (reason, False) for name, deployment in tried.items() if known.get(name) != deployment}


class Supervisor:
    """Keeps what is served equal to what is desired.

    Args:
        folder: of the desired and status files.
        port: to listen on, 127.0.0.1 only; 0 selects a free one.
        tracking_uri: of the MLflow server that models are loaded from.
        grpc_port: for gRPC, on 127.0.0.1 too; 0 selects a free one.
        workers: processes that answer.
        scheme: of the address, as callers need it.
    """

    def __init__(self, folder: Path, port: int, tracking_uri: str, *, grpc_port: int = 0, workers: int = 1, scheme: str = "http") -> None:
        self.folder, self.tracking_uri, self.workers = folder, tracking_uri, workers
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(512)
        self.address = f"{scheme}://127.0.0.1:{self.socket.getsockname()[1]}"
        # gRPC takes no open socket, so that each server listens itself. This one doesn't; it keeps the port for them.
        self.grpc_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.grpc_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.grpc_socket.bind(("127.0.0.1", grpc_port))
        self.grpc_port = int(self.grpc_socket.getsockname()[1])
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
        self.written: Any = None
        self.written_at = 0.0

    def run(self) -> None:
        """Work until SIGTERM or Ctrl-C."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        try:
            while not self.stopping:
                self.step()
                time.sleep(POLL_S)
        finally:
            self.shut_down()

    def step(self) -> None:
        """Check everything once, and do what is due."""
        now = time.monotonic()
        self.draining = [child for child in self.draining if not child.has_ended()]
        if self.serving and self.serving.has_ended():
            self.crashes = 0 if now - self.serving.started > 60 else self.crashes + 1
            self.not_before = now + backoff_s(self.crashes, FIRST_BACKOFF_S, MOST_BACKOFF_S) if self.crashes > 1 else 0.0
            print(f"the model server ended with exit code {self.serving.workers[0].process.returncode}; starting another", flush=True)
            self.serving = None
        if self.starting:
            self._check_starting(self.starting, now)
        desired, before = read_desired(self.folder), self.desired
        self.desired = desired
        self.failed = {d: failure for d, failure in self.failed.items() if desired.get(d.name) == before.get(d.name)}
        serves = self.serving.serves if self.serving else None
        # While a process starts, the time of its start counts, so that it isn't given up because another retry becomes due.
        at = self.starting.started if self.starting else now
        wanted = next_to_serve(desired, serving=serves, good=self.good, failed=self.failed, now=at)
        if self.starting and self.starting.retries and wanted != self.starting.serves:
            # A retry may take all of START_TIMEOUT_S; a new version, or the end of the server, doesn't wait for it.
            self.starting.send_signal(signal.SIGTERM)
            self.draining.append(self.starting)
            self.starting = None
        is_short = self.serving is not None and bool(self.serving.ended())
        if not self.starting and now >= self.not_before and (wanted != serves or is_short):
            self.starting = self._spawn(wanted, now)
        self._write_status(now)

    def _spawn(self, wanted: dict[str, Deployment], now: float) -> Child:
        self.generation += 1
        state = self.folder / "children" / f"{self.generation}.json"
        write_json(state, [asdict(d) for d in wanted.values()])
        living = [child for child in (self.serving, *self.draining) if child]
        slots = sorted({*range(self.workers + sum(len(c.workers) for c in living))} - {w.slot for c in living for w in c.workers})
        workers = [self._start_worker(state, slot) for slot in slots[: self.workers]]
        return Child(workers, wanted, started=now, retries=any(d in self.failed for d in wanted.values()))

    def _start_worker(self, state: Path, slot: int) -> Worker:
        report = self.folder / "children" / f"{self.generation}.{slot}.report.json"
        report.unlink(missing_ok=True)
        descriptor = os.dup(self.socket.fileno())
        os.set_inheritable(descriptor, True)
        command = [
            sys.executable, "-m", "resources.serving.server", "--fd", str(descriptor), "--grpc-port", str(self.grpc_port),
            "--state", str(state), "--report", str(report), "--counts", str(self.folder / "counts" / f"{slot}.json"),
            "--tracking-uri", self.tracking_uri,
        ]  # fmt: skip
        try:
            environment = {name: value for name, value in os.environ.items() if not WITHHELD.fullmatch(name)}
            process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[descriptor], env=environment)
        finally:
            os.close(descriptor)
        return Worker(process, slot, report)

    def _check_starting(self, child: Child, now: float) -> None:
        ended = child.ended()
        if child.is_ready() and not ended:
            if self.serving:
                self.serving.send_signal(signal.SIGUSR1)
                self.draining.append(self.serving)
            self.serving, self.starting = child, None
            self.good |= child.serves
            self.failed = {d: failure for d, failure in self.failed.items() if child.serves.get(d.name) != d}
        elif ended or now - child.started > START_TIMEOUT_S:
            self.starting = None
            if ended:
                otherwise = f"its server ended with exit code {ended[0].process.returncode} while it started"
            else:
                otherwise = f"its server was not ready after {START_TIMEOUT_S:g} s"
            child.send_signal(signal.SIGKILL)
            if not child.has_ended():
                self.draining.append(child)
            self._record_failure(child, child.read_problems(), otherwise, now)

    def _record_failure(self, child: Child, problems: dict[str, str], otherwise: str, now: float) -> None:
        """Remember the suspects of a failed start, and when to retry."""
        serves = self.serving.serves if self.serving else None
        suspects = find_suspects(child.serves, problems, otherwise, serving=serves, good=self.good)
        for deployment, (reason, is_confirmed) in suspects.items():
            attempts = self.failed[deployment].attempts + 1 if deployment in self.failed else 1
            # What was served before fails for an external reason, and is needed soon.
            most = MOST_BACKOFF_S if self.good.get(deployment.name) == deployment else MOST_RETRY_S
            wait = backoff_s(attempts, FIRST_RETRY_S, most)
            self.failed[deployment] = Failure(reason, is_confirmed, attempts, now + wait)
            print(f"{deployment.name} version {deployment.version} can't be served: {reason}; tried again in {wait:g} s", flush=True)
        if not suspects:
            self.crashes += 1
            wait = backoff_s(self.crashes, FIRST_BACKOFF_S, MOST_BACKOFF_S)
            self.not_before = now + wait
            reasons = "; ".join(f"{name}: {reason}" for name, reason in problems.items()) or otherwise
            print(f"a model server could not be started: {reasons}; tried again in {wait:g} s", flush=True)

    def _write_status(self, now: float) -> None:
        models: dict[str, dict[str, Any]] = {}
        for name, deployment in (self.serving.serves if self.serving else {}).items():
            models[name] = {"version": deployment.version, "state": "ready", "message": ""}
        for name, deployment in self.desired.items():
            if failure := self.failed.get(deployment):
                entry = models.setdefault(name, {"version": deployment.version, "state": "failed"})
                again = f"attempt {failure.attempts}, the next in {max(failure.again_at - now, 0):.0f} s"
                entry |= {"failed_version": deployment.version, "message": f"{failure.reason} ({again})"}
        for name, deployment in (self.starting.serves if self.starting else {}).items():
            models.setdefault(name, {"version": deployment.version, "state": "loading", "message": ""})
        pids = [worker.process.pid for worker in self.serving.workers] if self.serving else []
        current = {"pid": pids[0] if pids else None, "pids": pids, "generation": self.generation}
        if self.written == (models, current) and now - self.written_at < BEAT_S:
            return
        status = {"at": time.time(), "pid": os.getpid(), "address": self.address, "grpc": f"127.0.0.1:{self.grpc_port}", "models": models}
        write_json(self.folder / "status.json", status)
        write_json(self.folder / "children" / "current.json", current)
        self.written, self.written_at = (models, current), now

    def _stop(self, *_: Any) -> None:
        self.stopping = True

    def shut_down(self) -> None:
        """Stop every server process and wait for its end."""
        children = [child for child in (self.serving, self.starting, *self.draining) if child]
        for child in children:
            child.send_signal(signal.SIGTERM)
        for worker in (worker for child in children for worker in child.workers):
            try:
                worker.process.wait(15)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.has_ended()
        (self.folder / "status.json").unlink(missing_ok=True)
        self.socket.close()
        self.grpc_socket.close()


def main() -> None:
    """Run a supervisor until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tracking-uri", required=True)
    options = parser.parse_args()
    scheme = Access.from_environment().scheme
    try:
        supervisor = Supervisor(
            options.dir, options.port, options.tracking_uri, grpc_port=options.grpc_port, workers=options.workers, scheme=scheme
        )
    except OSError as error:
        ports = f"{options.port} and {options.grpc_port}" if options.grpc_port else options.port
        raise SystemExit(f"port {ports} on 127.0.0.1 can't be used for the prediction endpoint: {error.strerror}") from error
    supervisor.run()


if __name__ == "__main__":
    main()
