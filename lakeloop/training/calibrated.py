"""Calibrating a classifier on later rows: never on those that it was fitted on, and never on earlier ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import DataError
from lakeloop.spec.tasks import Answer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Method = Literal["sigmoid", "isotonic"]
LATER_SHARE = 0.2
"""Of the rows to fit on, the newest; the model is fitted on the others."""


def fit_calibrated(
    estimator: Any,
    frame: pd.DataFrame,
    label: np.ndarray,
    answer: Answer,
    *,
    at: np.ndarray,
    gap: timedelta,
    method: Method,
    most: int | None = None,
) -> Any:
    """Fit a classifier on the earlier rows, and on the newest a curve from what it says to how often that is so.

    Args:
        estimator: unfitted, with `predict_proba`.
        frame: the features.
        label: their labels, as `fit_model` takes them.
        answer: what it says.
        at: when each row was asked, `datetime64`.
        gap: between the earlier and the newest rows; rows in it are left out.
        method: `sigmoid` (Platt 1999), or `isotonic`, which bends more freely, wants thousands of rows, and may say exactly 0 and 1.
        most: rows at most to fit on.

    Raises:
        DataError: one of the two parts lacks a class that the other one has.
    """
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    from lakeloop.training.fitting import evenly

    cut = np.sort(at)[int(len(at) * (1 - LATER_SHARE))]
    newest, earlier = at >= cut, at < cut - np.timedelta64(gap)
    names = answer.classes or (0, 1)
    there, here = ({int(place) for place in label[part]} for part in (earlier, newest))
    for which, lacking in (("before", here - there), ("from", there - here)):
        if lacking:
            absent = ", ".join(str(names[place]) for place in sorted(lacking))
            raise DataError(
                f"model.calibrate: none of the rows to fit on {which} {str(cut)[:10]} is of {absent}, so there is nothing to calibrate it by; leave "
                "calibrate out, or train on more rows"
            )
    places = np.flatnonzero(earlier)
    picked = places if most is None else places[evenly(len(places), most)]
    estimator.fit(frame.iloc[picked], label[picked])
    every = np.arange(int(newest.sum()))
    # The model is frozen, so that its one "fold" is all of the newest rows.
    calibrated = CalibratedClassifierCV(FrozenEstimator(estimator), method=method, cv=[(every, every)])
    calibrated.fit(frame[newest], label[newest])
    return calibrated.set_params(cv=None)  # not to store the places of the rows with the model
