"""Model checks: common faults of a model, each with a code, three outcomes, and documentation that says what to do.

Each check is a small function of the data of an evaluation. Checks only warn; gates stop a promotion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lakeloop.evaluation.check_kinds import KINDS, CheckKind
from lakeloop.evaluation.entities import EntityColumn
from lakeloop.evaluation.leaks import LeakFindings
from lakeloop.evaluation.power import LEAST_POWER
from lakeloop.evaluation.quantile_findings import reliability
from lakeloop.evaluation.relations import LEAST_ROWS as LEAST_RELATED_ROWS
from lakeloop.evaluation.relations import columns_of
from lakeloop.evaluation.weak_slices import WeakSlice
from lakeloop.metrics.calibration import CALIBRATION_WORDS, binned_error, calibration_bounds, calibration_error
from lakeloop.metrics.classes import one_hot
from lakeloop.metrics.intervals import one_sided_p
from lakeloop.metrics.table import Difference, MetricValue, metrics_of, reference_words
from lakeloop.metrics.wording import format_number, format_plain_signed
from lakeloop.spec.tables import Task, render_duration
from lakeloop.spec.tasks import Answer, answer_of

Array = np.ndarray
Outcome = Literal["found", "clean", "not_applicable"]
ERROR_RATE = 0.05
MOST_SKILL_LOST = 0.5
"""Part of the advantage over a constant that may be lost from training to test rows. Some always is; half of it means that the model has
memorised more than it has learned."""
MOST_CALIBRATION_ERROR = 0.02
"""Two percentage points: less is rarely worth a recalibration."""
MOST_REGRESSION_GAP = 0.1
"""The same for a regression, in standard deviations of the label."""
LEAST_CALIBRATED_ROWS = 100
LEAST_WEAKNESS = 1.2
"""Loss in a slice over loss of the other rows; a smaller difference, even if confirmed, is no reason to act."""
CONSTANT_SHARE = 0.99
MOST_SEED_SHARE = 0.5
"""Standard deviation over seeds, over the half-width of the interval: above it the seed matters as much as the choice of rows."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check."""

    code: str
    outcome: Outcome
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> CheckKind:
        """The check with its documentation."""
        return KINDS[self.code]


@dataclass(frozen=True)
class SeenColumn:
    """A key or feature that the label belongs to, and per test row whether its value is among the training rows."""

    column: EntityColumn
    seen: Array


@dataclass(frozen=True)
class Overlap:
    """Which entities of the test rows are also among the training rows.

    Attributes:
        seen: per test row, whether its entity (all keys together) is among the training rows.
        repeats: whether entities occur more than once among the training rows.
        repeated: the names of single keys and features whose values repeat as those of an entity may.
        entities: those of them that the label belongs to.
        groups: the columns by which the rows were split.
        power: the share of planted entities, to which the label belongs, that are told as such among so many training rows.
    """

    seen: Array
    repeats: bool
    repeated: Sequence[str] = ()
    entities: Sequence[SeenColumn] = ()
    groups: Sequence[str] = ()
    power: float = 1.0


