"""The shop as a project on a lake of its own: materialised whole or in part, in process or by Dagster's own commands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resources.lake.published import TableKey
from tests.worlds.servers.ports import free_port

LOCATION = """\
from pathlib import Path

from dagster import Definitions, definitions

from platform_assets.definitions import build_defs


@definitions
def defs() -> Definitions:
    return build_defs(defs=Path({defs!r}))
"""

ORDERS, RAW = TableKey("validated", "shop", "orders"), TableKey("raw", "shop", "orders")


@dataclass(frozen=True)
class Shop:
    """The shop project on a lake of its own."""

    defs: Path
    lake_url: str
    uri: str

    @property
    def lake(self) -> Any:
        """Its lake."""
        from resources.lake.lake import Lake

        return Lake(self.lake_url)

    @property
    def data(self) -> Path:
        """Its source file."""
        return self.defs / "shop" / "orders" / "data" / "orders.csv"

    def definitions(self) -> Any:
        """Its Dagster definitions."""
        from platform_assets.definitions import build_defs
        from resources.dagster_resources import LakeResource
        from resources.spark.sessions import SparkResource
        from resources.tracking.runs import Tracking

        resources = {"lake": LakeResource(url=self.lake_url), "spark": SparkResource(), "tracking": Tracking(tracking_uri=self.uri)}
        return build_defs(defs=self.defs, resources=resources)

    def materialize(self, *stages: str, instance: Any = None) -> Any:
        """Materialise everything, or some stages, in process; on an instance of its own unless one is given."""
        from platform_assets.plan import range_tags

        keys = [key for asset in self.definitions().assets for key in asset.keys if not stages or key.path[0] in stages]
        return self.run(keys, range_tags("2024-01", "2024-05"), instance)

    def materialize_stale(self) -> list[Any]:
        """Materialise what is stale, in the runs that it takes."""
        from platform_assets.assets import asset_key
        from platform_assets.loading import read_project
        from platform_assets.plan import runs_for, stale_assets

        project = read_project(self.defs)
        asked = runs_for(project, stale_assets(project, self.lake.states()))
        return [self.run([asset_key(key) for key in run.assets], run.tags) for run in asked]

    def run(self, keys: Sequence[Any], tags: Mapping[str, str], instance: Any = None) -> Any:
        """One run of some assets."""
        from contextlib import nullcontext

        import dagster as dg

        definitions = self.definitions()
        job = definitions.resolve_implicit_global_asset_job_def()
        with nullcontext(instance) if instance else dg.DagsterInstance.ephemeral() as opened:
            return job.execute_in_process(instance=opened, tags=dict(tags), asset_selection=list(keys), raise_on_error=False)

    def location(self, folder: Path) -> Path:
        """A file that Dagster's own commands load the project from; where lake and server are stands in `environment`."""
        path = folder / "location.py"
        path.write_text(LOCATION.format(defs=str(self.defs)))
        return path

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs to know to work on the same lake and server."""
        return {**os.environ, "LAKELOOP_LAKE": self.lake_url, "LAKELOOP_MLFLOW": self.uri}

    def without_server(self) -> Shop:
        """The same with an MLflow address at which nobody answers."""
        return replace(self, uri=f"http://127.0.0.1:{free_port()}")


def make(root: Path, uri: str, minimum: float = 0.55) -> Shop:
    """Write a shop into a folder."""
    from tests.worlds.shop import make_shop

    return Shop(make_shop(root, minimum=minimum), str(root / "lake"), uri)


def failures(result: Any) -> str:
    """What the failed steps of a run said, in one text."""
    events = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    return " ".join(f"{e.event_specific_data.error.message} {e.event_specific_data.error.cause}" for e in events)


def fresh(result: Any) -> set[bool]:
    """Whether the assets of a run were fresh already: all, none, or some."""
    return {bool(e.materialization.metadata["fresh"].value) for e in result.get_asset_materialization_events()}


def key(stage: str) -> TableKey:
    """The table of a stage of the workflow."""
    return TableKey(stage, "shop", "returns")
