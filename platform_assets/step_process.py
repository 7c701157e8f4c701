"""What the fork server of the step processes has ready before it forks the first: for the sake of speed, and nothing but that.

Imported last of what is preloaded. Nothing here starts a thread or touches Polars, Delta or LightGBM, after whose use a
forked child may hang.
"""

from __future__ import annotations

import gc
from contextlib import suppress

from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.sql import get_alembic_config

from lakeloop.errors import LakeloopError
from platform_assets import definitions

_migrations: dict[tuple[str | None, str | None], ScriptDirectory] = {}
_read_migrations = ScriptDirectory.from_config


def _known_migrations(config: Config) -> ScriptDirectory:
    """The migrations that a folder holds, read once: Dagster reads its 88 files three times for each process that opens its storage (0.2 s)."""
    key = config.config_file_name, config.get_main_option("script_location")
    if key not in _migrations:
        _migrations[key] = _read_migrations(config)
    return _migrations[key]


ScriptDirectory.from_config = _known_migrations
for _storage in (sqlite_run_storage, sqlite_event_log, sqlite_schedule_storage):
    _known_migrations(get_alembic_config(str(_storage.__file__))).as_revision_number("head")

# The definitions, with the modules that building them imports; a broken one is reported by the step that builds it again.
with suppress(LakeloopError):
    definitions.ready = definitions.build_defs()
    definitions.ready.get_repository_def()

# A collection in a child would write to every page that holds an object, and so copy hundreds of megabytes that are shared until then.
gc.collect()
gc.freeze()
