"""Model checks: what is commonly wrong with a model, each with a code, three outcomes, and a page that says what to do.

Each check is a small function of what an evaluation has at hand. They warn; what stops a promotion are the gates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lakeloop.evaluation.check_kinds import KINDS, CheckKind
from lakeloop.evaluation.quantile_findings import reliability
from lakeloop.evaluation.weak_slices import WeakSlice
from lakeloop.metrics.calibration import calibration_bounds, calibration_error
from lakeloop.metrics.classes import one_hot
from lakeloop.metrics.intervals import one_sided_p
from lakeloop.metrics.table import METRICS, Difference, MetricValue, measure, metrics_of, reference_words
from lakeloop.metrics.wording import number, signed
from lakeloop.spec.tables import Task, render_duration
from lakeloop.spec.tasks import Answer, answer_of

Array = np.ndarray
Outcome = Literal["found", "clean", "not_applicable"]
ERROR_RATE = 0.05
MOST_SKILL_LOST = 0.5
"""Part of the advantage over a constant that may be lost from training to test rows. Some always is; half of it means that the model
remembers more than it knows."""
MOST_CALIBRATION_ERROR = 0.02
"""Two points of probability: less is rarely worth a recalibration."""
MOST_REGRESSION_GAP = 0.1
"""The same for a regression, in standard deviations of the label."""
LEAST_CALIBRATED_ROWS = 100
LEAST_TOLD = 10
"""Test rows, of a classification those of the rarest class, without which no feature can be said to tell them apart."""
CUTS = (0.001, 0.002, 0.005, 0.01, *np.linspace(0, 1, 51)[1:-1], 0.99, 0.995, 0.998, 0.999)
"""Quantiles of a feature between which the mean of the label is taken: fiftieths, and finer ones where tails are long."""
LEAST_WEAKNESS = 1.2
"""Loss in a slice over loss elsewhere; a confirmed but smaller difference is no reason to act."""
CONSTANT_SHARE = 0.99
MOST_SEED_SHARE = 0.5
"""Standard deviation over seeds, over the half-width of the interval: beyond it the seed decides as much as the rows do."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    code: str
    outcome: Outcome
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> CheckKind:
        """What the check is, as its documentation has it."""
        return KINDS[self.code]


@dataclass(frozen=True)
class Overlap:
    """Entities of the test rows that were trained on, and what that does to the primary metric.

    Attributes:
        seen: per test row, whether its entity (all keys together) is among the training rows.
        repeats: whether entities come more than once among the training rows.
    """

    seen: Array
    repeats: bool


@dataclass(frozen=True)
class Elsewhere:
    """That a model was trained elsewhere: nobody here knows its training rows.

    Attributes:
        source: what it is called there.
        until: its training rows are before that, `datetime64`, UTC; None where nobody said so.
        test_start: when the test window begins.
    """

    source: str
    until: np.datetime64 | None
    test_start: np.datetime64

    @property
    def may_have_seen(self) -> bool:
        """Whether test rows may be among its training rows."""
        return self.until is None or bool(self.until > self.test_start)

    @property
    def sentence(self) -> str:
        """What is known of it."""
        if self.until is None:
            return f"{self.source} was trained elsewhere, and it isn't known on what: it may have seen these rows"
        before = f"{self.source} was trained elsewhere, on what was before {self.until.astype('datetime64[m]').item():%Y-%m-%d %H:%M}"
        return f"{before}: it may have seen the rows of the test window until then" if self.may_have_seen else before


def check_elsewhere(elsewhere: Elsewhere) -> list[CheckResult]:
    """LL101 to LL103 of a model that was trained elsewhere: nothing can be said of its training rows but when they end."""
    unknown = [CheckResult(code, "not_applicable", f"it isn't known what {elsewhere.source} was trained on") for code in ("LL101", "LL103")]
    outcome: Outcome = "not_applicable" if elsewhere.until is None else "found" if elsewhere.may_have_seen else "clean"
    return [unknown[0], CheckResult("LL102", outcome, elsewhere.sentence), unknown[1]]


