"""FeatureView: features from lake tables, by SQL or PySpark."""

from __future__ import annotations

import dagster as dg

from lakeloop.spec.tables import ViewSpec
from platform_assets.components.base import SpecComponent
from platform_assets.components.scaffolders import FeatureViewScaffolder


@dg.scaffold_with(FeatureViewScaffolder)
class FeatureView(SpecComponent[ViewSpec]):
    """Features of an entity, with event time and known time, computed by a SQL file or a PySpark function."""

    spec_type = ViewSpec
