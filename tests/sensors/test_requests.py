"""What the sensors for data and for training ask for, and why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from resources.lake.published import WHOLE, TableKey
from tests.worlds.shop import DAYS, orders, write_orders
from tests.worlds.shop_project import Shop, failures


@pytest.mark.filled
def test_the_sensor_asks_once_per_cause_and_names_the_stale_months(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from sensors.all import MOST_ATTEMPTS, data_request, retrain_request

    project = read_project(shop.defs)
    assert "empty" in str(data_request(project, {}).skip_message)
    assert shop.materialize().success
    now = datetime.now(UTC)
    workflow = project.workflows[("shop", "returns")]
    assert "fresh" in str(data_request(project, shop.lake.states()).skip_message)
    assert "newest data" in str(retrain_request(project, workflow, shop.lake.states(), now).skip_message)

    write_orders(shop.data.with_name("more.csv"), orders(days=5, first=DAYS))
    asked = data_request(project, shop.lake.states())
    assert asked.run_key == data_request(project, shop.lake.states()).run_key
    assert asked.run_key != data_request(project, shop.lake.states(), attempts=1).run_key
    assert "failed" in str(data_request(project, shop.lake.states(), attempts=MOST_ATTEMPTS).skip_message)
    assert "come first" in str(retrain_request(project, workflow, shop.lake.states(), now).skip_message)

    result = shop.materialize("raw", "validated", "features")
    assert result.success, failures(result)
    assert "fresh" in str(data_request(project, shop.lake.states()).skip_message)
    retrain = retrain_request(project, workflow, shop.lake.states(), now)
    assert {k.path[0] for k in retrain.asset_selection} == {"training_sets", "models", "evaluations", "releases", "predictions"}

    spec = workflow.spec
    patient = replace(workflow, spec=spec.model_copy(update={"retrain": spec.retrain.model_copy(update={"cooldown": timedelta(days=1)})}))
    made = shop.lake.states()[TableKey("models", "shop", "returns")][WHOLE].at
    assert "cooldown" in str(retrain_request(project, patient, shop.lake.states(), made + timedelta(hours=1)).skip_message)
    # Made while the clock was ahead: it keeps nothing back until that time comes.
    assert retrain_request(project, patient, shop.lake.states(), made - timedelta(days=300)).run_key
