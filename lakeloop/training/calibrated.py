"""Calibrating a classifier on later rows: never on those that it was fitted on, and never on earlier ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import DataError
from lakeloop.spec.tasks import Answer
from lakeloop.training.frames import evenly_spaced
from lakeloop.training.groups import without_groups_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lakeloop.training.pipelines import TrainingRows

Method = Literal["sigmoid", "isotonic"]
LATER_SHARE = 0.2
"""Share of the rows to fit on that the curve is fitted on: the newest. The model is fitted on the others."""


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
    rows_of: TrainingRows | None = None,
    groups: np.ndarray | None = None,
) -> Any:
    """Fit a classifier on the earlier rows, and on the newest rows a curve from its probabilities to the observed frequencies.

    Args:
        estimator: unfitted, with `predict_proba`.
        frame: the features.
        label: their labels, as `fit_model` takes them.
        answer: what the model predicts.
        at: the time of each row's prediction, `datetime64`.
        gap: between the earlier and the newest rows; rows in it are left out.
        method: `sigmoid` (Platt 1999), or `isotonic`, which is more flexible, needs thousands of rows, and can predict exactly 0 and 1.
        most: rows at most to fit on.
        rows_of: changes the rows that the model is fitted on.
        groups: of the rows; earlier rows of a group that the newest have are left out.

    Raises:
        DataError: one of the two parts lacks a class that the other one has.
    """
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    start = np.sort(at)[int(len(at) * (1 - LATER_SHARE))]
    is_newest = at >= start
    earlier = without_groups_of(np.flatnonzero(at < start - np.timedelta64(gap)), np.flatnonzero(is_newest), groups)
    _require_same_classes(label[earlier], label[is_newest], answer, start)
    picked = earlier if most is None else earlier[evenly_spaced(len(earlier), most)]
    rows, labels = frame.iloc[picked], label[picked]
    estimator.fit(*(rows_of(rows, labels) if rows_of else (rows, labels)))
    every = np.arange(int(is_newest.sum()))
    # The model is frozen, so its one "fold" is all of the newest rows.
    calibrated = CalibratedClassifierCV(FrozenEstimator(estimator), method=method, cv=[(every, every)])
    calibrated.fit(frame[is_newest], label[is_newest])
    return calibrated.set_params(cv=None)  # otherwise the positions of the rows would be stored with the model


def _require_same_classes(earlier: np.ndarray, newest: np.ndarray, answer: Answer, start: np.datetime64) -> None:
    names = answer.classes or (0, 1)
    earlier_classes, newest_classes = ({int(position) for position in part} for part in (earlier, newest))
    for which, lacking in (("before", newest_classes - earlier_classes), ("from", earlier_classes - newest_classes)):
        if lacking:
            absent = ", ".join(str(names[position]) for position in sorted(lacking))
            raise DataError(
                f"model.calibrate: none of the rows to fit on {which} {str(start)[:10]} is of {absent}, so its probability can't be calibrated; leave "
                "calibrate out, or train on more rows"
            )
