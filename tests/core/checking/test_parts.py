"""Queries, code and expectations of any definition: each mistake with its file, line and the nearest match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakeloop.checking.parts import check_code, check_expectations, check_query, locate_errors
from lakeloop.errors import DataError, SpecError
from lakeloop.project.files import Definition
from lakeloop.project.project import Located, Project, load_project
from lakeloop.spec.tables import Expectation, ViewSpec
from tests.worlds.shop import make_shop


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Project, Located[ViewSpec]]:
    """The shop, and its view of what is in an order."""
    project, errors = load_project(make_shop(tmp_path))
    assert not errors
    return project, project.views[("shop", "basket")]


def write(view: Located[Any], sql: str) -> None:
    (view.folder / "view.sql").write_text(sql)


NEEDED = [("order_id", ("keys",)), ("items", ("columns", "items"))]


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT order_id, items FROM shop.orders", []),
        ("SELECT order_id, items FROM orders", []),  # seen from its own domain
        ("SELECT o.order_id, b.items FROM shop.orders o JOIN shop.basket b ON o.order_id = b.order_id", []),
        ("WITH o AS (SELECT * FROM shop.orders) SELECT * FROM o", []),
        (
            "SELECT order_id, items\nFROM shop.order\nJOIN shop.histry USING (order_id)",
            [
                ("view.sql", 2, "", "no table or view 'shop.order'; did you mean 'shop.orders'? Available: shop.basket, shop.history, shop.orders, shop.outcomes"),
                ("view.sql", 3, "", "no table or view 'shop.histry'; did you mean 'shop.history'? Available: shop.basket, shop.history, shop.orders, shop.outcomes"),
            ],
        ),
        (
            "SELECT order_id, items FROM lake.shop.orders",
            [("view.sql", 1, "", "no stage 'lake'; Available: features, predictions, raw, training_sets, validated")],
        ),
        (
            "SELECT customer FROM shop.orders",
            [
                ("defs.yaml", 6, "keys", "view.sql has no column 'order_id'; Available: customer"),
                ("defs.yaml", 8, "columns.items", "view.sql has no column 'items'; Available: customer"),
            ],
        ),
        (
            "SELECT order_id, items, amount_eur AS items FROM shop.orders",
            [("defs.yaml", 8, "columns.items", "view.sql has 2 columns 'items'; wanted one; give the others names of their own")],
        ),
    ],
)  # fmt: skip
def test_a_query_names_tables_that_exist_and_gives_each_column_once(
    shop: tuple[Project, Located[ViewSpec]], sql: str, wanted: list[tuple[str, int, str, str]]
) -> None:
    project, view = shop
    write(view, sql)
    errors = check_query(project, view, "view.sql", NEEDED)
    assert [(Path(error.file).name, error.line, error.key, error.message) for error in errors] == wanted


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT order_id, item FROM shop.orders", "; did you mean 'items'? Available: amount_eur, customer, ingested_at, items, known_at, order_id, ordered_at, returned"),
        ("SELECT order_id, zzz FROM shop.orders", ""),
    ],
)  # fmt: skip
def test_an_unknown_column_is_told_with_the_nearest_one_if_one_is_near(
    shop: tuple[Project, Located[ViewSpec]], sql: str, hint: str
) -> None:
    project, view = shop
    write(view, sql)
    (error,) = check_query(project, view, "view.sql", NEEDED)
    assert sql.split()[2] in error.message and error.message.endswith(hint) and ("did you mean" in error.message) == bool(hint)
    assert error.file.endswith("shop/basket/view.sql") and error.line == 1


def test_a_query_that_cannot_be_read_or_is_not_there_is_the_only_error(shop: tuple[Project, Located[ViewSpec]]) -> None:
    project, view = shop
    write(view, "SELECT order_id,, FROM shop.orders")
    assert len(check_query(project, view, "view.sql", NEEDED)) == 1
    (error,) = check_query(project, view, "veiw.sql", NEEDED)
    assert "veiw.sql" in str(error)


def test_code_is_told_by_the_key_that_names_it(shop: tuple[Project, Located[ViewSpec]]) -> None:
    _, view = shop
    (view.folder / "own.py").write_text("def compute(): ...\n")
    assert check_code(view, "own.py:compute", "function") == []
    (error,) = check_code(view, "own.py:comput", "function")
    assert (error.key, error.message) == ("function", "own.py has no 'comput'; did you mean 'compute'? Available: compute")


def test_an_error_without_a_place_gets_that_of_the_key_and_one_that_is_no_spec_error_is_passed_on() -> None:
    definition = Definition("a/defs.yaml", "t", {}, {("attributes",): 2, ("attributes", "model"): 5, ("attributes", "model", "params"): 6})

    def refuse(error: Exception) -> None:
        raise error

    cases = [("", 5, "model"), ("params", 6, "model.params"), ("params.alpha", 6, "model.params.alpha"), ("seed", 5, "model.seed")]
    for key, line, wanted in cases:
        (error,) = locate_errors(definition, ("model",), lambda key=key: refuse(SpecError("no", key=key)))
        assert (error.file, error.line, error.key, error.message) == ("a/defs.yaml", line, wanted, "no")
    assert locate_errors(definition, ("model",), lambda: None) == []
    with pytest.raises(DataError):
        locate_errors(definition, ("model",), lambda: refuse(DataError("no")))


@pytest.mark.parametrize(
    ("kind", "arguments", "wanted"),
    [
        ("expect_column_to_exist", {"column": "items"}, None),
        ("expect_table_row_count_to_be_between", {"min_value": 1}, None),
        ("expect_column_pair_values_to_be_equal", {"column_A": "items", "column_B": "order_id"}, None),
        ("expect_compound_columns_to_be_unique", {"column_list": ["items", "order_id"]}, None),
        ("expect_column_to_exit", {"column": "items"}, ("", "no expectation 'expect_column_to_exit'; did you mean 'expect_column_to_exist'?")),
        ("expect_column_to_exist", {"colum": "items"}, ("expect_column_to_exist", "expect_column_to_exist has no 'colum'; did you mean 'column'?")),
        ("expect_column_to_exist", {"column": "item"}, ("expect_column_to_exist", "no column 'item'; did you mean 'items'? Available: items, order_id")),
        ("expect_column_pair_values_to_be_equal", {"column_A": "items", "column_B": "id"}, ("expect_column_pair_values_to_be_equal", "no column 'id';")),
        ("expect_column_pair_values_to_be_equal", {"column_A": "id", "column_B": "items"}, ("expect_column_pair_values_to_be_equal", "no column 'id';")),
        ("expect_compound_columns_to_be_unique", {"column_list": ["items", "id"]}, ("expect_compound_columns_to_be_unique", "no column 'id';")),
        ("expect_column_to_exist", {"column": 3}, ("expect_column_to_exist", "no column 3;")),
    ],
)  # fmt: skip
def test_an_expectation_exists_has_its_arguments_and_names_columns_of_the_table(
    shop: tuple[Project, Located[ViewSpec]], kind: str, arguments: dict[str, Any], wanted: tuple[str, str] | None
) -> None:
    _, view = shop
    fine = Expectation(type="expect_column_to_exist", kwargs={"column": "items"})
    told = check_expectations(view, "expectations.some", [fine, Expectation(type=kind, kwargs=arguments)], ["items", "order_id", None])
    if wanted is None:
        assert told == []
        return
    (error,) = told
    key, message = wanted
    assert error.key == ".".join(part for part in ("expectations.some.1", key) if part) and error.message.startswith(message), error
