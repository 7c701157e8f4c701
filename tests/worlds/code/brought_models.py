"""A workflow's contract, and models that somebody with MLflow alone would log for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import Answer
from lakeloop.training.pipelines import TRUSTED_TYPES
from resources.tracking.brought_model import Contract

VIEW = {"kind": "view", "domain": "shop", "name": "basket", "version": 1, "keys": ["order_id"], "max_age": None}
SPEC = {
    "keys": ["order_id"],
    "predict_at": "at",
    "views": [{**VIEW, "columns": {"items": "items", "amount": "amount", "country": "country"}}],
}
CONTRACT = Contract(
    "shop.returns",
    Answer("binary_classification"),
    {"items": "double", "amount": "double", "country": "string"},
    FeatureSpec.from_record(SPEC),
)
ROWS = pd.DataFrame({"items": [1.0, 15.0] * 10, "amount": [5.0, np.nan] * 10, "country": pd.Series(["de", None] * 10, dtype=object)})
LABEL = np.array([0.0, 1.0] * 10)


def estimator(columns: list[str]) -> Any:
    from lakeloop.pipelines.linear import estimator as linear

    kinds: Any = {name: CONTRACT.kinds[name] for name in columns}
    return linear(kinds, CONTRACT.answer, {}, 0).fit(ROWS[columns], LABEL)


def log(uri: str, name: str, *, columns: str = "items amount country", metadata: Any = SPEC, types: Any = None, **more: Any) -> str:
    """Log and register a model as somebody with MLflow alone would; returns its URI."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("elsewhere")
    names = columns.split()
    inputs = Schema([ColSpec((types or {}).get(n) or CONTRACT.kinds.get(n, "double"), n, required=False) for n in names])
    arguments: dict[str, Any] = {
        "serialization_format": "skops",
        "signature": ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double")])),
        "pyfunc_predict_fn": "predict_proba",
        "skops_trusted_types": list(TRUSTED_TYPES),
        "metadata": {"lakeloop": {"task": "binary_classification", "feature_spec": metadata}} if metadata else None,
        "pip_requirements": [],
        **more,
    }
    model = arguments.pop("model", None) or estimator([n for n in names if n in CONTRACT.kinds])
    info = mlflow.sklearn.log_model(model, name="model", registered_model_name=name, **arguments)
    return f"models:/{name}/{info.registered_model_version}"
