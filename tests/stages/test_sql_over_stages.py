"""Views and spines over rows of other stages: `stage.domain.name` in SQL, from the check to the published rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakeloop.project.lineage import ColumnRef, Lineage
from lakeloop.project.project import Project, TableRef
from lakeloop.project.sql_tables import columns_of
from lakeloop.project.stage_names import RESERVED_DOMAINS, STAGES, STAGES_WITH_ROWS
from resources.lake.published import TableKey
from tests.worlds.shop import DAYS, orders, write_orders
from tests.worlds.shop_project import Shop, failures

SCORED = """\
type: platform_assets.components.FeatureView
attributes:
  name: scored
  description: What was predicted of an order, beside what it was.
  sql: view.sql
  keys: [order_id]
  columns:
    score: {type: double, description: Prediction.}
    label: {type: double, description: What it was.}
    window: {type: string, description: Of the split.}
    deliveries: {type: integer, description: How often it was delivered.}
    last_items: {type: integer, description: Of the order before.}
"""
SCORED_SQL = """\
SELECT
    predictions.shop.returns.order_id, max(predictions.shop.returns.prediction) AS score, max(t.label) AS label, max(split) AS window,
    count(DISTINCT landed.ingested_at) AS deliveries, max(h.last_items) AS last_items
FROM predictions.shop.returns
JOIN training_sets.shop.returns t ON t.order_id = predictions.shop.returns.order_id
JOIN raw.shop.orders AS landed ON landed.order_id = t.order_id
JOIN validated.shop.orders o ON o.order_id = t.order_id
LEFT JOIN features.shop.history h ON h.customer = o.customer AND h.ordered_at < o.ordered_at
GROUP BY predictions.shop.returns.order_id
"""
TRUST = """\
type: platform_assets.components.FeatureView
attributes:
  name: trust
  description: What was predicted of a customer's orders.
  sql: view.sql
  keys: [customer]
  event_time: ordered_at
  known_at: predicted_at
  columns:
    score: {type: double, description: Prediction.}
