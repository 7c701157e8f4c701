"""The files of registered versions, which nobody may write: MLflow's artifact routes overwrite whatever they are asked to."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import parse_qs, unquote

from resources.host.web_guard import DEPTH, READS, App, Receive, Scope, Send, answer
from resources.tracking.model_files import REPORT

_ARTIFACTS = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/(?:artifacts|mpu/[a-z]+|presigned)/(?P<path>.+)", re.DOTALL)
_OF_RUN = re.compile(r"/(?:ajax-)?api/2\.0/mlflow/upload-artifact/?")
SCHEME = "mlflow-artifacts:"
Registered = Callable[[Collection[str], str], bool]
"""Whether a version is registered whose files lie in one of some folders, or below one of them (the second argument)."""


class RegisteredFiles:
    """ASGI middleware: a request that would write or delete a file of a registered version is answered 409; its report may be replaced.

    Args:
        app: MLflow's.
        is_registered: looks the folders up; in MLflow's database, unless a test says otherwise.
    """

    def __init__(self, app: App, is_registered: Registered | None = None) -> None:
        self.app, self.is_registered = app, is_registered or in_database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or refuse it."""
        for path in written_paths(scope):
            if path != _report_in(path) and await asyncio.to_thread(self.is_registered, _folders(path), path):
                problem = f"{path} is a file of a registered model version, which nobody may change; register a new version"
                await answer(send, 409, {"error_code": "RESOURCE_CONFLICT", "message": problem})
                return
        await self.app(scope, receive, send)


def written_paths(scope: Scope) -> set[str]:
    """The artifacts that a request would change, by their paths below the root of all; in each reading of an encoded path.

    >>> written_paths({"type": "http", "method": "PUT", "path": "/api/2.0/mlflow-artifacts/artifacts/1/models//m-1/./artifacts/a"})
    {'1/models/m-1/artifacts/a'}
    >>> written_paths({"type": "http", "method": "GET", "path": "/api/2.0/mlflow-artifacts/artifacts/1/a"})
    set()
    """
    if scope["type"] != "http" or scope["method"] in READS:
        return set()
    if _OF_RUN.fullmatch(scope["path"]):
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return {_normal(f"*/{run}/artifacts/{path}") for run in asked.get("run_uuid", []) for path in asked.get("path", [])}
    paths, readings = set(), scope["path"]
    for _ in range(DEPTH):
        matched = _ARTIFACTS.fullmatch(readings)
        if matched:
            paths.add(_normal(matched["path"]))
        readings = unquote(readings)
    return paths


def in_database(folders: Collection[str], path: str) -> bool:
    """Whether MLflow's database has a version whose files lie in one of some folders, or below a path."""
    import sqlalchemy as sa
    from mlflow.server import handlers
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    store: Any = handlers._get_model_registry_store()
    place: Any = SqlModelVersion.storage_location
    # Within a workflow's server it is `mlflow-artifacts:/1/models/…`; another server's address may stand before the path.
    wanted = [place.like(_pattern(folder), escape="\\") for folder in folders] + [place.like(f"{_pattern(path)}/%", escape="\\")]
    with store.ManagedSessionMaker() as session:
        return session.query(sa.exists().where(sa.or_(*wanted), SqlModelVersion.current_stage != "Deleted_Internal")).scalar() is True


def _pattern(path: str) -> str:
    """What a place is compared with in SQL; `*` stands for an experiment, which an upload to a run doesn't name."""
    escaped = re.sub(r"([\\%_])", r"\\\1", path)
    return f"{SCHEME}%/{escaped.removeprefix('*/')}"


def _normal(path: str) -> str:
    return posixpath.normpath(path).strip("/")


def _folders(path: str) -> list[str]:
    """A path and every folder that it lies in."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1 if parts[0] != "*" else 2, len(parts) + 1)]


def _report_in(path: str) -> str:
    """The path itself where it is that of a version's report, which is attached after the version is registered, and which nothing loads."""
    return path if re.fullmatch(rf"\d+/models/m-[0-9a-f]+/artifacts/{re.escape(REPORT)}", path) else ""
