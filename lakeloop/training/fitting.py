"""Fitting a workflow's model, whatever it is made from, and checking that the fitted model keeps its contract before anything relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, SpecError
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer, fitted_classes, scoring_method
from lakeloop.spec.workflow import Model
from lakeloop.training.calibrated import fit_calibrated
from lakeloop.training.frames import evenly_spaced
from lakeloop.training.model_code import ModelCode, import_model_code, reference_of, user_code_error
from lakeloop.training.pipelines import TrainingRows, build_estimator, most_rows, training_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TRIED_ROWS = 20
"""Number of rows that a fitted model predicts to show that it keeps its contract."""


def fit_model(
    model: Model,
    kinds: Mapping[str, Kind],
    answer: Answer,
    frame: pd.DataFrame,
    label: np.ndarray,
    *,
    folder: Path,
    code: ModelCode | None = None,
    seed: int | None = None,
    at: np.ndarray | None = None,
    gap: timedelta = timedelta(0),
    groups: np.ndarray | None = None,
) -> Any:
    """Fit a pipeline or an estimator, or call a training function.

    Args:
        model: as the workflow declares it.
        kinds: the features.
        answer: what the model predicts.
        frame: features of the rows to fit on, as `feature_frame` makes them.
        label: their labels, float64; for several classes the position of each among `answer.classes`.
        folder: of the definition.
        code: the user's own code, if it has been imported already.
        seed: instead of the model's own.
        at: the time of each row's prediction, `datetime64`; `model.calibrate` is applied only when it is passed.
        gap: between the rows to fit on and the rows to calibrate on.
        groups: of the rows; none is both fitted and calibrated on.

    Returns:
        A fitted object with `predict`, and `predict_proba` for a classification.

    Raises:
        DataError: the user's code raises, or what it returns can't predict as the task requires; with key and line.
    """
    key, reference = reference_of(model)
    code = code or import_model_code(model, folder)
    path = code.file if code else None
    seeded = model if seed is None else model.model_copy(update={"seed": seed})
    try:
        if model.train is not None:
            assert code is not None
            fitted = code.value(frame, label, answer=answer, params=dict(model.params), seed=seeded.seed)
        else:
            estimator = build_estimator(seeded, seen_features(kinds, frame), answer, folder, code=code)
            most, rows_of = most_rows(model, answer, folder), training_rows(model, answer, folder)
            if model.calibrate and at is not None:
                return fit_calibrated(
                    estimator, frame, label, answer, at=at, gap=gap, method=model.calibrate, most=most, rows_of=rows_of, groups=groups
                )
            fitted = _fit_estimator(estimator, frame, label, answer, most, rows_of)
    except (SpecError, DataError):
        raise
    except Exception as error:  # the user's code, parameters and data meet here
        raise user_code_error(error, f"model.{key}: {reference} raised while it was fitted", path) from error
    check_fitted(fitted, frame.head(TRIED_ROWS), answer, f"model.{key}: {reference}", path)
    return fitted


def seen_features(kinds: Mapping[str, Kind], frame: pd.DataFrame) -> dict[str, Kind]:
    """The features that have a value in some row to fit on; the others say nothing, and are left out of the model.

    Raises:
        DataError: none has.
    """
    seen = {name: kind for name, kind in kinds.items() if frame[name].notna().any()}
    if kinds and not seen:
        raise DataError(f"wanted a feature with a value in the training window, found none in {len(frame):,} rows: {', '.join(kinds)}")
    return seen


def _fit_estimator(
    estimator: Any, frame: pd.DataFrame, label: np.ndarray, answer: Answer, most: int | None, rows_of: TrainingRows | None
) -> Any:
    picked = slice(None) if most is None else evenly_spaced(len(frame), most)
    rows, labels = frame.iloc[picked], label[picked]
    estimator.fit(*(rows_of(rows, labels) if rows_of else (rows, labels)))
    return _with_all_quantiles(estimator) if answer.quantiles else estimator


def _with_all_quantiles(fitted: Any) -> Any:
    """A pipeline that ends in a vote of quantiles as one whose `predict` returns all of them, since that is all that MLflow calls."""
    from sklearn.base import clone
    from sklearn.ensemble import VotingRegressor
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import Pipeline

    if not (isinstance(fitted, Pipeline) and isinstance(fitted[-1], VotingRegressor)):
        return fitted
    members = fitted[-1].estimators_
    quantiles = MultiOutputRegressor(clone(members[0]))
    quantiles.estimators_ = members
    return Pipeline([*fitted.steps[:-1], ("quantiles", quantiles)])


def check_fitted(fitted: Any, frame: pd.DataFrame, answer: Answer, what: str, path: Path | None = None) -> None:
    """Check on a few rows that a fitted object predicts what the task requires.

    Args:
        fitted: has the method that the task calls.
        frame: the rows.
        answer: what the model predicts.
        what: the name of the model in an error.
        path: the user's file, for the line of an error.

    Raises:
        DataError: it can't predict, or its predictions have the wrong shape, are infinite, or are no probabilities.
    """
    import numpy as np

    method = scoring_method(fitted, answer)
    if isinstance(fitted, type) or not callable(getattr(fitted, method, None)):
        kind = f"the class {fitted.__name__}" if isinstance(fitted, type) else f"a {type(fitted).__name__}"
        raise DataError(f"{what} gave {kind}: wanted a fitted object with {method}, for a {answer.task}")
    try:
        raw = np.asarray(getattr(fitted, method)(frame))
    except Exception as error:  # the user's code
        raise user_code_error(error, f"{what} gave something whose {method} raised", path) from error
    check_raw(raw, len(frame), answer, f"{what}: {method}", fitted_classes(fitted) if answer.classes else None)


def check_raw(raw: np.ndarray, rows: int, answer: Answer, what: str, fitted: Sequence[int] | None = None) -> None:
    """Check the raw predictions of a model: finite numbers, one or a row of them per row of the frame; shares must be shares.

    Args:
        raw: what the model's method returned.
        rows: the number of rows that it was called with.
        answer: what the model predicts.
        what: the name of the model and its method in an error.
        fitted: the classes that it was fitted on, where it knows them.

    Raises:
        DataError: the shape is another, or a value is no number, not finite, or no share.
    """
    import numpy as np

    shape, meaning = _expected_shape(rows, answer, fitted)
    if raw.shape != shape:
        raise DataError(f"{what} gave the shape {raw.shape} for {rows} rows, wanted {shape}: {meaning}")
    try:
        values = raw.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} gave values of type {raw.dtype}, wanted numbers", detail=error) from error
    not_finite = ~np.isfinite(values)
    if not_finite.any():
        raise DataError(f"{what} gave {int(not_finite.sum())} values of {values.size} that are missing or infinite")
    if answer.kind.gives_probabilities and ((values < 0).any() or (values > 1).any() or not np.allclose(values.sum(axis=1), 1, atol=1e-6)):
        raise DataError(f"{what} gave {values[0].tolist()} for the first row: wanted probabilities that add up to 1")


def _expected_shape(rows: int, answer: Answer, fitted: Sequence[int] | None) -> tuple[tuple[int, ...], str]:
    """The shape of a model's raw predictions, and what the numbers are, in words."""
    if answer.kind.label == "binary":
        return (rows, 2), "a probability for each of the two classes"
    if len(answer.columns) == 1:
        return (rows,), "one number a row"
    width = len(fitted) if fitted and answer.classes else len(answer.numbers)
    return (
        rows,
        width,
    ), f"a probability per class, of {width}" if answer.classes else f"the quantiles {', '.join(map(str, answer.quantiles))}"
