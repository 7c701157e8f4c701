"""The evaluation's findings on rows made for it: intervals, importance, weak slices, thresholds, checks, and the page that tells them."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.evaluation import model_checks as checks
from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, CONSTANT, LINEAR, Assessment, Question, Rows, assess
from lakeloop.evaluation.check_kinds import KINDS, documentation
from lakeloop.evaluation.decisions import Evidence, should_promote
from lakeloop.evaluation.importance import Importance, permutation_importance
from lakeloop.evaluation.weak_slices import find_weak_slices
from lakeloop.metrics.binary import average_precision
from lakeloop.metrics.calibration import CalibrationBin, calibration_bounds, calibration_error
from lakeloop.metrics.intervals import group_codes, share_of
from lakeloop.metrics.table import METRICS, MetricValue, evaluate, measure, paired_difference
from lakeloop.metrics.thresholds import find_cheapest, threshold_curve
from lakeloop.metrics.wording import format_interval, format_metric, format_number
from lakeloop.report.changes import compare_facts
from lakeloop.report.evaluation import evaluation_report
from lakeloop.report.forecast_plots import ForecastPath, plot_paths
from lakeloop.report.page import render
from lakeloop.report.plots import plot_importance, plot_metric_comparison, plot_residuals, plot_roc_pr, plot_slices
from lakeloop.report.subject import GateOutcome, Subject
from lakeloop.report.task_plots import plot_class_calibration, plot_confusion
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Costs, Gate
from lakeloop.training.baselines import constant_scores, guessed_scores
from tests.worlds.places import ROOT

BINARY, REGRESSION = "binary_classification", "regression"
ANSWERS = (
    Answer(BINARY),
    Answer(REGRESSION),
    Answer("multiclass_classification", classes=("<i>", "b", "c")),
    Answer("quantile_regression", quantiles=(0.05, 0.5, 0.95)),
)


def expit(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def binary(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    p = expit(rng.normal(-1, 1.2, n))
    return (rng.random(n) < p).astype(float), p


# Intervals


def held(task: str, name: str, truth: float, draw, repeats: int = 1500) -> float:
    rng, count = np.random.default_rng(3), 0
    for _ in range(repeats):
        y, score, clusters = draw(rng)
        found = measure(METRICS[task][name], y, score, clusters=clusters)
        count += found.low <= truth <= found.high
    return count / repeats


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier", "accuracy"])
def test_coverage_of_a_classification_metric_is_nominal(name: str) -> None:
    truth = METRICS[BINARY][name].value(*binary(np.random.default_rng(1), 2_000_000))
    assert 0.935 <= held(BINARY, name, truth, lambda rng: (*binary(rng, 500), None)) <= 0.965


@pytest.mark.parametrize(
    ("name", "truth"), [("mae", np.sqrt(2 / np.pi)), ("rmse", 1.0), ("r2", 0.5), ("median_absolute_error", 0.67449), ("bias", 0.0)]
)
def test_coverage_of_a_regression_metric_is_nominal(name: str, truth: float) -> None:
    def draw(rng: np.random.Generator):
        score = rng.normal(0, 1, 300)
        return score + rng.normal(0, 1, 300), score, None

    assert 0.935 <= held(REGRESSION, name, truth, draw) <= 0.965


def test_coverage_under_days_that_rows_share_needs_the_cluster() -> None:
    day = np.repeat(np.arange(60), 20)

    def draw(rng: np.random.Generator, clusters):
        return rng.normal(0, 1, 1200) + rng.normal(0, 0.5, 60)[day], np.zeros(1200), clusters

    assert 0.935 <= held(REGRESSION, "bias", 0.0, lambda rng: draw(rng, day)) <= 0.965
    assert held(REGRESSION, "bias", 0.0, lambda rng: draw(rng, None), 300) < 0.75


def test_a_perfectly_calibrated_model_is_not_told_to_be_wrong() -> None:
    assert held(BINARY, "calibration_error", 0.0, lambda rng: (*binary(rng, 1000), None), 400) >= 0.93


def test_average_precision_of_all_rows_but_one_is_what_the_influence_says() -> None:
    rng = np.random.default_rng(0)
    y, score = (rng.random(30) < 0.4).astype(float), np.round(rng.random(30), 1)
    without = np.array([average_precision(np.delete(y, k), np.delete(score, k)) for k in range(30)])
    assert METRICS[BINARY]["average_precision"].influence(y, score) == pytest.approx(29 * (without.mean() - without))


@given(st.integers(0, 10_000))
def test_the_order_of_rows_changes_no_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, score = binary(rng, 60)
    order = rng.permutation(60)
    for a, b in zip(evaluate(BINARY, y, score), evaluate(BINARY, y[order], score[order]), strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), nan_ok=True)


# The champion's gate


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


# Importance, slices, thresholds


def test_importance_finds_what_a_model_uses_and_its_interval_holds_the_truth() -> None:
    def predict(frame: pd.DataFrame) -> np.ndarray:
        return 2 * frame["a"].to_numpy() + frame["b"].to_numpy()

    # Shuffling a feature of weight w and variance 1 adds 2 w squared to the squared error; R2 falls by that over the variance of y.
    truth = {"a": 8 / 6, "b": 2 / 6, "c": 0.0}
    rng, counted, repeats = np.random.default_rng(4), dict.fromkeys(truth, 0), 200
    for seed in range(repeats):
        frame = pd.DataFrame(rng.normal(0, 1, (400, 3)), columns=list(truth))
        y = predict(frame) + rng.normal(0, 1, 400)
        found = permutation_importance(REGRESSION, "r2", predict, frame, y, seed=seed)
        assert [item.feature for item in found] == ["a", "b", "c"]
        for item in found:
            counted[item.feature] += item.low <= truth[item.feature] <= item.high
    assert all(count / repeats >= 0.9 for count in counted.values())
    assert found[2].low == found[2].high == 0  # what isn't used has no importance, without doubt


def slice_rows(rng: np.random.Generator, n: int = 4000) -> dict[str, np.ndarray]:
    columns = {f"x{k}": rng.normal(0, 1, n) for k in range(8)}
    return {**columns, "kind": rng.choice(np.array(["a", "b", "c", None], dtype=object), n)}


def test_a_planted_weak_slice_is_found_and_named() -> None:
    rng = np.random.default_rng(5)
    columns = slice_rows(rng)
    loss = rng.exponential(1, 4000) * np.where((columns["kind"] == "b") & (columns["x1"] > 0.9), 2.5, 1)
    best = find_weak_slices(loss, columns)[0]
    assert best.confirmed and "kind = b" in best.name and "x1" in best.name
    assert 1.6 < best.loss / best.rest < 3.2


def test_where_no_slice_is_weak_one_is_confirmed_no_more_often_than_stated() -> None:
    rng, wrong, repeats = np.random.default_rng(6), 0, 120
    for seed in range(repeats):
        wrong += any(item.confirmed for item in find_weak_slices(rng.exponential(1, 1500), slice_rows(rng, 1500), seed=seed))
    assert wrong / repeats <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / repeats)


def test_thresholds_count_as_by_hand_and_the_cheapest_follows_the_costs() -> None:
    y, score = np.array([1.0, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.4, 0.3, 0.1])
    rows = threshold_curve(y, score, Costs(false_positive=1, false_negative=10))
    half = next(row for row in rows if row.threshold == 0.5)
    assert (half.flagged, half.precision, half.recall, half.false_positives, half.false_negatives) == (0.4, 0.5, 0.5, 1, 1)
    assert half.cost == pytest.approx(11 / 5)
    assert find_cheapest(rows).threshold == 0.31
    assert find_cheapest(threshold_curve(y, score, Costs(false_positive=10, false_negative=1))).threshold == 0.81
    assert find_cheapest(threshold_curve(y, score)) is None


def test_days_that_are_bad_as_a_whole_make_the_intervals_of_a_threshold_wider() -> None:
    rng, day = np.random.default_rng(0), np.arange(6000) // 100
    score = rng.uniform(0.1, 0.9, 6000)
    y = (rng.random(6000) < np.clip(score + rng.normal(0, 0.3, 60)[day], 0, 1)).astype(float)
    costs = Costs(false_positive=1, false_negative=3)
    alone, daily = (threshold_curve(y, score, costs, clusters)[49] for clusters in (None, day))
    for name in ("precision", "recall", "cost"):
        at, low, high = (getattr(daily, name + end) for end in ("", "_low", "_high"))
        assert low < at < high and at == getattr(alone, name)
        assert high - low > 1.5 * (getattr(alone, f"{name}_high") - getattr(alone, f"{name}_low"))


def test_the_cheapest_threshold_of_a_rare_class_lies_among_its_scores() -> None:
    rng = np.random.default_rng(0)
    score = 1 / (1 + np.exp(-rng.normal(-7, 1.2, 50_000)))
    y = (rng.random(50_000) < score).astype(float)
    best = find_cheapest(threshold_curve(y, score, Costs(false_positive=1, false_negative=500)))
    assert 0.001 < best.threshold < 0.005
    assert best.cost < min(1 - y.mean(), 500 * y.mean())


def test_days_that_all_agree_are_as_many_rows_as_there_are_days() -> None:
    share, low, high = share_of(np.ones(1000), clusters=np.arange(1000) // 100)
    assert (share, high) == (1.0, 1.0) and low == pytest.approx(share_of(np.ones(10))[1]) and low < 0.8


# Checks: three outcomes each


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
        ("LL104", lambda: checks.check_leakage(BINARY, {"a": 0.99, "b": 0.6}), lambda: checks.check_leakage(BINARY, {"a": 0.7}), lambda: checks.check_leakage(BINARY, {"a": float("nan")})),
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
    alone = checks.single_feature_scores(BINARY, leaking, y, leaking, y)
    assert alone["number"] > 0.95 and alone["word"] > 0.95 and alone["noise"] < 0.65


def test_a_feature_that_leaks_a_rare_or_long_tailed_label_is_seen() -> None:
    rng = np.random.default_rng(7)
    y = (rng.random(20_000) < 0.01).astype(float)
    rare = {"flag": y, "refund": np.where(y == 1, rng.lognormal(0, 1, 20_000), 0.0), "noise": rng.normal(0, 1, 20_000)}
    (fit, test), half = ({name: column[part] for name, column in rare.items()} for part in (slice(10_000), slice(10_000, None))), 10_000
    alone = checks.single_feature_scores(BINARY, fit, y[:half], test, y[half:])
    assert alone["flag"] > 0.99 and alone["refund"] > 0.99 and alone["noise"] < 0.65
    amount = rng.lognormal(0, 1.5, 20_000)
    tail = {"itself": amount, "cents": 100 * amount + rng.normal(0, 1, 20_000), "missing": np.where(y == 1, np.nan, amount)}
    alone = checks.single_feature_scores(REGRESSION, tail, amount, tail, amount)
    assert alone["itself"] > 0.99 and alone["cents"] > 0.99 and alone["missing"] > 0.9


def test_a_feature_is_not_called_a_leak_on_rows_that_are_too_few() -> None:
    y, features = np.zeros(400), {f"x{n}": np.random.default_rng(n).normal(0, 1, 400) for n in range(30)}
    y[7] = 1.0
    alone = checks.single_feature_scores(BINARY, features, y, features, y)
    assert checks.check_leakage(BINARY, alone).outcome == "not_applicable"


def test_checks_say_nothing_where_there_is_no_interval() -> None:
    one = np.zeros(300, int)
    nothing = paired_difference(BINARY, "roc_auc", Y[:300], GOOD[:300], GOOD[300:600], clusters=one)
    found = [
        checks.check_overfit(BINARY, "roc_auc", value(0.9), MetricValue("roc_auc", 0.7, np.nan, np.nan, 300), 0.5, 0.5),
        checks.check_champion("roc_auc", "1", nothing),
        checks.check_calibration(BINARY, Y[:300], GOOD[:300], one),
        checks.check_calibration(
            Answer("quantile_regression", quantiles=(0.1, 0.5, 0.9)), Y[:300], np.tile([0.0, 0.5, 1.0], (300, 1)), one
        ),
        checks.check_calibration(Answer("multiclass_classification", classes=("a", "b")), Y[:300], np.tile([0.5, 0.5], (300, 1)), one),
        checks.check_seed("roc_auc", [0.7, np.nan], 0.01),
    ]
    assert [result.outcome for result in found] == ["not_applicable"] * len(found)


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


def test_the_documentation_of_the_checks_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "checks.md").read_text()
    assert page == documentation()
    headings = {re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    assert {kind.anchor.split("#")[1] for kind in KINDS.values()} == headings


def test_what_changed_tells_what_was_gained_lost_and_altered() -> None:
    told = {
        (c.what, c.before, c.after) for c in compare_facts({"f": ["a", "b"], "m": {"x": 1}}, {"f": ["b", "c"], "m": {"x": 2, "y": 0.5}})
    }
    assert told == {("f", "a", "c"), ("m: x", "1", "2"), ("m: y", "", "0.5")}


# The page


def question(answer: Answer, n: int = 1500) -> Question:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(
        {"amount": rng.normal(0, 1, n), "kind": rng.choice(np.array(["a", "<b>", None], dtype=object), n), "secret": rng.normal(0, 1, n)}
    )

    def predict(rows: pd.DataFrame) -> np.ndarray:
        given = rows["amount"].to_numpy(dtype=float)
        if answer.classes:
            rest = 1 - expit(given - 1)
            return np.stack([1 - rest, 0.7 * rest, 0.3 * rest], axis=1)
        if answer.quantiles:
            return given[:, None] + np.array([-1.64, 0, 1.64])
        return expit(given - 1) if answer.kind.gives_probabilities else given

    score, z = predict(frame), frame["amount"].to_numpy()
    if answer.classes:
        y = (rng.random(n)[:, None] > score.cumsum(axis=1)).sum(axis=1).astype(float)
    else:
        y = (rng.random(n) < score).astype(float) if answer.kind.gives_probabilities else z + rng.normal(0, 1, n)
    primary = answer.kind.primary
    at = np.datetime64("2024-03-01", "us") + np.arange(n) * np.timedelta64(1, "h")
    rows = Rows(
        y,
        at,
        frame,
        {CANDIDATE: score, LINEAR: score, CONSTANT: constant_scores(y, answer, n, primary), CHAMPION: np.roll(score, 3, axis=0)},
        {"kind": frame["kind"].tolist()},
    )
    fit = replace(rows, at=at - np.timedelta64(90, "D"), known_at=at - np.timedelta64(89, "D"))
    return Question(
        answer, primary, predict, rows, fit, at[0], checks.Overlap(np.zeros(n, bool), False),
        champion="1", refits=[0.7, 0.7], clusters=group_codes(at.astype("datetime64[D]")), hidden=frozenset({"secret"}),
        costs=Costs(false_positive=1, false_negative=4) if answer.task == BINARY else None,
    )  # fmt: skip


def subject(**more) -> Subject:
    fields = {
        "name": "returns", "domain": "shop", "environment": "test", "version": "2", "description": "Will <script>alert(1)</script> it be sent back?",
        "owners": ["team:shop"], "label": "outcomes.returned", "unit": None, "predict_at": "predict_at", "fitted_rows": 5000,
        "windows": {"test": ("2024-03-01", "2024-05-02"), "train": ("2023-01-01", "2024-02-01")}, "window_rows": {"train": 5000, "test": 1500},
        "inputs": {"features/shop/basket": 3}, "training_set": 4, "features": {"amount": "Amount. [EUR]", "kind": "Kind."}, "pipeline": "linear",
        "cluster": "day", "gates": {"roc_auc": GateOutcome("failed", "at least 0.9", "0.7", "blocking")}, "champion": "1", "margin": 0.01, "error_rate": 0.05,
        "previous": "1", "changes": compare_facts({"rows": 1}, {"rows": 2}), "made_at": "2024-06-01 10:00 UTC", "query": "SELECT 1",
    }  # fmt: skip
    return Subject(**{**fields, **more})


@pytest.fixture(scope="module", params=ANSWERS, ids=lambda answer: answer.task)
def assessed(request: pytest.FixtureRequest) -> tuple[Question, Assessment, str]:
    asked = question(request.param)
    found = assess(asked)
    return asked, found, render(evaluation_report(subject(), asked, found))


def cut(asked: Question, rows: int, **more) -> Question:
    """The question on the first test rows alone."""
    test = asked.test
    scores = {who: score[:rows] for who, score in test.scores.items()}
    fewer = replace(test, y=test.y[:rows], at=test.at[:rows], frame=test.frame.iloc[:rows], scores=scores, slices={})
    return replace(asked, test=fewer, overlap=checks.Overlap(np.zeros(rows, bool), False), clusters=asked.clusters[:rows], **more)


def test_rows_of_one_cluster_have_figures_without_intervals() -> None:
    asked = cut(question(Answer(REGRESSION)), 240, primary="median_absolute_error")
    found = assess(replace(asked, clusters=np.zeros(240, int)))
    own = found.own["median_absolute_error"]
    assert np.isfinite(own.value) and np.isnan(own.low)
    assert found.differences[CHAMPION].p_not_worse() == 1.0
    page = render(evaluation_report(subject(), asked, found))
    assert "nan" not in re.sub(r"<svg.*?</svg>|<[^>]*>", "", page, flags=re.DOTALL).lower()


def test_periods_over_time_are_long_enough_to_say_something() -> None:
    asked = question(Answer(BINARY))
    sparse = replace(asked, test=replace(asked.test, at=np.datetime64("2020-01-01", "us") + np.arange(1500) * np.timedelta64(1, "D")))
    periods = [row["period"] for row in assess(sparse).over_time]
    assert periods[:3] == ["2020-01-01", "2020-02-01", "2020-03-01"]
    weekly = [row["period"] for row in assess(asked).over_time]
    assert weekly[:2] == ["2024-02-26", "2024-03-04"]


def test_rows_that_a_model_from_elsewhere_may_have_seen_decide_nothing() -> None:
    asked = question(Answer(BINARY))
    until = asked.test.at[1000]
    found = assess(replace(asked, elsewhere=checks.TrainedElsewhere("shop version 3", until, asked.test.at[0])))
    assert {who: d.rows for who, d in found.differences.items()} == {CHAMPION: 500, LINEAR: 500, CONSTANT: 500}
    assert found.own["roc_auc"].n == 1500
    found = assess(replace(asked, elsewhere=checks.TrainedElsewhere("shop version 3", asked.test.at[1450], asked.test.at[0])))
    assert CHAMPION not in found.differences and found.differences[CONSTANT].rows == 50


def test_a_page_says_which_rows_a_champion_may_have_seen_and_which_gates_only_warn() -> None:
    asked = question(Answer(BINARY))
    found = assess(asked)
    page = render(evaluation_report(subject(), asked, found))
    assert "rows that neither was trained on" in page and "It fails the gate roc_auc." in page
    warned = {
        "roc_auc": GateOutcome("failed", "at least 0.9", "0.7", "warning"),
        "brier": GateOutcome("passed", "at most 1", "0.2", "blocking"),
    }
    page = render(evaluation_report(subject(gates=warned), replace(asked, champion_known=False), found))
    assert "that neither was trained on" not in page and "it may have seen these rows" in page
    assert "It passes its gate. It doesn&#39;t meet the gate roc_auc, which only warns." in page


def test_a_page_about_rows_without_a_time_tells_nothing_of_time() -> None:
    asked = question(Answer(BINARY))
    page = render(evaluation_report(subject(static=True, cluster=None), asked, assess(replace(asked, static=True))))
    assert "known at predict_at" not in words(page) and "were known before the test window began" not in page
    assert "over time" not in page and "later rows" not in page and "2024-03-01" not in page
    assert "of a test window that it wasn&#39;t trained on" in page and "the rows have no time" in page


def test_what_knows_nothing_is_the_best_of_its_kind_by_each_metric() -> None:
    rng = np.random.default_rng(0)
    y, answer = rng.choice(3, 20_000, p=[0.6, 0.3, 0.1]).astype(float), Answer("multiclass_classification", classes=("a", "b", "c"))
    guesses = guessed_scores(constant_scores(y, answer, len(y), "macro_f1"))
    f1 = METRICS["multiclass_classification"]["macro_f1"].value
    noise = rng.dirichlet([1, 1, 1], len(y))
    assert f1(y, guesses) == pytest.approx(1 / 3, abs=0.01) and f1(y, guesses) > f1(y, noise) > f1(
        y, constant_scores(y, answer, len(y), "")
    )
    skewed = rng.exponential(1, 20_000)
    (best,) = constant_scores(skewed, Answer(REGRESSION), 1, "median_absolute_error")
    error = METRICS[REGRESSION]["median_absolute_error"].value
    assert all(error(skewed, np.full(20_000, best)) <= error(skewed, np.full(20_000, other)) + 1e-3 for other in np.linspace(0, 2, 41))


def words(page: str) -> str:
    """What a page says, without its pictures."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<svg.*?</svg>|<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL)))


