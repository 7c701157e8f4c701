"""Sections of the report that any task has, but for its search's; those of some tasks are in `lakeloop.report.task_sections`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, CONSTANT, LINEAR, NAIVE, ORDER, SEARCHED_ROWS, Assessment, Question
from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.evaluation.importance import REPEATS
from lakeloop.evaluation.model_checks import CheckResult, TrainedElsewhere
from lakeloop.evaluation.weak_slices import TESTED
from lakeloop.metrics.table import MetricValue, metrics_of
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

NAMES = {CANDIDATE: "this model", CHAMPION: "champion", LINEAR: "linear model", NAIVE: "seasonal naive", CONSTANT: "constant"}
MOST_SLICE_ROWS = 40


def purpose_section(subject: Subject, question: Question) -> Section:
    """What the model is for, what is asked of it and when."""
    rows = [
        ["question", subject.description],
        [
            "asked at",
            "any time: nothing is known of the time of a row" if subject.static else f"{subject.predict_at}, for every row of the spine",
        ],
        ["label", f"{subject.label}{f', in {subject.unit}' if subject.unit else ''}"],
        ["task", question.answer.task.replace("_", " ")],
        ["decided by", f"{question.primary}: {metrics_of(question.answer)[question.primary].description}"],
        ["model", subject.pipeline],
        ["ask", ", ".join(subject.owners) or "no owner is named"],
    ]
    return Section("purpose", "What the model is for", [Table(["", ""], rows)])


def data_section(subject: Subject, elsewhere: TrainedElsewhere | None, *, learnt: bool) -> Section:
    """Windows, inputs with their Delta versions, and features."""
    windows = [
        [name, format_minute(ends[0]), format_minute(ends[1]), f"{subject.window_rows.get(name, 0):,}"]
        for name, ends in sorted(subject.windows.items(), key=lambda item: item[1])
    ]
    rows = "labelled rows" if learnt else "rows"
    columns = ["window", "from (UTC)", "to (UTC)", rows]
    if subject.static:
        columns, windows = ["window", rows], [[name, count] for name, _, _, count in windows]
    how = (
        "The windows are shares of the rows, drawn by a hash of their keys; nothing is known of their time."
        if subject.static
        else f"The windows are walked back from the newest {'label that is known' if learnt else 'row'}."
    )
    inputs = [[table, str(version)] for table, version in sorted(subject.inputs.items())]
    features = [[name, text] for name, text in subject.features.items()]
    return Section(
        "data",
        "Data and versions",
        [
            Paragraph(
                (f"{elsewhere.sentence}. It is held against" if elsewhere else f"Fitted on {subject.fitted_rows:,} rows of")
                + f" version {subject.training_set} of the training set, with {format_count(len(features), 'feature')}"
                + ("" if subject.static else f", each as it was known at {subject.predict_at}")
                + f". {how}"
            ),
            Table(columns, windows, [rows]),
            Table(
                ["read from", "Delta version"],
                inputs,
                ["Delta version"],
                folded=f"{format_count(len(inputs), 'table')} that {'was' if len(inputs) == 1 else 'were'} read",
            ),
            Table(["feature", "what it is"], features, folded=format_count(len(features), "feature")),
        ],
    )


def headline_section(subject: Subject, question: Question, found: Assessment) -> Section:
    """Every metric with its interval, against baselines and champion on the same rows, and the gates."""
    order = [who for who in ORDER if who in found.values]
    named = {who: {v.name: v for v in found.values[who]} for who in order}
    rows: list[list[str | Cell]] = [
        [name, *[format_metric(named[who][name]) if name in named[who] else "" for who in order]] for name in named[CANDIDATE]
    ]
    names = [NAMES[who] if who != CHAMPION else f"champion {subject.champion}" for who in order]
    blocks: list[Any] = [
        Figure(
            plots.plot_metric_comparison(found.values, question.primary),
            f"{capitalize(better(question))}. {_same_rows(question, named)}",
            "metric_comparison",
        ),
        Table(
            ["metric", *names], rows, names, f"Value and 95% interval on the test window. {_directions(question, named[CANDIDATE])}".strip()
        ),
    ]
    if question.answer.kind.costs:
        blocks.append(
            Figure(
                plots.plot_roc_pr(question.test.y, question.test.scores[CANDIDATE]),
                "Dashed: what a model without any knowledge would show.",
                "roc_and_precision_recall",
            )
        )
    if subject.gates:
        blocks.append(
            Table(
                ["gate", "wanted", "found", "outcome"],
                [[name, gate.required, gate.observed, _outcome_cell(gate)] for name, gate in subject.gates.items()],
                ["wanted", "found"],
            )
        )
    return Section("headline", "How good it is", blocks)


def better(question: Question) -> str:
    """The direction of the deciding metric."""
    return "higher is better" if metrics_of(question.answer)[question.primary].greater_is_better else "lower is better"


def _same_rows(question: Question, named: Mapping[str, Mapping[str, MetricValue]]) -> str:
    fewer = named[CHAMPION][question.primary].n if CHAMPION in named else len(question.test.y)
    if fewer == len(question.test.y):
        return "All on the same rows."
    what = "that it wasn't trained on" if question.champion_known else "that it could be asked about"
    return f"All on the same rows, but for the champion's, which are the {fewer:,} of {len(question.test.y):,} {what}."


def _directions(question: Question, shown: Mapping[str, MetricValue]) -> str:
    """Which figures are better when higher, and which when lower; of those that are neither, nothing."""
    deciding = [metric for name, metric in metrics_of(question.answer).items() if metric.decides and name in shown]
    told = [
        (way, [metric.name for metric in deciding if metric.greater_is_better is up]) for way, up in (("Higher", True), ("lower", False))
    ]
    words = "; ".join(f"{way} is better for {', '.join(names)}" for way, names in told if names)
    return f"{capitalize(words)}." if words else ""


def _outcome_cell(gate: GateOutcome) -> Cell:
    if gate.is_passed:
        return Cell(gate.outcome, "good")
    return Cell(gate.outcome, "bad") if gate.is_blocking else Cell(f"{gate.outcome}, a warning", "quiet")


def champion_section(subject: Subject, question: Question, found: Assessment) -> Section:
    """The paired difference to the champion, or why there is none."""
    d = found.differences.get(CHAMPION)
    if d is None and CHAMPION not in question.test.scores:
        told = f"They aren't compared: {question.champion_note}. What decides is the gates, and that this model knows more than a constant."
        return Section("champion", f"Against champion {subject.champion}", [Paragraph(told)])
    if d is None:
        return Section(
            "champion",
            f"Against champion {subject.champion}",
            [Paragraph("Too few rows of the test window are later than what the champion was trained on. They can't be compared.")],
        )
    known = question.champion_known and (question.elsewhere is None or question.elsewhere.until is not None)
    blocks: list[Any] = [
        Paragraph(
            f"On {d.rows:,} rows{' that neither was trained on' if known else ''}, {question.primary} differs by {format_difference(d.difference, d.low, d.high)} "
            "(positive is better), paired row by row."
        ),
        *([Paragraph(f"Mind that {question.champion_note}.")] if question.champion_note else []),
        *([] if question.champion_known else [Paragraph("It isn't known on what the champion was trained: it may have seen these rows.")]),
    ]
    if subject.margin is not None:
        p = d.p_not_worse(subject.margin)
        loss = f"a loss of {subject.margin:g} or more" if subject.margin else "being no better"
        blocks.append(
            Paragraph(
                f"The gate asks that {loss} be ruled out, with an error rate of {subject.error_rate:g}: the probability of such a figure under that loss "
                f"is {format_p_value(p)}, so it {'is' if p <= subject.error_rate else 'is not'} ruled out. A model that loses just so much is promoted at most "
                f"{subject.error_rate:.0%} of the time."
            )
        )
    return Section("champion", f"Against champion {subject.champion}", blocks)


def importance_section(question: Question, found: Assessment) -> Section:
    """What the metric loses when one feature is shuffled."""
    columns = ["feature", "how much worse", "95% interval"]
    rows = [[item.feature, format_number(item.value), format_interval(item.low, item.high)] for item in found.importance]
    nothing = sum(not item.low > 0 for item in found.importance)
    words = (
        f"How much worse {question.primary} gets when one feature is shuffled among the rows: what the model leans on, not what causes anything. "
        "Of two features that say the same, each looks less important than both are together."
    )
    if nothing:
        words += f" {nothing} of {len(found.importance)} can't be told from no importance at all."
    note = f"{REPEATS} shuffles of {found.importance_rows:,} evenly spaced test rows; the interval covers the choice of rows, by truth and by lent value."
    more = f" The {plots.MOST_LINES} most important of {len(rows)}." if len(rows) > plots.MOST_LINES else ""
    picture = Figure(
        plots.plot_importance(found.importance, question.primary),
        f"Grey: can't be told from nothing.{more}",
        "importance",
    )
    return Section(
        "importance",
        "What it leans on",
        [
            Paragraph(words),
            picture,
            Table(columns, rows, columns[1:], note, f"all {len(rows)} features" if len(rows) > 1 else "the figures"),
        ],
    )


def over_time_section(question: Question, found: Assessment, overall: MetricValue) -> Section:
    """The deciding metric by period, where rows have a time."""
    columns = ["from", "rows", question.primary, "95% interval"]
    rows = [
        [str(row["period"]), f"{row['n']:,}", format_number(row["value"]), format_interval(row["low"], row["high"])]
        for row in found.over_time
        if row["metric"] == question.primary
    ]
    known = [row for row in found.over_time if row["metric"] == question.primary and math.isfinite(row["value"])]
    if len(rows) < 2:
        told = f"The {overall.n:,} rows of the test window are too few for more than one period, so nothing is said of change over time."
        return Section("time", "How it does over time", [Paragraph(told)])
    blocks: list[Any] = [Table(columns, rows, columns[1:], folded=f"the {format_count(len(rows), 'period')}")]
    if known:
        caption = f"By the first day of each period, {better(question)}. Where a bar leaves the picture, its interval is in the table."
        blocks.insert(0, Figure(plots.plot_over_time(known, question.primary, overall.value), caption))
    return Section("time", "How it does over time", blocks)


def is_sliced(question: Question, found: Assessment) -> bool:
    """Whether there are declared slices beside a forecast's own series, which have a section of theirs."""
    own = question.forecast.column if question.forecast else None
    return any(row["slice_by"] != own for row in found.slices)


