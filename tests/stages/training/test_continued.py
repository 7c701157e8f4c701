"""A workflow that continues its champion on newer rows."""

from __future__ import annotations

import pytest

from lakeloop.records.release import EvaluationState, ReleaseState
from lakeloop.records.training import ModelState
from platform_assets.loading import read_project
from platform_assets.plan import stale_assets
from resources.lake.published import TableKey
from resources.tracking.model_format import load_model
from resources.tracking.registry import Registry
from tests.worlds.code.own_code import with_model
from tests.worlds.shop import DAYS, orders, write_orders
from tests.worlds.shop_project import Shop


@pytest.mark.filled
@pytest.mark.minimum(0.5)
def test_a_workflow_continues_its_champion_on_newer_rows_and_says_so(shop: Shop) -> None:
    with_model(shop, "{pipeline: gradient_boosting, params: {max_iter: 20, min_samples_leaf: 20}, warm_start: {trees: 5, limit: 29}}")
    model, released = TableKey("models", "shop", "returns"), TableKey("releases", "shop", "returns")
    write_days(shop, DAYS)
    assert shop.materialize().success
    first = shop.lake.states()[model]["whole"].typed(ModelState)
    assert first.value.training == "in full: nothing is released yet" and first.value.continued_from is None
    assert shop.lake.states()[released]["whole"].typed(ReleaseState).value.champion == "1"
    # Released now, and not continued from itself.
    assert stale_assets(read_project(shop.defs), shop.lake.states()) == {}

    write_days(shop, DAYS + 30)
    assert shop.materialize("raw", "validated", "features", "training_sets", "models", "evaluations", "releases").success
    states = shop.lake.states()
    second = states[model]["whole"].typed(ModelState)
    assert second.value.training == f"5 more trees on version 1's, from {second.rows} newer rows" and 250 < second.rows < first.rows
    evaluation = states[TableKey("evaluations", "shop", "returns")]["whole"].typed(EvaluationState)
    assert evaluation.value.facts is not None and evaluation.value.facts["training"] == second.value.training
    old, new = (load_model(f"models:/{second.value.name}/{version}", shop.uri).raw[-1] for version in ("1", "2"))
    assert (old.n_iter_, new.n_iter_) == (20, 25)
    trees = [[p.nodes.tobytes() for step in booster._predictors for p in step] for booster in (old, new)]
    assert trees[1][:20] == trees[0]
    client = Registry(shop.uri).client
    assert client.get_model_version(second.value.name, "2").tags["continued_from"] == "1"
    assert client.get_run(second.value.mlflow_run_id).data.params["continued_from"] == "1"
    stale = stale_assets(read_project(shop.defs), states)
    assert model not in stale and released not in stale

    # Parameters that old and new trees share have changed: in full again.
    with_model(shop, "{pipeline: gradient_boosting, params: {max_iter: 20, min_samples_leaf: 20, max_bins: 63}, warm_start: champion}")
    assert shop.materialize("models").success
    third = shop.lake.states()[model]["whole"].typed(ModelState)
    assert third.value.training == "in full: max_bins is not the same as in the champion" and third.value.continued_from is None


def write_days(shop: Shop, days: int) -> None:
    """Orders of so many days, of which a linear model knows less than trees do: middling ones are returned."""
    rows = [*orders(), *orders(days - DAYS, DAYS)]
    for number, row in enumerate(rows):
        # The last two weeks aren't known yet; a fifth of the orders is as it is.
        if number >= (days - 14) * 10:
            row["returned"] = ""
        elif number % 5 or not row["returned"]:
            row["returned"] = str(6 <= int(str(row["items"])) < 14).lower()
    write_orders(shop.data, rows)