def check_overfit(
    what: Task | Answer, primary: str, train: MetricValue, test: MetricValue, constant_train: float, constant_test: float
) -> CheckResult:
    """LL101: the advantage over a constant on training rows, and how much of it is left on test rows."""
    sign = 1.0 if metrics_of(what)[primary].greater_is_better else -1.0
    known, left = sign * (train.value - constant_train), sign * (test.value - constant_test)
    words = reference_words(what, primary)
    if not (math.isfinite(known) and math.isfinite(left)) or known <= 0:
        return CheckResult("LL101", "not_applicable", f"the model is no better than {words} on its own training rows")
    # Half the width of an interval is about two standard errors.
    error = math.hypot(test.high - test.low, MOST_SKILL_LOST * (train.high - train.low)) / 4
    if not math.isfinite(error):
        return CheckResult("LL101", "not_applicable", f"{primary} has no interval on these rows")
    lost = one_sided_p((1 - MOST_SKILL_LOST) * known - left, error, 1e9) <= ERROR_RATE
    message = (
        f"{primary} is {number(train.value)} on training rows and {number(test.value)} on test rows: "
        f"{left / known:.0%} of the advantage over {words} is left"
    )
    return CheckResult("LL101", "found" if lost else "clean", message, {"train": train.value, "test": test.value, "left": left / known})


def check_time_overlap(fit_at: Array, fit_known_at: Array | None, test_start: np.datetime64) -> CheckResult:
    """LL102: training rows from the test window, or whose label wasn't known when it began."""
    inside = int((fit_at >= test_start).sum())
    if inside:
        return CheckResult("LL102", "found", f"{inside:,} training rows are of the test window or later", {"rows": inside})
    if fit_known_at is None:
        return CheckResult("LL102", "clean", "no training row is of the test window; the label has no time of its own")
    late = fit_known_at >= test_start
    count = int(late.sum())
    if count:
        wait = (fit_known_at[late].max() - test_start).astype("timedelta64[h]").item()
        message = (
            f"the labels of {count:,} of {len(fit_known_at):,} training rows were known only after the test window began: a model trained on "
            f"that day could not have had them. A gap longer by {_hours(wait)} leaves them out"
        )
        return CheckResult("LL102", "found", message, {"rows": count, "share": count / len(fit_known_at)})
    return CheckResult("LL102", "clean", "every training row and its label were known before the test window began")


def check_entity_overlap(
    what: Task | Answer, primary: str, overlap: Overlap, y: Array, score: Array, clusters: Array | None = None
) -> CheckResult:
    """LL103: test rows of entities that were trained on, and whether the model is better on them."""
    count, n = int(overlap.seen.sum()), len(overlap.seen)
    if not count:
        return CheckResult("LL103", "clean", f"none of the {n:,} test rows has the keys of a training row")
    if not overlap.repeats:
        message = f"{count:,} test rows have the keys of a training row, though no training row shares its keys with another"
        return CheckResult("LL103", "found", message, {"rows": count})
    new = ~overlap.seen
    metric = metrics_of(what)[primary]
    a, b = (measure(metric, y[m], score[m], clusters=None if clusters is None else clusters[m]) for m in (overlap.seen, new))
    if not (math.isfinite(a.value) and math.isfinite(b.value) and math.isfinite(a.low) and math.isfinite(b.low)):
        return CheckResult(
            "LL103",
            "not_applicable",
            f"entities are asked about again and again by design ({count / n:.0%} of the test rows), and too few are new to compare with",
        )
    sign = 1.0 if metric.greater_is_better else -1.0
    better = one_sided_p(sign * (a.value - b.value), math.hypot(a.high - a.low, b.high - b.low) / 4, 1e9) <= ERROR_RATE
    message = (
        f"{primary} is {number(a.value)} on the {count:,} rows of known entities and {number(b.value)} on the {n - count:,} of new ones"
    )
    return CheckResult("LL103", "found" if better else "clean", message, {"known": a.value, "new": b.value, "rows": count})


