"""The example workflows as a plain script: the stage functions in the order of the graph, without Dagster."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from lakeloop.spec.partitions import partition_keys
from lakeloop.spec.tables import Partitions
from platform_assets.graph import views_in_order
from platform_assets.loading import read_project
from platform_assets.stages.base import Platform
from platform_assets.stages.evaluation import evaluations
from platform_assets.stages.features import views as features
from platform_assets.stages.release import deployments, predictions, releases
from platform_assets.stages.tables import raw, validated
from platform_assets.stages.training import models, training_set
from resources.lake.lake import Lake
from resources.lake.published import WHOLE
from resources.settings import Settings
from resources.spark.sessions import SparkResource
from resources.tracking.runs import Tracking


def main() -> None:
    """Run every stage once."""
    settings, project, now = Settings.from_environment(), read_project(), datetime.now(UTC)
    platform = Platform(settings, project, Lake(settings.lake_url), SparkResource(), Tracking(), run_id=str(uuid4()))
    for table in project.tables.values():
        raw.land(platform, table, now=now)
        validated.validate(platform, table, _names(table.spec.partitions, now))
    for view in views_in_order(project):
        features.compute(platform, view, _names(view.spec.partitions, now))
    for workflow in project.workflows.values():
        training_set.build(platform, workflow)
        models.train(platform, workflow)
        evaluations.evaluate_model(platform, workflow)
        releases.release(platform, workflow)
        predictions.predict(platform, workflow, _names(workflow.spec.partitions, now))
        deployments.deploy(platform, workflow)


def _names(partitions: Partitions | None, now: datetime) -> list[str]:
    return partition_keys(partitions, now) if partitions else [WHOLE]


if __name__ == "__main__":
    main()