@dataclass(frozen=True)
class TrainedElsewhere:
    """What is known about the training of a model that was trained elsewhere; its training rows aren't.

    Attributes:
        source: the registered model and version.
        until: the end of its training rows, exclusive, `datetime64`, UTC; None where it wasn't declared.
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
        """What is known about the training, in words."""
        if self.until is None:
            return f"{self.source} was trained elsewhere, and it isn't known on what: it may have seen these rows"
        before = f"{self.source} was trained elsewhere, on rows before {self.until.astype('datetime64[m]').item():%Y-%m-%d %H:%M}"
        return f"{before}: it may have seen the rows of the test window until then" if self.may_have_seen else before


def check_trained_elsewhere(elsewhere: TrainedElsewhere) -> list[CheckResult]:
    """LL101 to LL103 for a model that was trained elsewhere: of its training rows only the end may be known."""
    unknown = [CheckResult(code, "not_applicable", f"it isn't known what {elsewhere.source} was trained on") for code in ("LL101", "LL103")]
    outcome: Outcome = "not_applicable" if elsewhere.until is None else "found" if elsewhere.may_have_seen else "clean"
    return [unknown[0], CheckResult("LL102", outcome, elsewhere.sentence), unknown[1]]


def check_overfit(
    what: Task | Answer, primary: str, train: MetricValue, test: MetricValue, constant_train: float, constant_test: float
) -> CheckResult:
    """LL101: how much of the advantage over a constant on training rows is left on test rows."""
    sign = 1.0 if metrics_of(what)[primary].greater_is_better else -1.0
    train_skill, test_skill = sign * (train.value - constant_train), sign * (test.value - constant_test)
    words = reference_words(what, primary)
    if not (math.isfinite(train_skill) and math.isfinite(test_skill)) or train_skill <= 0:
        return CheckResult("LL101", "not_applicable", f"the model is no better than {words} on its own training rows")
    # Half the width of an interval is about two standard errors.
    error = math.hypot(test.high - test.low, MOST_SKILL_LOST * (train.high - train.low)) / 4
    if not math.isfinite(error):
        return CheckResult("LL101", "not_applicable", f"{primary} has no interval on these rows")
    is_lost = one_sided_p((1 - MOST_SKILL_LOST) * train_skill - test_skill, error, 1e9) <= ERROR_RATE
    left = test_skill / train_skill
    message = (
        f"{primary} is {format_number(train.value)} on training rows and {format_number(test.value)} on test rows: "
        f"{left:.0%} of the advantage over {words} is left"
    )
    return CheckResult("LL101", "found" if is_lost else "clean", message, {"train": train.value, "test": test.value, "left": left})


def check_time_overlap(
    fit_at: Array, fit_known_at: Array | None, test_start: np.datetime64, early: Mapping[str, Sequence[str]] | None = None
) -> CheckResult:
    """LL102: training rows in the test window, labels that weren't known when the window began, or features that count as known too early.

    Args:
        fit_at: times of the rows that were fitted on.
        fit_known_at: when their labels became known; None where labels have no such time.
        test_start: when the test window begins.
        early: features that count as known always though the rows that they are computed from aren't, by what is said of them.
    """
    if early:
        columns = [name for names in early.values() for name in names]
        return CheckResult("LL102", "found", "; ".join(early), {"columns": columns})
    inside = int((fit_at >= test_start).sum())
    if inside:
        return CheckResult("LL102", "found", f"{inside:,} training rows are in the test window or later", {"rows": inside})
    if fit_known_at is None:
        return CheckResult("LL102", "clean", "no training row is in the test window; the label has no time of its own")
    is_late = fit_known_at >= test_start
    count = int(is_late.sum())
    if count:
        wait = (fit_known_at[is_late].max() - test_start).astype("timedelta64[h]").item()
        message = (
            f"the labels of {count:,} of {len(fit_known_at):,} training rows were known only after the test window began: a model trained on "
            f"that day could not have used them. A gap longer by {_hours(wait)} leaves them out"
        )
        return CheckResult("LL102", "found", message, {"rows": count, "share": count / len(fit_known_at)})
    return CheckResult("LL102", "clean", "every training row and its label were known before the test window began")


def check_entity_overlap(
    what: Task | Answer,
    primary: str,
    overlap: Overlap,
    y: Array,
    score: Array,
    clusters: Array | None = None,
    *,
    static: bool = False,
) -> CheckResult:
    """LL103: test rows of entities among the training rows, by any column that repeats, and whether the model is better on them.

    Args:
        what: the model predicts.
        primary: the metric that decides.
        overlap: of test and training rows.
        y: truth of the test rows.
        score: of the model.
        clusters: of the rows.
        static: rows have no time, so that rows of an entity that the label belongs to are on both sides by the draw alone. Where a later time
            is predicted, entities may be known by design.
    """
    count, n = int(overlap.seen.sum()), len(overlap.seen)
    if count and not overlap.repeats:
        message = f"{count:,} test rows have the keys of a training row, though no training row shares its keys with another"
        return CheckResult("LL103", "found", message, {"rows": count})
    torn = [each for each in overlap.entities if each.seen.any()]
    if static and torn:
        message = "; ".join(
            f"{each.column.sentence}: {each.seen.mean():.0%} of the test rows have a value of a training row" for each in torn
        )
        names = [each.column.name for each in torn]
        return CheckResult("LL103", "found", message, {"columns": names, "rows": int(torn[0].seen.sum())})
    beside = _looked_at(overlap)
    if not count and not torn:
        message = f"none of the {n:,} test rows has the keys of a training row{beside}"
        seen = f"of planted entities that the label belongs to, {overlap.power:.0%} are told in so many training rows"
        if not overlap.power >= LEAST_POWER:
            return CheckResult("LL103", "not_applicable", f"not enough to tell: {seen} (wanted {LEAST_POWER:.0%}); {message}")
        return CheckResult("LL103", "clean", f"{message}; {seen}", {"power": overlap.power})
    level = ERROR_RATE / (bool(count) + len(torn))
    results = [_known_and_new(what, primary, overlap.seen, y, score, clusters, level, "entities")] if count else []
    results += [_known_and_new(what, primary, each.seen, y, score, clusters, level, each.column.name) for each in torn]
    outcomes = [result.outcome for result in results]
    outcome: Outcome = next(each for each in ("found", "not_applicable", "clean") if each in outcomes)  # type: ignore[assignment]
    message = "; ".join(result.message for result in results if result.outcome == outcome)
    evidence = {name: value for result in results for name, value in result.evidence.items()}
    return CheckResult("LL103", outcome, message + beside, {**evidence, "by_design": True})


def _looked_at(overlap: Overlap) -> str:
    """Which columns were looked at beside the keys, as the end of a sentence."""
    names = [name.rpartition("__")[2] for name in overlap.repeated]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    columns = f"; of {len(names)} other columns whose values repeat ({shown}) " if names else "; no other column repeats as an entity may"
    told = f"the label belongs to {len(overlap.entities) or 'none'}" if names else ""
    grouped = f"; rows are split by {' and '.join(overlap.groups)}" if overlap.groups else ""
    return f"{columns}{told}{grouped}"


def _known_and_new(
    what: Task | Answer, primary: str, seen: Array, y: Array, score: Array, clusters: Array | None, level: float, named: str
) -> CheckResult:
    """Whether the model is better on test rows of known entities than on those of new ones."""
    n, count = len(seen), int(seen.sum())
    metric = metrics_of(what)[primary]
    both = [(y[mask], score[mask], None if clusters is None else clusters[mask]) for mask in (seen, ~seen)]
    on_seen, on_new = (metric.value(truth, scores) for truth, scores, _ in both)
    errors = [metric.spread(*rows).error if math.isfinite(value) else math.nan for rows, value in zip(both, (on_seen, on_new), strict=True)]
    if not np.isfinite(errors).all():
        message = f"{named} repeat by design ({count / n:.0%} of the test rows), and too few are new to compare with"
        return CheckResult("LL103", "not_applicable", message)
    sign = 1.0 if metric.greater_is_better else -1.0
    is_better = one_sided_p(sign * (on_seen - on_new), math.hypot(*errors), 1e9) <= level
    known, unknown = format_number(on_seen), format_number(on_new)
    message = f"{primary} is {known} on the {count:,} rows of known {named} and {unknown} on the {n - count:,} of new ones"
    return CheckResult("LL103", "found" if is_better else "clean", message, {"known": on_seen, "new": on_new, "rows": count})


def check_leakage(what: Task | Answer, findings: LeakFindings) -> CheckResult:
    """LL104: one feature that (nearly) predicts the label by itself, in all rows, where it has a value, or by its absence.

    Args:
        what: decides the metric and its limit, see `TaskKind.leak_limit`.
        findings: what the features say of the label.
    """
    metric, limit = answer_of(what).kind.leak_limit
    scores = {name: value for name, value in findings.alone.items() if math.isfinite(value)}
    if not scores:
        return CheckResult("LL104", "not_applicable", f"no feature could be scored by itself on {findings.rows:,} rows")
    suspects = findings.suspects(limit)
    if suspects:
        message = "; ".join(_suspicion(name, metric, limit, findings) for name in suspects)
        return CheckResult("LL104", "found", message, {**suspects, "columns": list(suspects)})
    best = max(scores, key=lambda name: scores[name])
    lacking = len(findings.alone) - len(scores)
    message = (
        f"of {len(scores)} features on {findings.rows:,} rows, the best by itself is {best}, with a {metric} of {scores[best]:.3f}"
        f"{f'; {lacking} could not be scored' if lacking else ''}"
    )
    if findings.given and scores[best] >= limit:
        message += f": it ranks the rows, and leaves {1 - findings.given[best]:.0%} of the label open"
    seen = f"of features that give the label in half of such rows, {findings.power:.0%} are found"
    if not findings.power >= LEAST_POWER:
        return CheckResult(
            "LL104", "not_applicable", f"not enough to tell: {seen} (wanted {LEAST_POWER:.0%}); {message}", {best: scores[best]}
        )
    return CheckResult("LL104", "clean", f"{message}; {seen}", {best: scores[best], "power": findings.power})


def check_relations(findings: LeakFindings) -> CheckResult:
    """LL111: several features that give the label together."""
    if findings.scope is None or findings.scope.rows < LEAST_RELATED_ROWS:
        rows = findings.rows if findings.scope is None else findings.scope.rows
        return CheckResult("LL111", "not_applicable", f"not looked for: {rows:,} rows, or nothing that a label could be made of")
    if findings.relations:
        message = "; ".join(relation.sentence for relation in findings.relations)
        return CheckResult("LL111", "found", message, {"columns": columns_of(findings.relations)})
    message = f"no features give the label together: {findings.scope.sentence}"
    seen = f"of planted features that give it together, {findings.relation_power:.0%} are found in so many"
    if not findings.relation_power >= LEAST_POWER:
        return CheckResult("LL111", "not_applicable", f"not enough to tell: {seen} (wanted {LEAST_POWER:.0%}); {message}")
    return CheckResult("LL111", "clean", f"{message}; {seen}", {"power": findings.relation_power})


def _suspicion(name: str, metric: str, limit: float, findings: LeakFindings) -> str:
    """What a feature says of the label, in words."""
    if findings.alone.get(name, 0.0) >= limit:
        return f"{name} alone has a {metric} of {findings.alone[name]:.3f}"
    if findings.present.get(name, 0.0) >= limit:
        return f"{name} alone has a {metric} of {findings.present[name]:.3f} on the rows where it has a value"
    if name not in findings.absent:
        return f"{name} alone puts {findings.ordered[name]:.1%} of the pairs of rows in order"
    return f"{name} says it by its absence: {findings.absent[name]}"


def check_baseline(
    primary: str, constant: Difference, linear: Difference | None, words: str = "a constant", better: str = ""
) -> CheckResult:
    """LL105: no better than a constant, or worse than a linear model on the same features; `better` names a baseline that other metrics prefer."""
    p = constant.p_not_worse()
    if not p <= ERROR_RATE:
        why = f"p {p:.3f}" if constant.degrees >= 1 and math.isfinite(constant.error) else "too few independent rows"
        message = f"{primary} differs by {format_plain_signed(constant.difference)} from {words}: that it is better is not shown ({why})"
        return CheckResult("LL105", "found", message, {"p": p})
    if linear is not None and linear.p_worse() <= ERROR_RATE:
        message = f"a linear model on the same features is better: {primary} differs by {format_plain_signed(linear.difference)} (p {linear.p_worse():.3g})"
        return CheckResult("LL105", "found", message, {"p": linear.p_worse()})
    if better:
        return CheckResult("LL105", "found", better)
    beside = f", and by {format_plain_signed(linear.difference)} from a linear model" if linear is not None and linear.error else ""
    return CheckResult(
        "LL105", "clean", f"{primary} differs by {format_plain_signed(constant.difference)} from {words}{beside} (positive is better)"
    )


def check_champion(primary: str, champion: str | None, comparison: Difference | None) -> CheckResult:
    """LL106: significantly worse than the champion on the same rows."""
    if champion is None:
        return CheckResult("LL106", "not_applicable", "there is no champion")
    if comparison is None or not comparison.degrees >= 1 or not math.isfinite(comparison.error):
        return CheckResult("LL106", "not_applicable", f"too few rows that champion {champion} wasn't trained on")
    p = comparison.p_worse()
    detectable = 2.49 * comparison.error  # z of 5% one-sided plus z of 80% power
    message = (
        f"{primary} differs by {format_plain_signed(comparison.difference)} from champion {champion} on the same {comparison.rows:,} rows (p of being no worse "
        f"{p:.3g}; a loss of {format_number(detectable)} would be detected four times in five)"
    )
    return CheckResult("LL106", "found" if p <= ERROR_RATE else "clean", message, {"p": p, "seen_at_80_percent": detectable})


def check_weak_slices(slices: Sequence[WeakSlice], searched: int) -> CheckResult:
    """LL107: a slice where the model errs much more than on the other rows, confirmed on rows that didn't propose it."""
    if not searched:
        return CheckResult("LL107", "not_applicable", "no column may be searched")
    weak = [s for s in slices if s.confirmed and s.loss >= LEAST_WEAKNESS * max(s.harder, 1.0) * s.rest]
    if not weak:
        return CheckResult("LL107", "clean", f"no slice of {searched} columns errs {LEAST_WEAKNESS:g} times as much as the rest")
    shown = "; ".join(f"{s.name} ({s.share:.1%} of rows, {s.loss / s.rest:.2f} times the loss of the rest)" for s in weak[:3])
    more = f"; and {len(weak) - 3} more" if len(weak) > 3 else ""
    return CheckResult("LL107", "found", shown + more, {s.name: s.loss / s.rest for s in weak})


