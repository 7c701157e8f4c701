"""MLflow's autologging of scikit-learn with what a platform needs of it: parameters, and how well a model knows rows that it was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

MOST_ROWS = 100_000
"""Rows that training metrics are of: a share of them has a standard error of 0.0016 at most."""


@contextmanager
def autologged() -> Iterator[None]:
    """Autolog what scikit-learn fits; off again afterwards.

    Without its models (ours is logged once, with a signature), and without its pictures of how well a classifier knows the rows that it was
    fitted on: the evaluation has them for rows that it has not seen, and they took a third of a small model's training. Its training metrics
    are of at most `MOST_ROWS` evenly spaced rows, and the metric `training_metrics_rows` says of how many: MLflow copies all that it measures
    on, and predicts it three times.
    """
    import mlflow.sklearn
    from mlflow.sklearn import utils

    autolog: Callable[..., None] = mlflow.sklearn.autolog
    plots, inputs_of = utils._get_classifier_artifacts, utils._get_X_y_and_sample_weight

    def sampled_inputs_of(fit: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return inputs_of(fit, *_sample(args, kwargs))  # type: ignore[no-untyped-call]  # MLflow declares no types there

    utils._get_classifier_artifacts = lambda *_: []
    utils._get_X_y_and_sample_weight = sampled_inputs_of
    try:
        autolog(log_models=False, log_datasets=False, log_model_signatures=False, log_post_training_metrics=False, silent=True)
        yield
    finally:
        autolog(disable=True, silent=True)
        utils._get_classifier_artifacts, utils._get_X_y_and_sample_weight = plots, inputs_of


def _sample(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What `fit` was given, with so many rows of all that has one for each row of the first; how many is logged."""
    import mlflow

    count = _rows(next(iter([*args, *kwargs.values()]), None))
    step = max(1, -(-count // MOST_ROWS))
    if count:
        mlflow.log_metric("training_metrics_rows", -(-count // step))

    def picked(values: Any) -> Any:
        if step == 1 or _rows(values) != count:
            return values
        return values.iloc[::step] if hasattr(values, "iloc") else values[::step]

    return [picked(values) for values in args], {name: picked(values) for name, values in kwargs.items()}


def _rows(values: Any) -> int:
    shape = getattr(values, "shape", None)
    if shape:
        return int(shape[0])
    return len(values) if isinstance(values, list | tuple) else 0