def check_leakage(what: Task | Answer, alone: Mapping[str, float]) -> CheckResult:
    """LL104: one feature that predicts the label (nearly) by itself.

    Args:
        what: decides the measure and its limit, see `TaskKind.alone`.
        alone: that measure on the test rows of each feature by itself, see `single_feature_scores`.
    """
    measure_name, limit = answer_of(what).kind.alone
    known = {name: value for name, value in alone.items() if math.isfinite(value)}
    if not known:
        return CheckResult("LL104", "not_applicable", "no feature could be scored by itself")
    best = max(known, key=lambda name: known[name])
    suspects = sorted((name for name in known if known[name] >= limit), key=lambda name: -known[name])
    if suspects:
        message = "; ".join(f"{name} alone has a {measure_name} of {known[name]:.3f}" for name in suspects)
        return CheckResult("LL104", "found", message, {name: known[name] for name in suspects})
    return CheckResult(
        "LL104", "clean", f"the best feature by itself is {best}, with a {measure_name} of {known[best]:.3f}", {best: known[best]}
    )


def check_baseline(primary: str, constant: Difference, linear: Difference | None, words: str = "a constant") -> CheckResult:
    """LL105: no better than a constant, or worse than a linear model on the same features."""
    p = constant.p_not_worse()
    if not p <= ERROR_RATE:
        why = f"p {p:.3f}" if constant.degrees >= 1 and math.isfinite(constant.error) else "too few independent rows"
        message = f"{primary} differs by {signed(constant.difference)} from {words}: that it is better is not shown ({why})"
        return CheckResult("LL105", "found", message, {"p": p})
    if linear is not None and linear.p_worse() <= ERROR_RATE:
        message = (
            f"a linear model on the same features is better: {primary} differs by {signed(linear.difference)} (p {linear.p_worse():.3g})"
        )
        return CheckResult("LL105", "found", message, {"p": linear.p_worse()})
    beside = f", and by {signed(linear.difference)} from a linear model" if linear is not None and linear.error else ""
    return CheckResult("LL105", "clean", f"{primary} differs by {signed(constant.difference)} from {words}{beside} (positive is better)")


def check_champion(primary: str, champion: str | None, comparison: Difference | None) -> CheckResult:
    """LL106: significantly worse than the champion on the same rows."""
    if champion is None:
        return CheckResult("LL106", "not_applicable", "there is no champion")
    if comparison is None or not comparison.degrees >= 1 or not math.isfinite(comparison.error):
        return CheckResult("LL106", "not_applicable", f"too few rows that champion {champion} wasn't trained on")
    p = comparison.p_worse()
    sees = 2.49 * comparison.error  # z of 5% one-sided plus z of 80% power
    message = (
        f"{primary} differs by {signed(comparison.difference)} from champion {champion} on the same {comparison.rows:,} rows (p of being no worse "
        f"{p:.3g}; a loss of {number(sees)} would be seen four times in five)"
    )
    return CheckResult("LL106", "found" if p <= ERROR_RATE else "clean", message, {"p": p, "seen_at_80_percent": sees})


def check_weak_slices(slices: Sequence[WeakSlice], searched: int) -> CheckResult:
    """LL107: a slice where the model errs much more than elsewhere, confirmed on rows that didn't propose it."""
    if not searched:
        return CheckResult("LL107", "not_applicable", "no column may be searched")
    weak = [s for s in slices if s.confirmed and s.loss >= LEAST_WEAKNESS * s.rest]
    if not weak:
        return CheckResult("LL107", "clean", f"no slice of {searched} columns errs {LEAST_WEAKNESS:g} times as much as the rest")
    shown = "; ".join(f"{s.name} ({s.share:.1%} of rows, {s.loss / s.rest:.2f} times the loss of the rest)" for s in weak[:3])
    more = f"; and {len(weak) - 3} more" if len(weak) > 3 else ""
    return CheckResult("LL107", "found", shown + more, {s.name: s.loss / s.rest for s in weak})


