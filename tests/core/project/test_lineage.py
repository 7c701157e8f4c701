"""Column lineage: exact for the shop, spot checks for the flights, and the same in Dagster's metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeloop.checking.project import load_checked
from lakeloop.project.lineage import ColumnRef, Lineage
from lakeloop.project.project import Project
from tests.worlds.places import DEFS
from tests.worlds.shop import make_shop

RETURNS = "training_sets.shop.returns"
FUNCTION_VIEW = """\
type: platform_assets.components.FeatureView
attributes:
  name: spending
  description: By a function.
  function: tests.worlds.code.functions:spending
  inputs: [orders, shop.history]
  keys: [customer]
  event_time: ordered_at
  LINEAGE
  columns:
    total_eur: {type: double, description: Sum.}
    one: {type: integer, description: Always 1.}
"""


def shop_project(root: Path, view: str = "") -> tuple[Project, list[str]]:
    defs = make_shop(root)
    if view:
        (defs / "shop" / "spending").mkdir()
        (defs / "shop" / "spending" / "defs.yaml").write_text(view)
    project, errors = load_checked(defs)
    return project, [str(error) for error in errors]


def sources(project: Project, asset: str) -> dict[str, list[str]]:
    lineage = Lineage(project)
    return {ref.column: [str(s) for s in lineage.columns[ref]] for ref in lineage.find(asset)}


def test_the_shop_has_exactly_this_lineage(tmp_path: Path) -> None:
    project, errors = shop_project(tmp_path)
    assert errors == []
    raw, validated = "raw.shop.orders", "validated.shop.orders"
    names = ["order_id", "customer", "ordered_at", "items", "amount_eur", "returned"]
    assert sources(project, raw) == {name: [] for name in [*names, "ingested_at"]}
    assert sources(project, validated) == {
        **{name: [f"{raw}.{name}"] for name in names},
        "known_at": [f"{raw}.ingested_at", f"{raw}.ordered_at"],
        "ingested_at": [f"{raw}.ingested_at"],
    }
    known_at = [f"{validated}.ingested_at", f"{validated}.ordered_at"]
    assert sources(project, "features.shop.history") == {
        "customer": [f"{validated}.customer"],
        "ordered_at": [f"{validated}.ordered_at"],
        "last_amount_eur": [f"{validated}.amount_eur"],
        "last_items": [f"{validated}.items"],
        "known_at": known_at,
    }
    assert sources(project, "features.shop.outcomes")["known_at"] == known_at
    features = {
        "history__last_amount_eur": "features.shop.history.last_amount_eur",
        "history__last_items": "features.shop.history.last_items",
        "basket__items": "features.shop.basket.items",
        "basket__amount_eur": "features.shop.basket.amount_eur",
    }
    assert sources(project, RETURNS) == {
        "order_id": [f"{validated}.order_id"],
        "customer": [f"{validated}.customer"],
        "predict_at": [f"{validated}.ordered_at"],
        **{name: [source] for name, source in features.items()},
        "label": ["features.shop.outcomes.returned"],
        "label_known_at": ["features.shop.outcomes.known_at"],
        "split": ["features.shop.outcomes.returned", f"{validated}.ordered_at"],
    }
    assert sources(project, "models.shop.returns") == {name: [f"{RETURNS}.{name}"] for name in [*features, "label"]}
    assert sources(project, "predictions.shop.returns") == {
        "order_id": [f"{validated}.order_id"],
        "customer": [f"{validated}.customer"],
        "predict_at": [f"{validated}.ordered_at"],
        "prediction": sorted(f"models.shop.returns.{name}" for name in features),
        **{name: [] for name in ("model_name", "model_version", "feature_versions", "predicted_at")},
    }


def test_a_prediction_of_a_flight_comes_from_raw_columns_of_three_tables_and_not_from_what_only_groups_rows() -> None:
    project, _ = load_checked(DEFS)
    lineage = Lineage(project)
    roots = {str(ref) for ref in lineage.roots(ColumnRef("predictions", "flights", "flight_delay", "prediction"))}
    assert {ref.rpartition(".")[0] for ref in roots} == {"raw.flights.flights", "raw.flights.planes", "raw.flights.weather"}
    assert {"raw.flights.planes.year", "raw.flights.flights.arr_delay", "raw.flights.weather.wind_gust"} <= roots
    assert not {"raw.flights.flights.carrier", "raw.flights.flights.tailnum", "raw.flights.airports.tzone"} & roots
    assert lineage.columns[ColumnRef("features", "flights", "aircraft_legs", "legs_7d")] == ()
    users = {str(ref) for ref in lineage.reach(ColumnRef("raw", "flights", "airports", "tzone"))}
    assert "features.flights.arrival_outcomes.scheduled_arrival_at" in users
    assert "predictions.flights.flight_delay.prediction" not in users


def test_what_a_view_by_function_declares_is_its_lineage(tmp_path: Path) -> None:
    project, errors = shop_project(
        tmp_path, FUNCTION_VIEW.replace("LINEAGE", "lineage: {total_eur: [orders.amount_eur, shop.history.last_amount_eur], one: []}")
    )
    assert errors == []
    assert sources(project, "features.shop.spending") == {
        "customer": ["features.shop.history.customer", "validated.shop.orders.customer"],
        "ordered_at": ["features.shop.history.ordered_at", "validated.shop.orders.ordered_at"],
        "total_eur": ["features.shop.history.last_amount_eur", "validated.shop.orders.amount_eur"],
        "one": [],
        "known_at": [
            "features.shop.history.known_at", "features.shop.history.ordered_at", "validated.shop.orders.ingested_at",
            "validated.shop.orders.ordered_at",
        ],
    }  # fmt: skip


def test_a_view_by_function_that_declares_nothing_may_come_from_every_column_of_its_inputs(tmp_path: Path) -> None:
    project, errors = shop_project(tmp_path, FUNCTION_VIEW.replace("  LINEAGE\n", ""))
    assert errors == []
    names = sources(project, "features.shop.spending")
    assert names["total_eur"] == names["one"]
    assert {"validated.shop.orders.items", "features.shop.history.last_items"} <= set(names["one"])


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("lineage: {total: [orders.amount_eur]}", ["lineage.total", "did you mean 'total_eur'"]),
        ("lineage: {total_eur: [orders.amount_er], one: []}", ["lineage.total_eur.0", "did you mean 'amount_eur'"]),
        ("lineage: {total_eur: [order.amount_eur], one: []}", ["lineage.total_eur.0", "did you mean 'orders'"]),
        ("lineage: {total_eur: amount_eur, one: []}", ["wanted <input>.<column>, found 'amount_eur'"]),
        ("lineage: {total_eur: orders.amount_eur}", ["lineage: wanted every column of the view, one missing"]),
    ],
)
def test_a_wrong_declaration_is_told_with_the_nearest_match(tmp_path: Path, declared: str, told: list[str]) -> None:
    _, errors = shop_project(tmp_path, FUNCTION_VIEW.replace("LINEAGE", declared))
    assert any(all(part in error for part in told) and "spending/defs.yaml:9" in error for error in errors), errors


def test_an_adopted_table_ends_the_lineage_and_names_its_column(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    path = defs / "shop" / "orders" / "defs.yaml"
    text = path.read_text().replace("source: {files: data/*.csv}", "source: {delta: s3://bucket/orders}")
    text = text.replace("  partitions: {start: 2024-01-01, end: 2024-06-01}\n", "").replace(
        "{type: double, unit", "{type: double, source: eur, unit"
    )
    path.write_text(text)
    view = defs / "shop" / "history" / "view.sql"  # an adopted table may hold NaN
    structure = "max(CASE WHEN amount_eur IS NOT NULL THEN named_struct('v', amount_eur) END).v"
    view.write_text(view.read_text().replace("max(amount_eur)", structure))
    project, errors = load_checked(defs)
    assert errors == []
    lineage = Lineage(project)
    (ref,) = lineage.roots(ColumnRef("features", "shop", "basket", "amount_eur"))
    assert (str(ref), lineage.origin(ref)) == ("validated.shop.orders.amount_eur", "column eur of the adopted table s3://bucket/orders")


def test_a_table_by_function_names_the_function(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    path = defs / "shop" / "orders" / "defs.yaml"
    path.write_text(path.read_text().replace("source: {files: data/*.csv}", "source: {function: tests.worlds.code.functions:orders}"))
    lineage = Lineage(load_checked(defs)[0])
    (ref,) = lineage.roots(ColumnRef("features", "shop", "basket", "amount_eur"))
    assert (str(ref), lineage.origin(ref)) == ("raw.shop.orders.amount_eur", "function tests.worlds.code.functions:orders")
