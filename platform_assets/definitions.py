"""Assembly, and nothing else: definition files to assets, with resources, sensors and schedules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

import resources.host.fewer_collections  # noqa: F401
from platform_assets.assets import assets_of
from platform_assets.executor import build_executor
from platform_assets.loading import read_project, read_valid
from resources.dagster_resources import default_resources
from resources.project import find_project
from resources.settings import Settings
from sensors.all import build_automation

PRELOADED = [
    "resources.host.fewer_collections",  # first, as every import after it takes less time
    "skops.io",  # looks for 800 functions of NumPy and SciPy in all modules that are there, in their order: 2.7 of 14.7 s after the others
    "platform_assets.definitions",
    "dagster._core.storage.runs.sqlite.sqlite_run_storage",
    "dagster._core.storage.event_log.sqlite.sqlite_event_log",
    "dagster._core.storage.schedules",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "dagster._core.instance.factory",
    "dagster._core.secrets.env_file",
    "dagster._core.definitions.external_asset",
    "dagster._core.definitions.repository_definition.repository_data_builder",
    "dagster._core.workspace.autodiscovery",
    "dagster._utils.test.definitions",
    "upath.implementations.local",
    "fsspec.implementations.local",
    "watchdog.observers.polling",
    "great_expectations",
    "polars",
    "deltalake",
    "pyarrow.compute",
    "pandas",
    "resources.spark.sail",
    "sqlglot.optimizer.qualify",
    "mlflow.sklearn",
    "dagster_mlflow",
    "sklearn.ensemble",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "platform_assets.step_process",  # last, as it closes the preparation
]
"""Imported once by the fork server of the step processes; see `platform_assets.step_process`."""
VALID = "valid_defs"
ready: dg.Definitions | None = None
"""Built already, where a process was forked to run one step of them."""


def build_defs(
    *, defs: Path | None = None, resources: Mapping[str, Any] | None = None, domain: str | None = None, only_valid: bool = False
) -> dg.Definitions:
    """Everything that is defined, as Dagster definitions.

    Args:
        defs: the folder of definitions; the project's, unless another is given.
        resources: in place of those that the environment names.
        domain: only this domain's assets, so that each domain can be a code location of its own.
        only_valid: leave out what is broken and what reads it, in every domain, instead of refusing all.

    Raises:
        SpecError: a definition can't be built.
    """
    if only_valid:
        valid = read_valid(defs)
        valid.warn()
        project = valid.project
    else:
        project = read_project(defs, domain)
    assets = [asset for located in project.all() if domain in (None, located.domain) for asset in assets_of(project, located)]
    steps = Settings.from_environment().steps
    automation = build_automation(project, assets, domain)
    return dg.Definitions(
        assets=assets,
        resources=dict(resources) if resources is not None else default_resources(),
        sensors=automation.sensors,
        schedules=automation.schedules,
        jobs=automation.jobs,
        executor=build_executor(project, {"max_concurrent": steps, "start_method": {"forkserver": {"preload_modules": PRELOADED}}}),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return ready or build_defs()


def __getattr__(name: str) -> dg.Definitions:
    """Definitions that a workspace names where it doesn't take all of them.

    `location_<domain>`: one domain alone, for a code location per domain, where a broken file stops only its own. `valid_defs`: all that
    pass `lakeloop check`, which is what `lakeloop up` serves.
    """
    if name == VALID:
        return ready or build_defs(only_valid=True)
    prefix, _, domain = name.partition("location_")
    if prefix or not domain or not (find_project().defs / domain).is_dir():
        raise AttributeError(name)
    return build_defs(domain=domain)
