"""The gain of a search in a sentence: won, lost, or nothing that couldn't be chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakeloop.search.gain import Gain

GAIN = Gain("roc_auc", 0.7, 0.75, 0.05, 0.02, 0.08, 1200, "the test window")


@pytest.mark.parametrize(
    ("low", "high", "begins"),
    [
        (0.02, 0.08, "The search gained: roc_auc 0.7500 against 0.7000 without it, a difference of +0.0500 [+0.0200, +0.0800]"),
        (-0.08, -0.02, "The search gained nothing and made the model worse: "),
        (-0.01, 0.08, "The search gained nothing that could not be chance: "),
        (0.0, 0.08, "The search gained nothing that could not be chance: "),
        (float("nan"), float("nan"), "The search gained nothing that could not be chance: "),
    ],
)
def test_only_an_interval_on_one_side_of_zero_decides(low: float, high: float, begins: str) -> None:
    sentence = replace(GAIN, low=low, high=high).sentence
    assert sentence.startswith(begins) and "on 1,200 rows that the search never saw (the test window)" in sentence
    assert ("Remove `search`" in sentence) == (high < 0)
    assert replace(GAIN, low=low, high=high).is_shown == (low > 0)


def test_what_gained_nothing_says_that_the_parameters_stay() -> None:
    kept = replace(GAIN, low=-0.01, against="with the champion's parameters", kept=True).sentence
    assert "0.7500 against 0.7000 with the champion's parameters" in kept
    assert kept.endswith("The model keeps the parameters that it had before.")


def test_parameters_that_are_the_model_s_own_gain_nothing_whatever_the_figures() -> None:
    assert replace(GAIN, same=True).sentence == (
        "The search gained nothing: no other parameters were better in cross-validation (roc_auc 0.7500 on the test window)."
    )
    assert Gain(**GAIN.record()) == GAIN
