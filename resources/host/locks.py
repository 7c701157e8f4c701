"""Locks between the processes of this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock that the processes of this machine share by its name; waits for the one that has it."""
    folder.mkdir(parents=True, exist_ok=True)
    file_name = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    with (folder / f"{file_name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
