"""Rows of a database: types that come with their first value, and rows that come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from lakeloop.errors import DataError
from tests.worlds.sales import RAW, Sales

DATABASE = "{database: SALES_DB, table: orders, cursor: changed, overlap: 100}"


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
