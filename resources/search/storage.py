"""Where Optuna keeps its studies: the database that the settings name, an SQLite file without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakeloop.errors import ServiceUnavailable

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from resources.settings import Settings

HEARTBEAT_S, GRACE_S = 3, 15
"""How often a worker says that its trial is alive, and after which silence it is dead and its trial run again. Only a database storage has
this; with journal files a dead worker's trial stays running for ever. A worker that dies on the machine of another is noticed at once."""
MOST_RETRIES = 3
"""A trial whose worker died so often is given up: it may be what kills them."""
_LOCK_S = 60
_ATTEMPTS, _PAUSE_S = 10, 0.3


def study_storage(settings: Settings) -> RDBStorage:
    """The storage of studies; several processes may use it at once.

    Raises:
        ServiceUnavailable: the database doesn't answer, or doesn't let us in.
    """
    import time

    from sqlalchemy.exc import DatabaseError

    for _ in range(_ATTEMPTS):
        try:
            return _opened(settings)
        except DatabaseError as error:  # two processes may make its tables at the same moment, of which one is told that they are there
            problem = str(error.orig).splitlines()[0]
            time.sleep(_PAUSE_S)
    raise ServiceUnavailable(f"the database of studies (LAKELOOP_STUDIES_DB, an SQLite file without one) could not be opened: {problem}")


def _opened(settings: Settings) -> RDBStorage:
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    settings.home.mkdir(parents=True, exist_ok=True)
    url = settings.studies_db or f"sqlite:///{settings.home / 'studies.db'}"
    # A connection that the server has closed since is noticed before it is used.
    engine: dict[str, Any] = {"pool_pre_ping": True} | ({} if settings.studies_db else {"connect_args": {"timeout": _LOCK_S}})
    with warnings.catch_warnings():
        # Heartbeats are called experimental since version 2.9; nothing else notices a dead worker.
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES),
            engine_kwargs=engine,
        )
    if not settings.studies_db:
        _quick(storage)
    return storage


def _quick(storage: RDBStorage) -> None:
    """Let SQLite write ahead: readers don't wait for writers, and a commit doesn't wait for the disk.

    What a power cut may take is the last trials, never the file.
    """
    import sqlalchemy as sa

    def connected(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    sa.event.listen(storage.engine, "connect", connected)
    storage.engine.dispose()
