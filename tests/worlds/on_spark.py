"""What the shop's definitions give on some Spark, as Parquet files: views, hard queries, the feature join, predictions.

A program of its own, too, because one process can't hold both a Connect client and a JVM:
`python -m tests.worlds.on_spark REMOTE DEFS LAKE MLFLOW FOLDER`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    import numpy as np

    from tests.worlds.shop_project import Shop

QUERIES = {
    "trailing": """
        SELECT customer, ordered_at, order_id,
            avg(amount_eur) OVER week AS mean_amount_7d, count(*) OVER week AS orders_7d, max(returned) OVER week AS any_returned,
            lag(items) OVER (PARTITION BY customer ORDER BY ordered_at, order_id) AS items_before
        FROM shop.orders
        WINDOW week AS (PARTITION BY customer ORDER BY ordered_at RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW)""",
    "decimals": """
        SELECT customer, avg(CAST(items AS DECIMAL(10, 2))) AS mean_items, avg(DISTINCT items * 1.5) AS mean_more, sum(CAST(items AS DECIMAL(10, 2))) AS all_items,
            count(returned) AS known, sum(CASE WHEN returned THEN 1 ELSE 0 END) AS sent_back
        FROM shop.orders GROUP BY customer""",
    "times": """
        SELECT order_id, ordered_at - INTERVAL 90 MINUTES AS before, date_trunc('HOUR', ordered_at) AS hour, hour(ordered_at) AS hour_utc,
            CAST(ordered_at AS DATE) AS day, dayofweek(ordered_at) AS weekday, unix_micros(ordered_at) AS micros, known_at
        FROM shop.orders""",
    "nulls": """
        SELECT order_id, returned, coalesce(returned, false) AS assumed, nullif(items, 3) AS not_three, amount_eur / nullif(items - 5, 0) AS share,
            CASE WHEN items > 10 THEN 'large' WHEN items > 5 THEN 'middle' END AS size, amount_eur > 50 AND returned AS both
        FROM shop.orders""",
}


def results(remote: str | None, defs: Path, lake: str, uri: str, *, spark_rows: int) -> dict[str, pa.Table]:
    """Everything that the definitions compute on Spark, with joins and predictions there too if `spark_rows` is 0."""
    from lakeloop.project.project import upstream
    from platform_assets.definitions import read_project
    from platform_assets.stages.base import Platform, key_of
    from platform_assets.stages.features.lookup import feature_spec, join_features, spine_rows
    from platform_assets.stages.inputs import run_sql
    from platform_assets.stages.release.predictions import score_rows
    from resources.lake.lake import Lake
    from resources.lake.published import WHOLE
    from resources.settings import Settings
    from resources.spark.sessions import SparkResource
    from resources.tracking.model_format import load_model
    from resources.tracking.runs import Tracking

    project = read_project(defs)
    settings = replace(Settings.from_environment(), tracking_uri=uri, spark_rows=spark_rows)
    platform = Platform(settings, project, Lake(lake), SparkResource(remote=remote), Tracking(tracking_uri=uri))
    states = platform.lake.states()
    results = {}
    for view in project.views.values():
        text = (view.folder / str(view.spec.sql)).read_text()
        results[f"view {view.spec.name}"] = run_sql(platform, states, view.domain, text, upstream(project, view))
    (orders,) = upstream(project, project.views[("shop", "basket")])
    for name, text in QUERIES.items():
        results[f"query {name}"] = run_sql(platform, states, "shop", text, [orders])
    workflow = project.workflows[("shop", "returns")]
    spine = spine_rows(platform, workflow, states)
    results["spine"] = spine
    results["joined"], _ = join_features(platform, "shop", spine, feature_spec(project, workflow), states)
    released = states[key_of("releases", workflow)][WHOLE].value
    model = load_model(f"models:/{released['name']}/{released['champion']}", uri)
    scores, _ = score_rows(platform, "shop", spine, model, states)
    results["predictions"] = spine.append_column(
        "prediction", pa.array(scores, pa.float64()) if not isinstance(scores, pa.ChunkedArray) else scores
    )
    return results


def first_scores(shop: Shop, name: str, model: Any, domain: str = "x") -> np.ndarray:
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


def main() -> None:
    """Compute and write."""
    remote, defs, lake, uri, folder = sys.argv[1:]
    for name, table in results(remote, Path(defs), lake, uri, spark_rows=0).items():
        pq.write_table(table, f"{folder}/{name}.parquet")


if __name__ == "__main__":
    main()
