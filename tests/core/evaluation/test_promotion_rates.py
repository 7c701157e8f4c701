"""The gate's stated error rate, over simulated evaluations; `benchmarks.promotion` has more draws and cases."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.promotion import CASES, JUDGED, Case, draw, promoted, rates
from lakeloop.evaluation.decisions import ERROR_RATE, Evidence, should_promote
from lakeloop.metrics.table import paired_difference
from lakeloop.spec.workflow import Gate
from tests.worlds.questions import BINARY, REGRESSION

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


def null_promotions(margin: float, repeats: int, n: int = 300) -> float:
    """Share of challengers promoted when labels are shuffled: models fitted on noise, judged by the gate at its stated rate."""
    rng, promoted = np.random.default_rng(11), 0
    gates = {"champion": Gate(max_drop=margin, error_rate=0.05)}
    for _ in range(repeats):
        x, y = rng.normal(0, 1, (3 * n, 4)), (rng.random(3 * n) < 0.3).astype(float)
        old, new = (np.linalg.lstsq(x[k * n : (k + 1) * n], y[k * n : (k + 1) * n], rcond=None)[0] for k in (0, 1))
        tested, truth = x[2 * n :], y[2 * n :]
        a, b = tested @ new, tested @ old
        constant = np.full(n, y[n : 2 * n].mean())
        evidence = Evidence(
            "2", "roc_auc", 0.5, {}, "1",
            paired_difference(BINARY, "roc_auc", truth, a, b).record(), paired_difference(BINARY, "roc_auc", truth, a, constant).record(),
        )  # fmt: skip
        promoted += should_promote(candidate="2", champion="1", evidence=evidence, gates=gates).action == "promote"
    return promoted / repeats


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.5])
def test_on_shuffled_labels_a_challenger_is_promoted_no_more_often_than_the_gates_rate(margin: float) -> None:
    repeats = 1500
    assert null_promotions(margin, repeats) <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / repeats)


def test_a_challenger_that_loses_the_margin_is_promoted_at_the_rate_and_an_equal_one_often() -> None:
    rng = np.random.default_rng(2)

    def promoted(loss: float, repeats: int = 600) -> float:
        count = 0
        for _ in range(repeats):
            y = rng.normal(0, 3, 400)
            ours, theirs = y + rng.normal(0, 1, 400) + loss, y + rng.normal(0, 1, 400)
            evidence = Evidence(
                "2", "bias", 0.0, {}, "1", paired_difference(REGRESSION, "bias", y, ours, theirs).record(), {"difference": 1.0, "error": 0.1, "degrees": 9}
            )  # fmt: skip
            count += (
                should_promote(candidate="2", champion="1", evidence=evidence, gates={"champion": Gate(max_drop=0.25)}).action == "promote"
            )
        return count / repeats

    assert 0.02 <= promoted(0.25) <= 0.08
    assert promoted(0.0) > 0.9