def test_numbers_are_written_with_the_digits_that_say_something() -> None:
    written = [format_number(x) for x in (-0.0, 0.12345, 1234.5, 123_456_789.1, 776_626_728_785.08, 7.7663e-10, 0.000539, np.nan)]
    assert written == ["0.0000", "0.1235", "1,234.50", "123,456,789", "7.77e+11", "7.77e-10", "0.000539", "–"]
    assert format_metric(MetricValue("mae", 1.0, np.nan, np.nan, 20)) == "1.0000 (no interval)"
    assert (format_interval(1.0, 2.0), format_interval(np.nan, np.nan)) == ("1.0000 to 2.0000", "no interval")
    picture = plot_metric_comparison({"candidate": [MetricValue("mae", 7.77e-10, 7e-10, 8e-10, 20)]}, "mae")
    assert [text.get_text() for text in picture.figure.axes[0].get_yticklabels()] == ["this model  7.77e-10"]


def test_names_that_are_too_long_for_a_picture_are_still_told_apart() -> None:
    names = [f"origin_congestion__mean_departure_delay_of_{hours}h_before_departure_min" for hours in range(3, 12)]
    names += [f"origin_congestion__mean_departure_delay_{hours}h_min" for hours in (3, 24)]
    drawn = [
        plot_importance([Importance(name, 0.1, 0.0, 0.2, 50) for name in names], "mae"),
        plot_slices([{"slice": name, "n": 50, "value": 1.0, "low": 0.5, "high": 1.5, "small": False} for name in names], "at", "mae", 1.0),
        plot_confusion(np.eye(len(names)), names),
    ]
    for picture in drawn:
        shown = [text.get_text() for text in picture.figure.axes[0].get_yticklabels()]
        assert len(set(shown)) == len(names) and max(map(len, shown)) <= 42
    assert "日本" in plot_importance([Importance("日本", 0.1, 0.0, 0.2, 50)], "mae").file
    titles = {
        ax.get_title("left") for ax in plot_class_calibration({n: [CalibrationBin(0.2, 0.2, 0.1, 0.3, 9, n)] for n in names}).figure.axes
    }
    assert len(titles) == 9


