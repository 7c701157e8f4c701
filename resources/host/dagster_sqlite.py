"""Dagster's SQLite storages without what they do over and over: migrations read and engines made anew at each opening.

In a process that imports this. Nothing here opens a database, so that a process may be forked from it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.sql import create_engine, get_alembic_config
from sqlalchemy import Engine
from sqlalchemy.pool import NullPool, Pool

_STORAGES = (sqlite_run_storage, sqlite_event_log, sqlite_schedule_storage)
_migrations: dict[tuple[str | None, str | None], ScriptDirectory] = {}
_read_migrations = ScriptDirectory.from_config


def _known_migrations(config: Config) -> ScriptDirectory:
    """The migrations that a folder holds, read once: Dagster reads its 88 files three times for each process that opens its storage (0.2 s)."""
    key = config.config_file_name, config.get_main_option("script_location")
    if key not in _migrations:
        _migrations[key] = _read_migrations(config)
    return _migrations[key]


@lru_cache(256)
def _engine(url: str, timeout: float | None) -> Engine:
    return create_engine(url, poolclass=NullPool, connect_args={} if timeout is None else {"timeout": timeout})


def _known_engine(url: str, *, poolclass: type[Pool], connect_args: dict[str, Any] | None = None) -> Engine:
    """The engine of a database, made once: Dagster makes one for each event that it stores, which asks and compiles all anew each time.

    It keeps no connection, as Dagster's don't either.
    """
    assert poolclass is NullPool
    return _engine(url, (connect_args or {}).get("timeout"))


ScriptDirectory.from_config = _known_migrations  # type: ignore[method-assign]  # replacing it is the point
for _storage in _STORAGES:
    _known_migrations(get_alembic_config(str(_storage.__file__))).as_revision_number("head")
    _storage.create_engine = _known_engine  # type: ignore[attr-defined]  # a name that the module imports