def slices_section(question: Question, found: Assessment) -> Section:
    """The deciding metric by each declared slice."""
    blocks: list[Any] = []
    for column in dict.fromkeys(row["slice_by"] for row in found.slices):
        if question.forecast is not None and column == question.forecast.column:
            continue  # it has a section of its own
        rows = [row for row in found.slices if row["slice_by"] == column]
        drawn = sum(math.isfinite(row["value"]) for row in rows)
        order = "largest first" if drawn <= plots.MOST_LINES else f"the {plots.MOST_LINES} largest of {len(rows)}, largest first"
        if drawn:
            blocks.append(
                Figure(
                    plots.plot_slices(rows, column, question.primary, found.own[question.primary].value),
                    f"By {column}, {order} (rows in brackets); {better(question)}. Dashed: all rows; grey: too few rows to say.",
                    f"by_{column}",
                )
            )
        columns = [column, "rows", question.primary, "95% interval"]
        listed = [
            [str(r["slice"]), f"{r['n']:,}", format_number(r["value"]), format_interval(r["low"], r["high"])]
            for r in rows[:MOST_SLICE_ROWS]
        ]
        more = f"The {MOST_SLICE_ROWS} largest of {len(rows)}; all of them are in reports/slices." if len(rows) > MOST_SLICE_ROWS else ""
        blocks.append(Table(columns, listed, columns[1:], more, f"the figures by {column}"))
    return Section("slices", "By declared slice", blocks)


