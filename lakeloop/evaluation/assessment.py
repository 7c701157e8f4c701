"""All findings about a model version on its test rows, as one frozen record. Pure: scores and rows in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.evaluation import model_checks as checks
from lakeloop.evaluation.class_findings import ClassRow, class_calibration, class_rows, confusion
from lakeloop.evaluation.importance import MOST_ROWS, Importance, permutation_importance
from lakeloop.evaluation.leaks import LeakFindings, find_leaks
from lakeloop.evaluation.quantile_findings import CoverageBin, coverage_bins, reliability
from lakeloop.evaluation.simpler import better_baseline, compared_metrics
from lakeloop.evaluation.weak_slices import WeakSlice, find_weak_slices
from lakeloop.metrics.calibration import CalibrationBin, calibration_curve
from lakeloop.metrics.classes import one_hot
from lakeloop.metrics.clusters import ClusterVariance
from lakeloop.metrics.intervals import group_codes
from lakeloop.metrics.table import (
    LEAST_SLICE_ROWS,
    Difference,
    MetricValue,
    evaluate,
    measure,
    measure_slices,
    metrics_of,
    paired_difference,
    reference_words,
    relative_metrics,
    row_loss,
)
from lakeloop.metrics.thresholds import ThresholdRow, threshold_curve
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Costs
from lakeloop.training.baselines import guessed_scores
from lakeloop.training.frames import evenly_spaced

if TYPE_CHECKING:
    import pandas as pd

    from lakeloop.evaluation.anomaly_findings import PlantedRows

Array = np.ndarray
CANDIDATE, CHAMPION, BEST, CONSTANT, LINEAR, NAIVE = "candidate", "champion", "best", "constant", "linear", "seasonal_naive"
ORDER = (CANDIDATE, CHAMPION, BEST, LINEAR, NAIVE, CONSTANT)
"""The order in which models are shown. The reference of a task is the last, or the one before it."""
LEAST_COMMON_ROWS = 100
"""With fewer rows than this two models are not compared."""
DAYS_IN_WEEKS = 21
"""The error over time is shown by week; in a test window shorter than this, by day."""
SEARCHED_ROWS = 60_000
"""Rows at most in which weak slices are searched."""


@dataclass(frozen=True)
class Rows:
    """Rows with a label, and the models' scores of them.

    Attributes:
        y: truth.
        at: the time of each prediction, `datetime64[us]`, UTC.
        frame: the features.
        scores: per model; those of the champion and of the best release are NaN on rows that they were trained on.
        slices: declared slices: column and values.
        known_at: when each label became known; None where labels have no such time.
    """

    y: Array
    at: Array
    frame: pd.DataFrame
    scores: Mapping[str, Array]
    slices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    known_at: Array | None = None


@dataclass(frozen=True)
class ForecastRows:
    """The horizon, target time and series of the rows of a forecast.

    Attributes:
        column: that holds the horizon.
        ahead: the horizon of each row, in steps.
        target: the time that is forecast, `datetime64[us]`, UTC.
        series: the name of each row's series.
    """

    column: str
    ahead: Array
    target: Array
    series: Sequence[str]

    @staticmethod
    def series_names(columns: Sequence[Sequence[Any]], *, hidden: bool = False) -> list[str]:
        """One name per row from the columns that identify a series; a number in the order of the rows where their values are personal.

        >>> ForecastRows.series_names([["b", "a", "b"], [1, 1, 1]])
        ['b · 1', 'a · 1', 'b · 1']
        >>> ForecastRows.series_names([["b", "a", "b"], [1, 1, 1]], hidden=True)
        ['series 1', 'series 2', 'series 1']
        """
        names = [" · ".join(map(str, parts)) for parts in zip(*columns, strict=True)]
        numbers = {name: f"series {number}" for number, name in enumerate(dict.fromkeys(names), 1)}
        return [numbers[name] for name in names] if hidden else names


@dataclass(frozen=True)
class Question:
    """What an assessment is made of.

    Attributes:
        answer: what the model predicts.
        primary: the metric that decides.
        predict: computes the scores of a frame of features.
        test: rows to evaluate on.
        fit: rows that the model was fitted on, or an evenly spaced sample of them.
        test_start: when the test window begins.
        overlap: of the entities of the test rows with those of all rows that the model was fitted on.
        champion: its version, if there is one.
        best: the version of the best release so far, where it is another one and could be loaded.
        champion_note: how the champion's answer differs from the declared one, a sentence; see `lakeloop.training.comparison`.
        champion_known: whether the end of the champion's training rows is known.
        refits: the primary metric of refits that differ in the seed; None where the model takes none.
        clusters: code per test row of rows that may depend on each other; days or weeks as `datetime64`, whose neighbours may, too.
        costs: of wrong decisions.
        hidden: columns whose values must not be shown.
        seed: of random draws.
        forecast: horizon, target time and series of the test rows of a forecast.
        elsewhere: set when the model was trained elsewhere; `fit` are then rows that it could have been fitted on.
        planted: which of the test rows are planted, where there is no label.
        more_metrics: metrics of the candidate that were measured on other rows.
        fit_times: the times of prediction and of the known label of all rows that the model was fitted on; None where `fit` has them all.
        static: the rows have no time; their times are a shuffled order.
        champion_leaks: what features of the champion, which the model doesn't have, say of the label; empty where they don't.
        early: features that count as known always though the rows that they are computed from aren't, by what is said of them.
        gated: the metrics that gates name.
    """

    answer: Answer
    primary: str
    predict: Callable[[pd.DataFrame], Array]
    test: Rows
    fit: Rows
    test_start: np.datetime64
    overlap: checks.Overlap
    champion: str | None = None
    best: str | None = None
    champion_note: str = ""
    champion_known: bool = True
    refits: Sequence[float] | None = None
    clusters: Array | None = None
    costs: Costs | None = None
    hidden: frozenset[str] = frozenset()
    seed: int = 0
    forecast: ForecastRows | None = None
    elsewhere: checks.TrainedElsewhere | None = None
    planted: PlantedRows | None = None
    more_metrics: Sequence[MetricValue] = ()
    fit_times: tuple[Array, Array] | None = None
    static: bool = False
    champion_leaks: str = ""
    early: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gated: Sequence[str] = ()


@dataclass(frozen=True)
class Assessment:
    """The findings about a model version.

    Attributes:
        values: the metrics per model (candidate, champion, linear, the task's reference).
        differences: the candidate minus each other model on the same rows, by the primary metric.
        baselines: the candidate minus each baseline on the same rows, by every metric that it must not be worse by.
        train: the primary metric on rows that the model was fitted on.
        by_day: the primary metric with its interval when rows are clustered by day.
        clusters: how the primary metric varies over the declared clusters; None where rows are independent.
        slices: a row per declared slice.
        weak: the weakest slices of the search, confirmed or not.
        searched: the number of columns that were searched for weak slices.
        importance: per feature.
        calibration: per bin of equally many rows (and class), or per quantile.
        classes: per class of a multiclass classification.
        confusion: counts of rows by class and predicted class, of the same.
        coverage: per bin of the predicted median of a quantile regression.
        thresholds: of a binary classification.
        over_time: the primary metric per week or day; for a quantile regression also coverage and width.
        checks: one result per model check.
        importance_rows: the number of rows that were shuffled.
    """

    values: Mapping[str, list[MetricValue]]
    differences: Mapping[str, Difference]
    train: MetricValue
    by_day: MetricValue
    slices: list[dict[str, Any]]
    weak: list[WeakSlice]
    searched: int
    importance: list[Importance]
    calibration: list[CalibrationBin]
    thresholds: list[ThresholdRow]
    over_time: list[dict[str, Any]]
    checks: list[checks.CheckResult]
    importance_rows: int
    classes: list[ClassRow] = field(default_factory=list)
    confusion: Array | None = None
    coverage: list[CoverageBin] = field(default_factory=list)
    baselines: Mapping[str, Mapping[str, Difference]] = field(default_factory=dict)
    clusters: ClusterVariance | None = None

    @property
    def own(self) -> dict[str, MetricValue]:
        """The candidate's metrics by name."""
        return {value.name: value for value in self.values[CANDIDATE]}


def assess(question: Question) -> Assessment:
    """Compute metrics, differences, slices, importance, calibration and checks of a model version."""
    q, test = question, question.test
    answer, primary, clusters, y = q.answer, q.primary, q.clusters, question.test.y
    score = test.scores[CANDIDATE]
    values, differences = _compare(q)
    baselines = _against_baselines(q)
    own = {value.name: value for value in values[CANDIDATE]}
    metric = metrics_of(answer)[primary]
    train = measure(metric, q.fit.y, q.fit.scores[CANDIDATE])
    searched = [name for name in test.frame.columns if name not in q.hidden]
    weak = _weak_slices(q, searched)
    shuffled = evenly_spaced(len(y), MOST_ROWS)
    importance = permutation_importance(
        answer, primary, q.predict, test.frame.iloc[shuffled].reset_index(drop=True), y[shuffled],
        clusters=None if clusters is None else clusters[shuffled], seed=q.seed,
    )  # fmt: skip
    return Assessment(
        values=values,
        differences=differences,
        train=train,
        by_day=measure(metric, y, score, clusters=test.at.astype("datetime64[D]")),
        slices=_declared_slices(q),
        weak=weak,
        searched=len(searched),
        importance=importance,
        calibration=_calibration(answer, y, score, clusters),
        thresholds=threshold_curve(y, score, q.costs, clusters) if answer.kind.costs else [],
        over_time=[row for name in (primary, *answer.kind.beside) for row in _over_time(answer, name, test, clusters)],
        checks=_checks(q, own, differences, baselines, train, weak, len(searched)),
        importance_rows=len(shuffled),
        classes=class_rows(answer, y, score, clusters) if answer.classes else [],
        confusion=confusion(answer, y, score) if answer.classes else None,
        coverage=coverage_bins(answer, y, score, clusters) if answer.quantiles else [],
        baselines=baselines,
        clusters=metric.spread(y, score, clusters).clusters if len(y) else None,
    )


def _compare(q: Question) -> tuple[dict[str, list[MetricValue]], dict[str, Difference]]:
    """The metrics of every model, and the candidate's difference to each of the others on the same rows."""
    test, answer, primary, clusters, y = q.test, q.answer, q.primary, q.clusters, q.test.y
    score, reference = test.scores[CANDIDATE], test.scores[answer.kind.reference]
    values: dict[str, list[MetricValue]] = {}
    differences: dict[str, Difference] = {}
    unseen = _unseen(q)  # rows that the candidate may have been trained on don't count in comparisons
    for who, other in test.scores.items():
        scored = np.isfinite(other) if other.ndim == 1 else np.isfinite(other).all(axis=1)
        common = scored & unseen
        if who in (CHAMPION, BEST) and common.sum() < LEAST_COMMON_ROWS:
            continue
        row_clusters = None if clusters is None else clusters[scored]
        values[who] = evaluate(answer, y[scored], other[scored], clusters=row_clusters)
        values[who] += relative_metrics(answer, y[scored], other[scored], reference[scored], clusters=row_clusters)
        if who != CANDIDATE:
            opponent = _reference(answer, primary, other) if who == answer.kind.reference else other
            row_clusters = None if clusters is None else clusters[common]
            differences[who] = paired_difference(answer, primary, y[common], score[common], opponent[common], clusters=row_clusters)
    values[CANDIDATE] += q.more_metrics
    return values, differences


def _against_baselines(q: Question) -> dict[str, dict[str, Difference]]:
    """The candidate's difference to each baseline, by every metric that counts, on rows that it can't have been trained on."""
    test, answer, score = q.test, q.answer, q.test.scores[CANDIDATE]
    unseen = _unseen(q)
    clusters = None if q.clusters is None else q.clusters[unseen]
    return {
        who: {
            name: paired_difference(
                answer,
                name,
                test.y[unseen],
                score[unseen],
                (_reference(answer, name, scores) if who == answer.kind.reference else scores)[unseen],
                clusters=clusters,
            )
            for name in compared_metrics(answer, q.primary, q.gated)
        }
        for who, scores in test.scores.items()
        if who in (LINEAR, answer.kind.reference)
    }


def _unseen(q: Question) -> Array:
    """The test rows that the candidate can't have been trained on: all of them, unless it was trained elsewhere."""
    until = q.elsewhere.until if q.elsewhere else None
    return np.ones(len(q.test.y), bool) if until is None else np.asarray(q.test.at >= until)


def _weak_slices(q: Question, searched: Sequence[str]) -> list[WeakSlice]:
    picked = evenly_spaced(len(q.test.y), SEARCHED_ROWS)
    columns = {name: q.test.frame[name].to_numpy()[picked] for name in searched}
    row_clusters = None if q.clusters is None else group_codes(q.clusters[picked])
    y, target = q.test.y[picked], None
    if q.answer.kind.gives_probabilities:
        target = one_hot(y, len(q.answer.classes)) if q.answer.classes else y
    loss = row_loss(q.answer, q.test.y, q.test.scores[CANDIDATE])[picked]
    return find_weak_slices(loss, columns, clusters=row_clusters, seed=q.seed, target=target)


def _declared_slices(q: Question) -> list[dict[str, Any]]:
    return [
        {"slice_by": column, **row}
        for column, slice_values in q.test.slices.items()
        for row in _sort_slices(
            column, measure_slices(q.answer, q.test.y, q.test.scores[CANDIDATE], slice_values, q.primary, clusters=q.clusters), q.forecast
        )
    ]


def _calibration(answer: Answer, y: Array, score: Array, clusters: Array | None) -> list[CalibrationBin]:
    if answer.classes:
        return class_calibration(answer, y, score, clusters)
    if answer.quantiles:
        return reliability(answer, y, score, clusters)
    return calibration_curve(y, score, scale="share" if answer.kind.gives_probabilities else "plain", clusters=clusters)


def _checks(
    q: Question,
    own: Mapping[str, MetricValue],
    differences: Mapping[str, Difference],
    baselines: Mapping[str, Mapping[str, Difference]],
    train: MetricValue,
    weak: Sequence[WeakSlice],
    searched: int,
) -> list[checks.CheckResult]:
    answer, primary, test, fit = q.answer, q.primary, q.test, q.fit
    metric, score = metrics_of(answer)[primary], q.test.scores[CANDIDATE]
    test_constant, fit_constant = (
        metric.value(rows.y, _reference(answer, primary, rows.scores[answer.kind.reference])) for rows in (test, fit)
    )
    columns = list(fit.frame.columns)
    # Planted rows tell nothing about a feature that leaks the label.
    findings = (
        LeakFindings(len(test.y), {})
        if answer.kind.label == "none"
        else find_leaks(
            answer,
            {n: fit.frame[n].to_numpy() for n in columns},
            fit.y,
            {n: test.frame[n].to_numpy() for n in columns},
            test.y,
            seed=q.seed,
            together=q.forecast is None,
        )
    )
    half = (own[primary].high - own[primary].low) / 2
    fit_at, known_at = q.fit_times or (fit.at, fit.known_at)
    training = [
        checks.check_overfit(answer, primary, train, own[primary], fit_constant, test_constant),
        checks.check_time_overlap(fit_at, None if q.static else known_at, q.test_start, q.early),
        checks.check_entity_overlap(answer, primary, q.overlap, test.y, score, q.clusters, static=q.static),
    ]
    return [
        *(checks.check_trained_elsewhere(q.elsewhere) if q.elsewhere else training),
        checks.check_leakage(answer, findings),
        _check_baselines(answer, primary, differences, baselines),
        checks.check_champion(primary, q.champion, differences.get(CHAMPION)),
        checks.check_weak_slices(weak, searched),
        checks.check_calibration(answer, test.y, score, q.clusters),
        checks.check_constant(score),
        checks.check_seed(primary, q.refits, half),
        checks.check_relations(findings),
    ]


def _check_baselines(
    answer: Answer, primary: str, differences: Mapping[str, Difference], baselines: Mapping[str, Mapping[str, Difference]]
) -> checks.CheckResult:
    reference, words = answer.kind.reference, reference_words(answer, primary)
    records = {who: {name: d.record() for name, d in by_metric.items()} for who, by_metric in baselines.items()}
    better = better_baseline(records, primary, reference, words, checks.ERROR_RATE)
    return checks.check_baseline(primary, differences[reference], differences.get(LINEAR), words, better)


def _reference(answer: Answer, primary: str, constant: Array) -> Array:
    """The best scores without any knowledge: the constant, or guesses where the metric is best for guesses."""
    return guessed_scores(constant) if metrics_of(answer)[primary].guessed else constant


def _sort_slices(column: str, rows: list[dict[str, Any]], forecast: ForecastRows | None) -> list[dict[str, Any]]:
    """Sort slices by size, the largest first; those of a forecast's horizon by the horizon."""
    return sorted(rows, key=lambda row: int(row["slice"])) if forecast is not None and column == forecast.column else rows


def _over_time(answer: Answer, name: str, test: Rows, clusters: Array | None) -> list[dict[str, Any]]:
    """A metric per week (Monday to Sunday), per day in a short window, or per longer period where these have too few rows."""
    days = test.at.astype("datetime64[D]")
    span = (days.max() - days.min()).astype(int) + 1 if len(days) else 0
    # numpy's weeks begin on Thursdays, the day of 1970-01-01.
    weeks = (days + np.timedelta64(3, "D")).astype("datetime64[W]").astype("datetime64[D]") - np.timedelta64(3, "D")
    months, quarters, years = (days.astype(f"datetime64[{unit}]").astype("datetime64[D]") for unit in ("M", "3M", "Y"))
    grains = [*([] if span >= DAYS_IN_WEEKS else [days]), weeks, months, quarters, years]
    period = next((grain for grain in grains if len(days) >= LEAST_SLICE_ROWS * len(np.unique(grain))), years)
    rows = measure_slices(answer, test.y, test.scores[CANDIDATE], [str(day) for day in period], name, clusters=clusters)
    return sorted(({"period": row.pop("slice"), **row} for row in rows), key=lambda row: str(row["period"]))
