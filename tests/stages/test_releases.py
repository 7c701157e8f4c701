"""Gates, and the versions that they release or refuse."""

from __future__ import annotations

import re

import pytest

from resources.lake.published import WHOLE
from tests.worlds.shop import DAYS, orders, write_orders
from tests.worlds.shop_project import Shop, failures, key


@pytest.mark.filled
@pytest.mark.minimum(0.999)
def test_promotion_refused_when_a_gate_fails_in_one_run_and_after_a_retry(shop: Shop) -> None:
    from resources.settings import Settings
    from resources.tracking.registry import Registry

    result = shop.materialize()
    assert result.success, failures(result)
    name = Settings.from_environment().mlflow_name("shop", "returns")

    def refused() -> None:
        released = shop.lake.states()[key("releases")][WHOLE].value
        assert released["champion"] is None and released["action"] == "refuse"
        assert "roc_auc" in released["reason"]
        assert Registry(shop.uri).version_of(name, "champion") is None
        assert Registry(shop.uri).version_of(name, "challenger") == "1"

    refused()
    assert shop.materialize("releases").success
    refused()
    rows = shop.lake.open("reports/decisions").to_pyarrow_table().to_pylist()
    assert [(r["action"], r["version_before"], r["version_after"]) for r in rows] == [("refuse", None, None)]
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    gates = {(e.asset_key.path[0], e.check_name) for e in failed if not e.check_name.startswith("LL")}
    assert gates == {("evaluations", "roc_auc"), ("releases", "model_is_promoted")}


@pytest.mark.filled
def test_a_second_version_is_tested_against_the_champion_and_says_what_changed(shop: Shop) -> None:
    import httpx

    assert shop.materialize().success
    write_orders(shop.data.with_name("more.csv"), orders(days=20, first=DAYS - 14, seed=8)[100:])
    path = shop.defs / "shop" / "returns" / "defs.yaml"
    path.write_text(path.read_text().replace("model: {pipeline: linear}", "model: {pipeline: linear, params: {C: 0.5}}"))
    result = shop.materialize()
    assert result.success, failures(result)
    judged = shop.lake.states()[key("evaluations")][WHOLE].value
    assert (judged["version"], judged["champion"], judged["previous"]["version"]) == ("2", "1", "1")
    rows = {r["model"]: r for r in shop.lake.open("reports/comparisons").to_pyarrow_table().to_pylist() if r["version"] == "2"}
    page = httpx.get(judged["report"]).text
    assert "Against champion 1" in page and "model: C" in page
    scores = [judged["previous"]["facts"]["score"]["roc_auc"], judged["facts"]["score"]["roc_auc"]]
    assert re.search(r"\s*".join(map(re.escape, ["score: roc_auc", *scores])), re.sub(r"<[^>]*>", "", page))
    assert rows["champion:1"]["difference"] == judged["comparison"]["difference"]
    reason = shop.lake.states()[key("releases")][WHOLE].value["reason"]
    assert "from champion 1 on the same 200 rows: a loss of 0.05 or more is ruled out (p" in reason


def test_a_release_waits_for_the_evaluation_that_answers_the_gates_as_they_are_now(shop: Shop) -> None:
    assert shop.materialize("raw", "validated", "features", "training_sets", "models", "evaluations").success
    path = shop.defs / "shop" / "returns" / "defs.yaml"
    path.write_text(path.read_text().replace("champion: {max_drop: 0.05}", "champion: {max_drop: 0.5}"))
    result = shop.materialize("releases")
    assert not result.success
    assert (
        "names other metrics or gates than evaluations/shop/returns was made under; releases reject evaluations made under older gates"
        in failures(result)
    )
    assert shop.materialize("evaluations", "releases").success
