"""What is stale, and in which runs it is materialised."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.assets import asset_key
from resources.lake.published import States, TableKey
from tests.worlds.shop_project import Shop

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
    asked = runs_for(project, stale_assets(project, States()))
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
    stale = stale_assets(project, States())
    (run,) = runs_for(project, stale)
    assert run.assets == tuple(stale)


def test_changed_partitions_are_replaced_in_one_run_and_no_row_is_doubled(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from platform_assets.plan import range_tags, stale_assets
    from resources.lake.published import WHOLE

    # Keys with the event time in them: nothing else would notice a row that stands in a month and in a day.
    months = "partitions: {start: 2024-01-01, end: 2024-06-01}"
    change(shop.defs, "orders", "keys: [order_id]", "keys: [order_id, ordered_at]")
    change(shop.defs, "outcomes", f"  {months}\n", "")
    assert shop.materialize("raw", "validated", "features").success
    tables = {
        name: TableKey("validated" if name == "orders" else "features", "shop", name)
        for name in ("orders", "history", "outcomes", "basket")
    }

    def rows() -> dict[str, int]:
        return {name: shop.lake.read(shop.lake.current(key)).num_rows for name, key in tables.items()}

    before = rows()
    days = "partitions: {grain: day, start: 2024-01-01, end: 2024-05-01}"
    for name in ("orders", "history"):
        change(shop.defs, name, months, days)
    change(shop.defs, "outcomes", "  columns:", f"  {days}\n  columns:")

    keys = [asset_key(TableKey(stage, "shop", "orders")) for stage in ("raw", "validated")]
    part = shop.run(keys, range_tags("2024-01-01", "2024-01-31"))
    told = [
        event.event_specific_data.user_failure_data.description for event in part.all_events if event.event_type_value == "STEP_FAILURE"
    ]
    assert len(told) == 1 and "all partitions 2024-01-01…2024-04-30 in one run, found 2024-01-01…2024-01-31" in told[0]
    assert rows() == before

    assert all(shop.run([asset_key(key) for key in run.assets], run.tags).success for run in data_runs(shop))
    assert rows() == before
    assert sorted(shop.lake.states()[tables["history"]])[::119] == ["2024-01-01", "2024-04-29"]
    assert WHOLE not in shop.lake.states()[tables["outcomes"]]
    assert not data_runs(shop)

    # A start that has moved on takes the days before it along, whichever partition is made first.
    change(shop.defs, "outcomes", days, days.replace("2024-01-01", "2024-04-10"))
    assert stale_assets(read_project(shop.defs), shop.lake.states())[tables["outcomes"]][0] == "2024-04-10"
    assert shop.run([asset_key(tables["outcomes"])], range_tags("2024-04-12", "2024-04-12")).success
    assert min(shop.lake.states()[tables["outcomes"]]) == "2024-04-10"
    assert min(shop.lake.read(shop.lake.current(tables["outcomes"]))["_partition"].to_pylist()) == "2024-04-10"


@pytest.mark.filled
def test_changed_partitions_of_predictions_leave_one_prediction_for_each_row(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from platform_assets.plan import runs_for, stale_assets
    from resources.lake.published import WHOLE

    key = TableKey("predictions", "shop", "returns")

    def predicted() -> tuple[list[str], list[tuple[str, float]]]:
        predictions = shop.lake.read(shop.lake.current(key), ["order_id", "prediction"]).to_pylist()
        return sorted(shop.lake.states()[key]), sorted((row["order_id"], row["prediction"]) for row in predictions)

    def again() -> None:
        stale = stale_assets(read_project(shop.defs), shop.lake.states())
        (asked,) = runs_for(read_project(shop.defs), {key: stale[key]})
        assert shop.run([asset_key(key)], asked.tags).success
        assert key not in stale_assets(read_project(shop.defs), shop.lake.states())

    assert shop.materialize("models", "evaluations", "releases", "predictions").success
    names, before = predicted()
    assert names == [f"2024-0{month}" for month in range(1, 6)] and len(before) > 100
    months, days = (
        "  partitions: {start: 2024-01-01, end: 2024-06-01}\n",
        "  partitions: {grain: day, start: 2024-01-01, end: 2024-06-01}\n",
    )
    change(shop.defs, "returns", months, "")
    again()
    assert predicted() == ([WHOLE], before)
    change(shop.defs, "returns", "  batch:", f"{days}  batch:")
    again()
    names, after = predicted()
    assert names[0] == "2024-01-01" and WHOLE not in names and after == before


def data_runs(shop: Shop) -> list[Any]:
    """The runs that what is stale of tables and views takes."""
    from platform_assets.loading import read_project
    from platform_assets.plan import runs_for, stale_assets

    project = read_project(shop.defs)
    stale = stale_assets(project, shop.lake.states())
    return runs_for(project, {key: names for key, names in stale.items() if key.stage in ("raw", "validated", "features")})


def change(defs: Path, name: str, old: str, new: str) -> None:
    path = defs / "shop" / name / "defs.yaml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def test_a_cause_whose_run_was_canceled_is_dropped_and_one_that_the_platform_stopped_is_asked_for_again() -> None:
    from resources.host.run_tags import CAUSE_TAG, STOPPED_TAG
    from sensors.all import _with_attempts

    def ask(attempts: int) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"cause-{attempts}", tags={CAUSE_TAG: "cause"})

    @dg.job
    def made() -> None:
        pass

    with dg.DagsterInstance.ephemeral() as instance:

        def end(status: dg.DagsterRunStatus, **tags: str) -> None:
            instance.create_run_for_job(made, status=status, tags={CAUSE_TAG: "cause", **tags})

        end(dg.DagsterRunStatus.FAILURE)
        assert _with_attempts(instance, ask).run_key == "cause-1"
        end(dg.DagsterRunStatus.CANCELED, **{STOPPED_TAG: "true"})
        assert _with_attempts(instance, ask).run_key == "cause-1-1"
        end(dg.DagsterRunStatus.CANCELED)
        skipped = _with_attempts(instance, ask)
        assert "was canceled (cause), so it isn't asked for again until data change" in skipped.skip_message


def test_a_schedule_asks_for_nothing_on_days_that_the_data_do_not_have(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from sensors.all import scheduled_request

    project = read_project(shop.defs)
    workflow, keys = project.workflows[("shop", "returns")], [dg.AssetKey(["predictions", "shop", "returns"])]

    def asked(day: str) -> Any:
        return scheduled_request(workflow, "batch", keys, datetime.fromisoformat(day).replace(tzinfo=UTC))

    assert asked("2024-03-05").tags["dagster/asset_partition_range_end"] == "2024-05"
    assert "begin on 2024-01-01; there are none before 2023-12-31 00:00" in asked("2023-12-31").skip_message
    assert "end before 2024-06-01; 2024-06-01 is no day" in asked("2024-06-01").skip_message
    change(shop.defs, "returns", ", end: 2024-06-01}", "}")
    project = read_project(shop.defs)
    workflow = project.workflows[("shop", "returns")]
    assert "there are none before 2024-01-01 00:00" in asked("2024-01-01").skip_message
    assert asked("2024-03-05").tags["dagster/asset_partition_range_end"] == "2024-03"
