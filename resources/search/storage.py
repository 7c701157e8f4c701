"""The storage of Optuna's studies: the database that the settings name, else an SQLite file."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

from lakeloop.errors import ServiceUnavailable
from lakeloop.masking import without_secrets

if TYPE_CHECKING:
    import sqlite3

    from optuna.storages import RDBStorage

    from resources.settings import Settings

HEARTBEAT_S, GRACE_S = 3, 15
"""The interval of a worker's heartbeats, and the silence after which it counts as dead and its trial is run again. Only a database storage
has heartbeats; with journal files the trial of a dead worker runs for ever. A worker that dies on the same machine is noticed at once."""
MOST_RETRIES = 3
"""A trial whose workers died so often is given up: it may be the cause."""
_LOCK_S = 60
_ATTEMPTS, _PAUSE_S = 10, 0.3


def study_storage(settings: Settings) -> RDBStorage:
    """Open the storage of studies; several processes may use it at once.

    Raises:
        ServiceUnavailable: the database doesn't answer, or doesn't let us in.
    """
    from sqlalchemy.exc import DatabaseError

    for _ in range(_ATTEMPTS):
        try:
            return _open(settings)
        except DatabaseError as error:  # of two processes that create its tables at once, one fails because they exist
            problem = without_secrets(str(error.orig).splitlines()[0], settings.studies_db or "")
            time.sleep(_PAUSE_S)
    raise ServiceUnavailable(f"the database of studies (LAKELOOP_STUDIES_DB, an SQLite file without one) could not be opened: {problem}")


def _open(settings: Settings) -> RDBStorage:
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    settings.home.mkdir(parents=True, exist_ok=True)
    url = settings.studies_db or f"sqlite:///{settings.home / 'studies.db'}"
    # `pool_pre_ping` notices a connection that the server has closed.
    engine: dict[str, Any] = {"pool_pre_ping": True} | ({} if settings.studies_db else {"connect_args": {"timeout": _LOCK_S}})
    with warnings.catch_warnings():
        # Optuna has called heartbeats experimental since version 2.9; nothing else notices a dead worker.
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES),
            engine_kwargs=engine,
        )
    if not settings.studies_db:
        _write_ahead(storage)
    return storage


def _write_ahead(storage: RDBStorage) -> None:
    """Switch SQLite to its write-ahead log: readers don't wait for writers, and a commit doesn't wait for the disk.

    A power cut may lose the last trials, but doesn't damage the file.
    """
    import sqlalchemy as sa

    def set_pragmas(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    sa.event.listen(storage.engine, "connect", set_pragmas)
    storage.engine.dispose()
