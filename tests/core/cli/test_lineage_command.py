"""`lakeloop lineage`: where a column comes from and where it goes, as a tree and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakeloop.cli.main import main
from tests.worlds.shop import make_shop

RETURNS = "training_sets.shop.returns"


def test_the_command_prints_a_tree_down_to_raw_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    defs = str(make_shop(tmp_path))
    assert main(["lineage", "predictions/shop/returns/prediction", "--defs", defs]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("predictions.shop.returns.prediction\n├─ models.shop.returns.basket__amount_eur\n")
    assert "2 columns it came from:\n  raw.shop.orders: amount_eur, items  (data/*.csv)" in shown
    assert main(["lineage", "raw.shop.orders.items", "--downstream", "--defs", defs]) == 0
    assert "  predictions.shop.returns: prediction" in capsys.readouterr().out
    assert main(["lineage", "raw.shop.orders.customer", "--downstream", "--json", "--defs", defs]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["columns"] == [
        f"{a}.customer" for a in ("features.shop.history", "predictions.shop.returns", RETURNS, "validated.shop.orders")
    ]
    assert main(["lineage", "features.shop.history", "--json", "--defs", defs]) == 0
    assert {r["column"].rpartition(".")[2]: r["raw"] for r in json.loads(capsys.readouterr().out)}["last_items"] == [
        "raw.shop.orders.items"
    ]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("predictions.shop.return.prediction", "did you mean 'predictions.shop.returns'"),
        ("predictions.shop.returns.predicton", "did you mean 'prediction'"),
        ("nonsense", "no asset with columns 'nonsense'"),
        ("orders.itmes", "validated.shop.orders has no column 'itmes'; did you mean 'items'?"),
        (
            "shop.returns",
            "'shop.returns' names several: training_sets.shop.returns, models.shop.returns, predictions.shop.returns; wanted one",
        ),
        ("returns/label", "'returns/label' names several: training_sets.shop.returns, models.shop.returns; wanted one of them"),
    ],
)
def test_an_unknown_column_is_told_with_the_nearest_match(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str, told: str
) -> None:
    assert main(["lineage", asked, "--defs", str(make_shop(tmp_path))]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        ("orders.items", ["validated.shop.orders.items"]),
        ("shop/orders/items", ["validated.shop.orders.items"]),
        ("raw.orders.items", ["raw.shop.orders.items"]),
        ("history.last_items", ["features.shop.history.last_items"]),
        ("returns.prediction", ["predictions.shop.returns.prediction"]),
        ("training_sets.returns.label", [f"{RETURNS}.label"]),
        ("basket", [f"features.shop.basket.{name}" for name in ("amount_eur", "items", "order_id")]),
    ],
)
def test_domain_and_stage_may_be_left_out_where_one_asset_can_be_meant(tmp_path: Path, asked: str, columns: list[str]) -> None:
    from lakeloop.checking.project import load_checked
    from lakeloop.project.lineage import Lineage

    assert sorted(map(str, Lineage(load_checked(make_shop(tmp_path))[0]).find(asked))) == columns