def check_calibration(what: Task | Answer, y: Array, score: Array, clusters: Array | None = None) -> CheckResult:
    """LL108: probabilities (or predicted values, or quantiles) that are off by more than matters, chance set aside."""
    answer = answer_of(what)
    if len(y) >= LEAST_CALIBRATED_ROWS and answer.numbers:
        return _check_quantiles(answer, y, score, clusters) if answer.quantiles else _check_classes(answer, y, score, clusters)
    shares = answer.kind.shares
    unit, limit = (1.0, MOST_CALIBRATION_ERROR) if shares else (float(np.std(y)), MOST_REGRESSION_GAP)
    if answer.kind.label == "none":
        return CheckResult("LL108", "not_applicable", "a score of strangeness is no probability and no value")
    if len(y) < LEAST_CALIBRATED_ROWS or not unit:
        return CheckResult("LL108", "not_applicable", f"{len(y)} rows say too little of it")
    value, (low, high) = calibration_error(y, score) / unit, calibration_bounds(y, score, clusters, 0.95)
    low, high = low / unit, high / unit
    if not math.isfinite(low):
        return _too_dependent()
    measured = "probability" if shares else "standard deviations of the label"
    message = f"predicted and observed differ by {value:.3f} [{low:.3f}, {high:.3f}] over ten bins, in {measured}; {limit:g} is tolerated"
    return CheckResult("LL108", "found" if low > limit else "clean", message, {"value": value, "low": low, "high": high})


def _check_classes(answer: Answer, y: Array, score: Array, clusters: Array | None) -> CheckResult:
    """Class by class, the error rate shared among them (Bonferroni)."""
    truth, level = one_hot(y, len(answer.classes)), 1 - ERROR_RATE / len(answer.classes)
    seen = {}
    for place, name in enumerate(map(str, answer.classes)):
        low, high = calibration_bounds(truth[:, place], score[:, place], clusters, level)
        seen[name] = (calibration_error(truth[:, place], score[:, place]), low, high)
    if not all(math.isfinite(low) for _, low, _ in seen.values()):
        return _too_dependent()
    off = [name for name, (_, low, _) in seen.items() if low > MOST_CALIBRATION_ERROR]
    worst = off or [max(seen, key=lambda name: seen[name][0])]
    shown = "; ".join(f"{name} by {seen[name][0]:.3f} [{seen[name][1]:.3f}, {seen[name][2]:.3f}]" for name in worst[:3])
    more = f"; and {len(worst) - 3} more" if len(worst) > 3 else ""
    what = "the classes whose probability and frequency differ" if off else "probability and frequency differ most for"
    message = f"{what}: {shown}{more}, over ten bins each; {MOST_CALIBRATION_ERROR:g} is tolerated"
    return CheckResult("LL108", "found" if off else "clean", message, {name: seen[name][0] for name in worst})


def _check_quantiles(answer: Answer, y: Array, score: Array, clusters: Array | None) -> CheckResult:
    """Quantile by quantile, the error rate shared among them (Bonferroni)."""
    rows = reliability(answer, y, score, clusters, 1 - ERROR_RATE / len(answer.quantiles))
    if not all(math.isfinite(row.low) for row in rows):
        return _too_dependent()
    off = [row for row in rows if not row.low - MOST_CALIBRATION_ERROR <= row.predicted <= row.high + MOST_CALIBRATION_ERROR]
    shown = "; ".join(
        f"{row.observed:.1%} [{row.low:.1%}, {row.high:.1%}] of values are below the quantile {row.predicted:g}" for row in off or rows
    )
    message = f"{shown}; {MOST_CALIBRATION_ERROR:.0%} more or less is tolerated"
    return CheckResult("LL108", "found" if off else "clean", message, {row.output: row.observed for row in rows})


def _too_dependent() -> CheckResult:
    return CheckResult("LL108", "not_applicable", "all rows may depend on each other, so that nothing says how far chance goes")


def check_constant(score: Array) -> CheckResult:
    """LL109: one and the same prediction for (nearly) every row."""
    if not len(score):
        return CheckResult("LL109", "not_applicable", "there are no rows")
    largest = float(np.abs(score).max())
    _, counts = np.unique(np.round(score / largest, 9) if largest else score, return_counts=True, axis=0)
    share = float(counts.max()) / len(score)
    message = f"the most frequent prediction is that of {share:.1%} of the rows; there are {len(counts):,} different ones"
    return CheckResult("LL109", "found" if share >= CONSTANT_SHARE else "clean", message, {"share": share})


