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


@pytest.mark.filled
def test_the_evidence_of_a_champion_is_voided_by_a_person_and_an_honest_version_takes_its_place(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from datetime import UTC, datetime

    from lakeloop.errors import DataError
    from lakeloop.records.release import EvaluationState, ReleaseState
    from platform_assets.loading import load_definitions
    from platform_assets.stages.release.voiding import void_release

    assert shop.materialize().success
    located = load_definitions(shop.defs)[0].workflows[("shop", "returns")]
    at = datetime.now(UTC)
    for version, reason, told in (("7", "why", "released, 1, found 7"), ("1", "  ", "wanted why its evidence is void")):
        with pytest.raises(DataError, match=told):
            void_release(shop.lake, located, version, reason, who="ada", at=at)
    before = shop.lake.states().whole(ReleaseState, located)
    assert before is not None and "goes on serving" in void_release(shop.lake, located, "1", "a leak", who="ada", at=at)
    assert "is void already: a leak" in void_release(shop.lake, located, "1", "again", who="bob", at=at)
    void = shop.lake.states().whole(ReleaseState, located)
    assert void is not None and (void.value.champion, void.value.voided, void.fingerprint) == ("1", {"1": "a leak"}, before.fingerprint)
    again = shop.materialize("evaluations", "releases", "predictions", "deployments")
    assert again.success, failures(again)
    assert shop.lake.states().whole(ReleaseState, located) == void

    # A version that is not shown to be better than the champion, as its gate wants.
    path = shop.defs / "shop" / "returns" / "defs.yaml"
    worse = "model: {pipeline: linear, params: {C: 0.5}}"
    path.write_text(path.read_text().replace("model: {pipeline: linear}", worse).replace("max_drop: 0.05", "max_drop: 0.0"))
    result = shop.materialize()
    assert result.success, failures(result)
    evaluation, release = shop.lake.states().whole(EvaluationState, located), shop.lake.states().whole(ReleaseState, located)
    assert evaluation is not None and release is not None and evaluation.value.champion is None
    assert release.value.champion == "2" and release.value.voided == {"1": "a leak"}
    assert "champion 1 isn't compared with it: its evidence is void (a leak)" in release.value.reason
    rows = sorted(shop.lake.open("reports/decisions").to_pyarrow_table().to_pylist(), key=lambda row: row["at"])
    assert [(row["action"], row["candidate"], row["who"]) for row in rows][:2] == [("promote", "1", None), ("void", "1", "ada")]
    assert [row["action"] for row in rows] == ["promote", "void", "promote"]