"""
TRUST_SQL = """\
SELECT customer, predict_at AS ordered_at, max(prediction) AS score, max(predicted_at) AS predicted_at
FROM predictions.shop.returns GROUP BY customer, predict_at
"""
SCORED_KEY, TRUST_KEY = TableKey("features", "shop", "scored"), TableKey("features", "shop", "trust")


def write_view(shop: Shop, name: str, definition: str, sql: str) -> None:
    folder = shop.defs / "shop" / name
    folder.mkdir()
    (folder / "defs.yaml").write_text(definition)
    (folder / "view.sql").write_text(sql)


def read(shop: Shop) -> Project:
    from platform_assets.loading import read_project

    return read_project(shop.defs)


def stale(shop: Shop) -> list[str]:
    from platform_assets.plan import stale_assets

    return [str(key) for key in stale_assets(read(shop), shop.lake.states())]


def test_the_core_knows_the_stages_of_the_registry() -> None:
    from platform_assets.stages.registry import stage_names

    assert list(STAGES) == stage_names()
    assert {*STAGES, "reports", "inference_log"} == RESERVED_DOMAINS


def test_a_view_of_predictions_is_computed_after_them_and_again_when_they_change(shop: Shop) -> None:
    from platform_assets.graph import dependencies
    from sensors.all import data_request

    write_view(shop, "scored", SCORED, SCORED_SQL)
    write_view(shop, "trust", TRUST, TRUST_SQL)
    project = read(shop)
    order = list(dependencies(project))
    assert set(map(str, dependencies(project)[SCORED_KEY])) == {
        "predictions/shop/returns", "raw/shop/orders", "training_sets/shop/returns", "validated/shop/orders", "features/shop/history",
    }  # fmt: skip
    assert all(order.index(before) < order.index(key) for key, reads in dependencies(project).items() for before in reads)

    first = shop.materialize()
    assert first.success, failures(first)
    scored = shop.lake.read(shop.lake.current(SCORED_KEY)).to_pylist()
    predicted = shop.lake.read(shop.lake.current(TableKey("predictions", "shop", "returns"))).to_pylist()
    training = {row["order_id"]: row for row in shop.lake.read(shop.lake.current(TableKey("training_sets", "shop", "returns"))).to_pylist()}
    assert {row["order_id"]: row["score"] for row in scored} == {row["order_id"]: row["prediction"] for row in predicted}
    assert all(row["label"] == training[row["order_id"]]["label"] and row["deliveries"] == 1 for row in scored)
    trusted = shop.lake.read(shop.lake.current(TRUST_KEY)).to_pylist()
    assert {row["known_at"] for row in trusted} == {row["predicted_at"] for row in predicted}
    assert stale(shop) == []

    # A file that changes: the views wait for the predictions, and what they say anew is known from then on.
    rows = orders(DAYS)
    for row in rows:
        row["amount_eur"] = round(float(str(row["amount_eur"])) ** 0.5, 2)
    write_orders(shop.data, rows)
    assert {"features/shop/scored", "features/shop/trust", "predictions/shop/returns"} <= set(stale(shop))
    asked = data_request(project, shop.lake.states())
    assert {"/".join(key.path) for key in asked.asset_selection} == {
        "raw/shop/orders", "validated/shop/orders", "features/shop/basket", "features/shop/history", "features/shop/outcomes",
    }  # fmt: skip
    assert all(result.success for result in shop.materialize_stale())
    assert stale(shop) == []
    published = max(state.at for state in shop.lake.states()[TableKey("predictions", "shop", "returns")].values())
    again = shop.lake.read(shop.lake.current(TRUST_KEY)).to_pylist()
    corrected = [row for row in again if row["_landed_at"] is not None]
    assert len(again) > len(trusted) and all(row["known_at"] >= published for row in corrected)
    assert {row["deliveries"] for row in shop.lake.read(shop.lake.current(SCORED_KEY)).to_pylist()} == {2}


def test_before_anything_is_released_a_view_of_predictions_has_nothing_to_do(shop: Shop) -> None:
    write_view(shop, "trust", TRUST, TRUST_SQL)
    shop_definition = shop.defs / "shop" / "returns" / "defs.yaml"
    shop_definition.write_text(shop_definition.read_text().replace("{min: 0.55}", "{min: 0.999}"))
    keys = [key for asset in shop.definitions().assets for key in asset.keys if key.path != ["features", "shop", "trust"]]
    from platform_assets.plan import range_tags

    result = shop.run(keys, range_tags("2024-01", "2024-05"))
    assert "no model is released" not in failures(result)
    assert stale(shop) == []


@pytest.mark.filled
@pytest.mark.parametrize("stage", STAGES_WITH_ROWS)
def test_the_columns_that_the_check_knows_are_those_of_the_rows(shop: Shop, stage: str) -> None:
    import pyarrow as pa

    from lakeloop.rows.types import arrow_type
    from platform_assets.stages.release.predictions import columns
    from platform_assets.stages.training.training_set import training_columns

    project = read(shop)
    workflow = project.workflows[("shop", "returns")]
    name = {"raw": "orders", "validated": "orders", "features": "history"}.get(stage, "returns")
    ref = project.find_rows("elsewhere", f"{stage}.shop.{name}")
    assert ref is not None and ref.stage == stage
    known = columns_of(project, ref)
    if stage == "predictions":
        assert known == {column: described.type for column, described in columns(workflow.spec).items()}
        return
    if stage == "training_sets":
        assert known == {column: described.type for column, described in training_columns(project, workflow).items()}
    table = shop.lake.open(TableKey(stage, "shop", name))
    types = {field.name: field.type for field in pa.schema(table.schema()) if not field.name.startswith("_")}
    assert known.keys() == types.keys()
    assert all(arrow_type(kind) == types[column] for column, kind in known.items() if stage != "raw" or column == "ingested_at")


def test_lineage_and_personal_columns_go_through_other_stages(shop: Shop) -> None:
    from lakeloop.project.personal import personal_columns

    definition = shop.defs / "shop" / "orders" / "defs.yaml"
    definition.write_text(definition.read_text().replace("description: Customer.", "description: Customer., personal: true"))
    write_view(shop, "trust", TRUST, TRUST_SQL)
    write_view(shop, "scored", SCORED.replace("description: Of the order before.", "description: Customer."), SCORED_SQL.replace("max(h.last_items)", "max(landed.customer)").replace("LEFT JOIN features.shop.history h ON h.customer = o.customer AND h.ordered_at < o.ordered_at\n", ""))  # fmt: skip
    project = read(shop)
    lineage = Lineage(project)
    assert lineage.columns[ColumnRef("features", "shop", "scored", "label")] == (ColumnRef("training_sets", "shop", "returns", "label"),)
    assert lineage.columns[ColumnRef("features", "shop", "scored", "last_items")] == (ColumnRef("raw", "shop", "orders", "customer"),)
    assert ColumnRef("raw", "shop", "orders", "amount_eur") in lineage.roots(ColumnRef("features", "shop", "trust", "score"))
    assert ColumnRef("features", "shop", "trust", "score") in lineage.reach(ColumnRef("raw", "shop", "orders", "amount_eur"))
    assert personal_columns(project, "features", project.views[("shop", "trust")]) == {"customer"}
    assert personal_columns(project, "features", project.views[("shop", "scored")]) == {"last_items"}


def checked(shop: Shop) -> list[str]:
    from platform_assets.loading import load_definitions

    return [str(error) for error in load_definitions(shop.defs)[1]]


SQL = "platform_assets/defs/shop/scored/view.sql"
READ = "SELECT order_id, 1.0 AS score, 1.0 AS label, '' AS window, 1 AS deliveries, 1 AS last_items\nFROM {}\n"
WITH_ROWS = "stages with rows: raw, validated, features, training_sets, predictions"


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        (READ.format("validated.shop.orders"), ""),
        (READ.format("features.shop.basket"), ""),
        (READ.format("raw.shop.orders"), ""),
        (READ.format("training_sets.shop.returns"), ""),
        (READ.format("`predictions`.shop.returns"), ""),
        (READ.format("predictions.shop.return"), f"{SQL}:2: no rows 'predictions.shop.return'; did you mean 'predictions.shop.returns'? Available: predictions.shop.returns"),
        (READ.format("raw.shop.basket"), f"{SQL}:2: no rows 'raw.shop.basket'; did you mean 'raw.shop.orders'? Available: raw.shop.orders"),
        (READ.format("predictions.returns"), f"{SQL}:2: wanted predictions.<domain>.<name>, found 'predictions.returns'; did you mean 'predictions.shop.returns'? Available: predictions.shop.returns"),
        (READ.format("models.shop.returns"), f"{SQL}:2: models has no rows that a query could read; {WITH_ROWS}"),
        (READ.format("evaluations.shop.returns"), f"{SQL}:2: evaluations has no rows that a query could read; {WITH_ROWS}"),
        (READ.format("inference_log.shop.returns"), f"{SQL}:2: definitions can't read inference_log.shop.returns: nothing is logged there yet; {WITH_ROWS}"),
        (READ.format("reports.metrics"), f"{SQL}:2: definitions can't read reports.metrics: reports grow with every run, without a version that says what a definition was made from; read them with `lakeloop sql`"),
        (READ.format("prediction.shop.returns"), f"{SQL}:2: no stage 'prediction'; did you mean 'predictions'? Available: features, predictions, raw, training_sets, validated"),
        ("SELECT order_id, predicton AS score, 1.0 AS label, '' AS window, 1 AS deliveries, 1 AS last_items\nFROM predictions.shop.returns\n", f"{SQL}:1: Column 'predicton' could not be resolved; did you mean 'prediction'?"),
    ],
)  # fmt: skip
def test_the_check_knows_what_a_query_may_read(shop: Shop, sql: str, error: str) -> None:
    write_view(shop, "scored", SCORED, sql)
    errors = checked(shop)
    assert [text[: len(error)] for text in errors] == ([error] if error else [])


def edit(shop: Shop, file: str, old: str, new: str) -> None:
    path = shop.defs / "shop" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def no_batch(shop: Shop) -> None:
    edit(shop, "returns/defs.yaml", '  batch: {schedule: "0 2 * * *"}\n', "")
    write_view(shop, "scored", SCORED, READ.format("predictions.shop.returns"))


def feature_of_itself(shop: Shop) -> None:
    write_view(shop, "trust", TRUST, TRUST_SQL)
    edit(shop, "returns/defs.yaml", '    history: "*"\n', '    history: "*"\n    trust: [score]\n')


def spine_of_itself(shop: Shop) -> None:
    edit(shop, "returns/spine.sql", "ordered_at AS predict_at FROM shop.orders", "predict_at FROM predictions.shop.returns")


def no_known_at(shop: Shop) -> None:
    write_view(shop, "trust", TRUST.replace("  known_at: predicted_at\n", ""), TRUST_SQL)


def stage_as_feature(shop: Shop) -> None:
    edit(shop, "returns/defs.yaml", '    history: "*"\n', '    history: "*"\n    training_sets.shop.returns: [label]\n')


def stage_as_domain(shop: Shop) -> None:
    (shop.defs / "shop" / "basket").rename(shop.defs / "basket")
    (shop.defs / "predictions").mkdir()
    (shop.defs / "basket").rename(shop.defs / "predictions" / "basket")
    edit(shop, "returns/defs.yaml", "    basket: [items, amount_eur]\n", "")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (no_batch, f"{SQL}:2: predictions.shop.returns: the workflow makes no predictions, as it has no `batch`"),
        (feature_of_itself, "platform_assets/defs/shop/trust/defs.yaml:5: sql: definitions read each other in a circle: shop.trust -> shop.returns -> shop.trust"),
        (spine_of_itself, "platform_assets/defs/shop/returns/defs.yaml:6: spine: definitions read each other in a circle: shop.returns -> shop.returns"),
        (no_known_at, "platform_assets/defs/shop/trust/defs.yaml:7: event_time: it reads predictions.shop.returns, whose values are known later than their event time says: wanted known_at, such as predicted_at"),
        (stage_as_feature, "platform_assets/defs/shop/returns/defs.yaml:11: features.training_sets.shop.returns: no table or view 'training_sets.shop.returns'"),
        (stage_as_domain, "platform_assets/defs/predictions/basket/defs.yaml: 'predictions' can't be a domain: in SQL it is the first name of what the platform makes"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_soundly_is_refused(shop: Shop, change: Any, error: str) -> None:
    change(shop)
    assert [text[: len(error)] for text in checked(shop)] == [error]


@pytest.mark.parametrize("domain", sorted(RESERVED_DOMAINS))
def test_no_stage_is_the_name_of_a_domain(tmp_path: Path, domain: str) -> None:
    from lakeloop.checking.project import load_checked

    folder = tmp_path / "platform_assets" / "defs" / domain / "things"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text("type: platform_assets.components.LakeTable\n")
    assert any(f"{domain!r} can't be a domain" in str(error) for error in load_checked(tmp_path / "platform_assets" / "defs")[1])


def test_a_spine_may_ask_about_what_another_workflow_predicted(shop: Shop) -> None:
    definition = (shop.defs / "shop" / "returns" / "defs.yaml").read_text().replace("name: returns", "name: second")
    folder = shop.defs / "shop" / "second"
    folder.mkdir()
    (folder / "defs.yaml").write_text(definition)
    (folder / "spine.sql").write_text("SELECT order_id, customer, predict_at FROM predictions.shop.returns WHERE prediction > 0.2\n")
    assert checked(shop) == []
    from lakeloop.project.project import spine_upstream
    from platform_assets.graph import dependencies

    project = read(shop)
    assert spine_upstream(project, project.workflows[("shop", "second")]) == [TableRef("predictions", "shop", "returns")]
    order = list(dependencies(project))
    assert order.index(TableKey("predictions", "shop", "returns")) < order.index(TableKey("training_sets", "shop", "second"))
