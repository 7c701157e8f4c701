"""Assembly, and nothing else: definition files to assets, with resources, sensors and schedules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from lakeloop.errors import SpecError
from lakeloop.project import Project, load_project
from resources.settings import PROJECT_ROOT

DEFS = PROJECT_ROOT / "platform_assets" / "defs"
PRELOADED = [
    "platform_assets.definitions",
    "dagster._core.storage.runs.sqlite.sqlite_run_storage",
    "dagster._core.storage.event_log.sqlite.sqlite_event_log",
    "dagster._core.storage.schedules",
    "great_expectations",
    "polars",
    "deltalake",
    "pyarrow.compute",
    "pandas",
    "pysail.spark",
    "sqlglot.optimizer.qualify",
    "mlflow.sklearn",
    "dagster_mlflow",
    "sklearn.ensemble",
    "skops.io",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
]
"""Imported once by the fork server of the step processes; importing is all that happens there."""


def read_project(defs: Path = DEFS) -> Project:
    """Read and check all definitions.

    Raises:
        SpecError: with every error found, one a line.
    """
    project, errors = load_project(defs)
    if errors:
        raise SpecError(f"{len(errors)} errors in the definitions:\n" + "\n".join(str(error) for error in errors))
    return project


def build_defs(*, defs: Path = DEFS, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Everything that is defined, as Dagster definitions.

    Args:
        defs: the folder of definitions.
        resources: in place of those that the environment names.

    Raises:
        SpecError: a definition can't be built.
    """
    from platform_assets.components import FeatureView, LakeTable, MLWorkflow
    from resources.dagster_resources import default_resources
    from sensors.all import build_automation

    project = read_project(defs)
    assets = [
        *[asset for located in project.tables.values() for asset in LakeTable.assets(project, located)],
        *[asset for located in project.views.values() for asset in FeatureView.assets(project, located)],
        *[asset for located in project.workflows.values() for asset in MLWorkflow.assets(project, located)],
    ]
    automation = build_automation(project, assets)
    return dg.Definitions(
        assets=assets,
        resources=dict(resources) if resources is not None else default_resources(),
        sensors=automation.sensors,
        schedules=automation.schedules,
        jobs=automation.jobs,
        executor=dg.multiprocess_executor.configured({"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": PRELOADED}}}),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_defs()
