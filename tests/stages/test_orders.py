"""Orders in `releases`: a rollback, a promotion past the gates, an alias that was moved by hand; with a real registry and a real lake."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resources.lake.published import WHOLE
from tests.worlds.shop_project import Shop, failures, key

LAST = ("evaluations", "releases")


def order(shop: Shop, action: str, version: str = "", tags: dict[str, str] | None = None, **config: str) -> Any:
    import dagster as dg

    keys = [dg.AssetKey([stage, "shop", "returns"]) for stage in ("releases",)]
    given = {"ops": {"releases__shop__returns": {"config": {"action": action, "version": version, **config}}}}
    job = shop.definitions().resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, asset_selection=keys, run_config=given, tags=tags or {}, raise_on_error=False)


def state(shop: Shop, stage: str = "releases") -> Any:
    return shop.lake.states()[key(stage)][WHOLE].value


def decisions(shop: Shop) -> list[tuple[str, ...]]:
    rows = shop.lake.open("reports/decisions").to_pyarrow_table().sort_by("at").to_pylist()
    return [(row["action"], row["version_before"], row["version_after"], row["who"]) for row in rows]


def checks_of(result: Any) -> dict[str, Any]:
    return {e.check_name: e for e in result.get_asset_check_evaluations()}


def two_versions(shop: Shop) -> Any:
    """Versions 1 and 2, both released one after the other; gives the registry and the model's name."""
    from resources.settings import Settings
    from resources.tracking.registry import Registry

    result = shop.materialize()
    assert result.success, failures(result)
    path = shop.defs / "shop" / "returns" / "defs.yaml"
    path.write_text(path.read_text().replace("model: {pipeline: linear}", "model: {pipeline: linear, params: {C: 0.5}}"))
    result = shop.materialize("models", *LAST)
    assert result.success, failures(result)
    assert state(shop)["champion"] == "2"
    return Registry(shop.uri), Settings.from_environment().mlflow_name("shop", "returns")


@pytest.mark.filled
def test_a_rollback_moves_alias_predictions_and_ledger_and_only_an_order_undoes_it(shop: Shop) -> None:
    registry, name = two_versions(shop)
    spec = state(shop)["feature_spec"]
    result = order(shop, "rollback", reason="too slow", by="ada")
    assert result.success, failures(result)
    now = state(shop)
    assert (now["champion"], now["withdrawn"], now["ordered"]["who"], now["rollback"]["version"]) == (
        "1",
        {"2": "ada: too slow"},
        "ada",
        "2",
    )
    assert now["best"] == "1" and now["feature_spec"].keys() == spec.keys() and now["cites"]
    assert registry.version_of(name, "champion") == "1" and "too slow" in registry.tags_of(name, "2")["lakeloop.rolled_back_by"]
    assert checks_of(result)["mlflow_agrees"].passed and not checks_of(result)["model_is_promoted"].passed
    assert decisions(shop)[-1] == ("rollback", "2", "1", "ada") and len(decisions(shop)) == 3
    result = shop.materialize("predictions")
    assert result.success, failures(result)
    assert {state.value["model_version"] for state in shop.lake.states()[key("predictions")].values()} == {"1"}

    # Neither the same order again, nor the next run, nor an evaluation under other gates undoes it or goes on.
    assert order(shop, "rollback", reason="too slow", by="ada").success
    assert shop.materialize(*LAST).success
    path = shop.defs / "shop" / "returns" / "defs.yaml"
    path.write_text(path.read_text().replace("max_drop: 0.05", "max_drop: 0.5"))
    assert shop.materialize(*LAST).success
    assert state(shop)["champion"] == "1" and "it was rolled back (ada: too slow); only" in state(shop)["reason"]
    assert registry.version_of(name, "champion") == "1"
    assert [row[0] for row in decisions(shop)][2:] == ["rollback", "refuse", "refuse"][: len(decisions(shop)) - 2]
    refused = order(shop, "rollback", "2", reason="again")
    assert not refused.success and "lakeloop release promote shop.returns 2" in failures(refused)

    # A person does; a retry of that run, after another rollback, doesn't.
    promoted = order(shop, "promote", "2", reason="it was the network", by="bob")
    assert promoted.success, failures(promoted)
    assert (state(shop)["champion"], state(shop).get("withdrawn")) == ("2", None)
    assert registry.version_of(name, "champion") == "2" and "it was the network" in registry.tags_of(name, "2")["lakeloop.promoted_by"]
    evidence = shop.lake.open("reports/decisions").to_pyarrow_table().sort_by("at").to_pylist()[-1]["evidence"]
    assert "it was rolled back" in json.loads(evidence)["overrides"]
    metadata = promoted.get_asset_materialization_events()[0].materialization.metadata
    assert "promote by bob" in metadata["released_by_order"].value and "it was the network" in metadata["released_by_order"].value
    assert order(shop, "rollback", "1", reason="the network was well", by="ada").success
    count = len(decisions(shop))
    retried = order(shop, "promote", "2", tags={"dagster/root_run_id": promoted.run_id}, reason="it was the network", by="bob")
    assert retried.success, failures(retried)
    assert state(shop)["champion"] == "1" and len(decisions(shop)) == count


