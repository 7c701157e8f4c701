"""`lakeloop table`, `view` and `workflow`: what is defined and published, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lakeloop.cli.main import main
from tests.worlds.shop_project import Shop

Ask = Callable[..., Any]


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a command on the shop, and gives its text, or its JSON where that is asked for."""
    monkeypatch.setenv("LAKELOOP_LAKE", shop.lake_url)
    monkeypatch.setenv("LAKELOOP_DEFS", str(shop.defs))
    monkeypatch.setenv("LAKELOOP_HOME", str(shop.defs.parents[1] / "home"))

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(list(arguments)) == 0
        text = capsys.readouterr().out
        return json.loads(text) if "--json" in arguments else text

    return run


def test_what_is_not_published_yet_is_listed_too(ask: Ask) -> None:
    (orders,) = ask("table", "--json")
    assert (orders["name"], orders["rows"], orders["newest_partition"], orders["version"]) == ("shop.orders", None, None, None)
    assert "shop.orders  -     -       -        -      One row per order." in ask("table")
    assert ask("workflow", "returns", "--json")["released_version"] is None


@pytest.mark.filled
def test_tables_and_views_have_rows_partitions_columns_and_checks(ask: Ask) -> None:
    (orders,) = ask("table", "--stale", "--json")
    assert (orders["rows"], orders["newest_partition"], orders["version"], orders["stale"]) == (1200, "2024-05", 0, [])
    assert [view["name"] for view in ask("view", "--json")] == ["shop.basket", "shop.history", "shop.outcomes"]
    one = ask("table", "orders", "--json")
    amount = next(column for column in one["columns"] if column["name"] == "amount_eur")
    assert amount == {"name": "amount_eur", "type": "double", "unit": "EUR", "personal": False, "description": "Amount."}
    assert one["keys"] == ["order_id"] and one["versions"] == {"raw/shop/orders": 0, "validated/shop/orders": 0}
    outcomes = {check["check"]: check["outcome"] for check in one["checks"]}
    assert outcomes["landed_is_accounted_for"] == "passed" and outcomes["no_new_columns"] == "passed"
    assert ask("view", "shop/history", "--json")["versions"] == {"features/shop/history": 0, "view": 1, "kept": {}}
    assert "amount_eur  double     EUR             Amount." in ask("table", "shop.orders")


@pytest.mark.filled
def test_a_workflow_has_its_features_and_its_release(shop: Shop, ask: Ask) -> None:
    assert shop.materialize("models", "evaluations", "releases").success
    (listed,) = ask("workflow", "--json")
    assert (listed["version"], listed["released_version"], listed["served_version"]) == ("1", "1", None)
    assert listed["metric"] == "roc_auc" and 0.5 < listed["score"] < 1 and listed["report"].startswith(shop.uri)
    one = ask("workflow", "shop.returns", "--json")
    assert "basket__amount_eur" in {column["name"] for column in one["columns"]}
    assert {"roc_auc", "model_is_promoted"} <= {check["check"] for check in one["checks"]}
    assert f"report            {listed['report']}" in ask("workflow", "returns")


def test_a_name_of_another_kind_is_refused(shop: Shop, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", "orders"]) == 1
    assert "wanted a view, and shop.orders is a table" in capsys.readouterr().err
