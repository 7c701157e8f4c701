"""A model has to beat what is simpler: by the primary metric, by what gates name, and as probabilities by log loss and Brier score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, CONSTANT, LINEAR, Rows, assess
from lakeloop.evaluation.decisions import Decision, Evidence, should_promote
from lakeloop.evaluation.simpler import better_baseline, compared_metrics
from lakeloop.report.evaluation import evaluation_report
from lakeloop.report.page import render
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Gate
from lakeloop.training.baselines import constant_scores
from tests.worlds.questions import BINARY, expit, question, subject, words

GATES = {"roc_auc": Gate(min=0.55), "champion": Gate(max_drop=0.01)}


def difference(value: float, error: float = 0.01) -> dict[str, float]:
    return {"difference": value, "error": error, "degrees": 999.0, "rows": 1000}


def asked(score: np.ndarray, y: np.ndarray, linear: np.ndarray):
    """An evaluation of a model that answers `score`, beside a linear one and the base rate."""
    whole = question(Answer(BINARY), len(y))
    scores = {CANDIDATE: score, LINEAR: linear, CONSTANT: constant_scores(y, Answer(BINARY), len(y), "roc_auc")}
    test = Rows(y, whole.test.at, whole.test.frame, scores)
    fit = replace(whole.fit, y=y, scores=scores)
    return replace(whole, test=test, fit=fit, champion=None, clusters=None, gated=("roc_auc", "calibration_error"))


def decided(assessment) -> Decision:
    return should_promote(
        candidate="1",
        champion=None,
        evidence=Evidence(
            "1",
            "roc_auc",
            0.8,
            {"roc_auc": ["passed", ""]},
            skill=assessment.differences[CONSTANT].record(),
            baselines={who: {name: d.record() for name, d in by.items()} for who, by in assessment.baselines.items()},
        ),
        gates=GATES,
    )


def test_a_model_that_ranks_well_and_says_worse_than_the_base_rate_is_refused() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(0, 1, 3000)
    y = (rng.random(3000) < expit(z - 3.2)).astype(float)  # 6% positive
    right, too_high = expit(z - 3.2), expit(z - 1.0)
    refused = assess(asked(too_high, y, too_high))
    decision = decided(refused)
    assert decision.action == "refuse" and decision.reason.startswith("a constant has the better log_loss: it differs by -")
    assert {c.code: c.outcome for c in refused.checks}["LL105"] == "found"
    assert decided(assess(asked(right, y, right))).action == "promote"


def test_a_linear_model_that_is_significantly_better_is_named() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(0, 1, 3000)
    y = (rng.random(3000) < expit(2 * z - 1)).astype(float)
    noisy = expit(1.2 * (z + rng.normal(0, 1, 3000)) - 1)
    assessment = assess(asked(noisy, y, expit(2 * z - 1)))
    assert decided(assessment).reason.startswith("a linear model on the same features has the better roc_auc")
    page = words(render(evaluation_report(subject(champion=None), asked(noisy, y, expit(2 * z - 1)), assessment)))
    assert "How much better it is than what is simpler" in page and "a linear model on the same features is better" in page
    assert decided(assess(asked(expit(2 * z - 1), y, noisy))).action == "promote"


@pytest.mark.parametrize(
    ("skills", "reason"),
    [
        ({}, ""),
        ({"constant": {"roc_auc": difference(-0.2)}}, ""),  # the primary metric has its own test
        ({"constant": {"roc_auc": difference(0.2), "brier": difference(0.0, 0.0)}}, ""),
        ({"constant": {"brier": difference(-1e-6)}}, "the base rate has the better brier: it differs by -1.00e-06 (positive is better)"),
        ({"linear": {"roc_auc": difference(-0.015), "brier": difference(0.1)}}, ""),  # p 0.067 each, 0.025 wanted
        ({"linear": {"roc_auc": difference(0.1), "brier": difference(-0.03)}}, "a linear model on the same features has the better brier"),
        ({"linear": {"roc_auc": difference(float("nan"), float("nan"))}}, ""),
    ],
)
def test_a_constant_must_not_be_better_at_all_and_a_fitted_baseline_not_significantly(skills, reason: str) -> None:
    assessment = better_baseline(skills, "roc_auc", "constant", "the base rate", 0.05)
    assert assessment.startswith(reason) and bool(assessment) == bool(reason)


def test_a_linear_model_no_better_is_called_better_as_often_as_is_allowed() -> None:
    rng, called = np.random.default_rng(0), 0
    for _ in range(2000):
        z = rng.normal(0, 1, 3)
        skills = {"linear": {str(k): {**difference(float(value), 1.0)} for k, value in enumerate(z)}}
        called += bool(better_baseline(skills, "0", "constant", "", 0.05))
    assert called / 2000 == pytest.approx(0.05, abs=0.015)


def test_metrics_that_a_constant_has_at_their_best_are_not_compared() -> None:
    assert compared_metrics(Answer(BINARY), "roc_auc", ["calibration_error", "accuracy", "roc_auc", "nonsense"]) == [
        "roc_auc",
        "accuracy",
        "log_loss",
        "brier",
    ]
    assert compared_metrics(Answer("regression"), "mae", ["r2", "bias"]) == ["mae", "r2"]
    assert compared_metrics(Answer("quantile_regression", quantiles=(0.1, 0.5, 0.9)), "pinball_loss", ["coverage_error"]) == [
        "pinball_loss"
    ]


def test_every_baseline_is_compared_by_every_metric_that_counts() -> None:
    assessment = assess(replace(question(Answer(BINARY)), gated=("accuracy",)))
    names = ["roc_auc", "accuracy", "log_loss", "brier"]
    assert {who: list(by) for who, by in assessment.baselines.items()} == {LINEAR: names, CONSTANT: names}
    assert CHAMPION in assessment.differences and assessment.baselines[CONSTANT]["roc_auc"] == assessment.differences[CONSTANT]