def test_curves_of_rows_that_are_scored_the_same_do_not_depend_on_their_order() -> None:
    y = np.sort((np.arange(300) % 3 == 0).astype(float))[::-1]
    roc, precision = plot_roc_pr(y, np.full(300, 0.5)).figure.axes
    assert roc.lines[1].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert precision.lines[1].get_xydata().tolist() == [[1, pytest.approx(1 / 3)]]
    few = plot_roc_pr(np.array([0.0, 1, 0]), np.array([0.9, 0.5, 0.1])).figure.axes[0]
    assert few.lines[1].get_xydata().tolist() == [[0, 0], [0.5, 0], [0.5, 1], [1, 1]]


def test_many_rows_are_drawn_stronger_than_few_on_any_page_and_no_error_is_moved_to_an_edge() -> None:
    rng = np.random.default_rng(0)
    score = 1e-9 * rng.normal(0, 1, 2000)
    left, right = plot_residuals(score + 1e-9 * rng.normal(0, 1, 2000), score).figure.axes
    few, many = left.collections[0].get_cmap()([0.0, 1.0])
    assert few[:3].tolist() == many[:3].tolist() and few[3] < 0.3 < many[3]
    assert sum(bar.get_height() for bar in right.patches) == 1980 and left.get_xlim()[1] < 4e-9


