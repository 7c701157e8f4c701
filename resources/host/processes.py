"""Processes: which one somebody is (its host, its id, and when it started, for ids are used again), whether it is gone, and what it may use."""

from __future__ import annotations

import os
import socket


def available_cores() -> int:
    """Count the cores that this process may use; fewer where `OMP_NUM_THREADS` says so."""
    import joblib

    cores: int = joblib.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit) if limit.isdigit() else cores))


def identity() -> str:
    """This process, as others may look it up: `<host> <id> <start>`."""
    return f"{socket.gethostname()} {os.getpid()} {started(os.getpid()):.2f}"


def is_gone(who: str) -> bool:
    """Whether a process is known to have ended; of another host nothing is known."""
    host, _, rest = who.partition(" ")
    number, _, start = rest.partition(" ")
    if host != socket.gethostname() or not number.isdigit():
        return False
    found = started(int(number))
    return found == 0.0 or abs(found - float(start)) > 1


def started(number: int) -> float:
    """When a process started, in seconds since 1970; 0 if there is none, or only its remains."""
    import psutil

    try:
        process = psutil.Process(number)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return 0.0
