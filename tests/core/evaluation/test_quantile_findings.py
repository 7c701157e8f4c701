"""How reliable each quantile is, and where an interval covers too much or too little."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.evaluation.quantile_findings import coverage_bins, reliability
from lakeloop.spec.tasks import Answer

ANSWER = Answer("quantile_regression", quantiles=(0.1, 0.5, 0.9))


def test_a_quantile_is_reliable_by_the_share_of_values_at_or_below_it() -> None:
    y = np.arange(10.0)
    low, middle, high = reliability(ANSWER, y, np.tile([0.0, 4.5, 9.0], (10, 1)))
    assert [(row.predicted, row.observed, row.n) for row in (low, middle, high)] == [(0.1, 0.1, 10), (0.5, 0.5, 10), (0.9, 1.0, 10)]
    assert [row.output for row in (low, middle, high)] == list(ANSWER.numbers)
    assert all(row.low <= row.observed <= row.high for row in (low, middle, high))


def test_coverage_is_told_by_tenths_of_the_median_with_the_mean_width() -> None:
    middle = np.arange(100.0)
    half = np.where(middle < 50, 1.0, 3.0)
    score = np.stack([middle - half, middle, middle + half], axis=1)
    rows = coverage_bins(ANSWER, middle + 2.0, score)  # outside the narrow half of them, inside the wide one
    assert [row.n for row in rows] == [10] * 10 and [row.predicted for row in rows] == pytest.approx(np.arange(4.5, 100, 10))
    assert [row.coverage for row in rows] == [0.0] * 5 + [1.0] * 5 and [row.width for row in rows] == [2.0] * 5 + [6.0] * 5
    assert coverage_bins(ANSWER, middle - 3.0, score)[-1].coverage == 1.0  # the ends are inside
