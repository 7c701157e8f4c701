"""The scores of a workflow's first rows by Spark's workers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.worlds.shop_project import Shop


def on_spark(shop: Shop, name: str, model: Any, domain: str = "x") -> np.ndarray:
    """Scores of the first 40 rows of a workflow's spine by Spark's workers, which are those that this process gives."""
    from platform_assets.definitions import read_project
    from platform_assets.stages.base import Platform
    from platform_assets.stages.features.lookup import spine_rows
    from platform_assets.stages.release.predictions import score_rows
    from resources.settings import Settings
    from resources.spark.sessions import SparkResource
    from resources.tracking.runs import Tracking

    project, states = read_project(shop.defs), shop.lake.states()
    settings = replace(Settings.from_environment(), tracking_uri=shop.uri, spark_rows=0)
    platform = Platform(settings, project, shop.lake, SparkResource(), Tracking(tracking_uri=shop.uri))
    rows = spine_rows(platform, project.workflows[(domain, name)], states).slice(0, 40)
    there, _ = score_rows(platform, domain, rows, model, states)
    platform.settings = replace(settings, spark_rows=10**9)
    here, _ = score_rows(platform, domain, rows, model, states)
    assert there.shape == here.shape and there == pytest.approx(here, rel=1e-12)
    return there