def weak_section(question: Question, found: Assessment) -> Section:
    """Slices that were found to have more error than the rest, and which of them chance explains."""
    loss = question.answer.kind.loss_words
    confirmed = [item for item in found.weak if item.confirmed]
    words = (
        f"{format_count(found.searched, 'feature')} {'was' if found.searched == 1 else 'were'} searched, alone and in pairs, for rows whose loss ({loss}) is higher than the rest's. Half of the test rows proposed up to "
        f"{TESTED} slices; the figures and tests are of the other half, so that the search itself makes nothing look bad."
    )
    words += f" {len(confirmed)} of {len(found.weak)} were confirmed." if found.weak else " None was proposed."
    columns = ["slice", "share of rows", "loss", "elsewhere", "ratio", "p", "outcome"]
    rows: list[list[str | Cell]] = [
        [
            item.name, f"{item.share:.1%}", format_number(item.loss), format_number(item.rest), f"{item.loss / item.rest:.2f}" if item.rest else "", format_p_value(item.p),
            Cell("confirmed", "bad") if item.confirmed else Cell("chance", "quiet"),
        ]
        for item in found.weak
    ]  # fmt: skip
    small = "A slice with more error isn't served worse by this model alone: where the outcome is less certain, every model errs more."
    table = [Table(columns, rows, columns[1:6], "p: adjusted for all that were tested (Holm).")] if rows else []
    return Section("weak", "The worst slices, found automatically", [Paragraph(words), *table, Paragraph(small, quiet=True)])


