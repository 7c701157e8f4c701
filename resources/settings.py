"""The environment, read here and nowhere else: addresses of the lake, MLflow, Spark and the servers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lakeloop.errors import LakeloopError
from lakeloop.masking import url_problem
from resources.project import environment as environment_of
from resources.project import find_project

DATABASE = "postgresql+psycopg2://"
_OTHER_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg", "sqlite", "mysql", "mariadb", "http", "https")
SQLITE_STEPS = 8
"""Steps of one run that may write to Dagster's embedded SQLite at once: with two runs at a time these are 16 processes, which met no
lock error (48 steps of 10 checks each)."""
_NOT_IN_DATABASE_URL = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""What SQLAlchemy doesn't take literally in the path of an SQLite file, however it is written."""
MOST_PORT = 65_535
MOST_SERVING_WORKERS = 64
BOUNDS = ("LAKELOOP_STALL_S", "LAKELOOP_CONNECTIONS")
"""What the servers themselves read."""
LONGEST_HOME = 440
"""In bytes: SQLite opens files with paths of up to 511 bytes, and Dagster's have up to 69 after this folder."""


@dataclass(frozen=True)
class Settings:
    """The settings of one environment.

    Attributes:
        root: folder of the project.
        defs: folder of its definitions (`LAKELOOP_DEFS`).
        environment: `dev` unless `LAKELOOP_ENV` says otherwise. Environments share nothing.
        home: folder of local state (logs, MLflow's database, serving state), `.lakeloop/<environment>`.
        lake_url: root of the lake, a folder or an object-store URL (`LAKELOOP_LAKE`).
        tracking_uri: address of the MLflow server (`LAKELOOP_MLFLOW`).
        spark_remote: address of Spark (`sc://…`, `local[n]`, `LAKELOOP_SPARK`), or None for the embedded engine.
        spark_rows: from this many rows on, joins and batch predictions run on Spark instead of in the step's process.
        ui_url: address of the Dagster UI as people reach it (`LAKELOOP_UI`); links use it.
        notify: apprise URLs that failures are reported to (`LAKELOOP_NOTIFY`, separated by spaces); they hold credentials and are never shown.
        notify_warnings: whether failed checks that block nothing are reported too (`LAKELOOP_NOTIFY_WARNINGS`).
        dagster_db, mlflow_db, studies_db: PostgreSQL URLs of Dagster, MLflow and Optuna (`LAKELOOP_…_DB`), or None for the embedded SQLite.
            They hold passwords, so they are read from the environment only and never shown.
        steps: steps of a run that may run at once (`LAKELOOP_STEPS`).
        ui_port, mlflow_port, serving_port, grpc_port: the ports of `lakeloop up`, on loopback only.
        serving_workers: processes of the prediction endpoint (`LAKELOOP_SERVING_WORKERS`).
    """

    root: Path
    defs: Path
    environment: str
    home: Path
    lake_url: str
    tracking_uri: str
    spark_remote: str | None = field(repr=False)
    spark_rows: int
    ui_url: str
    notify: tuple[str, ...] = field(repr=False)
    notify_warnings: bool
    dagster_db: str | None = field(repr=False)
    mlflow_db: str | None = field(repr=False)
    studies_db: str | None = field(repr=False)
    steps: int
    ui_port: int
    mlflow_port: int
    serving_port: int
    grpc_port: int
    serving_workers: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables; every one has a default that works on one machine.

        What they don't set is read from the project's `.env`. Relative folders are relative to the project's folder, wherever a process was
        started.

        Args:
            environ: environment variables in place of the process's own and of `.env`.

        Raises:
            LakeloopError: there is no project, a port is none, an address holds a password, a database's URL isn't one of PostgreSQL or can't be taken apart, more steps are to run at once than SQLite
                supports, or no SQLite file can lie in the folder of local state.
        """
        env = environment_of() if environ is None else environ
        project = find_project(env)
        environment = env.get("LAKELOOP_ENV", "dev")
        home = project.root / env.get("LAKELOOP_HOME", ".lakeloop") / environment
        _require_place_for_databases(home)
        connection_bounds(env)
        lake = env.get("LAKELOOP_LAKE", str(home / "lake"))
        ui_port = _port(env, "LAKELOOP_UI_PORT", 3000)
        mlflow_port = _port(env, "LAKELOOP_MLFLOW_PORT", 5050)
        dagster_db = _database_url(env, "LAKELOOP_DAGSTER_DB")
        steps = _number(env, "LAKELOOP_STEPS", 2)
        if dagster_db is None and steps > SQLITE_STEPS:
            raise LakeloopError(
                f"LAKELOOP_STEPS: {steps} steps at once are more than Dagster's embedded SQLite supports (at most {SQLITE_STEPS}); "
                f"name a PostgreSQL database in LAKELOOP_DAGSTER_DB ({DATABASE}user:password@host/database), or set fewer steps"
            )
        return cls(
            root=project.root,
            defs=project.defs,
            environment=environment,
            home=home,
            lake_url=lake if "://" in lake else str(project.root / lake),
            tracking_uri=_address(env, "LAKELOOP_MLFLOW", f"http://127.0.0.1:{mlflow_port}"),
            spark_remote=env.get("LAKELOOP_SPARK") or None,
            spark_rows=_number(env, "LAKELOOP_SPARK_ROWS", 20_000_000),
            ui_url=_address(env, "LAKELOOP_UI", f"http://127.0.0.1:{ui_port}").rstrip("/"),
            notify=tuple(env.get("LAKELOOP_NOTIFY", "").split()),
            notify_warnings=env.get("LAKELOOP_NOTIFY_WARNINGS", "false").lower() == "true",
            ui_port=ui_port,
            dagster_db=dagster_db,
            mlflow_db=_database_url(env, "LAKELOOP_MLFLOW_DB"),
            studies_db=_database_url(env, "LAKELOOP_STUDIES_DB"),
            steps=steps,
            mlflow_port=mlflow_port,
            serving_port=_port(env, "LAKELOOP_SERVING_PORT", 8080),
            grpc_port=_port(env, "LAKELOOP_GRPC_PORT", 8081),
            serving_workers=_serving_workers(env),
        )

    def mlflow_name(self, domain: str, name: str) -> str:
        """Name of an experiment or registered model: `<domain>.<name>`, with the environment before it outside `dev`."""
        return f"{domain}.{name}" if self.environment == "dev" else f"{self.environment}.{domain}.{name}"


def connection_bounds(environ: Mapping[str, str] | None = None) -> tuple[float, int]:
    """How many seconds a server of this machine lets a client stall (`LAKELOOP_STALL_S`), and its connections at once (`LAKELOOP_CONNECTIONS`).

    Raises:
        LakeloopError: one of them isn't a whole number from 1 on.
    """
    env = os.environ if environ is None else environ
    stall_s, most = _number(env, "LAKELOOP_STALL_S", 30), _number(env, "LAKELOOP_CONNECTIONS", 500)
    if not stall_s or not most:
        raise LakeloopError(f"{'LAKELOOP_CONNECTIONS' if stall_s else 'LAKELOOP_STALL_S'}: wanted a whole number from 1 on, found 0")
    return float(stall_s), most


def _serving_workers(env: Mapping[str, str]) -> int:
    workers = _number(env, "LAKELOOP_SERVING_WORKERS", 1)
    if not 1 <= workers <= MOST_SERVING_WORKERS:
        raise LakeloopError(f"LAKELOOP_SERVING_WORKERS: wanted 1 to {MOST_SERVING_WORKERS} processes, found {workers}")
    return workers


def _require_place_for_databases(home: Path) -> None:
    if unusable := _NOT_IN_DATABASE_URL.search(str(home)):
        problem = f"{unusable[0]!r} means something else in the address of one"
    elif (length := len(os.fsencode(home))) > LONGEST_HOME:
        problem = f"its path has {length} bytes, of which SQLite takes {LONGEST_HOME} for a folder"
    else:
        return
    raise LakeloopError(f"LAKELOOP_HOME: no SQLite database can be opened in {home}, as {problem}; rename the folder, or name another")


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.strip().isdecimal():
        raise LakeloopError(f"{name}: wanted a whole number, found {value!r}")
    return int(value)


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    port = _number(env, name, default)
    if not 0 < port <= MOST_PORT:
        raise LakeloopError(f"{name}: wanted a port from 1 to {MOST_PORT}, found {port}")
    return port


def _address(env: Mapping[str, str], name: str, default: str) -> str:
    """The address of a server, which stands in links and messages, so that it may hold no password."""
    address = env.get(name) or default
    if "://" not in address or address.startswith("file:"):
        return address
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise LakeloopError(
            f"{name}: wanted an address without user and password, for it stands in links and messages; MLflow's clients take them from "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if problem := url_problem(address):
        raise LakeloopError(f"{name}: wanted an address such as {default}: {problem}")
    return address


def _database_url(env: Mapping[str, str], name: str) -> str | None:
    url = env.get(name) or None
    if url is None:
        return None
    if not url.startswith(DATABASE):
        # The variable may hold a password in the wrong place, so nothing is shown of it but a scheme.
        scheme = url.partition("://")[0]
        begins = f"one that begins with {scheme}://" if scheme in _OTHER_SCHEMES else "something else"
        raise LakeloopError(f"{name}: wanted {DATABASE}user:password@host/database, found {begins}")
    if problem := url_problem(url):
        raise LakeloopError(f"{name}: wanted {DATABASE}user:password@host/database: {problem}")
    return url
