"""Wide tables: one check for all expectations that block and one for all that warn, each told by column; narrow ones keep a check each."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakeloop.rows.verdicts import MANY
from lakeloop.spec.tables import Expectation
from platform_assets.components.scaffolders import LakeTableParams, draft_table_files
from platform_assets.stages.check_rows import CHECKS_TABLE
from platform_assets.stages.stage import Check
from resources.lake.lake import Lake
from tests.worlds.shop_project import Shop

COLUMNS = 400


@pytest.fixture
def wide(tmp_path: Path) -> Shop:
    columns = {"id": [f"k{number}" for number in range(30)]} | {
        f"c{number}": [number + row / 2 for row in range(30)] for number in range(COLUMNS)
    }
    pq.write_table(pa.table(columns), tmp_path / "wide.parquet")
    folder = tmp_path / "defs" / "shop" / "wide"
    folder.mkdir(parents=True)
    for name, text in draft_table_files(LakeTableParams(source=str(tmp_path / "wide.parquet")), folder, tmp_path)[0].items():
        (folder / name).write_text(text)
    return Shop(tmp_path / "defs", str(tmp_path / "lake"), "http://127.0.0.1:9")


def checks(shop: Shop, *stages: str) -> tuple[bool, dict[str, dg.AssetCheckEvaluation]]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = shop.materialize(*stages, instance=instance)
        return result.success, {f"{e.asset_key.path[0]}.{e.check_name}": e for e in result.get_asset_check_evaluations()}


def test_a_wide_table_has_few_checks_and_a_row_in_the_lake_for_each_expectation(wide: Shop) -> None:
    success, evaluations = checks(wide)
    assert success
    assert set(evaluations) == {
        "raw.blocking_expectations", "raw.no_new_columns",
        "validated.blocking_expectations", "validated.warning_expectations", "validated.landed_is_accounted_for",
    }  # fmt: skip
    assert all(evaluation.passed for evaluation in evaluations.values())
    assert evaluations["validated.warning_expectations"].metadata["expectations"].value == 2 * COLUMNS
    rows = Lake(wide.lake_url).open(CHECKS_TABLE).to_pyarrow_table()
    assert rows.num_rows == (1 + COLUMNS + 1) + (1 + 1 + 2 + 2 * COLUMNS)


def test_a_wide_tables_checks_name_the_columns_that_fail(wide: Shop) -> None:
    path = wide.defs / "shop" / "wide" / "defs.yaml"
    text = path.read_text()
    bound = "expect_column_values_to_be_between: {column: c7,"
    assert bound in text
    path.write_text(
        text.replace(
            bound,
            "expect_column_values_to_be_between: {column: c7, mostly: 1.0, min_value: 1000}, severity: warning}\n    - {expect_column_values_to_be_between: {column: c7,",
            1,
        )
    )
    success, evaluations = checks(wide)
    warned = evaluations["validated.warning_expectations"]
    assert success and not warned.passed
    assert warned.severity == dg.AssetCheckSeverity.WARN
    assert warned.metadata["not_passed"].value == 1
    assert "between__c7" in warned.description and "found 30 of 30 rows" in warned.description
    path.write_text(path.read_text().replace("min_value: 1000}, severity: warning", "min_value: 1000}, severity: blocking"))
    success, evaluations = checks(wide)
    assert not success and not evaluations["validated.blocking_expectations"].passed
    assert Lake(wide.lake_url).open("reports/checks").to_pyarrow_table()["outcome"].to_pylist().count("failed") == 2


@pytest.mark.parametrize("count", [1, MANY, MANY + 1])
def test_a_table_up_to_the_stated_width_keeps_a_check_for_each_expectation(count: int) -> None:
    suite = [Expectation(type="expect_column_to_exist", kwargs={"column": f"c{number}"}) for number in range(count)]
    made = Check.of(suite)
    if count <= MANY:
        assert [(check.name, check.covers) for check in made] == [(f"to_exist__c{number}", ()) for number in range(count)]
    else:
        assert [(check.name, check.blocking, len(check.covers)) for check in made] == [("blocking_expectations", True, count)]
