"""Where a project is: its folder, its definitions, and what its `.env` remembers of this machine."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any

from lakeloop.errors import LakeloopError

PLATFORM_ROOT = Path(__file__).resolve().parent.parent
"""The folder of Lakeloop's own packages: a checkout, or an environment's `site-packages`."""
CARRIED = Path(__file__).resolve().parent / "carried"
"""The checkout's `dagster.yaml`, `workspace.yaml` and `requirements.lock`, which an installed platform has too."""
DEFS_VARIABLE = "LAKELOOP_DEFS"
PORTS = ("LAKELOOP_UI_PORT", "LAKELOOP_MLFLOW_PORT", "LAKELOOP_SERVING_PORT", "LAKELOOP_GRPC_PORT")
ADDRESSES = ("LAKELOOP_HOME", "LAKELOOP_LAKE", "LAKELOOP_MLFLOW", "LAKELOOP_UI")
"""What `.env` keeps besides, when it was given once. Addresses that may hold a password or a token are never kept."""
OF_ONE_ENVIRONMENT = frozenset({
    "DAGSTER_HOME", *PORTS, *ADDRESSES, "LAKELOOP_DAGSTER_DB", "LAKELOOP_MLFLOW_DB", "LAKELOOP_STUDIES_DB",
})  # fmt: skip
"""Variables of `.env` that don't apply to a process that was given another home or environment."""


@dataclass(frozen=True)
class ProjectFolder:
    """A project on this machine.

    Attributes:
        root: its folder; relative paths of settings start here.
        defs: the folder of its definitions, `<domain>/<name>/defs.yaml`.
    """

    root: Path
    defs: Path

    @property
    def env_file(self) -> Path:
        """Its `.env`, which Dagster's commands read too."""
        return self.root / ".env"

    def own_or_carried(self, name: str) -> Path:
        """The project's `dagster.yaml` or `workspace.yaml`, or, where it has none, the one that Lakeloop carries."""
        return own if (own := self.root / name).is_file() else CARRIED / name


def find_project(environ: Mapping[str, str] | None = None, start: Path | None = None) -> ProjectFolder:
    """Find the project that a process works on.

    It is the one that `LAKELOOP_DEFS` names; else the one around the working directory, whose `pyproject.toml` has `[tool.lakeloop]`; else the
    checkout that Lakeloop runs from.

    Args:
        environ: the environment variables of the process, unless others are given.
        start: the working directory, unless another is given.

    Raises:
        LakeloopError: there is none, `LAKELOOP_DEFS` isn't a folder, or `.env` was copied from another project's folder.
    """
    env = os.environ if environ is None else environ
    around = _project_around(start or Path.cwd())
    named = env.get(DEFS_VARIABLE)
    if not named:
        project = around or _read_project(PLATFORM_ROOT)
        if project is None:
            raise LakeloopError(
                f"wanted a project, found no pyproject.toml with [tool.lakeloop] in {start or Path.cwd()} or above it; "
                f"`lakeloop init FOLDER` makes a project, {DEFS_VARIABLE} names the folder of definitions of one"
            )
        return project
    defs = ((around.root if around else start or Path.cwd()) / named).resolve()
    if not defs.is_dir():
        raise LakeloopError(f"{DEFS_VARIABLE}: wanted the folder of a project's definitions, found no folder {defs}")
    project = _project_around(defs)
    if project is None or project.defs != defs:
        project = ProjectFolder(defs.parent, defs)
    if around and around.root != project.root and _values(around.env_file).get(DEFS_VARIABLE) == named:
        raise LakeloopError(
            f"{around.env_file} belongs to the project in {project.root}, from where it was copied; delete it, and `lakeloop up` writes a new one"
        )
    return project


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables of the process over those that its project's `.env` sets."""
    env = dict(os.environ if environ is None else environ)
    return {**remembered(find_project(env), env), **env}


def remembered(project: ProjectFolder, environ: Mapping[str, str]) -> dict[str, str]:
    """What a project's `.env` says to a process with some environment variables.

    Nothing where the file came with a copy of another project, and no addresses to a process that was given another home or environment.
    """
    values = _values(project.env_file)
    if is_foreign(project, values):
        return {}
    names = ("LAKELOOP_HOME", "LAKELOOP_ENV")
    if any(name in environ and environ[name] != values.get(name) for name in names):
        values = {name: value for name, value in values.items() if name not in OF_ONE_ENVIRONMENT}
    return values


def is_foreign(project: ProjectFolder, values: Mapping[str, str]) -> bool:
    """Whether the values of a `.env` are those of another project's folder, from where it was copied or moved."""
    defs = values.get(DEFS_VARIABLE)
    return bool(defs) and (project.root / str(defs)).resolve() != project.defs


def remember(project: ProjectFolder, values: Mapping[str, str]) -> bool:
    """Write values into a project's `.env`, whose other lines stay; returns whether the file came from another project and was written anew."""
    from dotenv import set_key

    copied = is_foreign(project, before := _values(project.env_file))
    if copied:
        project.env_file.unlink()
        before = {}
    for name, value in {DEFS_VARIABLE: str(project.defs), **values}.items():
        if before.get(name) != value:
            project.env_file.touch(mode=0o600)
            set_key(project.env_file, name, value, quote_mode="auto")
    return copied


def _values(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(file, interpolate=False).items() if value}


def _project_around(folder: Path) -> ProjectFolder | None:
    folder = folder.resolve()
    return next((project for parent in (folder, *folder.parents) if (project := _read_project(parent))), None)


def _read_project(root: Path) -> ProjectFolder | None:
    """The project of a folder whose `pyproject.toml` has `[tool.lakeloop]`."""
    file = root / "pyproject.toml"
    try:
        state = file.stat()
    except OSError:
        return None
    if not S_ISREG(state.st_mode):
        return None
    table = _read_table(file, state.st_mtime_ns, state.st_size)
    return None if table is None else ProjectFolder(root, (root / table.get("defs", "defs")).resolve())


@lru_cache(16)
def _read_table(file: Path, _changed_ns: int, _size: int) -> dict[str, Any] | None:
    """`[tool.lakeloop]` of a file; read again when its time or size has changed, since each setting that a sensor reads asks for it."""
    try:
        table: dict[str, Any] | None = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("lakeloop")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LakeloopError(f"can't read {file}: {error}") from error
    return table
