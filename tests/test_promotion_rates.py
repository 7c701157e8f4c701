"""The gate's stated error rate, over simulated evaluations; `benchmarks.promotion` has more draws and cases."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.promotion import CASES, METRIC_NAMES, draw, promoted
from lakeloop.decisions import ERROR_RATE

DRAWS = 300
CHANCE = 3 * (ERROR_RATE * (1 - ERROR_RATE) / DRAWS) ** 0.5


@pytest.mark.parametrize("case", [case for case in CASES if not case.edge and "better" not in case.name], ids=lambda case: case.name)
@pytest.mark.parametrize(("task", "metric"), METRIC_NAMES)
def test_a_challenger_that_is_no_better_is_promoted_no_more_often_than_the_gate_says(task: str, metric: str, case) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    share = sum(promoted(task, metric, draw(rng, 500, task, case), 0.0) for _ in range(DRAWS)) / DRAWS
    assert share <= ERROR_RATE + CHANCE


@pytest.mark.parametrize(("task", "metric"), METRIC_NAMES)
def test_a_better_challenger_is_promoted(task: str, metric: str) -> None:
    rng, better = np.random.default_rng(3), next(case for case in CASES if "better" in case.name)
    assert sum(promoted(task, metric, draw(rng, 2_000, task, better), 0.0) for _ in range(50)) >= 45