def test_forecasts_are_drawn_without_a_figure_that_stays_and_the_legend_hides_no_name() -> None:
    from matplotlib import pyplot

    times = np.datetime64("2024-01-01", "us") + np.arange(9) * np.timedelta64(1, "D")
    picture = plot_paths([ForecastPath(name, times, 1e10 * np.arange(9.0), [(times[5:], np.arange(4.0))]) for name in "ab"], "value")
    assert pyplot.get_fignums() == []
    picture.figure.canvas.draw()
    legend = picture.figure.legends[0].get_window_extent()
    assert not any(ax.title.get_window_extent().overlaps(legend) for ax in picture.figure.axes)


def test_the_page_of_few_rows_says_what_is_not_known() -> None:
    asked = cut(question(Answer(BINARY)), 20)
    few = words(render(evaluation_report(subject(cluster=None), asked, assess(replace(asked, clusters=np.zeros(20, int))))))
    assert "3 of 3 can't be distinguished from no importance at all" in few and "[–, –]" not in few and "– to –" not in few
    assert "is not shown (too few independent rows)" in few and "(p 1.000)" not in few
    assert "too few for more than one period" in few and "Where there is no interval" in few


def test_a_page_says_what_is_better_and_whether_the_champion_is_beaten() -> None:
    asked = question(Answer(REGRESSION))
    found = assess(asked)
    page = words(render(evaluation_report(subject(), asked, found)))
    assert "mae (lower is better) is 0." in page and "Higher is better for r2; lower is better for mae, rmse" in page
    assert "All on the same rows." in page and "How much worse mae gets when one feature is shuffled" in page
    assert "a loss of 0.01 or more is ruled out, as the gate champion requires" in page and "1 input table" in page
    later = asked.test.scores[CHAMPION].copy()
    later[:900] = np.nan
    fewer = replace(asked, test=replace(asked.test, scores={**asked.test.scores, CHAMPION: later}))
    page = words(render(evaluation_report(subject(), fewer, assess(fewer))))
    assert "the 600 of 1,500 that it wasn't trained on" in page