def check_calibration(what: Task | Answer, y: Array, score: Array, clusters: Array | None = None) -> CheckResult:
    """LL108: probabilities, predicted values or quantiles that are off by significantly more than is tolerated."""
    answer = answer_of(what)
    if len(y) >= LEAST_CALIBRATED_ROWS and answer.numbers:
        return _check_quantiles(answer, y, score, clusters) if answer.quantiles else _check_classes(answer, y, score, clusters)
    shares = answer.kind.gives_probabilities
    unit, limit = (1.0, MOST_CALIBRATION_ERROR) if shares else (float(np.std(y)), MOST_REGRESSION_GAP)
    if answer.kind.label == "none":
        return CheckResult("LL108", "not_applicable", "an anomaly score is neither a probability nor a value")
    if len(y) < LEAST_CALIBRATED_ROWS or not unit:
        return CheckResult("LL108", "not_applicable", f"the {len(y)} rows are too few, or all have the same label")
    value, (low, high) = calibration_error(y, score) / unit, calibration_bounds(y, score, clusters, 0.95)
    low, high = low / unit, high / unit
    if not math.isfinite(low):
        return _without_interval()
    measured = "probability" if shares else "standard deviations of the label"
    message = (
        f"predicted and observed differ by {value:.3f} [{low:.3f}, {high:.3f}], in {measured}: {CALIBRATION_WORDS} "
        f"(with it {binned_error(y, score) / unit:.3f}); {limit:g} is tolerated"
    )
    return CheckResult("LL108", "found" if low > limit else "clean", message, {"value": value, "low": low, "high": high})


