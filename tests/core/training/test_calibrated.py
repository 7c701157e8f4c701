"""A calibrated classifier: fitted on the earlier rows, its curve on the newest, and the rows in between left out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from lakeloop.errors import DataError
from lakeloop.spec.tasks import Answer
from lakeloop.training.calibrated import Method, fit_calibrated

DAY = np.timedelta64(1, "D")
START = np.datetime64("2013-01-01", "us")
BINARY = Answer("binary_classification")
ABC = Answer("multiclass_classification", classes=("a", "b", "c"))


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that remembers the rows that it was fitted on."""

    def fit(self, frame: pd.DataFrame, label: np.ndarray) -> Recorder:
        self.rows_ = frame["row"].tolist()
        self.labels_ = label.tolist()
        self.classes_ = np.unique(label)
        return self

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.classes_[self.predict_proba(frame).argmax(axis=1)])

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        p = expit(frame["x"].to_numpy())
        if len(self.classes_) == 2:
            return np.column_stack([1 - p, p])
        return np.column_stack([p / 2, p / 2, 1 - p])


def rows(n: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Features, labels of 0 and 1, and the day of each row, in the order of days."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, n)
    label = (rng.random(n) < expit(x - 1)).astype(float)
    return pd.DataFrame({"x": x, "row": range(n)}), label, START + np.arange(n) * DAY


def fit(frame: pd.DataFrame, label: np.ndarray, at: np.ndarray, **options: Any) -> Any:
    settings: dict[str, Any] = {"gap": timedelta(0), "method": "sigmoid"} | options
    return fit_calibrated(Recorder(), frame, label, settings.pop("answer", BINARY), at=at, **settings)


def rows_of_model(model: Any) -> list[int]:
    return list(model.calibrated_classifiers_[0].estimator.estimator.rows_)


@pytest.mark.parametrize(
    ("gap", "most", "wanted"),
    [
        (timedelta(0), None, list(range(80))),
        (timedelta(days=1), None, list(range(79))),  # the row of a day before stands just at the gap's beginning, which is in it
        (timedelta(days=10, hours=-1), None, list(range(71))),
        (timedelta(days=10), None, list(range(70))),
        (timedelta(0), 80, list(range(80))),
        (timedelta(0), 200, list(range(80))),
    ],
)
def test_the_model_is_fitted_on_the_rows_before_the_newest_fifth_and_the_gap(gap: timedelta, most: int | None, wanted: list[int]) -> None:
    frame, label, at = rows(100)
    model = fit(frame, label, at, gap=gap, most=most)
    assert rows_of_model(model) == wanted
    shuffled = np.random.default_rng(1).permutation(100)
    assert sorted(rows_of_model(fit(frame.iloc[shuffled], label[shuffled], at[shuffled], gap=gap, most=most))) == wanted


def test_of_too_many_rows_those_to_fit_on_are_spread_evenly_and_the_curve_has_all_of_the_newest() -> None:
    frame, label, at = rows(1_000)
    model = fit(frame, label, at, most=100)
    picked = np.array(rows_of_model(model))
    assert len(picked) == 100 and picked[0] < 8 and picked[-1] >= 792 and set(np.diff(picked)) <= {7, 8, 9}
    assert model.calibrated_classifiers_[0].estimator.estimator.labels_ == label[picked].tolist()


def test_rows_of_one_moment_are_on_the_same_side() -> None:
    frame, label, at = rows(100)
    at[75:85] = at[80]
    assert rows_of_model(fit(frame, label, at)) == list(range(75))


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_the_curve_is_the_one_of_the_newest_rows_alone(method: Method) -> None:
    frame, label, at = rows(1_000)
    model = fit(frame, label, at, method=method)
    said = expit(frame["x"].to_numpy())
    if method == "isotonic":
        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(said[800:], label[800:])
        wanted = curve.predict(said)
    else:
        # Platt's targets, which are never quite 0 and 1.
        positive, negative = label[800:].sum(), 200 - label[800:].sum()
        above, below = (positive + 1) / (positive + 2), 1 / (negative + 2)
        doubled = np.concatenate([said[800:], said[800:]])[:, None]
        weights = np.concatenate([np.where(label[800:] == 1, above, below), np.where(label[800:] == 1, 1 - above, 1 - below)])
        platt = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000)
        wanted = platt.fit(doubled, np.repeat([1, 0], 200), sample_weight=weights).predict_proba(said[:, None])[:, 1]
    assert model.predict_proba(frame)[:, 1] == pytest.approx(wanted, abs=2e-3)
    assert model.cv is None


@pytest.mark.parametrize(
    ("answer", "label", "told"),
    [
        (BINARY, [0, 1] * 40 + [0] * 20, "from 2013-03-22 is of 1"),
        (BINARY, [1] * 80 + [0, 1] * 10, "before 2013-03-22 is of 0"),
        (ABC, [0, 1] * 40 + [0, 1, 2, 2] * 5, "before 2013-03-22 is of c"),
        (ABC, [0, 1, 2, 1] * 20 + [2] * 20, "from 2013-03-22 is of a, b"),
    ],
)
def test_a_class_that_one_part_lacks_is_named_with_the_part(answer: Answer, label: list[int], told: str) -> None:
    frame, _, at = rows(100)
    with pytest.raises(DataError) as refused:
        fit(frame, np.array(label, float), at, answer=answer)
    assert str(refused.value) == (
        f"model.calibrate: none of the rows to fit on {told}, so its probability can't be calibrated; leave calibrate out, or train on more rows"
    )


def test_several_classes_are_calibrated_each_and_sum_to_one() -> None:
    frame, _, at = rows(300)
    label = np.arange(300) % 3 * 1.0
    p = fit(frame, label, at, answer=ABC, method="isotonic").predict_proba(frame)
    assert p.shape == (300, 3) and p.sum(axis=1) == pytest.approx(1)
