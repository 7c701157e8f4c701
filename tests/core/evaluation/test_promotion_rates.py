"""The gate's stated error rate, over simulated evaluations; `benchmarks.promotion` has more draws and cases."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.promotion import CASES, JUDGED, Case, draw, promoted, rates
from lakeloop.evaluation.decisions import ERROR_RATE

DRAWS = 300
SIMULATED = [case for case in CASES if not case.edge and not case.trained and "better" not in case.name]


def most(draws: int) -> float:
    """A share that the stated rate exceeds by chance once in seven hundred."""
    return ERROR_RATE + 3 * (ERROR_RATE * (1 - ERROR_RATE) / draws) ** 0.5


@pytest.mark.parametrize("case", SIMULATED, ids=lambda case: case.name)
@pytest.mark.parametrize("task", JUDGED)
def test_a_challenger_that_is_no_better_is_promoted_no_more_often_than_the_gate_says(task: str, case: Case) -> None:
    rng, promotions = np.random.default_rng(3), dict.fromkeys(JUDGED[task], 0)
    for _ in range(DRAWS):
        drawn = draw(rng, 500, task, case)
        for metric in promotions:
            promotions[metric] += promoted(task, metric, drawn, 0.0)
    assert max(promotions.values()) / DRAWS <= most(DRAWS)


@pytest.mark.parametrize("task", ["binary_classification", "regression"])
def test_models_trained_on_shuffled_labels_are_promoted_no_more_often_than_the_gate_says(task: str) -> None:
    case = next(case for case in CASES if case.trained == ("linear", "gradient_boosting"))
    assert all(share <= most(40) for rate in rates(case, task, 40) for share in rate.shares)


@pytest.mark.parametrize("task", JUDGED)
def test_a_better_challenger_is_promoted(task: str) -> None:
    rng, better = np.random.default_rng(3), next(case for case in CASES if "better" in case.name)
    drawn = [draw(rng, 2_000, task, better) for _ in range(50)]
    for metric in JUDGED[task]:
        # A median tells two models apart less often than a mean.
        assert sum(promoted(task, metric, rows, 0.0) for rows in drawn) >= (35 if metric == "median_absolute_error" else 45), metric
