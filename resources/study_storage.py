"""Where Optuna keeps its studies: the database that the settings name, an SQLite file without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from resources.settings import Settings

HEARTBEAT_S = 30
"""How often a worker says that its trial is alive; one that hasn't for twice as long is dead, and its trial failed. Only a database
storage has this; with journal files a dead worker's trial stays running for ever."""


def study_storage(settings: Settings) -> RDBStorage:
    """The storage of studies; several processes may use it at once."""
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage

    settings.home.mkdir(parents=True, exist_ok=True)
    url = settings.studies_db or f"sqlite:///{settings.home / 'studies.db'}"
    with warnings.catch_warnings():
        # Heartbeats are called experimental since version 2.9; nothing else notices a dead worker.
        warnings.simplefilter("ignore", ExperimentalWarning)
        # A connection that the server has closed since is noticed before it is used.
        return RDBStorage(url, heartbeat_interval=HEARTBEAT_S, grace_period=2 * HEARTBEAT_S, engine_kwargs={"pool_pre_ping": True})
