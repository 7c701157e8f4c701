"""Slips within lists, arguments of expectations, and SQL: each is told once, at its place, with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeloop.checking.project import load_checked
from tests.worlds.shop import HISTORY_SQL, make_shop

BETWEEN = "{column: amount_eur, min_value: 0, max_value: 10000}"
LONG = "SELECT customer, ordered_at, max(amount_eur) AS last_amount_eur, max(items) OVER newest AS last_items FROM shop.orders\n"


def tell(root: Path, old: str, new: str, file: str) -> list[str]:
    """What is told of a shop once one of its files says something else."""
    defs = make_shop(root)
    path = defs / "shop" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return [str(error) for error in load_checked(defs)[1]]


@pytest.mark.parametrize(
    ("file", "old", "new", "place", "wanted"),
    [
        ("orders/defs.yaml", "keys: [order_id]", "keys: [order_id, order_id]", ":6: keys.1", "'order_id' is listed twice"),
        ("history/defs.yaml", "keys: [customer]", "keys: [customer, customer]", ":6: keys.1", "'customer' is listed twice"),
        ("returns/defs.yaml", "[items, amount_eur]", "[items, items]", "features.basket.1", "'items' is listed twice"),
        ("returns/defs.yaml", "{primary: roc_auc}", "{primary: roc_auc, slices: [items, items]}", "evaluation.slices.1", "listed twice"),
        ("returns/defs.yaml", "causes: [data]", "causes: [data, data]", "retrain.causes.1", "'data' is listed twice"),
        ("orders/defs.yaml", "    items: {", "    items: {type: integer, description: Twice.}\n    items: {", "columns.items", "a second time"),
        ("orders/defs.yaml", BETWEEN, "{min_value: 0, max_value: 10000}", "_between", "wanted column"),
        ("orders/defs.yaml", BETWEEN, "{column: amount_eur}", "_between", "wanted min_value or max_value, or both, found neither"),
        ("orders/defs.yaml", BETWEEN, "{column: amount_eur, min_value: 10, max_value: 1}", "min_value", "up to max_value, found 10 and 1"),
        ("orders/defs.yaml", BETWEEN, "{column: amount_eur, min_value: {a: 1}}", "min_value", "wanted one value, found {'a': 1}"),
        ("orders/defs.yaml", "mostly: 0.99", "mostly: 99", "mostly", "a share above 0 and up to 1, such as 0.99, found 99"),
        ("orders/defs.yaml", "mostly: 0.99", "mostly: many", "mostly", "such as 0.99, found 'many'"),
        ("history/view.sql", "max(items)", "mxa(items)", "view.sql:1", "no function 'mxa'; did you mean 'max'?"),
        ("history/view.sql", "customer, ordered_at,", "customer, ordered_at,,", "view.sql:1", "something before the comma, found another one"),
        ("history/view.sql", "SELECT customer", "SELECT , customer", "view.sql:1", "something before the comma, found SELECT"),
        (
            "history/view.sql", HISTORY_SQL, LONG + "WINDOW newer AS (PARTITION BY customer ORDER BY ordered_at)\n", "view.sql:1",
            "no window 'newest'; did you mean 'newer'?",
        ),
        ("history/view.sql", "max(amount_eur)", "max(amuont_eur)", "view.sql:1", "'amuont_eur' could not be resolved; did you mean 'amount_eur'?"),
        ("history/defs.yaml", "sql: view.sql", "sql: veiw.sql", "sql", "no file 'veiw.sql' beside the definition; did you mean 'view.sql'?"),
        ("history/view.sql", "max(items) AS", "max(items AS", "view.sql:1", "can't parse the SQL"),
        ("outcomes/defs.yaml", "  event_time: ordered_at\n  delay: 14d\n  partitions: {start: 2024-01-01, end: 2024-06-01}", "  delay: 14d", "delay", "static, so that 2w"),
        ("outcomes/defs.yaml", "delay: 14d", "delay: 10000d", "delay", "at most 20 years, found 10000d"),
        ("returns/spine.sql", "ordered_at AS", "ordered_at - INTERVAL 2 AS", "spine.sql:1", "with its unit, such as INTERVAL 2 DAY, found INTERVAL 2"),
        ("outcomes/defs.yaml", "delay: 14d", "delay: 140000d", "delay", "at most 100 years, found '140000d'"),
    ],
)  # fmt: skip
def test_a_slip_is_told_at_its_place(tmp_path: Path, file: str, old: str, new: str, place: str, wanted: str) -> None:
    (told,) = [each for each in tell(tmp_path, old, new, file) if "can't be read; see" not in each]
    assert place in told and wanted in told


def test_what_reads_a_definition_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    told = tell(tmp_path, "keys: [order_id]", "kyes: [order_id]", "orders/defs.yaml")
    of_orders = [each for each in told if "shop/orders/defs.yaml:" in each.split(" ")[0]]
    assert any("unknown key 'kyes'; did you mean 'keys'?" in each for each in of_orders)
    rest = [each for each in told if each not in of_orders]
    assert rest and all("shop.orders can't be read; see the errors of platform_assets/defs/shop/orders/defs.yaml" in each for each in rest)


@pytest.mark.parametrize("value", ["4.5", "0", "many"])
def test_a_range_of_a_search_has_ends_that_the_pipeline_takes(tmp_path: Path, value: str) -> None:
    search = f"search: {{trials: 5, space: {{max_leaf_nodes: {{choices: [31, {value}]}}}}}}"
    (told,) = tell(tmp_path, "model: {pipeline: linear}", f"model: {{pipeline: gradient_boosting}}\n  {search}", "returns/defs.yaml")
    assert "search.space.max_leaf_nodes.choices.1: The 'max_leaf_nodes' parameter" in told


def test_functions_that_nobody_knows_are_left_to_the_engine(tmp_path: Path) -> None:
    assert tell(tmp_path, "max(items)", "our_own_sum(items)", "history/view.sql") == []


def test_a_broken_query_of_a_view_without_time_is_told_like_any_other(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    workflow = defs / "shop" / "returns" / "defs.yaml"
    workflow.write_text(workflow.read_text().replace("gates: {", "gates: {leaks: {max: 0}, "))
    query = defs / "shop" / "basket" / "view.sql"
    query.write_text(query.read_text().replace("items,", "items,,"))
    (error,) = load_checked(defs)[1]
    assert "basket/view.sql:1: wanted something before the comma, found another one" in str(error)
