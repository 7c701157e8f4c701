"""Ends an MLflow run whose process can't: it was killed, or the server was away just then.

`python -m resources.tracking.run_guard <server> <run id>` reads standard input to its end. `done` means that the run has been ended; a status
(FINISHED, FAILED, KILLED), that it still has to be; nothing, that the process has died and the run is KILLED. It uses plain HTTP, so that it
starts quickly.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

from resources.project import PLATFORM_ROOT

DONE = "done"
TRIES = 100
PAUSE_S = 3.0
_handed_over: list[subprocess.Popen[bytes]] = []
"""Guards that are left to themselves: Python warns of a process that nobody knows any more."""


class RunGuard:
    """The guard of an open run, on the side of the process that has it open."""

    def __init__(self, tracking_uri: str, run_id: str) -> None:
        command = [sys.executable, "-m", "resources.tracking.run_guard", tracking_uri, run_id]
        quiet = subprocess.DEVNULL
        # Its own session: a signal to the step's process group must not end the guard.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, cwd=PLATFORM_ROOT, start_new_session=True, stdout=quiet, stderr=quiet
        )

    def release(self) -> None:
        """Tell the guard that the run has been ended, and wait for the guard's end."""
        self._send(DONE)
        self.process.wait()

    def hand_over(self, status: str) -> None:
        """Have the guard end the run as soon as the server answers, since that failed now; it may outlive this process."""
        self._send(status)
        _handed_over.append(self.process)

    def _send(self, text: str) -> None:
        assert self.process.stdin
        # Where the guard was killed, the runs that it leaves open are closed at the next start.
        with suppress(BrokenPipeError):
            self.process.stdin.write(text.encode())
        with suppress(BrokenPipeError):
            self.process.stdin.close()


def end_if_running(tracking_uri: str, run_id: str, status: str) -> bool:
    """Give a run that is still RUNNING its final status.

    Returns:
        Whether the server answered.
    """
    try:
        answer = _call(f"{tracking_uri}/api/2.0/mlflow/runs/get?run_id={run_id}")
        if answer["run"]["info"]["status"] == "RUNNING":
            update: dict[str, object] = {"run_id": run_id, "status": status, "end_time": int(time.time() * 1000)}
            _call(f"{tracking_uri}/api/2.0/mlflow/runs/update", update)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


def _call(url: str, content: dict[str, object] | None = None) -> dict[str, dict[str, dict[str, str]]]:
    """Send JSON, or only ask; the server's answer."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


def main() -> None:
    """Read standard input to its end, and do what it says."""
    tracking_uri, run_id = sys.argv[1:]
    message = sys.stdin.read().strip()
    for _ in range(0 if message == DONE else TRIES):
        if end_if_running(tracking_uri, run_id, message or "KILLED"):
            return
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