def _check_classes(answer: Answer, y: Array, score: Array, clusters: Array | None) -> CheckResult:
    """Test each class, with the error rate divided among them (Bonferroni)."""
    truth, level = one_hot(y, len(answer.classes)), 1 - ERROR_RATE / len(answer.classes)
    errors = {}
    for position, name in enumerate(map(str, answer.classes)):
        low, high = calibration_bounds(truth[:, position], score[:, position], clusters, level)
        errors[name] = (calibration_error(truth[:, position], score[:, position]), low, high)
    if not all(math.isfinite(low) for _, low, _ in errors.values()):
        return _without_interval()
    off = [name for name, (_, low, _) in errors.items() if low > MOST_CALIBRATION_ERROR]
    worst = off or [max(errors, key=lambda name: errors[name][0])]
    shown = "; ".join(f"{name} by {errors[name][0]:.3f} [{errors[name][1]:.3f}, {errors[name][2]:.3f}]" for name in worst[:3])
    more = f"; and {len(worst) - 3} more" if len(worst) > 3 else ""
    what = "the classes whose probability and frequency differ" if off else "probability and frequency differ most for"
    message = f"{what}: {shown}{more}: {CALIBRATION_WORDS}, of each class; {MOST_CALIBRATION_ERROR:g} is tolerated"
    return CheckResult("LL108", "found" if off else "clean", message, {name: errors[name][0] for name in worst})


