"""Processes that write and commit the inference log until they are killed: `python -m tests.worlds.code.log_writers write|commit …`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

COLUMNS = (("request_id", "string"), ("received_at", "time"), ("amount", "double"), ("prediction", "double"))


def write(folder: Path, answers: Path) -> None:
    """Log a row, then answer it: a line with its id in a file of this process, as a socket would have had it."""
    from resources.serving.log.writer import LogWriter

    writer = LogWriter(folder, "shop/churn", "1", COLUMNS)
    answered = os.open(answers / writer.boot, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    number = 0
    while True:
        number += 1
        request_id = f"{writer.boot}-{number}"
        if writer.write([(request_id, time.time_ns() // 1000, number * 0.1, number * 0.2)]):
            os.write(answered, f"{request_id}\n".encode())
        if number % 10 == 0:
            time.sleep(0.001)


def commit(folder: Path, url: str) -> None:
    """Commit whatever is complete, again and again."""
    from resources.lake.lake import Lake
    from resources.serving.log.committer import Committer

    committer = Committer(folder, Lake(url))
    while True:
        committer.step()
        time.sleep(0.01)


if __name__ == "__main__":
    {"write": lambda f, t: write(f, Path(t)), "commit": commit}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
