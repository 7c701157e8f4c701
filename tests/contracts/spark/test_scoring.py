"""What Spark's workers run to score rows: threads of one process share a model, and models of two servers are told apart."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from resources.spark.scoring import _scorer

ROWS = pd.DataFrame({"_row": range(6), "x": np.arange(6.0)})


def sent(uri: str) -> bytes:
    """The function for a model, as it goes to a worker."""
    model: Any = SimpleNamespace(uri=uri, fields=[SimpleNamespace(name="x")], raw_method=None, contents=None)
    return cloudpickle.dumps(_scorer(model))


def answers(function: bytes) -> list[float]:
    """What a task makes of two batches, the second without rows."""
    score: Callable[..., Any] = cloudpickle.loads(function)
    return [value for batch in score(iter([ROWS, ROWS.iloc[:0]])) for row in batch["_score"] for value in row]


def logged(tracking_uri: str, name: str, factor: float) -> str:
    """Register a model that multiplies, and give its URI."""
    mlflow.set_tracking_uri(tracking_uri)
    estimator = LinearRegression(fit_intercept=False).fit(ROWS[["x"]], factor * ROWS["x"])
    example, types = ROWS[["x"]].head(2), ["sklearn.linear_model._base.LinearRegression"]
    with mlflow.start_run(experiment_id="0"):
        mlflow.sklearn.log_model(
            estimator, name=name, registered_model_name=name, input_example=example, serialization_format="skops", skops_trusted_types=types
        )
    return f"models:/{name}/1"


def test_tasks_in_threads_of_one_process_load_a_model_once(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, together, loads = sent(logged(mlflow_uri, "shared_by_tasks", 2.0)), Barrier(8), []
    load = mlflow.pyfunc.load_model
    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda uri: loads.append(uri) or load(uri))

    def task(_: int) -> list[float]:
        together.wait()
        return answers(function)

    with ThreadPoolExecutor(8) as pool:
        scores = list(pool.map(task, range(8)))
    assert scores == [pytest.approx([2.0 * x for x in range(6)])] * 8
    assert loads == ["models:/shared_by_tasks/1"]


def test_two_servers_with_models_of_one_name_and_version_are_told_apart(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # it is there at once, where a database takes seconds
    uri = logged(mlflow_uri, "of_two_servers", 3.0)
    here, other = sent(uri), (tmp_path / "other").as_uri()
    try:
        assert logged(other, "of_two_servers", 5.0) == uri
        there = sent(uri)
    finally:
        mlflow.set_tracking_uri(mlflow_uri)
    for function, factor in ((here, 3.0), (there, 5.0), (here, 3.0)):
        assert answers(function) == pytest.approx([factor * x for x in range(6)])
