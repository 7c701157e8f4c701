"""Features that training never saw: a column without a value, a category or a missing value that only comes later; of every pipeline and kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakeloop.errors import DataError
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import TASKS, Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.baselines import baseline_scores, seed_refits
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import pipelines_for
from lakeloop.training.unknown_values import MOST_SHARE, repeat_without_values

ROWS = 4_000
KINDS: dict[str, Kind] = {"place": "string", "size": "double"}
CASES = [(task, pipeline) for task in TASKS for pipeline in pipelines_for(task)]  # type: ignore[arg-type]  # its keys are the tasks


def answer_of(task: Any) -> Answer:
    return Answer(task, classes=("a", "b", "c")) if task == "multiclass_classification" else Answer(task)


def frame_of(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    place = np.where(rng.random(rows) < 0.8, "north", "south").astype(object)
    return pd.DataFrame({"place": place, "size": np.where(rng.random(rows) < 0.8, 1.0, 5.0) + rng.random(rows)})


def label_of(frame: pd.DataFrame, by: str, task: str) -> np.ndarray:
    """A label that depends on one feature: its share or mean is 0.22 over all rows, 0.08 in the larger part and about 0.78 in the smaller."""
    is_rare = (frame["place"] == "south") if by == "place" else (frame["size"] > 4)
    share = np.where(is_rare, 0.78, 0.08)
    label: np.ndarray = (np.random.default_rng(3).random(len(frame)) < share).astype(float)
    return label


def scores(fitted: Any, frame: pd.DataFrame, task: str) -> np.ndarray:
    if "classification" in task:
        return np.asarray(fitted.predict_proba(frame))[:, 1]
    method = fitted.score_samples if task == "anomaly_detection" else fitted.predict
    values = np.asarray(method(frame))
    return values if values.ndim == 1 else values[:, values.shape[1] // 2]


def fit(task: str, pipeline: str, kinds: dict[str, Kind], frame: pd.DataFrame, label: np.ndarray) -> Any:
    return fit_model(Model(pipeline=pipeline), kinds, answer_of(task), frame, label, folder=Path())


@pytest.mark.parametrize("kind", ["string", "double"])
@pytest.mark.parametrize(("task", "pipeline"), CASES)
def test_a_feature_without_a_value_in_training_changes_nothing(task: str, pipeline: str, kind: Kind) -> None:
    frame = frame_of(400)
    label = label_of(frame, "place", task)
    nothing = pd.Series([None] * len(frame), dtype=object) if kind == "string" else pd.Series([np.nan] * len(frame))
    wider = frame.assign(later=nothing)
    fitted = fit(task, pipeline, {**KINDS, "later": kind}, wider, label)
    rows = wider.head(20).assign(later="x" if kind == "string" else 3.0)
    np.testing.assert_allclose(scores(fitted, rows, task), scores(fit(task, pipeline, KINDS, frame, label), frame.head(20), task))


@pytest.mark.parametrize("by", ["place", "size"])
@pytest.mark.parametrize(
    ("task", "pipeline"), [case for case in CASES if case[0] in ("binary_classification", "regression", "multiclass_classification")]
)
def test_a_value_that_training_never_saw_means_the_answer_without_it(task: str, pipeline: str, by: str) -> None:
    frame = frame_of()
    label = label_of(frame, by, task)
    if task == "multiclass_classification":
        label = label + (np.random.default_rng(5).random(ROWS) < 0.1)
    fitted = fit(task, pipeline, KINDS, frame, label)
    rows = frame.head(500).assign(**{by: "unheard of" if by == "place" else np.nan})
    unknown, overall = float(scores(fitted, rows, task).mean()), float((label == 1).mean())
    if pipeline == "linear":  # between that of the two categories, or that of the median
        low = scores(fitted, frame.head(500).assign(**{by: "north" if by == "place" else 1.5}), task).mean()
        high = scores(fitted, frame.head(500).assign(**{by: "south" if by == "place" else 5.5}), task).mean()
        assert low - 0.01 <= unknown <= high
    else:
        assert unknown == pytest.approx(overall, abs=0.05)


@pytest.mark.parametrize(("task", "pipeline"), CASES)
def test_an_unknown_value_of_every_kind_is_answered(task: str, pipeline: str) -> None:
    frame = frame_of(400)
    fitted = fit(task, pipeline, KINDS, frame, label_of(frame, "place", task))
    rows = pd.DataFrame({"place": pd.Series(["unheard of", None, "north"], dtype=object), "size": [np.nan, 1.0, np.nan]})
    assert np.isfinite(scores(fitted, rows, task)).all()


@pytest.mark.parametrize("pipeline", pipelines_for("binary_classification"))
def test_refits_of_an_evaluation_leave_out_what_has_no_value(pipeline: str) -> None:
    frame = frame_of().assign(late=np.nan)
    kinds: dict[str, Kind] = {**KINDS, "late": "double"}
    label, answer = label_of(frame, "place", "binary_classification"), answer_of("binary_classification")
    refits = seed_refits(Model(pipeline=pipeline), kinds, answer, frame, label, frame[:50], folder=Path())
    assert refits is None or all(np.isfinite(scored).all() for scored in refits)
    assert np.isfinite(baseline_scores(frame, label, frame[:50], kinds, answer)).all()


def test_no_feature_with_a_value_is_told() -> None:
    frame = pd.DataFrame({"size": [np.nan] * 50})
    with pytest.raises(DataError, match="wanted a feature with a value in the training window, found none in 50 rows: size"):
        fit("regression", "gradient_boosting", {"size": "double"}, frame, np.arange(50.0))


def test_rows_are_repeated_without_one_value_each() -> None:
    frame, label = frame_of(1_000), np.arange(1_000.0)
    more, labels = repeat_without_values(frame, label)
    added = more.iloc[1_000:]
    pd.testing.assert_frame_equal(more.iloc[:1_000], frame)
    assert 0 < len(added) <= 1_000 * MOST_SHARE and len(labels) == len(more)
    assert (added.isna().sum(axis=1) == 1).all() and set(added.isna().sum()) == {len(added) // 2}
    assert abs(float(labels[1_000:].mean()) - float(label.mean())) < 10
    lacking = frame.assign(size=np.where(np.arange(1_000) < 50, np.nan, 1.0))
    assert repeat_without_values(lacking, label)[0].iloc[1_000:]["place"].isna().all()
