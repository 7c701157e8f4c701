"""Processes: which one it is (its host, id and start time, since ids are used again), whether it is gone, and which cores it may use."""

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
    """This process, so that others can look it up: `<host> <id> <start time>`."""
    return f"{socket.gethostname()} {os.getpid()} {start_time(os.getpid()):.2f}"


def is_gone(process: str) -> bool:
    """Whether a process, given by its `identity`, is known to have ended; False for one of another host, of which nothing is known."""
    host, _, rest = process.partition(" ")
    pid, _, started_at = rest.partition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return not is_running(int(pid), float(started_at))


def is_running(pid: int, started_at: float) -> bool:
    """Whether the process of this host that has an id now is the one that started at a time, in seconds since 1970."""
    started = start_time(pid)
    return started != 0.0 and abs(started - started_at) <= 1


def start_time(pid: int) -> float:
    """When a process started, in seconds since 1970; 0 if there is none, or only a zombie."""
    import psutil

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return 0.0