@pytest.mark.filled
@pytest.mark.minimum(0.999)
def test_a_refused_version_is_promoted_by_a_person_and_an_unknown_one_is_not(shop: Shop) -> None:
    result = shop.materialize()
    assert result.success, failures(result)
    assert state(shop)["champion"] is None
    for action, version, config, told in (
        ("promote", "11", {"reason": "x"}, "no version '11' of shop.returns is registered; did you mean '1'"),
        ("promote", "1", {}, "reason: wanted why"),
        ("rollback", "", {"reason": "x"}, "no version of shop.returns is released"),
        ("promot", "1", {"reason": "x"}, "did you mean 'promote'"),
        ("decide", "1", {"reason": "x"}, "wanted action: rollback or promote"),
    ):
        result = order(shop, action, version, **config)
        assert not result.success and told in failures(result), failures(result)
    result = order(shop, "promote", "1", reason="better than none", by="ada")
    assert result.success, failures(result)
    assert state(shop)["champion"] == "1" and state(shop)["cites"] and state(shop)["feature_spec"]
    again = shop.materialize("predictions", "releases")
    assert again.success, failures(again)
    assert state(shop)["champion"] == "1" and decisions(shop) == [("refuse", None, None, None), ("promote", None, "1", "ada")]


@pytest.mark.filled
def test_an_alias_that_was_moved_by_hand_is_told_and_two_orders_make_it_agree(shop: Shop) -> None:
    registry, name = two_versions(shop)
    registry.client.set_registered_model_alias(name, "champion", "1")
    result = shop.materialize("releases")
    check = checks_of(result)["mlflow_agrees"]
    told = check.metadata["message"].value
    assert result.success and not check.passed
    assert "version 2 of shop.returns is released" in told and "MLflow's alias champion is on version 1" in told
    assert "`lakeloop release promote shop.returns 2 --reason …`" in told and "`lakeloop release promote shop.returns 1 --reason …`" in told
    back = order(shop, "promote", "2", reason="a slip", by="ada")
    assert back.success and checks_of(back)["mlflow_agrees"].passed and registry.version_of(name, "champion") == "2"
    registry.client.set_registered_model_alias(name, "champion", "1")
    path = shop.defs / "shop" / "returns" / "defs.yaml"
    path.write_text(path.read_text().replace("C: 0.5", "C: 0.25"))
    stopped = shop.materialize("models", *LAST)
    assert not stopped.success and "was moved by hand; nothing was moved" in failures(stopped)
    assert not checks_of(stopped)["mlflow_agrees"].passed and registry.version_of(name, "champion") == "1"
    taken = order(shop, "promote", "1", reason="as they want it", by="ada")
    assert taken.success and state(shop)["champion"] == "1" and checks_of(taken)["mlflow_agrees"].passed


@pytest.mark.filled
def test_an_alias_that_was_moved_by_hand_is_told_once_between_runs_and_once_when_it_is_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    registry, name = two_versions(shop)
    definitions = shop.definitions()
    monkeypatch.setenv("LAKELOOP_MLFLOW", shop.uri)
    sensor, cursor = next(each for each in definitions.sensors if each.name == "moved_aliases"), None
    given, repository = {"lake": definitions.resources["lake"]}, definitions.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> tuple[list[tuple[bool, str]], str]:
            nonlocal cursor
            with dg.build_sensor_context(instance, cursor=cursor, resources=given, repository_def=repository) as context:
                result = sensor.evaluate_tick(context)
            cursor = result.cursor or cursor
            events: list[Any] = list(result.asset_events)
            assert {(event.asset_key.to_user_string(), event.check_name) for event in events} <= {
                ("releases/shop/returns", "mlflow_agrees")
            }
            return [(event.passed, event.metadata["message"].value) for event in events], result.skip_message or ""

        assert tick() == ([], "every alias is on the released version")
        registry.client.set_registered_model_alias(name, "champion", "1")
        at_work = instance.create_run_for_job(dg.job(name="other")(lambda: None), status=dg.DagsterRunStatus.STARTED)
        assert tick()[0] == []
        instance.report_run_canceled(at_work)
        ((passed, told),) = tick()[0]
        assert not passed and "version 2 of shop.returns is released" in told and "champion is on version 1" in told
        assert tick() == ([], "told before: shop.returns")
        registry.client.delete_registered_model_alias(name, "champion")
        assert "champion is on version none" in tick()[0][0][1]
        registry.client.set_registered_model_alias(name, "champion", "2")
        assert tick()[0] == [(True, "both agree again")]
        assert tick()[0] == [] and registry.version_of(name, "champion") == "2"


@pytest.mark.filled
@pytest.mark.parametrize("point", ["lake.before_append", "order.written", "order.moved", "lake.before_record", "lake.after_append"])
def test_an_order_that_was_killed_is_finished_by_the_next_run(shop: Shop, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    import dagster as dg

    from resources.host import crash_points

    registry, name = two_versions(shop)

    def die(passed: str) -> None:
        if passed == point:
            raise crash_points.Crash(point)

    import platform_assets.assets as assets

    monkeypatch.setattr(crash_points, "watch", die)
    with monkeypatch.context() as patch:
        patch.setattr(assets, "RETRIES", dg.RetryPolicy(max_retries=0))
        assert not order(shop, "rollback", reason="too slow", by="ada").success
    monkeypatch.setattr(crash_points, "watch", None)
    assert (order(shop, "rollback", reason="too slow", by="ada") if point == "lake.before_append" else shop.materialize("releases")).success
    assert state(shop)["champion"] == "1" and state(shop)["withdrawn"] == {"2": "ada: too slow"}
    assert registry.version_of(name, "champion") == "1"
    assert [row[0] for row in decisions(shop)] == ["promote", "promote", "rollback"]