def checks_section(found: Assessment) -> Section:
    """Every model check, with advice for those that found something."""
    tones: dict[str, Tone] = {"found": "bad", "clean": "good", "not_applicable": "quiet"}
    rows: list[list[str | Cell]] = [
        [c.code, c.kind.title, Cell(c.outcome.replace("_", " "), tones[c.outcome]), c.message] for c in found.checks
    ]  # fmt: skip
    suspicious = [c for c in found.checks if c.outcome == "found"]
    blocks: list[Any] = [Table(["code", "check", "outcome", "what was seen"], rows)]
    blocks += [_advice(check) for check in suspicious]
    return Section("checks", "Model checks", blocks)


def _advice(check: CheckResult) -> Paragraph:
    kind = KINDS[check.code]
    return Paragraph(f"{kind.code} {kind.title}. {kind.meaning} {kind.what_to_do}", quiet=True)


def changes_section(subject: Subject) -> Section:
    """What is recorded of the difference to the version before."""
    title = f"What changed since version {subject.previous}" if subject.previous else "What changed since the last version"
    if subject.previous is None:
        return Section("changes", title, [Paragraph("This is the first version that was evaluated.")])
    if not subject.changes:
        return Section("changes", title, [Paragraph("Nothing that is recorded: data, features, parameters and windows are the same.")])
    rows = [[change.what, change.before, change.after] for change in subject.changes]
    note = "Scores are of each version's own test window; where windows differ, only both models on the same rows can be compared."
    return Section("changes", title, [Table(["what", f"version {subject.previous}", f"version {subject.version}"], rows, caption=note)])


def method_section(subject: Subject, question: Question, found: Assessment) -> Section:
    """What intervals assume, and what was sampled."""
    own, days = found.own[question.primary], found.by_day
    assumed = (
        f"Rows of one {subject.cluster} may depend on each other, those of different ones are taken as independent"
        if subject.cluster
        else "Rows are taken as independent"
    )
    ratio = (days.high - days.low) / (own.high - own.low) if own.high > own.low else math.nan
    sentence = (
        f"{assumed}: the intervals say how the figures would vary from one such window to the next, and nothing of a world that changes."
    )
    if not subject.cluster and not subject.static and math.isfinite(ratio):
        sentence += (
            f" Were days what is independent, the interval of {question.primary} would be {ratio:.1f} times as wide "
            f"({format_number(days.low)} to {format_number(days.high)}); say `evaluation: {{cluster: day}}` for that."
        )
    if not math.isfinite(own.low):
        sentence += " Where there is no interval, the rows are too few, or too few of them independent, to say how far chance goes."
    n = len(question.test.y)
    sampled = [f"Importance uses {found.importance_rows:,} of {n:,} test rows, evenly spaced."] if found.importance_rows < n else []
    sampled += [f"The search for weak slices uses {SEARCHED_ROWS:,}."] if n > SEARCHED_ROWS else []
    sampled += (
        []
        if question.elsewhere
        else [
            f"What is known of training rows (overfit, leakage) is from {len(question.fit.y):,} of {subject.fitted_rows:,}, evenly spaced."
        ]
    )
    return Section(
        "method",
        "How the numbers were made",
        [
            Paragraph(sentence),
            Paragraph(" ".join(sampled)),
            Paragraph(f"Every figure is a row of the lake: {subject.query}"),
        ],
    )
