"""Landing: columns that have no value or no type yet, numbers that change theirs, and rows that come back as they were."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from lakeloop.errors import DataError
from lakeloop.rows.stacking import stack_tables
from platform_assets.loading import read_project
from platform_assets.stages.base import Platform
from platform_assets.stages.tables import raw
from platform_assets.stages.tables.validated import validate
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState, TableKey
from resources.settings import Settings

RAW, VALIDATED = TableKey("raw", "sales", "orders"), TableKey("validated", "sales", "orders")
DEFINITION = """\
type: platform_assets.components.LakeTable
attributes:
  name: orders
  description: One row per order.
  source: SOURCE
  keys: [id]
  event_time: at
PARTITIONS  columns:
    id: {type: integer, nullable: false, description: Order.}
    at: {type: timestamp, timezone: UTC, description: When.}
    amount: {type: TYPE, description: Amount.}
"""
JSONL = "{files: data/*.jsonl}"
DATABASE = "{database: SALES_DB, table: orders, cursor: changed, overlap: 100}"
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@dataclass
class Sales:
    """A project of one table on a lake of its own."""

    defs: Path
    lake: Lake
    days: int = 0

    def define(self, source: str, amount: str = "double", partitions: str = "") -> None:
        folder = self.defs / "sales" / "orders"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        text = DEFINITION.replace("SOURCE", source).replace("TYPE", amount).replace("PARTITIONS", partitions)
        (folder / "defs.yaml").write_text(text)

    def write(self, name: str, *rows: dict[str, Any]) -> None:
        path = self.defs / "sales" / "orders" / "data" / name
        path.write_text("".join(json.dumps({"at": "2024-03-01T10:00:00", **row}) + "\n" for row in rows))

    def land(self) -> Any:
        self.days += 1
        platform = Platform(Settings.from_environment(), read_project(self.defs), self.lake, None, None, "run")  # type: ignore[arg-type]
        return raw.land(platform, platform.project.tables[("sales", "orders")], now=NOW + timedelta(days=self.days))

    def validate(self, *partitions: str) -> dict[int, Any]:
        """The amounts by order."""
        platform = Platform(Settings.from_environment(), read_project(self.defs), self.lake, None, None, "run")  # type: ignore[arg-type]
        found = validate(platform, platform.project.tables[("sales", "orders")], partitions or [WHOLE])
        assert not found.refused
        return {row["id"]: row["amount"] for row in self.lake.read(self.lake.current(VALIDATED)).to_pylist()}

    def landed(self) -> pa.Table:
        return self.lake.read(self.lake.current(RAW))


@pytest.fixture
def sales(tmp_path: Path) -> Sales:
    return Sales(tmp_path / "platform_assets" / "defs", Lake(str(tmp_path / "lake")))


@pytest.fixture(params=["sqlite", "adbc+sqlite"])
def database(sales: Sales, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> sa.Engine:
    """A database whose types are those of its values."""
    if request.param != "sqlite":
        pytest.importorskip("adbc_driver_sqlite")
    monkeypatch.setenv("SALES_DB", f"{request.param}:///{tmp_path / 'shop.db'}")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=sa.NullPool)
    run(engine, "CREATE TABLE orders (id integer, at text, amount numeric, changed integer)")
    sales.define(DATABASE, "integer")
    return engine


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def order(number: int, amount: str, changed: int) -> str:
    return f"INSERT INTO orders VALUES ({number}, '2024-03-01', {amount}, {changed})"


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


def test_a_column_of_a_database_takes_the_type_of_its_first_value(sales: Sales, database: sa.Engine) -> None:
    run(database, order(1, "NULL", 1))
    sales.land()
    assert "amount" not in sales.landed().column_names and sales.validate() == {1: None}
    assert sales.land().fresh  # what lies in the overlap has landed, without that column
    run(database, order(2, "7", 2))
    sales.land()
    assert sorted(sales.landed()["id"].to_pylist()) == [1, 2] and sales.validate() == {1: None, 2: 7}


def test_rows_of_a_database_without_a_value_land_beside_those_with_one(sales: Sales, database: sa.Engine) -> None:
    sales.define(DATABASE.replace(", overlap: 100", ""), "integer")
    run(database, order(1, "7", 1))
    sales.land()
    run(database, "DELETE FROM orders", order(2, "NULL", 2))
    sales.land()
    assert sales.validate() == {1: 7, 2: None}


def test_a_cursor_without_any_value_is_refused(sales: Sales, database: sa.Engine) -> None:
    run(database, order(1, "7", 1), "UPDATE orders SET changed = NULL")
    with pytest.raises(DataError, match="orders: cursor: changed has no value in any row"):
        sales.land()
    assert sales.lake.open(RAW) is None


def test_a_row_that_is_as_it_was_before_a_change_lands_again(sales: Sales, database: sa.Engine) -> None:
    run(database, order(1, "7", 1), order(2, "9", 1))
    sales.land()
    assert sales.validate() == {1: 7, 2: 9}
    run(database, "UPDATE orders SET amount = 8, changed = 2 WHERE id = 1")
    sales.land()
    assert sales.validate() == {1: 8, 2: 9}
    run(database, "UPDATE orders SET amount = 7, changed = 1 WHERE id = 1")
    sales.land()
    assert sales.validate() == {1: 7, 2: 9}
    assert sales.land().fresh
    assert sorted(sales.landed()["id"].to_pylist()) == [1, 1, 1, 2]


def test_all_rows_of_a_key_that_comes_several_times_land_once(sales: Sales, database: sa.Engine) -> None:
    run(database, order(1, "7", 1), order(1, "8", 2))
    sales.land()
    assert sales.land().fresh
    run(database, order(1, "9", 3))
    sales.land()
    assert sales.validate() == {1: 9} and sorted(sales.landed()["amount"].to_pylist()) == [7, 8, 9]


@pytest.mark.parametrize("declared", ["double", "string"])
def test_a_whole_number_lands_in_a_column_of_doubles(sales: Sales, declared: str) -> None:
    sales.define(JSONL, declared)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5})
    sales.land()
    sales.write("2.jsonl", {"id": 2, "amount": 2})
    sales.land()
    assert sales.landed().schema.field("amount").type == pa.float64()
    assert sales.validate() == ({1: 1.5, 2: 2.0} if declared == "double" else {1: "1.5", 2: "2.0"})


def test_a_declared_double_may_begin_with_whole_numbers(sales: Sales) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 2})
    sales.land()
    sales.write("2.jsonl", {"id": 2, "amount": 1.5})
    sales.land()
    assert sales.validate() == {1: 2.0, 2: 1.5}


def test_a_column_that_has_landed_as_integers_goes_on_with_them(sales: Sales) -> None:
    sales.define(JSONL, "integer")
    sales.write("1.jsonl", {"id": 1, "amount": 2})
    sales.land()
    sales.define(JSONL, "double")
    sales.write("2.jsonl", {"id": 2, "amount": 3})
    sales.land()
    assert sales.landed().schema.field("amount").type == pa.int64() and sales.validate() == {1: 2.0, 2: 3.0}


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (1.5, 2**53 + 1, "amount has landed as double before and comes as int64 now"),
        (1.5, "2 EUR", "amount has landed as double before and comes as string now"),
        (True, 2, "amount has landed as bool before and comes as int64 now"),
    ],
)
def test_any_other_change_of_type_is_refused_with_both_and_what_to_do(sales: Sales, first: Any, then: Any, told: str) -> None:
    sales.define(JSONL, "string")
    sales.write("1.jsonl", {"id": 1, "amount": first})
    sales.land()
    before = sales.lake.states()
    sales.write("2.jsonl", {"id": 2, "amount": then})
    with pytest.raises(DataError, match=rf"{told}; nothing was written\. Cast it to .* or land it under another name"):
        sales.land()
    assert sales.lake.states() == before


def test_files_of_one_landing_are_fitted_to_each_other_or_refused_with_both_types() -> None:
    whole, part, empty, text = (pa.table({"x": values}) for values in (pa.array([2]), pa.array([1.5]), pa.nulls(1), pa.array(["a"])))
    assert stack_tables([empty, whole, part])["x"].to_pylist() == [None, 2.0, 1.5]
    with pytest.raises(DataError, match="column x is string in one file and int64 in another"):
        stack_tables([empty, text, whole])
    with pytest.raises(DataError, match="column x is double in one file and int64 in another"):
        stack_tables([part, pa.table({"x": [2**53 + 1]})])


def test_a_folder_of_files_with_several_types_names_two_of_them(sales: Sales) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, "note": "a"})
    sales.write("2.jsonl", {"id": 2, "amount": 1.5, "note": 2})
    with pytest.raises(DataError, match=r"column note is string in data/1\.jsonl and int64 in data/2\.jsonl; nothing was written"):
        sales.land()


@pytest.mark.parametrize("name", ["ingested_at", "_row", "_file", "_partition", "_Landing"])
def test_a_column_that_is_called_as_one_of_ours_is_refused(sales: Sales, name: str) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, name: "a"})
    with pytest.raises(DataError, match=rf"data/1\.jsonl: a column is called '{name}', which is how the platform calls its own"):
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


def test_a_column_without_any_value_is_looked_at_as_text(tmp_path: Path) -> None:
    from lakeloop.spec.tables import Files
    from resources.sources.peek import peek

    for number, note in enumerate((None, None, "late")):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps({"id": number, "note": note, "never": None}))
    rows = peek(Files(files=["*.jsonl"]), tmp_path).rows
    assert (rows["note"].to_pylist(), rows["never"].to_pylist()) == ([None, None, "late"], [None] * 3)
    assert rows.schema.field("never").type == pa.string()