class Page(HTMLParser):
    """Tags, ids, references and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, text in attrs:
            if name == "id":
                self.ids.append(str(text))
            if name in ("href", "src", "xlink:href"):
                self.links.append(str(text))


def test_the_page_is_one_file_without_script_or_network(assessed: tuple[Question, Assessment, str]) -> None:
    page = Page(assessed[2])
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert page.tags.count("svg") >= 6
    assert "@media screen and (prefers-color-scheme: dark)" in assessed[2]  # on paper the colours are those of a light page
    assert all(link.startswith(("#", "data:image/png")) for link in page.links), page.links
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert "&lt;script&gt;" in assessed[2]


def test_the_page_tells_everything_that_it_should(assessed: tuple[Question, Assessment, str]) -> None:
    asked, found, page = assessed
    for title in ("What the model is for", "Data and versions", "How good it is", "Against champion 1", "What it relies on",
                  "How it does over time", "By declared slice", "The worst slices", "Model checks", "What changed since version 1", "How the numbers"):  # fmt: skip
        assert title in page
    assert ("Thresholds and costs" in page) == (asked.answer.task == BINARY)
    assert ("Class by class" in page) == bool(asked.answer.classes)
    assert ("How much the interval covers" in page) == bool(asked.answer.quantiles)
    assert 'id="calibration"' in page
    assert all(code in page for code in KINDS)
    assert f"{found.own[asked.primary].value:.4f}" in page


def test_values_of_hidden_columns_are_searched_for_no_slice(assessed: tuple[Question, Assessment, str]) -> None:
    assert all("secret" not in item.columns for item in assessed[1].weak)
    assert assessed[1].searched == 2


def test_every_finding_is_a_row_of_a_table_with_the_shared_keys(assessed: tuple[Question, Assessment, str], tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from platform_assets.stages.evaluation.tables import TABLES, write_tables
    from resources.lake.lake import Lake

    asked, found, _ = assessed
    lake = Lake(str(tmp_path))
    shared = {
        "domain": "shop",
        "workflow": "returns",
        "version": "2",
        "window": "w",
        "at": datetime.now(UTC),
        "run_id": "r",
        "evaluation": "e",
    }
    for _ in range(2):
        write_tables(lake, shared, asked.primary, "1", found)
    for table in TABLES:
        opened = lake.open(table)
        answer = asked.answer
        others = {"thresholds": answer.kind.costs, "classes": answer.classes, "confusion": answer.classes, "coverage": answer.quantiles}
        if not others.get(table.removeprefix("reports/"), True):
            assert opened is None
            continue
        if table == "reports/weak_slices" and not found.weak:
            continue
        rows = opened.to_pyarrow_table()
        assert {"domain", "workflow", "version", "segment", "slice", "window"} <= set(rows.column_names)
        assert opened.version() == 0 and rows.num_rows
    (mine,) = [
        r for r in lake.open("reports/metrics").to_pyarrow_table().to_pylist() if (r["model"], r["metric"]) == (CANDIDATE, asked.primary)
    ]
    assert mine["value"] == found.own[asked.primary].value
