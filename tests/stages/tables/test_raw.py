"""Landing: columns that have no value or no type yet, numbers that change theirs, and rows that come back as they were."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from resources.lake.lake import Lake
from resources.lake.published import PartitionState
from tests.worlds.sales import JSONL, NOW, RAW, Sales


def test_a_column_without_any_value_takes_the_type_of_its_first_one(sales: Sales) -> None:
    sales.define(JSONL, "string")
    sales.write("1.jsonl", {"id": 1, "amount": None})
    assert sales.land().verdict.passed
    assert "amount" not in sales.landed().column_names and sales.validate() == {1: None}
    sales.write("2.jsonl", {"id": 2, "amount": "2 EUR"})
    assert sales.land().verdict.passed
    assert sales.landed().schema.field("amount").type == pa.string() and sales.validate() == {1: None, 2: "2 EUR"}
    sales.write("3.jsonl", {"id": 3, "amount": None})
    assert sales.land().verdict.passed
    assert sales.validate() == {1: None, 2: "2 EUR", 3: None}


def test_a_declared_column_that_is_not_delivered_is_still_refused(sales: Sales) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "sum": 1.5})
    with pytest.raises(DataError, match="no column 'amount'"):
        sales.land()


def test_a_column_that_is_declared_later_and_has_no_value_is_read_as_nulls(sales: Sales) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, "total": None})
    sales.land()
    path = sales.defs / "sales" / "orders" / "defs.yaml"
    path.write_text(path.read_text().replace("type: double,", "type: double, source: total,"))
    sales.land()
    assert sales.validate() == {1: None}


def test_an_event_time_without_any_value_sets_every_row_aside(sales: Sales) -> None:
    sales.define(JSONL, partitions="  partitions: {start: 2024-01-01, end: 2024-06-01}\n")
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, "at": None}, {"id": 2, "amount": 1.5, "at": None})
    assert sales.land().rows == 2
    assert sales.landed()["_partition"].to_pylist() == ["undated"] * 2


@pytest.mark.parametrize("value", ["a", 1, 1.5, True, Decimal("1.20"), NOW, [1]])
def test_a_table_that_holds_a_column_without_type_takes_any(tmp_path: Path, value: Any) -> None:
    lake = Lake(str(tmp_path))
    for number, values in enumerate((pa.nulls(1), pa.array([value]))):
        rows = pa.table({"id": [number], "x": values, "_partition": ["2024-03"]})
        lake.publish(RAW, rows, [PartitionState("2024-03", str(number))], mode="append")
    assert sorted(lake.read(lake.current(RAW)).select(["id", "x"]).to_pylist(), key=lambda row: row["id"]) == [
        {"id": 0, "x": None},
        {"id": 1, "x": value},
    ]


@pytest.mark.parametrize("name", ["ingested_at", "_row", "_file", "_partition", "_Landing"])
def test_a_column_that_is_called_as_one_of_ours_is_refused(sales: Sales, name: str) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, name: "a"})
    with pytest.raises(DataError, match=rf"data/1\.jsonl: a column is named '{name}', which the platform uses for its own"):
        sales.land()
    assert sales.lake.open(RAW) is None


def test_a_column_that_changes_its_case_is_refused_by_both_names(sales: Sales) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, "note": "a", "Note": "b"})
    with pytest.raises(DataError, match=r"raw/sales/orders: columns note and Note come side by side: they differ in upper and lower case"):
        sales.land()
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, "note": "a"})
    sales.land()
    before = sales.lake.states()
    sales.write("2.jsonl", {"id": 2, "amount": 2.5, "NOTE": "b"})
    with pytest.raises(
        DataError, match=r"column note has landed before and comes as NOTE now: .* nothing was written\. Name them apart, or alike"
    ):
        sales.land()
    assert sales.lake.states() == before
    sales.write("2.jsonl", {"id": 2, "amount": 2.5, "note": "b"})
    sales.land()
    assert sales.validate() == {1: 1.5, 2: 2.5}
