"""Inputs of linear models: numbers filled and scaled, strings one column a value; unknown and rare ones share the last."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lakeloop.training.preprocessing import MOST_CATEGORIES, preprocessing


def test_missing_numbers_are_filled_and_marked_and_strings_are_a_column_a_value() -> None:
    frame = pd.DataFrame({"n": [1.0, 3.0, np.nan, 5.0], "s": np.array(["a", "b", None, "a"], dtype=object)})
    fitted = preprocessing({"n": "double", "s": "string"}).fit(frame)
    actual = fitted.transform(frame)
    assert actual.shape == (4, 2 + 3)
    assert actual[:, 0].mean() == 0 and actual[2, 0] == actual[1, 0]  # the median, then scaled
    assert actual[:, 2:].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert fitted.transform(pd.DataFrame({"n": [0.0], "s": ["new"]}))[0, 2:].tolist() == [0, 0, 0]


def test_rare_values_and_new_ones_share_a_column() -> None:
    words = [f"w{number:03d}" for number in range(MOST_CATEGORIES + 20) for _ in range(1 + (number < MOST_CATEGORIES - 1))]
    fitted = preprocessing({"s": "string"}).fit(pd.DataFrame({"s": np.array(words, dtype=object)}))
    rows = fitted.transform(pd.DataFrame({"s": np.array(["w000", f"w{MOST_CATEGORIES + 10:03d}", "new"], dtype=object)}))
    assert rows.shape[1] == MOST_CATEGORIES and rows.sum(axis=1).tolist() == [1, 1, 1]
    assert rows[1].tolist() == rows[2].tolist() != rows[0].tolist()


def test_a_column_of_nulls_stays_a_column() -> None:
    frame = pd.DataFrame({"n": [np.nan, np.nan], "m": [1.0, 2.0]})
    assert preprocessing({"n": "double", "m": "double"}).fit_transform(frame).shape[0] == 2
    assert np.isfinite(preprocessing({"n": "double", "m": "double"}).fit_transform(frame)).all()
