"""The desired and the actual state of serving, as small files: one per model written by `deployments`, one by the supervisor.

The files hold states, not events: a process that starts late or crashes reads the same files again.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lakeloop.errors import DataError

HEARTBEAT_S = 10.0
"""A supervisor that hasn't written for so long has ended."""
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


@dataclass(frozen=True)
class Deployment:
    """A model version that should be served under a name.

    Attributes:
        name: of the model, as requests say it.
        version: of it.
        uri: by which MLflow loads it.
        contents: what it held when it was registered, as JSON; empty where the ledger doesn't have that.
    """

    name: str
    version: str
    uri: str
    contents: str = ""


@dataclass(frozen=True)
class Status:
    """The state that a supervisor last wrote: its addresses, and the state (`loading`, `ready`, `failed`) of each model."""

    at: float
    pid: int
    address: str
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    grpc: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a wait ended."""

    state: Literal["serving", "nobody", "failed", "timeout"]
    address: str = ""
    message: str = ""


def write_desired(folder: Path, deployment: Deployment) -> None:
    """State that a version should be served; replaces what was stated for the name."""
    if not _NAME.fullmatch(deployment.name):
        raise DataError(f"wanted a model name such as domain.workflow, found {deployment.name!r}")
    write_json(folder / "desired" / f"{deployment.name}.json", asdict(deployment))


def withdraw_desired(folder: Path, name: str) -> None:
    """State that a model should not be served any more; nothing where it wasn't to be."""
    (folder / "desired" / f"{name}.json").unlink(missing_ok=True)


def read_desired(folder: Path) -> dict[str, Deployment]:
    """Read what should be served, by model name; a file that can't be read is left out."""
    deployments = {}
    for path in sorted((folder / "desired").glob("*.json")):
        try:
            record = json.loads(path.read_text())
            # By name: files of version 0.1.0 also state the task, which serving never read.
            deployment = Deployment(record["name"], record["version"], record["uri"], record.get("contents", ""))
        except (OSError, ValueError, TypeError, KeyError):
            continue
        deployments[deployment.name] = deployment
    return deployments


def read_status(folder: Path) -> Status | None:
    """Read the supervisor's state; None when there is no supervisor, or it no longer writes."""
    try:
        status = Status(**json.loads((folder / "status.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return status if time.time() - status.at < HEARTBEAT_S and _is_alive(status.pid) else None


def wait_until_serving(folder: Path, name: str, version: str, timeout_s: float) -> Outcome:
    """Wait until a supervisor reports that it serves a version, or that it can't."""
    deadline = time.monotonic() + timeout_s
    while True:
        status = read_status(folder)
        if status is None:
            return Outcome("nobody", "", "no supervisor is running; it serves this version once it starts (lakeloop up)")
        model = status.models.get(name, {})
        if model.get("version") == version and model.get("state") == "ready":
            return Outcome("serving", status.address)
        if model.get("failed_version") == version:
            return Outcome("failed", status.address, str(model.get("message")))
        if time.monotonic() > deadline:
            return Outcome("timeout", status.address, f"not ready after {timeout_s:g} s")
        time.sleep(0.2)


def write_json(path: Path, content: object) -> None:
    """Write a file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content))
        temporary.replace(path)
    finally:  # an incomplete file, where the disk is full
        temporary.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
