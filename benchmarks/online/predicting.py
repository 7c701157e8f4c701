"""Predictions in a model server's process: the compiled predictor against `model.predict` through MLflow, and against scikit-learn alone.

A model like the flights': 22 numbers, four strings, 200 trees of 31 leaves. One thread each, as a worker of the server has. `python -m
benchmarks.online.predicting` measures it alone, and the linear pipeline beside it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.page import Tell, show
from lakeloop.online.predictor import Compiled
from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import TRUSTED_TYPES
from resources.serving.compiled import compiled, one_thread
from resources.tracking.model_format import METADATA, ServableModel, load_model

Alternate = Callable[[Callable[[], Any], Callable[[], Any], int], tuple[float, float]]
NUMBERS, STRINGS = 22, {"carrier": 16, "origin": 3, "dest": 105, "tailnum": 4_000}
TRAINED, TOGETHER, ALONE = 30_000, 10_000, 100
KINDS: dict[str, Any] = {**{f"number_{n}": "double" for n in range(NUMBERS)}, **dict.fromkeys(STRINGS, "string")}
ANSWER = Answer("binary_classification")


def made(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of features, a twentieth of the numbers missing, and a label that depends on most of them."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"number_{n}": np.where(rng.random(rows) < 0.05, np.nan, rng.normal(0, 10, rows)) for n in range(NUMBERS)}
    columns |= {name: rng.choice([f"{name}-{n}" for n in range(size)], rows).astype(object) for name, size in STRINGS.items()}
    frame = pd.DataFrame(columns)
    late = np.nan_to_num(frame[[f"number_{n}" for n in range(NUMBERS)]].to_numpy()).sum(axis=1) + 20 * (frame["origin"] == "origin-1")
    return frame, (late + rng.normal(0, 20, rows) > 30).to_numpy().astype(float)


def served(pipeline: str, folder: Path) -> tuple[ServableModel, Any]:
    """A model as a server loads it, and its estimator."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    frame, label = made(TRAINED, 0)
    estimator = fit_model(Model(pipeline=pipeline), KINDS, ANSWER, frame, label, folder=folder)
    mlflow.sklearn.save_model(
        estimator,
        str(folder / pipeline),
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        signature=ModelSignature(
            inputs=Schema([ColSpec(kind, name, required=False) for name, kind in KINDS.items()]), outputs=Schema([ColSpec("double")])
        ),
        pip_requirements=[],
        pyfunc_predict_fn="predict_proba",
        metadata={METADATA: {**ANSWER.record(), "feature_spec": FeatureSpec(("flight_id",), "at").record()}},
    )
    return load_model(str(folder / pipeline)), estimator


def measure(alternate: Alternate, tell: Tell, pipelines: tuple[str, ...] = ("gradient_boosting",)) -> None:
    """One row, and ten thousand, of each pipeline."""
    for pipeline in pipelines:
        with one_thread(), tempfile.TemporaryDirectory() as folder:
            model, estimator = served(pipeline, Path(folder))
            predictor = compiled(model)
            if not isinstance(predictor, Compiled):
                raise SystemExit(f"{pipeline} isn't compiled: {predictor}")
            _measure(alternate, tell, "" if pipeline == "gradient_boosting" else f", {pipeline}", model, estimator, predictor)


def _measure(alternate: Alternate, tell: Tell, which: str, model: ServableModel, estimator: Any, predictor: Compiled) -> None:
    frame, _ = made(TOGETHER, 1)
    rows = predictor.encoding.encode([[None if pd.isna(value) else value for value in frame[name]] for name in KINDS])
    # Of trees the last step alone is the yardstick; of a linear model, whose columns are most of the work, all of it.
    trees = type(estimator[-1]).__name__.startswith("Hist")
    columns, last = (estimator[0].transform(frame), estimator[-1].predict_proba) if trees else (frame, estimator.predict_proba)
    if not np.allclose(predictor.scores(rows), model.predict(frame), rtol=1e-12, atol=0):
        raise SystemExit("the compiled predictor differs from its model")
    ours = [rows[n : n + 1] for n in range(ALONE)]
    frames = [frame.iloc[n : n + 1] for n in range(ALONE)]
    bare = [columns[n : n + 1] for n in range(ALONE)]
    what = "scikit-learn's trees on columns that are made already" if trees else "scikit-learn's pipeline on a frame"

    def one_by_one(predict: Callable[[Any], Any], single: list[Any]) -> Callable[[], None]:
        def run() -> None:
            for each in single:
                predict(each)

        return run

    alone, together = f"{ALONE} rows one by one", f"{TOGETHER:,} rows together"
    pair = alternate(one_by_one(predictor.scores, ours), one_by_one(model.predict, frames), 9)
    tell(f"predict one{which}", *pair, 0.02, f"{alone}, compiled ({pair[0] / ALONE * 1e6:.0f} µs a row) against MLflow's pyfunc")
    pair = alternate(one_by_one(predictor.scores, ours), one_by_one(last, bare), 9)
    tell(f"predict one{which}, bare", *pair, 0.1, f"{alone}, compiled against {what}")
    pair = alternate(lambda: predictor.scores(rows), lambda: model.predict(frame), 9)
    tell(f"predict 10,000{which}", *pair, 1.3, f"{together}, compiled ({pair[0] / TOGETHER * 1e6:.0f} µs a row) against MLflow's pyfunc")
    pair = alternate(lambda: predictor.scores(rows), lambda: last(columns), 9)
    tell(
        f"predict 10,000{which}, bare",
        *pair,
        1.3,
        f"{together}, compiled against {what}",
    )


if __name__ == "__main__":
    from benchmarks.run import alternate

    measure(alternate, show, ("gradient_boosting", "linear"))
    sys.exit(0)
