"""The pipeline of a draft: the simplest that none beats on the same folds, and gates from the base rate and its figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from lakeloop.drafting.models.gates import draft_gates
from lakeloop.drafting.models.pipeline_choice import TrialRows, choose_pipeline, trial_rows
from lakeloop.spec.tasks import Answer
from tests.worlds.questions import BINARY, expit

CANDIDATES = [{"pipeline": "linear"}, {"pipeline": "gradient_boosting", "params": {"min_samples_leaf": 20, "max_iter": 40}}]


def rows(effect, *, count: int = 900, in_time: bool = True, task: str = BINARY) -> TrialRows:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, count))
    signal = effect(a, b)
    y = (rng.random(count) < expit(signal)).astype(float) if task == BINARY else signal + rng.normal(size=count)
    return TrialRows(pd.DataFrame({"a": a, "b": b}), y, {"a": "double", "b": "double"}, in_time)


def test_a_linear_model_is_taken_where_trees_are_no_better() -> None:
    choice = choose_pipeline(rows(lambda a, b: a + b), Answer(BINARY), "roc_auc", CANDIDATES)
    assert choice is not None and choice.model == {"pipeline": "linear"}
    assert "gradient_boosting isn't shown to be better (" in choice.reason
    assert "cross-validated on 675 rows of the training window, each fitted on earlier rows" in choice.reason
    assert 0.7 < choice.baseline["roc_auc"] < 0.95


@pytest.mark.parametrize("in_time", [True, False])
def test_trees_are_taken_where_they_are_shown_to_be_better(in_time: bool) -> None:
    trial = rows(lambda a, b: 3 * np.sign(a * b), in_time=in_time)
    choice = choose_pipeline(trial, Answer(BINARY), "roc_auc", CANDIDATES)
    assert choice is not None and choice.model == CANDIDATES[1] and "better than the simpler one (+0." in choice.reason
    assert choice.reason.endswith("earlier rows" if in_time else "drawn at random")


def test_rows_of_one_group_are_never_fitted_on_and_scored() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 12)
    coin, place = rng.integers(0, 2, 100).astype(float)[groups], rng.normal(size=100)[groups]  # a coin per patient, whom the place tells
    trial = TrialRows(pd.DataFrame({"place": place}), coin, {"place": "double"}, False, groups)
    torn = choose_pipeline(replace(trial, groups=None), Answer(BINARY), "roc_auc", CANDIDATES)
    kept = choose_pipeline(trial, Answer(BINARY), "roc_auc", CANDIDATES)
    assert torn is not None and torn.model == CANDIDATES[1], "trees remember each patient"
    assert kept is not None and kept.model == CANDIDATES[0] and abs(kept.baseline["roc_auc"] - 0.5) < 0.2


def test_a_number_is_judged_by_its_own_metric() -> None:
    choice = choose_pipeline(rows(lambda a, b: 2 * a, task="regression"), Answer("regression"), "mae", CANDIDATES)
    assert choice is not None and choice.model["pipeline"] == "linear" and choice.reason.startswith("mae linear ")


def test_too_few_rows_or_one_class_compare_nothing() -> None:
    assert choose_pipeline(rows(lambda a, b: a, count=80), Answer(BINARY), "roc_auc", CANDIDATES) is None
    assert choose_pipeline(rows(lambda a, b: a - 99), Answer(BINARY), "roc_auc", CANDIDATES) is None


def test_rows_of_a_trial_are_those_of_the_training_window_in_order_of_time() -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "kind": ["a", None, "b", "a"]})
    at = np.array(["2024-01-04", "2024-01-03", "2024-01-02", "2024-01-01"], dtype="datetime64[us]")
    trial = trial_rows(table, ["x", "kind"], {"hour": np.array([4, 3, 2, 1])}, np.array([0.0, 1.0, np.nan, 1.0]), at)
    assert trial.frame["x"].tolist() == [4.0, 2.0, 1.0] and trial.label.tolist() == [1.0, 1.0, 0.0] and trial.in_time
    assert trial.frame["hour"].tolist() == [1.0, 3.0, 4.0] and list(trial.kinds) == ["x", "kind", "hour"]
    assert not trial_rows(table, ["x"], {}, np.zeros(4), None).in_time


def gates(task, label, baseline) -> dict[str, dict[str, float]]:
    return yaml.safe_load("\n".join(draft_gates(task, np.asarray(label, float), baseline)))


def test_gates_of_a_rare_event_follow_from_its_base_rate() -> None:
    label = np.repeat([1.0, 0.0], [60, 940])
    drafted = gates(BINARY, label, {"roc_auc": 0.78})
    assert drafted["brier"] == {"max": 0.056, "severity": "warning"}
    assert drafted["calibration_error"] == {"max": 0.015, "severity": "warning"}
    assert drafted["roc_auc"] == {"min": 0.64} and drafted["champion"] == {"max_drop": 0.01}
    assert gates(BINARY, label, {})["roc_auc"] == {"min": 0.55} and gates(BINARY, label, {"roc_auc": 0.4})["roc_auc"] == {"min": 0.5}


def test_gates_of_classes_and_numbers_follow_from_what_guessing_has() -> None:
    drafted = gates("multiclass_classification", np.repeat([0, 1, 2], [50, 25, 25]), {"roc_auc": 0.9})
    assert drafted["log_loss"]["max"] == 1.0 and drafted["roc_auc"] == {"min": 0.7} and drafted["calibration_error"]["max"] == 0.12
    numbers = np.random.default_rng(1).normal(0, 10, 1000)
    assert gates("regression", numbers, {"r2": 0.5})["r2"] == {"min": 0.25} and gates("regression", numbers, {"r2": -3.0})["r2"] == {
        "min": 0.0
    }
    assert gates("quantile_regression", numbers, {})["coverage_error"] == {"max": 0.1}
