"""Fitting a workflow's model, however it is given, and checking that what comes out keeps its contract before anybody relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.spec.tasks import Answer, asked_method, fitted_classes
from lakeloop.spec.workflow import Model
from lakeloop.training.calibrated import fit_calibrated
from lakeloop.training.frames import Kind
from lakeloop.training.model_code import ModelCode, model_code, reference_of, told
from lakeloop.training.pipelines import build_estimator, most_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TRIED_ROWS = 20
"""So many rows are predicted to see that a fitted model keeps its contract."""


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
) -> Any:
    """Fit a pipeline, an estimator, or what a function returns.

    Args:
        model: as the workflow says.
        kinds: the features.
        answer: what it has to answer.
        frame: features of the rows to fit on, as `feature_frame` makes them.
        label: their labels, float64; of a classification in several classes the place of each among `answer.classes`.
        folder: of the definition.
        code: the user's own code, where it is imported already.
        seed: instead of the model's own.
        at: when each row was asked, `datetime64`; only with it `model.calibrate` is done.
        gap: between the rows that are fitted on and those that are calibrated on.

    Returns:
        A fitted object with `predict`, and `predict_proba` for a classification.

    Raises:
        DataError: the user's code raises, or what it returns can't predict as the task asks; with key and line.
    """
    from lakeloop.errors import SpecError

    key, reference = reference_of(model)
    code = code or model_code(model, folder)
    path = code.file if code else None
    seeded = model if seed is None else model.model_copy(update={"seed": seed})
    try:
        if model.train is not None:
            assert code is not None
            fitted = code.value(frame, label, answer=answer, params=dict(model.params), seed=seeded.seed)
        else:
            fitted = build_estimator(seeded, kinds, answer, folder, code=code)
            most = most_rows(model, answer, folder)
            if model.calibrate and at is not None:
                return fit_calibrated(fitted, frame, label, answer, at=at, gap=gap, method=model.calibrate, most=most)
            picked = slice(None) if most is None else evenly(len(frame), most)
            fitted.fit(frame.iloc[picked], label[picked])
            fitted = _predicting_all(fitted) if answer.quantiles else fitted
    except (SpecError, DataError):
        raise
    except Exception as error:  # the user's code, parameters and data meet here
        raise told(error, f"model.{key}: {reference} raised while it was fitted", path) from error
    check_fitted(fitted, frame.head(TRIED_ROWS), answer, f"model.{key}: {reference}", path)
    return fitted


def _predicting_all(fitted: Any) -> Any:
    """A pipeline that ends in a vote of quantiles as one whose `predict` gives them all, which is what MLflow can ask of a model."""
    from sklearn.base import clone
    from sklearn.ensemble import VotingRegressor
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import Pipeline

    if not (isinstance(fitted, Pipeline) and isinstance(fitted[-1], VotingRegressor)):
        return fitted
    members = fitted[-1].estimators_
    several = MultiOutputRegressor(clone(members[0]))
    several.estimators_ = members
    return Pipeline([*fitted.steps[:-1], ("quantiles", several)])


def evenly(count: int, most: int) -> np.ndarray:
    """Places of at most so many rows, evenly spaced."""
    import numpy as np

    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def check_fitted(fitted: Any, frame: pd.DataFrame, answer: Answer, what: str, path: Path | None = None) -> None:
    """Check that a fitted object answers what is asked, on a few rows.

    Args:
        fitted: has the method that the task asks.
        frame: the rows.
        answer: what it has to answer.
        what: how it is called in an error.
        path: the user's file, for the line of an error.

    Raises:
        DataError: it can't, or gives the wrong shape, something infinite, or no probabilities.
    """
    import numpy as np

    method = asked_method(fitted, answer)
    if isinstance(fitted, type) or not callable(getattr(fitted, method, None)):
        kind = f"the class {fitted.__name__}" if isinstance(fitted, type) else f"a {type(fitted).__name__}"
        raise DataError(f"{what} gave {kind}: wanted a fitted object with {method}, for a {answer.task}")
    try:
        found = np.asarray(getattr(fitted, method)(frame))
    except Exception as error:  # the user's code
        raise told(error, f"{what} gave something whose {method} raised", path) from error
    check_raw(found, len(frame), answer, f"{what}: {method}", fitted_classes(fitted) if answer.classes else None)


def check_raw(found: np.ndarray, rows: int, answer: Answer, what: str, fitted: Sequence[int] | None = None) -> None:
    """Check what a model said: finite numbers, a row of them or one for each row asked about; of shares, that they are shares.

    Raises:
        DataError: the shape is another, or a value is no number, infinite, or no share.
    """
    import numpy as np

    if answer.kind.label == "binary":
        wanted, hint = found.shape == (rows, 2), f"({rows}, 2): a probability for each of the two classes"
    elif len(answer.columns) == 1:
        wanted, hint = found.shape == (rows,), f"({rows},): one number a row"
    else:
        width = len(fitted) if fitted and answer.classes else len(answer.numbers)
        named = f"a probability per class, of {width}" if answer.classes else f"the quantiles {', '.join(map(str, answer.quantiles))}"
        wanted, hint = found.shape == (rows, width), f"({rows}, {width}): {named}"
    if not wanted:
        raise DataError(f"{what} gave the shape {found.shape} for {rows} rows, wanted {hint}")
    try:
        values = found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} gave values of type {found.dtype}, wanted numbers", told=error) from error
    bad = ~np.isfinite(values)
    if bad.any():
        raise DataError(f"{what} gave {int(bad.sum())} values of {values.size} that are missing or infinite")
    if answer.kind.shares and ((values < 0).any() or (values > 1).any() or not np.allclose(values.sum(axis=1), 1, atol=1e-6)):
        raise DataError(f"{what} gave {values[0].tolist()} for the first row: wanted probabilities that add up to 1")
