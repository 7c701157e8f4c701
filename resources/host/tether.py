"""Processes that end with the one that started them: a command, whose starter holds standard input open, and a step of a killed run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 15.0
STEP_GRACE_S = 5.0
_tied = threading.Event()


def main() -> int:
    """Run the command in the arguments in its own process group; SIGTERM, or the end of standard input, stops the whole group."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def stop(*_: object) -> None:
        _signal_group(process.pid, signal.SIGTERM)
        threading.Thread(target=_kill_later, args=(process.pid,), daemon=True).start()

    def follow_stdin() -> None:
        # Not through sys.stdin, whose lock aborts the interpreter's shutdown.
        while os.read(0, 4096):
            pass
        stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=follow_stdin, daemon=True).start()
    code = process.wait()
    # Processes that the command left behind in its group are ended too.
    _signal_group(process.pid, signal.SIGTERM)
    time.sleep(0.2)
    _signal_group(process.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def end_with_parent() -> None:
    """Interrupt this process, and kill it if that isn't enough, as soon as the process that started it has ended.

    Dagster leaves the steps of a killed run worker running: they would fit, publish and keep an MLflow run open for a run that has failed.
    Does nothing in a process that `multiprocessing` didn't start.
    """
    parent = multiprocessing.parent_process()
    if parent is None or _tied.is_set():
        return
    _tied.set()

    def follow_parent() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(STEP_GRACE_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow_parent, name="end with parent", daemon=True).start()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def _kill_later(group: int) -> None:
    time.sleep(GRACE_S)
    _signal_group(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
