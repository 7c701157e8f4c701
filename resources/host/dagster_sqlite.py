"""Imported for its effect: Dagster's SQLite storages read their migrations once and keep their engines, instead of doing both at each opening.

Importing it opens no database, so that processes can be forked from one that has done so. A process that nothing is forked from may call
`keep_connections`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.sql import create_engine, get_alembic_config
from sqlalchemy import Engine
from sqlalchemy.pool import NullPool, Pool, QueuePool

_STORAGES = (sqlite_run_storage, sqlite_event_log, sqlite_schedule_storage)
_migrations: dict[tuple[str | None, str | None], ScriptDirectory] = {}
_read_migrations = ScriptDirectory.from_config


def _cached_migrations(config: Config) -> ScriptDirectory:
    """The migrations in a folder, read once: Dagster reads its 88 files three times in each process that opens its storage (0.2 s)."""
    key = config.config_file_name, config.get_main_option("script_location")
    if key not in _migrations:
        _migrations[key] = _read_migrations(config)
    return _migrations[key]


_keeps_connections = False
_STANDING = re.compile(r"/(runs|schedules|index)\.db$")
"""Databases that each process of the platform asks all the time; beside them there is one for each run's events."""


def keep_connections() -> None:
    """Keep the connections of this process to the databases that it asks all the time.

    Where the last connection to a database is closed, SQLite writes its log back and removes it: with one opened for each of the daemon's
    questions that was a third of its time.
    """
    global _keeps_connections
    _keeps_connections = True


@lru_cache(256)
def _engine(url: str, timeout: float | None, keeps: bool) -> Engine:
    arguments = {} if timeout is None else {"timeout": timeout}
    if not keeps:
        return create_engine(url, poolclass=NullPool, connect_args=arguments)
    engine = create_engine(url, poolclass=QueuePool, connect_args=arguments)
    # Dagster's storage of events closes an engine's connections after each use.
    engine.dispose = lambda *_, **__: None  # type: ignore[method-assign]
    return engine


def _cached_engine(url: str, *, poolclass: type[Pool], connect_args: dict[str, Any] | None = None) -> Engine:
    """The engine of a database, made once: Dagster makes one for each event that it stores, which inspects the database and compiles SQL again.

    It keeps no connection, like Dagster's own, unless `keep_connections` was called.
    """
    assert poolclass is NullPool
    return _engine(url, (connect_args or {}).get("timeout"), _keeps_connections and bool(_STANDING.search(url)))


ScriptDirectory.from_config = _cached_migrations  # type: ignore[method-assign]  # replacing it is the point
for _storage in _STORAGES:
    _cached_migrations(get_alembic_config(str(_storage.__file__))).as_revision_number("head")
    _storage.create_engine = _cached_engine  # type: ignore[attr-defined]  # a name that the module imports
