"""Model checks: found, clean and not applicable, each of them."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.evaluation import model_checks as checks
from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.evaluation.leaks import LeakFindings
from lakeloop.evaluation.single_features import single_feature_scores
from lakeloop.evaluation.weak_slices import find_weak_slices
from lakeloop.metrics.calibration import calibration_bounds, calibration_error
from lakeloop.metrics.table import MetricValue, paired_difference
from lakeloop.spec.tasks import Answer
from tests.worlds.questions import BINARY, REGRESSION


def value(x: float, half: float = 0.01) -> MetricValue:
    return MetricValue("roc_auc", x, x - half, x + half, 1000)


Y = np.tile([0.0, 1.0], 500)
GOOD = np.where(Y == 1, 0.7, 0.3) + np.linspace(-0.29, 0.29, 1000)
DAYS = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]").astype("datetime64[us]")
HALF = np.arange(1000) < 500
BETTER = paired_difference(BINARY, "roc_auc", Y, GOOD, np.full(1000, 0.5))
WORSE = paired_difference(BINARY, "roc_auc", Y, np.full(1000, 0.5), GOOD)
NONE = paired_difference(BINARY, "roc_auc", Y, np.linspace(0, 1, 1000), np.full(1000, 0.5))
HARD = find_weak_slices(np.where(HALF, 3.0, 1.0) + np.tile([0, 0.1, 0.2, 0.3], 250), {"half": HALF.astype(float)})
CALIBRATED = np.random.default_rng(0).random(1000)


@pytest.mark.parametrize(
    ("code", "found", "clean", "not_applicable"),
    [
        ("LL101", lambda: checks.check_overfit(BINARY, "roc_auc", value(0.95), value(0.6), 0.5, 0.5), lambda: checks.check_overfit(BINARY, "roc_auc", value(0.8), value(0.78), 0.5, 0.5), lambda: checks.check_overfit(BINARY, "roc_auc", value(0.5), value(0.5), 0.5, 0.5)),
        ("LL102", lambda: checks.check_time_overlap(DAYS, DAYS + np.timedelta64(5, "D"), DAYS[-1] + np.timedelta64(1, "D")), lambda: checks.check_time_overlap(DAYS, DAYS, DAYS[-1] + np.timedelta64(1, "D")), None),
        ("LL103", lambda: checks.check_entity_overlap(BINARY, "roc_auc", checks.Overlap(HALF, False), Y, GOOD), lambda: checks.check_entity_overlap(BINARY, "roc_auc", checks.Overlap(~HALF & HALF, False), Y, GOOD), lambda: checks.check_entity_overlap(BINARY, "roc_auc", checks.Overlap(HALF | ~HALF, True), Y, GOOD)),
        ("LL104", lambda: checks.check_leakage(BINARY, LeakFindings(900, {"a": 0.99, "b": 0.6})), lambda: checks.check_leakage(BINARY, LeakFindings(900, {"a": 0.7}, power=0.9)), lambda: checks.check_leakage(BINARY, LeakFindings(900, {"a": float("nan")}))),
        ("LL105", lambda: checks.check_baseline("roc_auc", NONE, None), lambda: checks.check_baseline("roc_auc", BETTER, BETTER), None),
        ("LL106", lambda: checks.check_champion("roc_auc", "1", WORSE), lambda: checks.check_champion("roc_auc", "1", BETTER), lambda: checks.check_champion("roc_auc", None, None)),
        ("LL107", lambda: checks.check_weak_slices(HARD, 1), lambda: checks.check_weak_slices([], 1), lambda: checks.check_weak_slices([], 0)),
        ("LL108", lambda: checks.check_calibration(BINARY, Y, np.full(1000, 0.9)), lambda: checks.check_calibration(BINARY, (np.random.default_rng(1).random(1000) < CALIBRATED).astype(float), CALIBRATED), lambda: checks.check_calibration(BINARY, Y[:50], GOOD[:50])),
        ("LL109", lambda: checks.check_constant(np.full(1000, 0.3)), lambda: checks.check_constant(GOOD), lambda: checks.check_constant(np.array([]))),
        ("LL110", lambda: checks.check_seed("roc_auc", [0.7, 0.75, 0.8], 0.01), lambda: checks.check_seed("roc_auc", [0.7, 0.7, 0.7], 0.01), lambda: checks.check_seed("roc_auc", None, 0.01)),
    ],
)  # fmt: skip
def test_a_check_has_three_outcomes(code: str, found, clean, not_applicable) -> None:
    for outcome, check in (("found", found), ("clean", clean), ("not_applicable", not_applicable)):
        if check is None:
            assert KINDS[code].not_applicable_when == "never"
            continue
        result = check()
        assert (result.code, result.outcome) == (code, outcome), result.message
        assert result.message


def test_known_entities_that_are_served_better_are_found_where_entities_repeat() -> None:
    score = np.where(HALF, GOOD, np.linspace(0, 1, 1000))
    result = checks.check_entity_overlap(BINARY, "roc_auc", checks.Overlap(HALF, True), Y, score)
    assert result.outcome == "found"


def test_a_linear_model_that_is_better_is_found() -> None:
    assert checks.check_baseline("roc_auc", BETTER, WORSE).outcome == "found"


def test_a_single_feature_that_tells_the_label_is_seen_as_number_and_as_category() -> None:
    rng = np.random.default_rng(7)
    y = (rng.random(2000) < 0.3).astype(float)
    leaking = {
        "number": y * 5 + rng.normal(0, 0.5, 2000),
        "word": np.where(y == 1, "late", "on time").astype(object),
        "noise": rng.normal(0, 1, 2000),
    }
    alone = single_feature_scores(BINARY, leaking, y, leaking, y)
    assert alone["number"] > 0.95 and alone["word"] > 0.95 and alone["noise"] < 0.65


def test_a_feature_that_leaks_a_rare_or_long_tailed_label_is_seen() -> None:
    rng = np.random.default_rng(7)
    y = (rng.random(20_000) < 0.01).astype(float)
    rare = {"flag": y, "refund": np.where(y == 1, rng.lognormal(0, 1, 20_000), 0.0), "noise": rng.normal(0, 1, 20_000)}
    (fit, test), half = ({name: column[part] for name, column in rare.items()} for part in (slice(10_000), slice(10_000, None))), 10_000
    alone = single_feature_scores(BINARY, fit, y[:half], test, y[half:])
    assert alone["flag"] > 0.99 and alone["refund"] > 0.99 and alone["noise"] < 0.65
    amount = rng.lognormal(0, 1.5, 20_000)
    tail = {"itself": amount, "cents": 100 * amount + rng.normal(0, 1, 20_000), "missing": np.where(y == 1, np.nan, amount)}
    alone = single_feature_scores(REGRESSION, tail, amount, tail, amount)
    assert alone["itself"] > 0.99 and alone["cents"] > 0.99 and alone["missing"] > 0.9


def test_a_feature_is_not_called_a_leak_on_rows_that_are_too_few() -> None:
    y, features = np.zeros(400), {f"x{n}": np.random.default_rng(n).normal(0, 1, 400) for n in range(30)}
    y[7] = 1.0
    alone = single_feature_scores(BINARY, features, y, features, y)
    assert checks.check_leakage(BINARY, LeakFindings(400, alone)).outcome == "not_applicable"


def test_checks_say_nothing_where_there_is_no_interval() -> None:
    one = np.zeros(300, int)
    nothing = paired_difference(BINARY, "roc_auc", Y[:300], GOOD[:300], GOOD[300:600], clusters=one)
    slices = [
        checks.check_overfit(BINARY, "roc_auc", value(0.9), MetricValue("roc_auc", 0.7, np.nan, np.nan, 300), 0.5, 0.5),
        checks.check_champion("roc_auc", "1", nothing),
        checks.check_calibration(BINARY, Y[:300], GOOD[:300], one),
        checks.check_calibration(
            Answer("quantile_regression", quantiles=(0.1, 0.5, 0.9)), Y[:300], np.tile([0.0, 0.5, 1.0], (300, 1)), one
        ),
        checks.check_calibration(Answer("multiclass_classification", classes=("a", "b")), Y[:300], np.tile([0.5, 0.5], (300, 1)), one),
        checks.check_seed("roc_auc", [0.7, np.nan], 0.01),
    ]
    assert [result.outcome for result in slices] == ["not_applicable"] * len(slices)


def test_small_predictions_that_differ_are_not_called_constant() -> None:
    assert checks.check_constant(np.linspace(1e-11, 2e-11, 1000)).outcome == "clean"
    assert checks.check_constant(np.full(1000, 1e-11)).outcome == "found"


def test_calibration_does_not_depend_on_the_order_of_rows_that_are_predicted_the_same() -> None:
    rng, score = np.random.default_rng(5), np.repeat([0.2, 0.3, 0.6], [1000, 3000, 1000])
    y = (rng.random(5000) < score + 0.1 * np.tile(np.linspace(-1, 1, 1000), 5)).astype(float)
    order = rng.permutation(5000)
    for clusters in (None, np.arange(5000) // 50):
        shuffled = None if clusters is None else clusters[order]
        assert calibration_bounds(y, score, clusters, 0.95) == pytest.approx(calibration_bounds(y[order], score[order], shuffled, 0.95))
    assert calibration_error(y, score) == pytest.approx(calibration_error(y[order], score[order]))
    constant = np.full(5000, float(y.mean()))
    assert calibration_error(np.sort(y), constant) == 0.0
    assert checks.check_calibration(BINARY, np.sort(y), constant).outcome == "clean"