def check_seed(primary: str, values: Sequence[float] | None, half_width: float) -> CheckResult:
    """LL110: the metric of refits that differ in nothing but the seed.

    Args:
        primary: the metric.
        values: per seed; None where the estimator takes none.
        half_width: of the metric's interval on the same rows.
    """
    if values is None:
        return CheckResult("LL110", "not_applicable", "no part of the model takes a seed, or it was trained elsewhere, or on one class")
    if not np.isfinite(values).all() or not (math.isfinite(half_width) and half_width > 0):
        return CheckResult("LL110", "not_applicable", f"{primary} has no interval on these rows")
    deviation = float(np.std(values, ddof=1))
    varied = f"has a standard deviation of {deviation:.2g}" if deviation else "is the same to the last digit"
    message = f"{primary} of {len(values)} refits by seed {varied}, beside an interval of ±{half_width:.2g} for the choice of rows"
    return CheckResult("LL110", "found" if deviation > MOST_SEED_SHARE * half_width else "clean", message, {"deviation": deviation})


def single_feature_scores(
    what: Task | Answer, fit: Mapping[str, Array], fit_y: Array, test: Mapping[str, Array], y: Array
) -> dict[str, float]:
    """How well each feature predicts by itself: means of the label per category or per fiftieth, learnt on `fit`, judged on `test`.

    Of a number also a straight line, whichever says more. NaN where the test rows are too few to say.
    """
    answer = answer_of(what)
    number_label = answer.kind.label == "number"
    fewest = len(y) if number_label else int(np.unique(y, return_counts=True)[1].min(initial=len(y)))
    if fewest < LEAST_TOLD:
        return dict.fromkeys(fit, math.nan)
    metric = METRICS["regression" if number_label else answer.task][answer.kind.alone[0]]
    told = one_hot(fit_y, len(answer.classes)) if answer.classes else fit_y
    found = {feature: metric.value(y, _means(fit[feature], told, test[feature])) for feature in fit}
    if number_label:
        lines = {feature: metric.value(y, _line(fit[feature], fit_y, test[feature])) for feature in fit if fit[feature].dtype != object}
        found |= {feature: max(value, found[feature]) for feature, value in lines.items() if math.isfinite(value)}
    return found


def _line(fit: Array, y: Array, test: Array) -> Array:
    """A straight line through the rows to fit on, where a feature isn't known its mean."""
    known = np.isfinite(fit)
    if known.sum() < 2 or not np.ptp(fit[known]):
        return np.full(len(test), y.mean())
    slope, intercept = np.polyfit(fit[known], y[known], 1)
    return np.asarray(np.where(np.isfinite(test), intercept + slope * test, y.mean()))


def _means(fit: Array, y: Array, test: Array) -> Array:
    import pandas as pd

    a, b = pd.Series(fit), pd.Series(test)
    if a.dtype != object:
        cuts = np.unique(np.nanquantile(a, CUTS)) if a.notna().any() else np.array([])
        # A value that is a cut stands by itself: of a flag that is rare all cuts are 0.
        a, b = (pd.Series(np.where(s.isna(), -1, np.searchsorted(cuts, s, "left") + np.searchsorted(cuts, s, "right"))) for s in (a, b))
    a, b = a.where(a.notna(), "(missing)"), b.where(b.notna(), "(missing)")
    # Keys of one type, so that a number never meets "(missing)".
    kinds, place = np.unique(a.astype(str), return_inverse=True)
    wide = y.reshape(len(y), -1)
    sums = np.stack([np.bincount(place, column, len(kinds)) for column in wide.T], axis=1)
    overall = wide.mean(axis=0)
    means = np.vstack([(sums + 10 * overall) / (np.bincount(place, minlength=len(kinds))[:, None] + 10), overall])
    known = pd.Index(kinds).get_indexer(pd.Index(b.astype(str)))  # -1, what wasn't there, is the last row
    return np.asarray(means[known].reshape(len(b), *y.shape[1:]))


def _hours(wait: Any) -> str:
    from datetime import timedelta

    return render_duration(timedelta(hours=math.ceil(wait.total_seconds() / 3600) + 1))
