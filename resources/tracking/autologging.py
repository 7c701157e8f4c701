"""MLflow's autologging of scikit-learn, limited to what a platform needs: parameters, and metrics of the rows that a model was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

MOST_ROWS = 100_000
"""Rows that training metrics are computed on: a share of so many has a standard error of 0.0016 at most."""


@contextmanager
def autolog_fits() -> Iterator[None]:
    """Autolog the estimators that scikit-learn fits inside the `with` block.

    Their models aren't logged (ours is logged once, with a signature), nor plots of a classifier on the rows that it was fitted on: the
    evaluation has them for rows that it hasn't seen, and they took a third of a small model's training. Training metrics are computed on at
    most `MOST_ROWS` evenly spaced rows, whose number is the metric `training_metrics_rows`: MLflow copies the rows and predicts them three
    times.
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
    """The arguments of `fit`, each with one value per row sampled like the first; logs how many rows remain."""
    import mlflow

    count = _count_rows(next(iter([*args, *kwargs.values()]), None))
    step = max(1, -(-count // MOST_ROWS))
    if count:
        mlflow.log_metric("training_metrics_rows", -(-count // step))

    def sample(values: Any) -> Any:
        if step == 1 or _count_rows(values) != count:
            return values
        return values.iloc[::step] if hasattr(values, "iloc") else values[::step]

    return [sample(values) for values in args], {name: sample(values) for name, values in kwargs.items()}


def _count_rows(values: Any) -> int:
    """The rows of an array, a frame or a list; 0 for anything else."""
    shape = getattr(values, "shape", None)
    if shape:
        return int(shape[0])
    return len(values) if isinstance(values, list | tuple) else 0
