"""The ports of a project's servers: given to it once, other than those of every other project of this user on this machine."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lakeloop.errors import LakeloopError

FIRST = (3000, 5050, 8080, 8081)
"""Of the Dagster UI, MLflow and the prediction endpoint of the first project; the next one has 3001, 5051, 8081."""
MOST = 1000


def assign_ports(root: Path, given: Sequence[int | None]) -> tuple[int, ...]:
    """The ports of a project: those that it was given, else those that it had, else the first that no project has and nothing uses.

    Args:
        root: the project's folder.
        given: a port for each of `FIRST`, None where none was given.

    Raises:
        LakeloopError: no ports are left.
    """
    with _register() as projects:
        before = projects.pop(str(root), None)
        taken = {port for ports in projects.values() for port in ports}
        # A project of an earlier release has fewer ports, and keeps those.
        kept = before or ()
        taken = taken.union(kept)
        more = (tuple(port + step for port in FIRST[len(kept) :]) for step in range(MOST))
        start = next(((*kept, *ports) for ports in more if len(kept) == len(FIRST) or _are_free(ports, taken)), None)
        if start is None:
            raise LakeloopError(f"no free ports within {MOST} from {', '.join(map(str, FIRST))} on; set LAKELOOP_UI_PORT and the others")
        chosen = tuple(own or port for own, port in zip(given, start, strict=True))
        projects[str(root)] = chosen
    return chosen


def projects_with(port: int, *, but: Path) -> list[str]:
    """The folders of the other projects that have a port."""
    with _register() as projects:
        return sorted(root for root, ports in projects.items() if port in ports and root != str(but))


def is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _are_free(ports: Sequence[int], taken: set[int]) -> bool:
    return taken.isdisjoint(ports) and all(map(is_free, ports))


@contextmanager
def _register() -> Iterator[dict[str, tuple[int, ...]]]:
    """The ports of every project of this user, to be changed; projects whose folder is gone are left out.

    Where the user's folder of state can't be written, nothing is known and nothing is kept.
    """
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lakeloop"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "ports.json").open("a+", encoding="utf-8")
    except OSError:
        yield {}
        return
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        projects = _read(stream)
        before = dict(projects)
        yield projects
        if projects != before:
            stream.seek(0)
            stream.truncate()
            json.dump(projects, stream, indent=1)


def _read(stream: TextIO) -> dict[str, tuple[int, ...]]:
    stream.seek(0)
    try:
        content: Mapping[str, Sequence[int]] = json.loads(stream.read() or "{}")
    except json.JSONDecodeError:  # cut off, or edited by hand: the projects' own `.env` still know theirs
        return {}
    return {root: tuple(ports) for root, ports in content.items() if Path(root).is_dir()}
