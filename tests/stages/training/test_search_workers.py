"""Searches by several processes and several steps, some of which are killed; on SQLite and, where it is installed, on PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from lakeloop.records.training import StudyState
from resources.lake.published import WHOLE, TableKey
from resources.search.storage import study_storage
from resources.settings import Settings
from tests.chaos.step import code_of, start
from tests.worlds.places import ROOT
from tests.worlds.search_shop import OWN, failure, nested_runs, study_of, with_search
from tests.worlds.shop_project import Shop

pytestmark = pytest.mark.filled

STUDY = TableKey("studies", "shop", "returns")


@pytest.fixture(params=["sqlite", "postgresql"])
def studies_db(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the study is kept."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    from tests.worlds.servers import postgres

    with postgres.server() as url:
        monkeypatch.setenv("LAKELOOP_STUDIES_DB", url)
        yield "postgresql"


def ended(trials: list[Any]) -> Any:
    """The trials of a study, counted."""
    from resources.search.study import tally

    return tally(trials)


def test_a_worker_killed_in_a_trial_is_noticed_and_its_trial_run_again(shop: Shop, studies_db: str, tmp_path: Path) -> None:
    space = (
        f"{{C: {{low: 0.1, high: 10.0}}, seconds: {{choices: [0.4]}}, mood: {{choices: [together]}}, folder: {{choices: ['{tmp_path}']}}}}"
    )
    searching = with_search(shop, f"{{trials: 8, folds: 2, workers: 2, space: {space}}}", model=OWN)
    killed: list[tuple[int, int]] = []
    # Opened before the search: opening creates the tables, and changes the filters of warnings of the whole process.
    storage = study_storage(Settings.from_environment())

    def kill() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(0.05)
            for study in storage.get_all_studies():
                for trial in storage.get_all_trials(study._study_id, states=(TrialState.RUNNING,)):
                    number = int(trial.user_attrs.get("worker", "x 0").split()[1])
                    if number not in (0, os.getpid()) and len(trial.params) == 4:
                        os.kill(number, signal.SIGKILL)
                        killed.append((trial.number, number))
                        return

    killer = threading.Thread(target=kill)
    killer.start()
    result = searching.materialize("studies")
    killer.join()
    assert result.success, failure(result)
    ((number, _),) = killed
    trials = study_of(searching).trials
    counted = ended(trials)
    assert (len(counted.finished), len(counted.failed), len(counted.running)) == (8, 0, 0)
    assert [trial.number for trial in counted.lost] == [number]
    (again,) = [trial for trial in trials if trial.system_attrs.get("retry_history") == [number]]
    assert again.params == trials[number].params and again.state.name in ("COMPLETE", "PRUNED")
    assert len({trial.user_attrs["worker"] for trial in counted.finished}) >= 2, "another process took its place, or the first went on"
    runs = nested_runs(searching)
    # A trial that another process took beyond the budget is dropped before it has a run.
    assert {run.data.tags["lakeloop.trial"] for run in runs} == {str(trial.number) for trial in (*counted.finished, *counted.lost)}
    assert all(run.info.status != "RUNNING" for run in runs)
    (lost,) = [run for run in runs if run.data.tags["lakeloop.trial"] == str(number)]
    assert (lost.info.status, lost.data.tags["lakeloop.reason"]) == ("FAILED", "its worker died")
    assert searching.lake.states()[STUDY][WHOLE].typed(StudyState).value.counts["lost with their worker and run again"] == 1


def test_a_trial_that_kills_every_worker_is_given_up_and_the_study_ends(shop: Shop) -> None:
    from dataclasses import replace

    from resources.search.storage import MOST_RETRIES
    from resources.search.study import retry_trial, tally

    searching = with_search(shop, "{trials: 2, folds: 2, space: {C: {low: 0.1, high: 10.0}}}", model=OWN)
    assert searching.materialize("studies").success
    study = study_of(searching)
    study.enqueue_trial({"C": 5.0})
    for death in range(MOST_RETRIES + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a trial that is only begun has no heartbeat
            study.ask()
        (running,) = tally(study.trials).running
        retry_trial(study, running)
        counted = tally(study.trials)
        assert len(counted.failed) == (1 if death == MOST_RETRIES else 0)
    assert replace(counted).ended == 3


def test_two_workers_share_the_trials_and_read_their_rows_from_the_lake(shop: Shop, tmp_path: Path) -> None:
    space = (
        f"{{C: {{low: 0.1, high: 10.0}}, seconds: {{choices: [0.2]}}, mood: {{choices: [together]}}, folder: {{choices: ['{tmp_path}']}}}}"
    )
    searching = with_search(shop, f"{{trials: 12, folds: 2, workers: 2, space: {space}}}", model=OWN)
    assert searching.materialize("studies").success
    counted = ended(study_of(searching).trials)
    trials = counted.finished
    assert (len(trials), len(counted.failed), len(counted.running)) == (12, 0, 0)
    by_worker = {who: sum(t.user_attrs["worker"] == who for t in trials) for who in {t.user_attrs["worker"] for t in trials}}
    assert len(by_worker) == 2
    values = {trial.params["C"]: trial.value for trial in trials}
    assert len(values) > 10, "they don't try the same"


def test_two_steps_share_the_trials_of_a_dagster_run_and_one_that_is_killed_is_tried_again(shop: Shop, tmp_path: Path) -> None:
    import dagster as dg

    space = f"{{C: {{low: 0.1, high: 10.0}}, mood: {{choices: [good, kill]}}, folder: {{choices: ['{tmp_path}']}}, seconds: {{choices: [0.3]}}}}"
    searching = with_search(shop, f"{{trials: 10, folds: 2, steps: 2, sampler: RandomSampler, space: {space}}}", model=OWN)
    location, home = searching.location(tmp_path), tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-f", str(location), "--select", "studies/shop/returns"]
    done = subprocess.run(
        command,
        cwd=tmp_path,  # in the project's folder its `.env` would win over this environment
        env={**searching.environment, "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (record,) = instance.get_run_records()
        events = [entry.dagster_event for entry in instance.all_logs(record.dagster_run.run_id) if entry.dagster_event]
    steps = {event.step_key for event in events if event.event_type_value == "STEP_SUCCESS"}
    assert steps == {f"studies__shop__returns.studies__shop__returns__{name}" for name in ("1", "2", "found")}
    assert any(event.event_type_value == "STEP_UP_FOR_RETRY" for event in events), "a step was killed"
    assert (tmp_path / "killed").exists()
    counted = ended(study_of(searching).trials)
    assert (len(counted.finished), len(counted.failed), len(counted.running), len(counted.lost)) == (10, 0, 0, 1)
    assert len({trial.user_attrs["worker"] for trial in counted.finished}) >= 2
    assert all(run.info.status != "RUNNING" for run in nested_runs(searching))
    (event,) = [e for e in events if e.event_type_value == "ASSET_MATERIALIZATION"]
    shown = event.event_specific_data.materialization.metadata
    assert {"best_parameters", "gain", "trials", "plots", "fingerprint"} <= set(shown) and shown["plots"].value.count(
        "data:image/svg+xml"
    ) == 3


def test_what_a_killed_step_left_is_run_again_by_the_next_one_and_nothing_twice(shop: Shop, tmp_path: Path) -> None:
    searching = with_search(shop, "{trials: 4, folds: 2, sampler: RandomSampler}")
    for point in (
        "search.trial_drawn:kill:2",
        "search.trial_scored:kill:2",
        "search.trial_run_open:kill:1",
        "study.searched:kill",
        "study.reported:kill",
    ):
        log = tmp_path / f"{point}.log"
        environment = {**searching.environment, "DAGSTER_HOME": str(tmp_path), "LAKELOOP_CRASH_AT": point}
        code = code_of(start(searching.defs, environment, log, stages=["studies"]))
        assert code == -signal.SIGKILL and f"crash point {point.partition(':')[0]}" in log.read_text(), log.read_text()[-2000:]
    assert searching.materialize("studies").success
    counted = ended(study_of(searching).trials)
    assert (len(counted.finished), len(counted.running)) == (4, 0) and len(counted.lost) == 2
    rows = searching.lake.open("reports/trials").to_pyarrow_table().to_pylist()
    assert sorted(row["trial"] for row in rows) == [trial.number for trial in counted.finished]
    assert searching.lake.open("reports/studies").to_pyarrow_table().num_rows == 1
    runs = nested_runs(searching)
    assert sorted(int(run.data.tags["lakeloop.trial"]) for run in runs) == [trial.number for trial in study_of(searching).trials]
    assert all(run.info.status != "RUNNING" for run in runs)


@pytest.mark.timeout(90)
def test_a_pool_whose_study_cannot_be_reached_says_so_and_waits_for_nobody(tmp_path: Path) -> None:
    import logging

    from lakeloop.errors import ServiceUnavailable
    from resources.search.job import SearchJob
    from resources.search.pool import Pool

    nowhere = {"LAKELOOP_HOME": str(tmp_path), "LAKELOOP_STUDIES_DB": "postgresql+psycopg2://nobody@127.0.0.1:1/studies"}
    # Its worker dies at once, for there is no such table, and whose turn that was can't be looked up.
    job = SearchJob(
        study="gone", direction="maximize", about={}, lake=str(tmp_path / "lake"), table="training_sets/shop/returns", version=0,
        features=("amount",), label="label", time="at", keys=("id",), split="split", until=None, model={"pipeline": "linear"}, folder=".",
        answer={"task": "binary_classification"}, search={"trials": 1}, space={}, metric="roc_auc", gap_s=0.0, threads=1, personal=False,
    )  # fmt: skip
    with pytest.raises(ServiceUnavailable, match="LAKELOOP_STUDIES_DB"), Pool(job, 1, 1, Settings.from_environment(nowhere), logging):
        pass
