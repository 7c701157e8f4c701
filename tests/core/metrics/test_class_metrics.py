"""Metrics of several classes and of quantiles: against scikit-learn, against leaving rows out, and their intervals against repeated draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from lakeloop.evaluation import model_checks as checks
from lakeloop.evaluation.class_findings import class_calibration, class_rows, confusion
from lakeloop.evaluation.leaks import LeakFindings
from lakeloop.evaluation.quantile_findings import coverage_bins, reliability
from lakeloop.evaluation.single_features import single_feature_scores
from lakeloop.metrics.table import METRICS, evaluate, measure, metrics_of, paired_difference
from lakeloop.spec.tasks import Answer

CLASSES = "multiclass_classification"
ABC = Answer(CLASSES, classes=("a", "b", "c"))
BAND = Answer("quantile_regression", quantiles=(0.05, 0.5, 0.95))
Z95 = 1.6448536269514722


def classified(rng: np.random.Generator, n: int, sharp: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes, the third one rare, and their true probabilities; `sharp` above 1 makes the model too sure."""
    logits = rng.normal(0, 1.2, (n, 3)) + np.array([0.5, 0.0, -1.5])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, 2).astype(float)
    said = np.exp(sharp * logits)
    return y, said / said.sum(axis=1, keepdims=True)


def banded(rng: np.random.Generator, n: int, width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    middle, scale = rng.normal(0, 2, n), rng.uniform(0.5, 2, n)
    return middle + scale * rng.normal(0, 1, n), middle[:, None] + width * scale[:, None] * np.array([-Z95, 0, Z95])


@given(st.integers(0, 10_000), st.integers(12, 60))
def test_metrics_of_classes_equal_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = classified(rng, n)
    y[:6] = [0, 0, 1, 1, 2, 2]
    values = {v.name: v.value for v in evaluate(CLASSES, y, p)}
    said = p.argmax(axis=1)
    assert values["log_loss"] == pytest.approx(sk.log_loss(y, p, labels=[0, 1, 2]))
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(y, said))
    assert values["macro_f1"] == pytest.approx(sk.f1_score(y, said, average="macro"))
    assert values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, said))
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert values["brier"] == pytest.approx(sk.brier_score_loss(y, p, labels=[0, 1, 2], scale_by_half=False))


@given(st.integers(0, 10_000))
def test_metrics_of_quantiles_equal_scikit_learn_and_counting(seed: int) -> None:
    y, q = banded(np.random.default_rng(seed), 40)
    values = {v.name: v.value for v in evaluate(BAND, y, q)}
    assert values["pinball_loss"] == pytest.approx(
        np.mean([sk.mean_pinball_loss(y, q[:, k], alpha=a) for k, a in enumerate(BAND.quantiles)])
    )
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(y, q[:, 1]))
    assert values["coverage"] == pytest.approx(np.mean((q[:, 0] <= y) & (y <= q[:, 2])))
    assert values["coverage_error"] == pytest.approx(abs(values["coverage"] - 0.9))


def test_metrics_of_quantiles_depend_on_which_they_are() -> None:
    y, q = banded(np.random.default_rng(0), 200)
    half = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))
    assert metrics_of(half)["pinball_loss"].value(y, q) != metrics_of(BAND)["pinball_loss"].value(y, q)
    assert metrics_of(half)["coverage_error"].value(y, q) == pytest.approx(abs(metrics_of(BAND)["coverage"].value(y, q) - 0.5))


@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy", "roc_auc"])
def test_the_influence_of_a_row_is_what_leaving_it_out_changes(name: str) -> None:
    y, p = classified(np.random.default_rng(1), 600)
    metric = METRICS[CLASSES][name]
    influence, n = metric.influence(y, p), len(y)
    for k in range(0, n, 29):
        change = (n - 1) * (metric.value(y, p) - metric.value(np.delete(y, k), np.delete(p, k, axis=0)))
        assert change == pytest.approx(influence[k], abs=0.06 * np.abs(influence).max())


def held(what: Answer, name: str, truth: float, draw, repeats: int = 800) -> float:
    rng, count = np.random.default_rng(3), 0
    for _ in range(repeats):
        measured = measure(metrics_of(what)[name], *draw(rng))
        count += measured.low <= truth <= measured.high
    return count / repeats


@pytest.mark.parametrize("name", ["log_loss", "accuracy", "macro_f1", "balanced_accuracy", "roc_auc", "brier"])
def test_coverage_of_a_metric_of_classes_is_nominal(name: str) -> None:
    truth = METRICS[CLASSES][name].value(*classified(np.random.default_rng(1), 1_000_000))
    assert 0.93 <= held(ABC, name, truth, lambda rng: classified(rng, 500)) <= 0.97


