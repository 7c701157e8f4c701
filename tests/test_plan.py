"""What is stale, and in which runs it is materialised."""

from __future__ import annotations

from pathlib import Path

from resources.published import TableKey
from tests.conftest import Shop

VISITS = """\
type: platform_assets.components.LakeTable
attributes:
  name: visits
  description: One row per visit to the shop's pages.
  source: {files: visits.csv}
  keys: [visit]
  event_time: visited_at
  bulk_loaded_until: 2025-01-01
  partitions: {grain: day, start: 2023-12-30, end: 2024-01-03}
  columns:
    visit: {type: string, nullable: false, description: Visit.}
    visited_at: {type: timestamp, nullable: false, timezone: UTC, description: When.}
"""
RECENT = """\
type: platform_assets.components.FeatureView
attributes:
  name: recent_visits
  description: Visits by the hour.
  sql: view.sql
  keys: [visit]
  event_time: visited_at
  partitions: {grain: day, start: 2023-12-30, end: 2024-01-03}
  columns:
    visit_hour: {type: integer, description: Hour.}
"""


def add(defs: Path, name: str, **files: str) -> None:
    for file, text in files.items():
        path = defs / "shop" / name / file.replace("_", ".", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_assets_with_other_partitions_take_a_run_of_their_own_and_everything_gets_fresh(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from platform_assets.plan import runs_for, stale_assets

    add(shop.defs, "visits", defs_yaml=VISITS, visits_csv="visit,visited_at\nv1,2023-12-31 23:59:59\nv2,2024-01-01 00:00:00\n")
    add(
        shop.defs, "recent_visits", defs_yaml=RECENT, view_sql="SELECT visit, visited_at, hour(visited_at) AS visit_hour FROM shop.visits\n"
    )
    project = read_project(shop.defs)
    asked = runs_for(project, stale_assets(project, {}))
    assert [(run.first, run.last) for run in asked] == [("2024-01", "2024-05"), ("2023-12-30", "2024-01-02")]
    assert asked[1].assets == (TableKey("validated", "shop", "visits"), TableKey("features", "shop", "recent_visits"))

    results = shop.materialize_stale()
    assert [result.success for result in results] == [True, True]
    assert stale_assets(project, shop.lake.states()) == {}
    visits = shop.lake.states()[TableKey("features", "shop", "recent_visits")]
    assert {day: state.rows for day, state in visits.items()} == {"2023-12-30": 0, "2023-12-31": 1, "2024-01-01": 1, "2024-01-02": 0}


def test_a_project_with_one_kind_of_partitions_takes_one_run(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from platform_assets.plan import runs_for, stale_assets

    project = read_project(shop.defs)
    stale = stale_assets(project, {})
    (run,) = runs_for(project, stale)
    assert run.assets == tuple(stale)
