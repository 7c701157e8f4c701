"""What the fork server of the step processes has ready before it forks the first: for the sake of speed, and nothing but that.

Imported last of what is preloaded. Nothing here starts a thread or touches Polars, Delta or LightGBM, after whose use a
forked child may hang.
"""

from __future__ import annotations

import gc
from contextlib import suppress

import resources.host.dagster_sqlite  # noqa: F401
from lakeloop.errors import LakeloopError
from platform_assets import definitions

# The definitions and their jobs, with the modules that building them imports. One that broke since the run began stops the others' steps no
# more than it stops the others' runs.
with suppress(LakeloopError):
    definitions.ready = definitions.build_defs(only_valid=True)
    definitions.ready.get_repository_def().get_all_jobs()

# A collection in a child would write to every page that holds an object, and so copy hundreds of megabytes that are shared until then.
gc.collect()
gc.freeze()
