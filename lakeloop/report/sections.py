"""Sections of the report that every task has; those of some tasks are in `lakeloop.report.task_sections`, that of a search in its own module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lakeloop.evaluation.assessment import BEST, CANDIDATE, CHAMPION, CONSTANT, LINEAR, NAIVE, ORDER, Assessment, Question
from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.evaluation.importance import REPEATS
from lakeloop.evaluation.model_checks import CheckResult, TrainedElsewhere
from lakeloop.evaluation.weak_slices import TESTED
from lakeloop.metrics.calibration import CALIBRATION_WORDS, binned_error
from lakeloop.metrics.table import MetricValue, metrics_of, reference_words
from lakeloop.metrics.wording import (
    capitalize,
    format_count,
    format_difference,
    format_interval,
    format_metric,
    format_minute,
    format_number,
    format_p_value,
)
from lakeloop.report import plots
from lakeloop.report.page import Cell, Figure, Paragraph, Section, Table, Tone
from lakeloop.report.subject import GateOutcome, Subject

NAMES = {
    CANDIDATE: "this model",
    CHAMPION: "champion",
    BEST: "best release",
    LINEAR: "linear model",
    NAIVE: "seasonal naive",
    CONSTANT: "constant",
}
MOST_SLICE_ROWS = 40
CALIBRATION = "calibration_error"


def purpose_section(subject: Subject, question: Question) -> Section:
    """The purpose of the model, its label and the time of its predictions."""
    rows = [
        ["question", subject.description],
        [
            "predicted at",
            "any time: rows have no time" if subject.static else f"{subject.predict_at}, for every row of the spine",
        ],
        ["label", f"{subject.label}{f', in {subject.unit}' if subject.unit else ''}"],
        ["task", question.answer.task.replace("_", " ")],
        ["decided by", f"{question.primary}: {metrics_of(question.answer)[question.primary].description}"],
        ["model", subject.pipeline],
        ["contact", ", ".join(subject.owners) or "no owner is declared"],
    ]
    return Section("purpose", "What the model is for", [Table(["", ""], rows)])


def data_section(subject: Subject, elsewhere: TrainedElsewhere | None, *, has_label: bool) -> Section:
    """Windows, inputs with their Delta versions, and features."""
    windows = [
        [name, format_minute(ends[0]), format_minute(ends[1]), f"{subject.window_rows.get(name, 0):,}"]
        for name, ends in sorted(subject.windows.items(), key=lambda item: item[1])
    ]
    rows = "labelled rows" if has_label else "rows"
    columns = ["window", "from (UTC)", "to (UTC)", rows]
    if subject.static:
        columns, windows = ["window", rows], [[name, count] for name, _, _, count in windows]
    how = (
        "The windows are shares of the rows, drawn by a hash of their keys; the rows have no time."
        if subject.static
        else f"The windows are counted back from the newest {'known label' if has_label else 'row'}."
    )
    inputs = [[table, str(version)] for table, version in sorted(subject.inputs.items())]
    features = [[name, text] for name, text in subject.features.items()]
    return Section(
        "data",
        "Data and versions",
        [
            Paragraph(
                (f"{elsewhere.sentence}. It is evaluated on" if elsewhere else f"Fitted on {subject.fitted_rows:,} rows of")
                + f" version {subject.training_set} of the training set, with {format_count(len(features), 'feature')}"
                + ("" if subject.static else f", each as it was known at {subject.predict_at}")
                + f". {how}"
            ),
            Table(columns, windows, [rows]),
            Table(
                ["input", "Delta version"],
                inputs,
                ["Delta version"],
                folded=format_count(len(inputs), "input table"),
            ),
            Table(["feature", "description"], features, folded=format_count(len(features), "feature")),
        ],
    )


def headline_section(subject: Subject, question: Question, assessment: Assessment) -> Section:
    """Every metric with its interval, beside baselines and champion on the same rows, and the gates."""
    order = [who for who in ORDER if who in assessment.values]
    by_name = {who: {v.name: v for v in assessment.values[who]} for who in order}
    rows: list[list[str | Cell]] = [
        [name, *[format_metric(by_name[who][name]) if name in by_name[who] else "" for who in order]] for name in by_name[CANDIDATE]
    ]
    versions = {CHAMPION: subject.champion, BEST: question.best}
    names = [f"{NAMES[who]} {versions[who]}" if who in versions else NAMES[who] for who in order]
    blocks: list[Any] = [
        Figure(
            plots.plot_metric_comparison(assessment.values, question.primary),
            f"{capitalize(better(question))}. {_same_rows(question, by_name)}",
            "metric_comparison",
        ),
        Table(
            ["metric", *names],
            rows,
            names,
            f"Value and 95% interval on the test window. {_directions(question, by_name[CANDIDATE])} {_calibration_words(question)}".strip(),
        ),
    ]
    doubts = [f"{value.name}: {value.doubt}." for value in assessment.values[CANDIDATE] if value.doubt]
    blocks += [Paragraph(" ".join(doubts))] if doubts else []
    blocks.append(_simpler_table(question, assessment))
    if question.answer.kind.costs:
        blocks.append(
            Figure(
                plots.plot_roc_pr(question.test.y, question.test.scores[CANDIDATE]),
                "Dashed: a model without any knowledge.",
                "roc_and_precision_recall",
            )
        )
    if subject.gates:
        blocks.append(
            Table(
                ["gate", "required", "observed", "outcome"],
                [[name, gate.required, gate.observed, _outcome_cell(gate)] for name, gate in subject.gates.items()],
                ["required", "observed"],
            )
        )
    return Section("headline", "How good it is", blocks)


def _simpler_table(question: Question, assessment: Assessment) -> Table:
    """The differences from each baseline by every metric that it must not be better by."""
    order = [who for who in ORDER if who in assessment.baselines]
    names = [NAMES[who] for who in order]
    rows = [
        [metric, *[format_difference(d.difference, d.low, d.high) for d in (assessment.baselines[who][metric] for who in order)]]
        for metric in assessment.baselines[question.answer.kind.reference]
    ]
    caption = (
        f"How much better it is than what is simpler, paired row by row (positive is better). The gate champion requires that it is shown to beat "
        f"{reference_words(question.answer, question.primary)} by {question.primary}, which must not be better by another of these metrics, nor the "
        "linear model significantly better by any."
    )
    return Table(["metric", *names], rows, names, caption)


def better(question: Question) -> str:
    """The direction of the deciding metric."""
    return "higher is better" if metrics_of(question.answer)[question.primary].greater_is_better else "lower is better"


def _same_rows(question: Question, by_name: Mapping[str, Mapping[str, MetricValue]]) -> str:
    fewer = by_name[CHAMPION][question.primary].n if CHAMPION in by_name else len(question.test.y)
    if fewer == len(question.test.y):
        return "All on the same rows."
    which = "that it wasn't trained on" if question.champion_known else "that it could predict"
    return f"All on the same rows, except the champion's: the {fewer:,} of {len(question.test.y):,} {which}."


def _directions(question: Question, shown: Mapping[str, MetricValue]) -> str:
    """Which metrics are better when higher, and which when lower; those that are neither are left out."""
    deciding = [metric for name, metric in metrics_of(question.answer).items() if metric.decides and name in shown]
    directions = [
        (way, [metric.name for metric in deciding if metric.greater_is_better is up]) for way, up in (("Higher", True), ("lower", False))
    ]
    words = "; ".join(f"{way} is better for {', '.join(names)}" for way, names in directions if names)
    return f"{capitalize(words)}." if words else ""


def _calibration_words(question: Question) -> str:
    """What `calibration_error` is, and what it is without the correction; nothing where it is no metric."""
    if CALIBRATION not in metrics_of(question.answer):
        return ""
    y, score = question.test.y, question.test.scores[CANDIDATE]
    if score.ndim > 1:
        y, score = (score.argmax(axis=1) == y).astype(float), score.max(axis=1)
    of = "of the most probable class and how often it is right, " if question.answer.classes else ""
    return f"{CALIBRATION} is {of}{CALIBRATION_WORDS}; with it, this model has {format_number(binned_error(y, score))}."


def _outcome_cell(gate: GateOutcome) -> Cell:
    if gate.is_passed:
        return Cell(gate.outcome, "good")
    return Cell(gate.outcome, "bad") if gate.is_blocking else Cell(f"{gate.outcome}, a warning", "quiet")


def champion_section(subject: Subject, question: Question, assessment: Assessment) -> Section:
    """The paired difference to the champion, or why there is none."""
    d = assessment.differences.get(CHAMPION)
    if d is None and CHAMPION not in question.test.scores:
        reason = f"They aren't compared: {question.champion_note}. The gates decide, and whether this model is better than a constant."
        return Section("champion", f"Against champion {subject.champion}", [Paragraph(reason)])
    if d is None:
        return Section(
            "champion",
            f"Against champion {subject.champion}",
            [Paragraph("Too few rows of the test window are later than the champion's training rows, so the models can't be compared.")],
        )
    is_known = question.champion_known and (question.elsewhere is None or question.elsewhere.until is not None)
    blocks: list[Any] = [
        Paragraph(
            f"On {d.rows:,} rows{' that neither was trained on' if is_known else ''}, {question.primary} differs by {format_difference(d.difference, d.low, d.high)} "
            "(positive is better), paired row by row."
        ),
        *([Paragraph(f"Note that {question.champion_note}.")] if question.champion_note else []),
        *([] if question.champion_known else [Paragraph("The champion's training rows aren't known: it may have seen these rows.")]),
    ]
    if BEST in assessment.differences:
        from_best = assessment.differences[BEST]
        figures = format_difference(from_best.difference, from_best.low, from_best.high)
        blocks.append(
            Paragraph(
                f"From version {question.best}, the best release so far, it differs by {figures} on {from_best.rows:,} rows. The same loss must be ruled out "
                "against it, so that many releases together lose no more than one does."
            )
        )
    if subject.margin is not None:
        p = d.p_not_worse(subject.margin)
        loss = f"a loss of {subject.margin:g} or more" if subject.margin else "being no better"
        blocks.append(
            Paragraph(
                f"The gate requires that {loss} is ruled out at an error rate of {subject.error_rate:g}. The probability of such a figure under that loss "
                f"is {format_p_value(p)}, so it {'is' if p <= subject.error_rate else 'is not'} ruled out. A model exactly at this limit is promoted at most "
                f"{subject.error_rate:.0%} of the time."
            )
        )
    return Section("champion", f"Against champion {subject.champion}", blocks)


def importance_section(question: Question, assessment: Assessment) -> Section:
    """How much worse the metric gets when one feature is shuffled."""
    columns = ["feature", "how much worse", "95% interval"]
    rows = [[item.feature, format_number(item.value), format_interval(item.low, item.high)] for item in assessment.importance]
    unimportant = sum(not item.low > 0 for item in assessment.importance)
    words = (
        f"How much worse {question.primary} gets when one feature is shuffled among the rows: what the model relies on, not what causes anything. "
        "Of two features that hold the same information, each looks less important than both together."
    )
    if unimportant:
        words += f" {unimportant} of {len(assessment.importance)} can't be distinguished from no importance at all."
    note = f"{REPEATS} shuffles of {assessment.importance_rows:,} evenly spaced test rows; the interval covers the choice of rows, both those predicted and those whose values are taken."
    more = f" The {plots.MOST_LINES} most important of {len(rows)}." if len(rows) > plots.MOST_LINES else ""
    picture = Figure(
        plots.plot_importance(assessment.importance, question.primary),
        f"Grey: not distinguishable from zero.{more}",
        "importance",
    )
    return Section(
        "importance",
        "What it relies on",
        [
            Paragraph(words),
            picture,
            Table(columns, rows, columns[1:], note, f"all {len(rows)} features" if len(rows) > 1 else "the figures"),
        ],
    )


def over_time_section(question: Question, assessment: Assessment, overall: MetricValue) -> Section:
    """The deciding metric by period, where rows have a time."""
    columns = ["from", "rows", question.primary, "95% interval"]
    rows = [
        [str(row["period"]), f"{row['n']:,}", format_number(row["value"]), format_interval(row["low"], row["high"])]
        for row in assessment.over_time
        if row["metric"] == question.primary
    ]
    finite = [row for row in assessment.over_time if row["metric"] == question.primary and math.isfinite(row["value"])]
    if len(rows) < 2:
        reason = f"The {overall.n:,} rows of the test window are too few for more than one period, so no change over time is shown."
        return Section("time", "How it does over time", [Paragraph(reason)])
    blocks: list[Any] = [Table(columns, rows, columns[1:], folded=f"the {format_count(len(rows), 'period')}")]
    if finite:
        caption = f"By the first day of each period, {better(question)}. Where a bar leaves the picture, its interval is in the table."
        blocks.insert(0, Figure(plots.plot_over_time(finite, question.primary, overall.value), caption))
    return Section("time", "How it does over time", blocks)


def is_sliced(question: Question, assessment: Assessment) -> bool:
    """Whether there are declared slices other than the horizons of a forecast, which have their own section."""
    horizon = question.forecast.column if question.forecast else None
    return any(row["slice_by"] != horizon for row in assessment.slices)


def slices_section(question: Question, assessment: Assessment) -> Section:
    """The deciding metric by each declared slice."""
    blocks: list[Any] = []
    for column in dict.fromkeys(row["slice_by"] for row in assessment.slices):
        if question.forecast is not None and column == question.forecast.column:
            continue  # horizons have their own section
        rows = [row for row in assessment.slices if row["slice_by"] == column]
        drawn = sum(math.isfinite(row["value"]) for row in rows)
        order = "largest first" if drawn <= plots.MOST_LINES else f"the {plots.MOST_LINES} largest of {len(rows)}, largest first"
        if drawn:
            blocks.append(
                Figure(
                    plots.plot_slices(rows, column, question.primary, assessment.own[question.primary].value),
                    f"By {column}, {order} (rows in brackets); {better(question)}. Dashed: all rows; grey: few rows.",
                    f"by_{column}",
                )
            )
        columns = [column, "rows", question.primary, "95% interval"]
        cells = [
            [str(r["slice"]), f"{r['n']:,}", format_number(r["value"]), format_interval(r["low"], r["high"])]
            for r in rows[:MOST_SLICE_ROWS]
        ]
        more = f"The {MOST_SLICE_ROWS} largest of {len(rows)}; all are in reports/slices." if len(rows) > MOST_SLICE_ROWS else ""
        blocks.append(Table(columns, cells, columns[1:], more, f"the figures by {column}"))
    return Section("slices", "By declared slice", blocks)


def weak_section(question: Question, assessment: Assessment) -> Section:
    """Slices with more error than the other rows, and which of them chance explains."""
    loss = question.answer.kind.loss_words
    confirmed = [item for item in assessment.weak if item.confirmed]
    words = (
        f"{format_count(assessment.searched, 'feature')} {'was' if assessment.searched == 1 else 'were'} searched, alone and in pairs, for rows whose loss ({loss}) is higher than that of the others. Half of the test rows proposed up to "
        f"{TESTED} slices; the figures and tests are from the other half, so the search itself doesn't bias them."
    )
    words += f" {len(confirmed)} of {len(assessment.weak)} were confirmed." if assessment.weak else " None was proposed."
    columns = ["slice", "share of rows", "loss", "other rows", "ratio", "p", "outcome"]
    rows: list[list[str | Cell]] = [
        [
            item.name, f"{item.share:.1%}", format_number(item.loss), format_number(item.rest), f"{item.loss / item.rest:.2f}" if item.rest else "", format_p_value(item.p),
            Cell("confirmed", "bad") if item.confirmed else Cell("chance", "quiet"),
        ]
        for item in assessment.weak
    ]  # fmt: skip
    if question.answer.kind.gives_probabilities:
        words += " The check of weak slices leaves out those that are worse only as far as the outcome is more frequent in them: there every model loses more."
    small = "More error in a slice isn't always a fault of this model: where the outcome is less certain, every model errs more."
    table = [Table(columns, rows, columns[1:6], "p: adjusted for all tested slices (Holm).")] if rows else []
    return Section("weak", "The worst slices, found automatically", [Paragraph(words), *table, Paragraph(small, quiet=True)])


def checks_section(assessment: Assessment) -> Section:
    """The outcome of every model check, with advice for those that found something."""
    tones: dict[str, Tone] = {"found": "bad", "clean": "good", "not_applicable": "quiet"}
    rows: list[list[str | Cell]] = [
        [c.code, c.kind.title, Cell(c.outcome.replace("_", " "), tones[c.outcome]), c.message] for c in assessment.checks
    ]  # fmt: skip
    suspicious = [c for c in assessment.checks if c.outcome == "found"]
    blocks: list[Any] = [Table(["code", "check", "outcome", "finding"], rows)]
    blocks += [_advice(check) for check in suspicious]
    return Section("checks", "Model checks", blocks)


def _advice(check: CheckResult) -> Paragraph:
    kind = KINDS[check.code]
    return Paragraph(f"{kind.code} {kind.title}. {kind.meaning} {kind.what_to_do}", quiet=True)


def changes_section(subject: Subject) -> Section:
    """The recorded differences to the previous version."""
    title = f"What changed since version {subject.previous}" if subject.previous else "What changed since the last version"
    if subject.previous is None:
        return Section("changes", title, [Paragraph("This is the first version that was evaluated.")])
    if not subject.changes:
        return Section("changes", title, [Paragraph("Nothing that is recorded: data, features, parameters and windows are the same.")])
    rows = [[change.what, change.before, change.after] for change in subject.changes]
    note = "Each score is from the version's own test window; where the windows differ, only scores of both models on the same rows are comparable."
    return Section("changes", title, [Table(["what", f"version {subject.previous}", f"version {subject.version}"], rows, caption=note)])
