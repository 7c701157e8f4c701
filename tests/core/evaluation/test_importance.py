"""Permutation importance where the truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lakeloop.evaluation.importance import permutation_importance
from tests.worlds.questions import REGRESSION


def test_importance_finds_what_a_model_uses_and_its_interval_holds_the_truth() -> None:
    def predict(frame: pd.DataFrame) -> np.ndarray:
        return 2 * frame["a"].to_numpy() + frame["b"].to_numpy()

    # Shuffling a feature of weight w and variance 1 adds 2 w squared to the squared error; R2 falls by that over the variance of y.
    truth = {"a": 8 / 6, "b": 2 / 6, "c": 0.0}
    rng, counted, repeats = np.random.default_rng(4), dict.fromkeys(truth, 0), 200
    for seed in range(repeats):
        frame = pd.DataFrame(rng.normal(0, 1, (400, 3)), columns=list(truth))
        y = predict(frame) + rng.normal(0, 1, 400)
        importance = permutation_importance(REGRESSION, "r2", predict, frame, y, seed=seed)
        assert [item.feature for item in importance] == ["a", "b", "c"]
        for item in importance:
            counted[item.feature] += item.low <= truth[item.feature] <= item.high
    assert all(count / repeats >= 0.9 for count in counted.values())
    assert importance[2].low == importance[2].high == 0  # what isn't used has no importance, without doubt
