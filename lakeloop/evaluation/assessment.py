"""Everything that is found of a model version on its test rows, as one frozen record. Pure: scores and rows in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.evaluation import model_checks as checks
from lakeloop.evaluation.class_findings import ClassRow, class_calibration, class_rows, confusion
from lakeloop.evaluation.importance import MOST_ROWS, Importance, permutation_importance
from lakeloop.evaluation.quantile_findings import CoverageBin, coverage_bins, reliability
from lakeloop.evaluation.weak_slices import WeakSlice, find_weak_slices
from lakeloop.metrics.calibration import CalibrationBin, calibration_curve
from lakeloop.metrics.intervals import codes
from lakeloop.metrics.table import (
    LEAST_SLICE_ROWS,
    Difference,
    MetricValue,
    by_slice,
    evaluate,
    measure,
    metrics_of,
    paired_difference,
    reference_words,
    relative,
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
CANDIDATE, CHAMPION, CONSTANT, LINEAR, NAIVE = "candidate", "champion", "constant", "linear", "seasonal_naive"
ORDER = (CANDIDATE, CHAMPION, LINEAR, NAIVE, CONSTANT)
"""In which order models are shown. The last is the reference of a task, or else the one before it."""
LEAST_COMMON_ROWS = 100
"""Fewer rows than this say nothing about which of two models is better."""
DAYS_IN_WEEKS = 21
"""Error over time is shown by week, by day in a test window shorter than this."""
SEARCHED_ROWS = 60_000


@dataclass(frozen=True)
class Rows:
    """Rows with a label, and what the model says of them.

    Attributes:
        y: truth.
        at: when each was asked, `datetime64[us]`, UTC.
        frame: the features.
        scores: per model; the champion's are NaN on rows that it was trained on.
        slices: declared slices: column and values.
        known_at: when each label was known; None where it has no time.
    """

    y: Array
    at: Array
    frame: pd.DataFrame
    scores: Mapping[str, Array]
    slices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    known_at: Array | None = None


@dataclass(frozen=True)
class ForecastRows:
    """What rows of a forecast ask about.

    Attributes:
        column: that says how far ahead.
        ahead: how many steps that is.
        target: the time that is forecast, `datetime64[us]`, UTC.
        series: its name.
    """

    column: str
    ahead: Array
    target: Array
    series: Sequence[str]

    @staticmethod
    def named(columns: Sequence[Sequence[Any]], *, hidden: bool = False) -> list[str]:
        """One name from the columns that name a series; a number in the order of the rows where their values are personal.

        >>> ForecastRows.named([["b", "a", "b"], [1, 1, 1]])
        ['b · 1', 'a · 1', 'b · 1']
        >>> ForecastRows.named([["b", "a", "b"], [1, 1, 1]], hidden=True)
        ['series 1', 'series 2', 'series 1']
        """
        names = [" · ".join(map(str, parts)) for parts in zip(*columns, strict=True)]
        numbers = {name: f"series {number}" for number, name in enumerate(dict.fromkeys(names), 1)}
        return [numbers[name] for name in names] if hidden else names


@dataclass(frozen=True)
class Question:
    """What an assessment is asked to find.

    Attributes:
        answer: what the model says of a row.
        primary: the metric that decides.
        predict: scores of a frame of features.
        test: rows to judge by.
        fit: rows that the model was fitted on, or an even sample of them.
        test_start: when the test window begins.
        overlap: of entities, of the test rows with all rows that were fitted on.
        champion: its version, if there is one.
        champion_told: in which way it answers something else than is asked now, a sentence; see `lakeloop.training.comparison`.
        champion_known: whether it is known until when the champion's training rows go.
        refits: the primary metric of refits that differ in the seed; None where the model takes none.
        clusters: code per test row of rows that may depend on each other.
        costs: of wrong decisions.
        hidden: columns whose values must not be shown.
        seed: of what is drawn at random.
        forecast: what the test rows of a forecast ask about.
        elsewhere: that the model was trained elsewhere; then `fit` are rows that it could have been fitted on.
        planted: which of the test rows are planted, where there is no label.
        beside: metrics of the candidate that were measured on other rows.
        fit_times: when each of all rows that were fitted on was asked, and when its label was known; None where `fit` has them all.
        static: times are no times, but a shuffled order of the rows.
    """

    answer: Answer
    primary: str
    predict: Callable[[pd.DataFrame], Array]
    test: Rows
    fit: Rows
    test_start: np.datetime64
    overlap: checks.Overlap
    champion: str | None = None
    champion_told: str = ""
    champion_known: bool = True
    refits: Sequence[float] | None = None
    clusters: Array | None = None
    costs: Costs | None = None
    hidden: frozenset[str] = frozenset()
    seed: int = 0
    forecast: ForecastRows | None = None
    elsewhere: checks.Elsewhere | None = None
    planted: PlantedRows | None = None
    beside: Sequence[MetricValue] = ()
    fit_times: tuple[Array, Array] | None = None
    static: bool = False


@dataclass(frozen=True)
class Assessment:
    """What was found.

    Attributes:
        values: per model (candidate, champion, linear, the task's reference) its metrics.
        differences: the candidate less each other model on the same rows, by the primary metric.
        train: the primary metric on rows that were fitted on.
        by_day: the primary metric's interval, were days what is independent.
        slices: a row per declared slice.
        weak: the worst slices that were found, confirmed or not.
        searched: columns that were searched for them.
        importance: per feature.
        calibration: per bin of equal numbers (and class), or per quantile.
        classes: per class, of a classification in several.
        confusion: rows by class and by what was said of them, of the same.
        coverage: per bin of the predicted median, of a quantile regression.
        thresholds: of a binary classification.
        over_time: the primary metric per week or day; of a quantile regression also coverage and width.
        checks: one result per model check.
        importance_rows: rows that were shuffled.
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

    @property
    def own(self) -> dict[str, MetricValue]:
        """The candidate's metrics by name."""
        return {value.name: value for value in self.values[CANDIDATE]}


def assess(question: Question) -> Assessment:
    """Find everything."""
    q, test = question, question.test
    answer, primary, clusters, y = q.answer, q.primary, q.clusters, question.test.y
    score, reference = test.scores[CANDIDATE], test.scores[answer.kind.reference]
    values: dict[str, list[MetricValue]] = {}
    differences: dict[str, Difference] = {}
    # Rows that the candidate may have been trained on decide nothing.
    until = q.elsewhere.until if q.elsewhere else None
    unseen = np.ones(len(y), bool) if until is None else test.at >= until
    for who, other in test.scores.items():
        known = np.isfinite(other) if other.ndim == 1 else np.isfinite(other).all(axis=1)
        if who == CHAMPION and (known & unseen).sum() < LEAST_COMMON_ROWS:
            continue
        some = None if clusters is None else clusters[known]
        values[who] = evaluate(answer, y[known], other[known], clusters=some)
        values[who] += relative(answer, y[known], other[known], reference[known], clusters=some)
        if who != CANDIDATE:
            told = known & unseen
            held = _reference(answer, primary, other) if who == answer.kind.reference else other
            some = None if clusters is None else clusters[told]
            differences[who] = paired_difference(answer, primary, y[told], score[told], held[told], clusters=some)
    values[CANDIDATE] += q.beside
    own = {value.name: value for value in values[CANDIDATE]}
    metric = metrics_of(answer)[primary]
    train = measure(metric, q.fit.y, q.fit.scores[CANDIDATE])

    picked = evenly_spaced(len(y), SEARCHED_ROWS)
    shown = {name: test.frame[name].to_numpy()[picked] for name in test.frame.columns if name not in q.hidden}
    some = None if clusters is None else codes(clusters[picked])
    weak = find_weak_slices(row_loss(answer, y, score)[picked], shown, clusters=some, seed=q.seed)

    shuffled = evenly_spaced(len(y), MOST_ROWS)
    importance = permutation_importance(
        answer, primary, q.predict, test.frame.iloc[shuffled].reset_index(drop=True), y[shuffled],
        clusters=None if clusters is None else codes(clusters[shuffled]), seed=q.seed,
    )  # fmt: skip
    slices = [
        {"slice_by": column, **row}
        for column, listed in test.slices.items()
        for row in _in_order(column, by_slice(answer, y, score, listed, primary, clusters=clusters), q.forecast)
    ]
    return Assessment(
        values=values,
        differences=differences,
        train=train,
        by_day=measure(metric, y, score, clusters=codes(test.at.astype("datetime64[D]"))),
        slices=slices,
        weak=weak,
        searched=len(shown),
        importance=importance,
        calibration=_calibration(answer, y, score, clusters),
        thresholds=threshold_curve(y, score, q.costs, clusters) if answer.kind.costs else [],
        over_time=[row for name in (primary, *answer.kind.beside) for row in _over_time(answer, name, test, clusters)],
        checks=_checks(q, own, differences, train, weak, len(shown)),
        importance_rows=len(shuffled),
        classes=class_rows(answer, y, score, clusters) if answer.classes else [],
        confusion=confusion(answer, y, score) if answer.classes else None,
        coverage=coverage_bins(answer, y, score, clusters) if answer.quantiles else [],
    )


def _calibration(answer: Answer, y: Array, score: Array, clusters: Array | None) -> list[CalibrationBin]:
    if answer.classes:
        return class_calibration(answer, y, score, clusters)
    if answer.quantiles:
        return reliability(answer, y, score, clusters)
    return calibration_curve(y, score, scale="share" if answer.kind.shares else "plain", clusters=clusters)


def _checks(
    q: Question,
    own: Mapping[str, MetricValue],
    differences: Mapping[str, Difference],
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
    # What was planted says nothing of a feature that knows too much.
    alone = (
        {}
        if answer.kind.label == "none"
        else checks.single_feature_scores(
            answer, {n: fit.frame[n].to_numpy() for n in columns}, fit.y, {n: test.frame[n].to_numpy() for n in columns}, test.y
        )
    )
    half = (own[primary].high - own[primary].low) / 2
    fit_at, known_at = q.fit_times or (fit.at, fit.known_at)
    training = [
        checks.check_overfit(answer, primary, train, own[primary], fit_constant, test_constant),
        checks.check_time_overlap(fit_at, None if q.static else known_at, q.test_start),
        checks.check_entity_overlap(answer, primary, q.overlap, test.y, score, q.clusters),
    ]
    return [
        *(checks.check_elsewhere(q.elsewhere) if q.elsewhere else training),
        checks.check_leakage(answer, alone),
        checks.check_baseline(primary, differences[answer.kind.reference], differences.get(LINEAR), reference_words(answer, primary)),
        checks.check_champion(primary, q.champion, differences.get(CHAMPION)),
        checks.check_weak_slices(weak, searched),
        checks.check_calibration(answer, test.y, score, q.clusters),
        checks.check_constant(score),
        checks.check_seed(primary, q.refits, half),
    ]


def _reference(answer: Answer, primary: str, constant: Array) -> Array:
    """What knows nothing, as it does best by a metric."""
    return guessed_scores(constant) if metrics_of(answer)[primary].guessed else constant


def _in_order(column: str, rows: list[dict[str, Any]], forecast: ForecastRows | None) -> list[dict[str, Any]]:
    """Slices largest first, but for how far ahead a forecast is."""
    return sorted(rows, key=lambda row: int(row["slice"])) if forecast is not None and column == forecast.column else rows


def _over_time(answer: Answer, name: str, test: Rows, clusters: Array | None) -> list[dict[str, Any]]:
    """A metric per week (Monday to Sunday) or per day of a short window, per longer periods where these have too few rows."""
    days = test.at.astype("datetime64[D]")
    span = (days.max() - days.min()).astype(int) + 1 if len(days) else 0
    # numpy's weeks begin on Thursdays, the day of 1970-01-01.
    weeks = (days + np.timedelta64(3, "D")).astype("datetime64[W]").astype("datetime64[D]") - np.timedelta64(3, "D")
    months, quarters, years = (days.astype(f"datetime64[{unit}]").astype("datetime64[D]") for unit in ("M", "3M", "Y"))
    grains = [*([] if span >= DAYS_IN_WEEKS else [days]), weeks, months, quarters, years]
    period = next((grain for grain in grains if len(days) >= LEAST_SLICE_ROWS * len(np.unique(grain))), years)
    rows = by_slice(answer, test.y, test.scores[CANDIDATE], [str(day) for day in period], name, clusters=clusters)
    return sorted(({"period": row.pop("slice"), **row} for row in rows), key=lambda row: str(row["period"]))
