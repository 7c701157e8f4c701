"""What a leaky join would have shown: `flight_delay` fitted on features as known when asked, and as they stand after landing.

Reads the lake of the environment, so the flights example must have been materialised: `make run`, then `python -m benchmarks.leakage`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from lakeloop.metrics.table import evaluate
from lakeloop.training.frames import feature_frame, feature_kinds
from lakeloop.training.pipelines import build_estimator
from platform_assets.loading import read_project
from platform_assets.stages.base import Platform
from platform_assets.stages.features.lookup import feature_spec, join_features
from platform_assets.stages.training.rows import FIT_SPLITS
from platform_assets.stages.training.training_set import LABEL, LABEL_KNOWN_AT, SPLIT
from resources.lake.lake import Lake
from resources.lake.published import TableKey
from resources.settings import Settings
from resources.spark.sessions import SparkResource
from resources.tracking.runs import Tracking


def main() -> None:
    """Print both scores."""
    settings, project = Settings.from_environment(), read_project()
    workflow = project.workflows[("flights", "flight_delay")]
    platform = Platform(settings, project, Lake(settings.lake_url), SparkResource(), Tracking())
    states = platform.lake.states()
    table = platform.lake.read(platform.lake.current(TableKey("training_sets", *workflow.id), states))
    table = table.filter(pc.is_valid(table[LABEL]))
    spec = feature_spec(project, workflow)
    names = spec.names
    at = workflow.spec.predict_at
    spine = table.drop_columns([*names, at]).append_column(at, table[LABEL_KNOWN_AT])
    leaky, _ = join_features(platform, workflow.domain, spine, spec, states)
    for what, rows in (("as known two hours before departure", table), ("as it stands after landing (leaky)", leaky)):
        fit = rows.filter(pc.is_in(rows[SPLIT], value_set=pa.array(FIT_SPLITS)))
        test = rows.filter(pc.equal(rows[SPLIT], "test"))
        estimator = build_estimator(workflow.spec.model, feature_kinds(rows.schema, names), workflow.spec.answer)
        estimator.fit(feature_frame(fit, names), fit[LABEL].to_numpy())
        scores = estimator.predict_proba(feature_frame(test, names))[:, 1]
        measured = {value.name: value for value in evaluate(workflow.spec.answer, test[LABEL].to_numpy(), scores)}
        print(f"{what:<40} ROC AUC {measured['roc_auc'].value:.3f}   average precision {measured['average_precision'].value:.3f}")


if __name__ == "__main__":
    main()
