"""Models that other libraries fitted and wrote, called with an array: LightGBM's, XGBoost's and ONNX's own predictors, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lakeloop.online.columns import plain_columns
from lakeloop.online.encoding import CannotCompile, Estimate, Input, Part
from lakeloop.online.lightgbm_trees import Booster
from lakeloop.online.linear import in_single_precision


def understand_foreign(model: Any, inputs: Sequence[Input]) -> Part | None:
    """What a library's own model makes of its inputs; None where it is of no library that is known here.

    Raises:
        CannotCompile: it takes its inputs in another way than as numbers, one per column.
    """
    kind = f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"
    make = MODELS.get(kind)
    if make is None:
        return None
    columns = plain_columns(inputs)
    return Part(columns.encoding, make(model, inputs))


def _lightgbm(model: Any, inputs: Sequence[Input]) -> Estimate:
    if model.pandas_categorical:
        raise CannotCompile("it has categories of pandas, which only a frame tells")
    if model.num_feature() != len(inputs):
        raise CannotCompile(f"it has {model.num_feature()} features, and its signature {len(inputs)} inputs")
    outputs = model.num_model_per_iteration()
    predict = Booster(model, outputs=outputs, raw=False, iterations=model.best_iteration if model.best_iteration > 0 else -1)
    return (lambda rows: predict(rows)[:, 0]) if outputs == 1 else predict


def _xgboost(model: Any, inputs: Sequence[Input]) -> Estimate:
    if model.feature_names is not None and list(model.feature_names) != [each.name for each in inputs]:
        raise CannotCompile("its features aren't the inputs of its signature, in their order")
    if model.feature_types is not None and "c" in model.feature_types:
        raise CannotCompile("it has categories, which only a frame tells")
    model.set_param({"nthread": 1, "device": "cpu"})
    return lambda rows: model.inplace_predict(in_single_precision(rows), validate_features=False)


def _onnx(model: Any, inputs: Sequence[Input]) -> Estimate:
    """A session, fed as MLflow does: all inputs as one array, or one array for each; each output is a column."""
    fed, outputs = model.get_inputs(), [each.name for each in model.get_outputs()]
    types: Mapping[str, Any] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    if any(each.type not in types for each in fed):
        raise CannotCompile("one of its inputs is no number")
    dtypes = [(each.name, types[each.type]) for each in fed]
    places = {each.name: place for place, each in enumerate(inputs)}
    if len(fed) > 1 and any(name not in places for name, _ in dtypes):
        raise CannotCompile("its inputs aren't those of its signature")

    def predicted(rows: np.ndarray) -> np.ndarray:
        if len(dtypes) == 1:
            feed = {dtypes[0][0]: rows.astype(dtypes[0][1], copy=False)}
        else:
            feed = {name: rows[:, places[name]].astype(dtype) for name, dtype in dtypes}
        columns = [np.asarray(each).reshape(-1) for each in model.run(outputs, feed)]
        return np.stack(columns, axis=1) if len(columns) > 1 else columns[0]

    return predicted


MODELS: Mapping[str, Callable[[Any, Sequence[Input]], Estimate]] = {
    "lightgbm.Booster": _lightgbm,
    "onnxruntime.InferenceSession": _onnx,
    "xgboost.Booster": _xgboost,
}
"""By library and class."""