@pytest.mark.parametrize("name", ["pinball_loss", "coverage", "width", "mae"])
def test_coverage_of_a_metric_of_quantiles_is_nominal(name: str) -> None:
    truth = metrics_of(BAND)[name].value(*banded(np.random.default_rng(1), 1_000_000))
    assert 0.93 <= held(BAND, name, truth, lambda rng: banded(rng, 400)) <= 0.97


def test_the_interval_of_a_distance_from_the_nominal_coverage_holds_it_near_and_far() -> None:
    assert held(BAND, "coverage_error", 0.0, lambda rng: banded(rng, 400)) >= 0.94
    truth = metrics_of(BAND)["coverage_error"].value(*banded(np.random.default_rng(1), 1_000_000, 0.6))
    assert 0.93 <= held(BAND, "coverage_error", truth, lambda rng: banded(rng, 400, 0.6)) <= 0.97


def test_a_class_that_no_row_has_leaves_the_metrics_defined() -> None:
    y, p = classified(np.random.default_rng(2), 200)
    some = y != 2
    for value in evaluate(ABC, y[some], p[some]):
        assert np.isfinite([value.value, value.low, value.high]).all(), value
    row = class_rows(ABC, y[some], p[some])[2]
    assert row.n == 0 and np.isnan(row.recall)
    assert confusion(ABC, y[some], p[some]).sum() == some.sum()


def test_the_better_of_two_models_is_seen_by_every_metric_that_decides() -> None:
    y, p = classified(np.random.default_rng(4), 3000)
    worse = 0.6 * p + 0.4 / 3 * np.roll(p, 1, axis=0) / np.roll(p, 1, axis=0).sum(axis=1, keepdims=True) * 3
    for name in ("log_loss", "brier", "roc_auc"):
        assert paired_difference(ABC, name, y, p, worse).low > 0
    value, q = banded(np.random.default_rng(5), 3000)
    assert paired_difference(BAND, "pinball_loss", value, q, q * 1.5).low > 0


@pytest.mark.parametrize(
    ("answer", "good", "bad"),
    [
        (ABC, lambda rng, n: classified(rng, n), lambda rng, n: classified(rng, n, 2.5)),
        (BAND, lambda rng, n: banded(rng, n), lambda rng, n: banded(rng, n, 0.6)),
    ],
)
def test_calibration_of_several_numbers_is_found_clean_or_not_applicable(answer: Answer, good, bad) -> None:
    rng = np.random.default_rng(6)
    assert checks.check_calibration(answer, *good(rng, 4000)).outcome == "clean"
    finding = checks.check_calibration(answer, *bad(rng, 4000))
    assert finding.outcome == "found" and finding.message
    assert checks.check_calibration(answer, *good(rng, 60)).outcome == "not_applicable"


def test_good_calibration_is_hardly_ever_called_bad() -> None:
    rng = np.random.default_rng(7)
    called = [
        checks.check_calibration(answer, *draw(rng, 400)).outcome == "found"
        for answer, draw in ((ABC, classified), (BAND, banded))
        for _ in range(100)
    ]
    assert np.mean(called) <= 0.05


def test_one_prediction_for_all_rows_is_constant_though_it_is_several_numbers() -> None:
    assert checks.check_constant(np.tile([0.2, 0.3, 0.5], (50, 1))).outcome == "found"
    assert checks.check_constant(classified(np.random.default_rng(8), 50)[1]).outcome == "clean"


def test_a_single_feature_that_tells_the_class_or_the_value_is_seen() -> None:
    rng = np.random.default_rng(9)
    y, _ = classified(rng, 3000)
    features = {
        "word": np.array(["x", "y", "z"], dtype=object)[y.astype(int)],
        "noise": rng.normal(0, 1, 3000),
    }
    alone = single_feature_scores(ABC, features, y, features, y)
    assert alone["word"] > 0.99 and alone["noise"] < 0.65
    assert checks.check_leakage(ABC, LeakFindings(len(y), alone)).outcome == "found"
    values = single_feature_scores(BAND, {"same": y + 0.0, "noise": features["noise"]}, y, {"same": y + 0.0, "noise": features["noise"]}, y)
    assert values["same"] > 0.95 and values["noise"] < 0.2


def test_bins_hold_every_row_once_per_class_and_once_for_quantiles() -> None:
    y, p = classified(np.random.default_rng(10), 333)
    by_class = class_calibration(ABC, y, p)
    assert sum(b.n for b in by_class) == 3 * 333 and {b.output for b in by_class} == set(ABC.numbers)
    value, q = banded(np.random.default_rng(11), 333)
    assert sum(b.n for b in coverage_bins(BAND, value, q)) == 333
    assert [b.predicted for b in reliability(BAND, value, q)] == list(BAND.quantiles)
