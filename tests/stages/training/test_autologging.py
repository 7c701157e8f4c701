"""What MLflow logs by itself of a fit: parameters, and training metrics of evenly spaced rows where there are many."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from uuid import uuid4

import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression

from resources.tracking import autologging
from resources.tracking.runs import Tracking


@pytest.mark.parametrize("kind", ["frame", "array", "sparse", "list"])
def test_training_metrics_are_of_evenly_spaced_rows(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(autologging, "MOST_ROWS", 60)
    random = np.random.default_rng(3)
    numbers = random.normal(size=(200, 2))
    answers = numbers @ [1.0, -2.0] + random.normal(size=200)
    made = {
        "frame": pd.DataFrame(numbers, columns=["a", "b"]),
        "array": numbers,
        "sparse": sparse.csr_array(numbers),
        "list": numbers.tolist(),
    }
    rows, label = made[kind], answers.tolist() if kind == "list" else answers
    weight = np.linspace(1.0, 2.0, 200)
    context = SimpleNamespace(run_id=str(uuid4()), log=logging.getLogger("test"), run_tags={})
    with Tracking(tracking_uri=mlflow_uri).run(context, "shop", f"autologged-{kind}") as run:
        with autologging.autolog_fits():
            fitted = LinearRegression(fit_intercept=False).fit(rows, label, sample_weight=weight)
        again = LinearRegression().fit(numbers, answers)
    logged = run.client.get_run(run.run_id).data
    assert logged.params["fit_intercept"] == "False"
    assert logged.metrics["training_score"] == pytest.approx(
        fitted.score(made["frame"][::4] if kind == "frame" else numbers[::4], answers[::4], weight[::4])
    )
    assert logged.metrics["training_metrics_rows"] == 50
    assert fitted.coef_ == pytest.approx(LinearRegression(fit_intercept=False).fit(numbers, answers, weight).coef_)
    assert again.fit_intercept and mlflow.active_run() is None
