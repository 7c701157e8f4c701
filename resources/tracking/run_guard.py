"""Ends an MLflow run whose process can't: it was killed, or the server was away just then.

`python -m resources.tracking.run_guard <server> <run id>` reads standard input to its end. `done` there means that the run has been ended; a status
(FINISHED, FAILED, KILLED), that it still has to be; nothing, that the process is dead, and the run is KILLED. It speaks plain HTTP, so that
it costs next to nothing to start.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

from resources.settings import PROJECT_ROOT

DONE = "done"
TRIES = 100
PAUSE_S = 3.0


class RunGuard:
    """The guard of one open run, as its process sees it."""

    def __init__(self, tracking_uri: str, run_id: str) -> None:
        command = [sys.executable, "-m", "resources.tracking.run_guard", tracking_uri, run_id]
        quiet = subprocess.DEVNULL
        # A session of its own: a signal to the step's process group must not take the guard with it.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, cwd=PROJECT_ROOT, start_new_session=True, stdout=quiet, stderr=quiet
        )

    def release(self) -> None:
        """The run has been ended."""
        self._say(DONE)
        self.process.wait()

    def hand_over(self, status: str) -> None:
        """The run could not be ended now: the guard does it, as soon as the server answers."""
        self._say(status)

    def _say(self, text: str) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.close()
        except BrokenPipeError:  # somebody has killed the guard; runs that it leaves open are settled at the next start
            pass


def end_if_running(tracking_uri: str, run_id: str, status: str) -> bool:
    """Give a run that is still RUNNING its final status; whether the server answered."""
    try:
        found = _call(f"{tracking_uri}/api/2.0/mlflow/runs/get?run_id={run_id}")
        if found["run"]["info"]["status"] == "RUNNING":
            ended = {"run_id": run_id, "status": status, "end_time": int(time.time() * 1000)}
            _call(f"{tracking_uri}/api/2.0/mlflow/runs/update", ended)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


def _call(url: str, content: dict[str, object] | None = None) -> dict[str, dict[str, dict[str, str]]]:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


def main() -> None:
    """Wait for the end of standard input, and do what it says."""
    tracking_uri, run_id = sys.argv[1:]
    said = sys.stdin.read().strip()
    for _ in range(0 if said == DONE else TRIES):
        if end_if_running(tracking_uri, run_id, said or "KILLED"):
            return
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
