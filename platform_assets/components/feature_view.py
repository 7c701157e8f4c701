"""FeatureView: features from lake tables, by SQL or PySpark."""

from __future__ import annotations

import dagster as dg

from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project
from lakeloop.spec.tables import ViewSpec
from platform_assets.assets import Check, stage_asset
from platform_assets.components.base import SpecComponent
from platform_assets.components.scaffolders import FeatureViewScaffolder
from platform_assets.stages.features import view_versions
from platform_assets.stages.features import views as features
from platform_assets.stages.metadata import column_schema


@dg.scaffold_with(FeatureViewScaffolder)
class FeatureView(SpecComponent[ViewSpec]):
    """Features of an entity, with event time and known time, computed by a SQL file or a PySpark function."""

    spec_type = ViewSpec

    @classmethod
    def assets(cls, project: Project, located: Located[ViewSpec]) -> list[dg.AssetsDefinition]:
        """`features`."""
        spec = located.spec
        more = {name: ("key", "Entity key.") for name in spec.keys if name not in spec.columns}
        if spec.event_time:
            more |= {spec.event_time: ("timestamp", "Event time."), "known_at": ("timestamp", "When the row could first have been used.")}
        return [
            stage_asset(
                project,
                located,
                "features",
                lambda platform, partitions: features.compute(platform, located, partitions),
                checks=[
                    *Check.of(features.suite(spec)),
                    Check(view_versions.VERSION_CHECK, True, "the definition is the one that releases cite under its version"),
                ],
                schema=column_schema(spec.columns, personal_columns(project, "features", located), more),
                kinds={"delta", "sql" if spec.sql else "pyspark"},
                code_version=features.CODE_VERSION,
                tags={"lakeloop/version": str(spec.version)},
            )
        ]