def _check_quantiles(answer: Answer, y: Array, score: Array, clusters: Array | None) -> CheckResult:
    """Test each quantile, with the error rate divided among them (Bonferroni)."""
    rows = reliability(answer, y, score, clusters, 1 - ERROR_RATE / len(answer.quantiles))
    if not all(math.isfinite(row.low) for row in rows):
        return _without_interval()
    off = [row for row in rows if not row.low - MOST_CALIBRATION_ERROR <= row.predicted <= row.high + MOST_CALIBRATION_ERROR]
    shown = "; ".join(
        f"{row.observed:.1%} [{row.low:.1%}, {row.high:.1%}] of values are below the quantile {row.predicted:g}" for row in off or rows
    )
    message = f"{shown}; {MOST_CALIBRATION_ERROR:.0%} more or less is tolerated"
    return CheckResult("LL108", "found" if off else "clean", message, {row.output: row.observed for row in rows})


def _without_interval() -> CheckResult:
    return CheckResult("LL108", "not_applicable", "all rows may depend on each other, so no interval can be computed")


def check_constant(score: Array) -> CheckResult:
    """LL109: the same prediction for (nearly) every row."""
    if not len(score):
        return CheckResult("LL109", "not_applicable", "there are no rows")
    largest = float(np.abs(score).max())
    _, counts = np.unique(np.round(score / largest, 9) if largest else score, return_counts=True, axis=0)
    share = float(counts.max()) / len(score)
    message = f"the most frequent prediction is that of {share:.1%} of the rows; there are {len(counts):,} different ones"
    return CheckResult("LL109", "found" if share >= CONSTANT_SHARE else "clean", message, {"share": share})


def check_seed(primary: str, values: Sequence[float] | None, half_width: float) -> CheckResult:
    """LL110: the metric of refits that differ only in the seed.

    Args:
        primary: the metric.
        values: per seed; None where the estimator takes none.
        half_width: of the metric's interval on the same rows.
    """
    if values is None:
        return CheckResult(
            "LL110", "not_applicable", "no part of the model takes a seed, or it was trained elsewhere, or on a single class"
        )
    if not np.isfinite(values).all() or not (math.isfinite(half_width) and half_width > 0):
        return CheckResult("LL110", "not_applicable", f"{primary} has no interval on these rows")
    deviation = float(np.std(values, ddof=1))
    varied = f"has a standard deviation of {deviation:.2g}" if deviation else "is the same to the last digit"
    message = f"{primary} of {len(values)} refits by seed {varied}, beside an interval of ±{half_width:.2g} for the choice of rows"
    return CheckResult("LL110", "found" if deviation > MOST_SEED_SHARE * half_width else "clean", message, {"deviation": deviation})


def _hours(wait: Any) -> str:
    from datetime import timedelta

    return render_duration(timedelta(hours=math.ceil(wait.total_seconds() / 3600) + 1))
