"""The asset `studies`: trials, their budget, resuming, failing, and what the search gained, on a real lake, study and MLflow server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lakeloop.records.training import ModelState, StudyState
from resources.lake.published import WHOLE, TableKey
from resources.tracking.report_page import ARTIFACT
from tests.worlds.search_shop import OWN, failure, nested_runs, study_of, with_search
from tests.worlds.shop_project import Shop

pytestmark = pytest.mark.filled

STUDY, MODEL = TableKey("studies", "shop", "returns"), TableKey("models", "shop", "returns")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few rows take longer on several threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def trials_of(shop: Shop) -> list[tuple[Any, ...]]:
    """What was tried and found."""
    return [(t.number, t.state.name, t.params, t.value, t.intermediate_values) for t in study_of(shop).trials]


def test_a_model_is_trained_with_what_the_search_found(shop: Shop) -> None:
    import mlflow

    searching = with_search(shop, "{trials: 6, folds: 2}", model="model: {pipeline: linear, params: {C: 0.5}}")
    assert searching.materialize().success
    states = searching.lake.states()
    study, model = states[STUDY][WHOLE].typed(StudyState).value, states[MODEL][WHOLE].typed(ModelState).value
    assert study.counts["complete"] + study.counts["pruned"] == 6
    assert model.search == study.result
    client = mlflow.MlflowClient(searching.uri)
    logged = client.get_run(model.mlflow_run_id).data.params
    assert {name: logged[f"model.{name}"] for name in study.taken} == {name: str(value) for name, value in study.taken.items()}
    assert study_of(searching).trials[0].params == {"C": 0.5}, "the model's own parameters are tried first"
    told = Path(client.download_artifacts(model.mlflow_run_id, ARTIFACT)).read_text()
    assert "What the search gained" in told and "The search gained" in told
    trials = searching.lake.open("reports/trials").to_pyarrow_table().to_pylist()
    assert sorted(row["trial"] for row in trials) == list(range(6))
    (row,) = searching.lake.open("reports/studies").to_pyarrow_table().to_pylist()
    assert json.loads(row["best"]) == study.best and row["gain"] == study.gain["difference"] and row["gain_rows"] > 0

    assert searching.materialize().success, "a second time nothing is stale"
    assert len(trials_of(searching)) == 6
    assert searching.lake.states()[MODEL][WHOLE].typed(ModelState).value.version == model.version


def test_a_larger_budget_goes_on_where_the_study_ended_and_pays_no_trial_twice(shop: Shop) -> None:
    searching = with_search(shop, "{trials: 3, folds: 2}")
    assert searching.materialize("studies").success
    before = trials_of(searching)
    assert with_search(shop, "{trials: 5, folds: 2}").materialize("studies").success
    after = trials_of(searching)
    assert len(after) == 5 and after[:3] == before
    assert [run.data.tags["lakeloop.trial"] for run in nested_runs(searching)] == list("01234")
    rows = searching.lake.open("reports/trials").to_pyarrow_table().to_pylist()
    assert sorted(row["trial"] for row in rows) == list(range(5))


def test_one_worker_gives_the_same_study_again_also_when_it_was_interrupted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    model = "model: {pipeline: gradient_boosting, params: {max_iter: 30}}"
    how = "folds: 2, sampler: {TPESampler: {n_startup_trials: 3}}, space: {learning_rate: {low: 0.01, high: 0.5}, max_leaf_nodes: {low: 3, high: 20}}"
    seven = with_search(shop, f"{{trials: 7, seed: 5, {how}}}", model=model)
    assert seven.materialize("studies").success
    at_once = trials_of(seven)
    monkeypatch.setenv("LAKELOOP_HOME", str(tmp_path / "other"))
    for budget in (2, 5, 7):
        assert with_search(shop, f"{{trials: {budget}, seed: 5, {how}}}", model=model).materialize("studies").success
    assert trials_of(seven) == at_once
    monkeypatch.setenv("LAKELOOP_HOME", str(tmp_path / "third"))
    assert with_search(shop, f"{{trials: 7, seed: 6, {how}}}", model=model).materialize("studies").success
    assert [trial[2] for trial in trials_of(seven)][1:] != [trial[2] for trial in at_once][1:]


def test_a_bad_trial_is_pruned_after_its_first_fold_and_costs_no_more(shop: Shop) -> None:
    space = "{learning_rate: {choices: [0.1, 0.000001]}, max_iter: {choices: [100]}}"
    searching = with_search(
        shop,
        f"{{trials: 12, folds: 3, sampler: RandomSampler, pruner: {{MedianPruner: {{n_startup_trials: 2}}}}, metric: log_loss, space: {space}}}",
        model="model: {pipeline: gradient_boosting, params: {min_samples_leaf: 5, max_leaf_nodes: 4}}",
    )
    assert searching.materialize("studies").success
    trials = study_of(searching).trials
    pruned = [t for t in trials if t.state.name == "PRUNED"]
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    assert pruned and all(t.params["learning_rate"] < 0.01 for t in pruned)
    assert all(max(t.intermediate_values) < 3000 for t in pruned), "they ended before their last fold did"
    assert {1, 1000, 1001, 2000, 2001, 3000} == set(complete[0].intermediate_values), "per round and per fold"
    statuses = {int(r.data.tags["lakeloop.trial"]): (r.info.status, r.data.tags["lakeloop.trial_state"]) for r in nested_runs(searching)}
    assert statuses == {t.number: ("KILLED", "pruned") if t in pruned else ("FINISHED", "complete") for t in trials}
    assert {r.data.tags["mlflow.parentRunId"] for r in nested_runs(searching)} != {""}


def test_an_estimator_that_raises_in_some_trials_fails_these_and_the_search_goes_on(shop: Shop) -> None:
    space = "{C: {low: 0.1, high: 10.0, log: true}, mood: {choices: [good, raise, nan]}}"
    searching = with_search(shop, f"{{trials: 9, folds: 2, least_finished: 0.2, space: {space}}}", model=OWN)
    assert searching.materialize("studies").success
    rows = {r["trial"]: r for r in searching.lake.open("reports/trials").to_pyarrow_table().to_pylist()}
    moods = {n: json.loads(row["params"])["mood"] for n, row in rows.items()}
    assert set(moods.values()) == {"good", "raise", "nan"} and len(rows) == 9
    for number, mood in moods.items():
        reason = rows[number]["reason"]
        assert rows[number]["state"] == ("failed" if mood != "good" else "complete")
        if mood == "raise":
            assert reason.startswith("ValueError: no convergence with C ")
        elif mood == "nan":
            assert reason.endswith("predictions are NaN or infinite")
    assert {r.info.status for r in nested_runs(searching)} == {"FINISHED", "FAILED"}
    counts = searching.lake.states()[STUDY][WHOLE].typed(StudyState).value.counts
    assert counts["failed"] == sum(mood != "good" for mood in moods.values())


def test_too_few_trials_left_fail_the_asset_and_the_next_run_tries_them_again(shop: Shop) -> None:
    space = "{C: {low: 0.1, high: 10.0}, mood: {choices: [raise]}}"
    searching = with_search(shop, f"{{trials: 3, folds: 2, space: {space}}}", model=OWN)
    for attempt in (1, 2):
        told = failure(searching.materialize("studies"))
        assert (
            "defs.yaml:" in told
            and ": search: 0 of 3 trials finished, none of them complete, wanted at least 2 (search.least_finished 0.5)" in told
        )
        assert "1 x ValueError: no convergence with C" in told
        assert len(study_of(searching).trials) == 3 * attempt
    assert STUDY not in searching.lake.states()


def test_folds_that_the_rows_cannot_fill_are_told_with_file_and_key(shop: Shop) -> None:
    workflow = shop.defs / "shop" / "returns" / "defs.yaml"
    workflow.write_text(workflow.read_text().replace("train: 60d", "train: 2d"))
    told = failure(with_search(shop, "{trials: 3, folds: 5}").materialize("training_sets", "studies"))
    assert "defs.yaml:" in told and "search.folds: fold " in told and "wanted fewer folds" in told


def test_minutes_end_a_search_and_count_over_all_its_runs(shop: Shop) -> None:
    space = "{C: {low: 0.1, high: 10.0}, seconds: {choices: [0.3]}}"
    searching = with_search(shop, f"{{minutes: 0.02, folds: 2, space: {space}}}", model=OWN)
    assert searching.materialize("studies").success
    ran = len(trials_of(searching))
    assert 1 <= ran <= 3
    assert with_search(shop, f"{{minutes: 0.02, trials: 100, folds: 2, space: {space}}}", model=OWN).materialize("studies").success
    assert len(trials_of(searching)) == ran, "the minutes were used up"


def test_without_a_search_nothing_changes(shop: Shop) -> None:
    from lakeloop.errors import NotPublished
    from platform_assets.loading import read_project
    from platform_assets.stages.training import models

    states = shop.lake.states()

    def located() -> Any:
        return read_project(shop.defs).workflows[("shop", "returns")]

    plain = models.expected(states, located())
    assert all(key.path[0] != "studies" for asset in shop.definitions().assets for key in asset.keys)
    with_search(shop, "{trials: 3}")
    with pytest.raises(NotPublished, match="studies/shop/returns has no finished search"):
        models.expected(states, located())
    workflow = shop.defs / "shop" / "returns" / "defs.yaml"
    workflow.write_text(workflow.read_text().partition("  search:")[0])
    assert models.expected(states, located()) == plain
