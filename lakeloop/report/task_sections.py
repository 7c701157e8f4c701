"""Sections of the report that only some tasks have, under the names that `lakeloop.spec.tasks` uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lakeloop.evaluation.assessment import CANDIDATE, Assessment, Question
from lakeloop.metrics.calibration import CALIBRATION_BINS
from lakeloop.metrics.thresholds import POINTS, ThresholdRow, find_cheapest
from lakeloop.metrics.wording import capitalize, format_interval, format_number, format_share, format_threshold
from lakeloop.report import plots, task_plots
from lakeloop.report.anomaly import planted_section
from lakeloop.report.forecast import horizon_section
from lakeloop.report.page import Cell, Figure, Paragraph, Section, Table

SHOWN_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def _calibration(question: Question, assessment: Assessment) -> Section:
    binary = question.answer.kind.costs
    what = "probability" if binary else "value"
    words = (
        "When it predicts 20%, does it happen one time in five?" if binary else "Are low and high predicted values right on average?"
    ) + f" {_points(len(assessment.calibration))}"
    check = next(c for c in assessment.checks if c.code == "LL108")
    rows = [
        [format_number(b.predicted), format_number(b.observed), format_interval(b.low, b.high), f"{b.n:,}"] for b in assessment.calibration
    ]
    columns = ["mean predicted", "mean observed", "95% interval", "rows"]
    blocks: list[Any] = [
        Paragraph(words),
        Figure(plots.plot_calibration(assessment.calibration, what), f"{capitalize(check.message)}.", "calibration" if binary else ""),
        Table(columns, rows, columns, folded="the points"),
    ]
    if binary:
        blocks.insert(
            2,
            Figure(
                plots.plot_score_histogram(question.test.y, question.test.scores[CANDIDATE]),
                "How well the scores separate the two outcomes.",
            ),
        )
    return Section("calibration", "Calibration", blocks)


def _points(count: int) -> str:
    """What a point of a calibration curve is; there are fewer than ten where many rows have the same prediction.

    >>> _points(10), _points(4)
    ('Each point is a tenth of the rows.', 'Each point is a group of rows; those with the same prediction stay together.')
    """
    return (
        "Each point is a tenth of the rows."
        if count == CALIBRATION_BINS
        else "Each point is a group of rows; those with the same prediction stay together."
    )


def _thresholds(question: Question, assessment: Assessment) -> Section:
    costs, best = question.costs, find_cheapest(assessment.thresholds)
    words = "A row is flagged when its probability is at least the threshold."
    if costs is not None and best is not None:
        words += (
            f" A false alarm costs {costs.false_positive:g} and a miss {costs.false_negative:g}: the threshold {format_threshold(best.threshold)} costs least, "
            f"{_cost(best)} per row. Flagging nothing costs {format_number(costs.false_negative * float(np.mean(question.test.y)))}, flagging everything "
            f"{format_number(costs.false_positive * float(1 - np.mean(question.test.y)))}."
        )
        if costs.false_negative * float(np.mean(question.test.y)) < (best.cost or 0.0):
            words += " At these costs no prediction of the model is worth a false alarm."
    else:
        words += " Declare under `evaluation: {costs: {false_positive: …, false_negative: …}}` what mistakes cost, and the cheapest threshold is shown."
    beyond = [row.threshold for row in assessment.thresholds if not POINTS[0] <= row.threshold <= POINTS[-1]]
    shown = {*SHOWN_THRESHOLDS, *beyond[:: max(len(beyond) // len(SHOWN_THRESHOLDS), 1)], *([best.threshold] if best else [])}
    columns = ["threshold", "flagged", "precision", "recall", *(["cost per row"] if costs else ["false alarms", "misses"])]
    rows: list[list[str | Cell]] = [
        [
            Cell(format_threshold(row.threshold), "good" if row is best else ""), f"{row.flagged:.1%}",
            format_share(row.precision, row.precision_low, row.precision_high), format_share(row.recall, row.recall_low, row.recall_high),
            *([_cost(row)] if row.cost is not None else [f"{row.false_positives:,}", f"{row.false_negatives:,}"]),
        ]
        for row in assessment.thresholds
        if row.threshold in shown
    ]  # fmt: skip
    note = "With 95% intervals."
    silent = [row.threshold for row in assessment.thresholds if row.threshold in shown and not row.flagged]
    if silent:
        note += f" At {format_threshold(min(silent))} and above nothing is flagged, so there is no precision, nor an interval of one."
    if best:
        note += " The cheapest threshold was chosen on these same rows, so its cost is slightly optimistic."
    picture = Figure(
        plots.plot_thresholds(assessment.thresholds, best), "Precision, recall and the share flagged by threshold; shaded: 95% intervals."
    )
    return Section(
        "thresholds", "Thresholds and costs" if costs else "Thresholds", [Paragraph(words), picture, Table(columns, rows, columns, note)]
    )


def _cost(row: ThresholdRow) -> str:
    cost, low, high = (math.nan if value is None else value for value in (row.cost, row.cost_low, row.cost_high))
    return f"{format_number(cost)} [{format_number(low)}, {format_number(high)}]" if math.isfinite(low) else format_number(cost)


def _residuals(question: Question, assessment: Assessment) -> Section:
    answer = question.answer
    picture = plots.plot_residuals(question.test.y, answer.point(question.test.scores[CANDIDATE]))
    what = "The predicted median. " if answer.quantiles else ""
    return Section(
        "residuals",
        "Errors",
        [
            Figure(
                picture, f"{what}The stronger the colour, the more rows. The axes leave out the outermost 0.5% at either end.", "residuals"
            )
        ],
    )


def _classes(question: Question, assessment: Assessment) -> Section:
    assert assessment.confusion is not None
    classes, rows = question.answer.classes, assessment.classes
    absent = [row.name for row in rows if not row.n]
    unpredicted = [row.name for row in rows if row.n and not row.predicted]
    words = "The predicted class is the most probable one. Precision is how often a prediction of the class is right, recall how much of the class is predicted."
    if absent:
        words += (
            f" No row of the window is of {_list_some(absent)}: means over the classes leave {'it' if len(absent) == 1 else 'them'} out."
        )
    if unpredicted:
        words += f" It never predicts {_list_some(unpredicted)}."
    columns = ["class", "rows", "predicted", "precision", "recall", "ROC AUC", "mean p"]
    cells = [
        [
            row.name, f"{row.n:,}", f"{row.predicted:,}", format_share(row.precision, row.precision_low, row.precision_high),
            format_share(row.recall, row.recall_low, row.recall_high), format_number(row.roc_auc), f"{row.mean_probability:.1%}",
        ]
        for row in rows
    ]  # fmt: skip
    more = "" if len(classes) <= task_plots.MOST_CLASSES else f" The {task_plots.MOST_CLASSES} most frequent of {len(classes)} classes."
    picture = Figure(
        task_plots.plot_confusion(assessment.confusion, list(map(str, classes))),
        f"Of the rows of each class (a line), the share predicted as each class.{more}",
        "confusion",
    )
    note = "Shares with 95% intervals. ROC AUC: against all others. Mean p: its mean probability over all rows."
    return Section("classes", "Class by class", [Paragraph(words), picture, Table(columns, cells, columns[1:], note)])


def _list_some(names: Sequence[str], most: int = 5) -> str:
    """Names for a sentence; of many, only the first.

    >>> _list_some(["a", "b"]), _list_some(list("abcdefgh"))
    ('a, b', 'a, b, c, d, e and 3 others')
    """
    return ", ".join(names) if len(names) <= most + 1 else f"{', '.join(names[:most])} and {len(names) - most} others"


def _class_calibration(question: Question, assessment: Assessment) -> Section:
    by_class = {
        str(label): [b for b in assessment.calibration if b.output == name]
        for name, label in zip(question.answer.numbers, question.answer.classes, strict=True)
    }
    frequent = {row.name: row.n for row in assessment.classes}
    order = sorted(by_class, key=lambda name: -frequent[name])
    check = next(c for c in assessment.checks if c.code == "LL108")
    words = "When it predicts 20% for a class, is it that class one time in five? Each point is a tenth of the rows; there are fewer points where many rows have the same prediction."
    if len(order) > task_plots.MOST_PANELS:
        words += f" The {task_plots.MOST_PANELS} most frequent classes are drawn."
    columns = ["class", "mean predicted", "mean observed", "95% interval", "rows"]
    rows = [
        [name, format_number(b.predicted), format_number(b.observed), format_interval(b.low, b.high), f"{b.n:,}"]
        for name in order
        for b in by_class[name]
    ]
    picture = Figure(task_plots.plot_class_calibration({name: by_class[name] for name in order}), f"{capitalize(check.message)}.")
    return Section(
        "calibration", "Calibration", [Paragraph(words), picture, Table(columns, rows, columns[1:], folded="the bins of all classes")]
    )


def _coverage(question: Question, assessment: Assessment) -> Section:
    low, high = question.answer.quantiles[0], question.answer.quantiles[-1]
    nominal, own = high - low, assessment.own
    words = (
        f"Between the quantiles {low:g} and {high:g} should lie {nominal:.0%} of the values; {format_share(own['coverage'].value, own['coverage'].low, own['coverage'].high)} do. The interval is "
        f"{format_number(own['width'].value)} wide on average. Where it covers too much it could be narrower; where it covers too little it is too narrow."
    )
    columns = ["mean predicted median", "share inside", "mean width", "rows"]
    rows = [
        [format_number(b.predicted), format_share(b.coverage, b.low, b.high), format_number(b.width), f"{b.n:,}"]
        for b in assessment.coverage
    ]
    blocks: list[Any] = [
        Paragraph(words),
        Figure(
            task_plots.plot_coverage(assessment.coverage, nominal),
            f"{_points(len(assessment.coverage))} By their predicted median.",
            "coverage",
        ),
        Table(columns, rows, columns, folded="the points"),
    ]
    for name in question.answer.kind.beside:
        finite = [row for row in assessment.over_time if row["metric"] == name and math.isfinite(row["value"])]
        if finite:
            blocks.append(Figure(plots.plot_over_time(finite, name, own[name].value), f"{capitalize(name)} over the test window."))
    return Section("coverage", "How much the interval covers", blocks)


def _reliability(question: Question, assessment: Assessment) -> Section:
    check = next(c for c in assessment.checks if c.code == "LL108")
    columns = ["quantile", "share of values below", "column"]
    rows = [[f"{b.predicted:g}", format_share(b.observed, b.low, b.high), b.output] for b in assessment.calibration]
    together = "" if check.outcome == "not_applicable" else " These intervals hold for all quantiles at once."
    picture = Figure(task_plots.plot_reliability(assessment.calibration), f"{capitalize(check.message)}.{together}")
    words = "What share of the values is at or below each predicted quantile?"
    return Section("calibration", "Each quantile", [Paragraph(words), picture, Table(columns, rows, columns[:2])])


def _horizons(question: Question, assessment: Assessment) -> Section:
    return horizon_section(question)


SECTIONS: Mapping[str, Callable[[Question, Assessment], Section]] = {
    "horizons": _horizons,
    "planted": planted_section,
    "calibration": _calibration,
    "thresholds": _thresholds,
    "residuals": _residuals,
    "classes": _classes,
    "class_calibration": _class_calibration,
    "coverage": _coverage,
    "reliability": _reliability,
}
"""The sections by the name that `lakeloop.spec.tasks` uses."""
