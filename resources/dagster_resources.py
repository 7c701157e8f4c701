"""The Dagster resources of assets, each opened at its first use."""

from __future__ import annotations

from typing import Any

import dagster as dg

from resources.lake.lake import Lake
from resources.settings import Settings
from resources.spark.sessions import SparkResource
from resources.tracking.runs import Tracking


class LakeResource(dg.ConfigurableResource[Any]):
    """The lake at a root URL; from the settings when none is given."""

    url: str = ""

    @property
    def lake(self) -> Lake:
        """The lake."""
        return Lake(self.url or Settings.from_environment().lake_url)


def default_resources() -> dict[str, dg.ConfigurableResource[Any]]:
    """Resources that read the settings when they are used."""
    return {"lake": LakeResource(), "spark": SparkResource(), "tracking": Tracking()}
