"""What an evaluation's page says: from an assessment and its subject to a `Report`. Sentences first, then pictures, then tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeloop import plots
from lakeloop.assessment import CANDIDATE, CHAMPION, CONSTANT, LINEAR, NAIVE, ORDER, SEARCHED_ROWS, Assessment, Question
from lakeloop.changes import Change
from lakeloop.check_kinds import KINDS
from lakeloop.importance import REPEATS
from lakeloop.metrics import MetricValue, metrics_of, reference_words
from lakeloop.model_checks import CheckResult, Elsewhere
from lakeloop.report import Cell, Figure, Paragraph, Report, Section, Table, Tile, Tone
from lakeloop.search_gain import gain_section
from lakeloop.task_sections import SECTIONS
from lakeloop.thresholds import ThresholdRow, cheapest
from lakeloop.weak_slices import TESTED
from lakeloop.wording import figures, listed, moment, number, p_value, sign

NAMES = {CANDIDATE: "this model", CHAMPION: "champion", LINEAR: "linear model", NAIVE: "seasonal naive", CONSTANT: "constant"}
MOST_SLICE_ROWS = 40


@dataclass(frozen=True)
class Subject:
    """What is reported on, as plain values.

    Attributes:
        name: of the workflow.
        domain: that it belongs to.
        environment: where it was made.
        version: of the model.
        description: what the model is for, as the workflow says.
        owners: whom to ask.
        label: view and column.
        unit: of the label, if it has one.
        predict_at: the column of the moment that is asked about.
        fitted_rows: rows that it was fitted on.
        windows: name -> (from, to), in order of time.
        window_rows: labelled rows per window.
        inputs: table -> Delta version.
        training_set: its Delta version.
        features: name -> description.
        pipeline: what the model is, with its parameters.
        cluster: what may depend on each other, as the workflow says; None for rows.
        gates: per gate (outcome, message, wanted, found, severity).
        champion: version that it is held against.
        margin: loss against it that is allowed; None without a champion gate.
        error_rate: of that gate.
        previous: version that `changes` are against.
        changes: since then.
        made_at: UTC.
        query: where the numbers are, as SQL.
        static: `predict_at` is no time, but a shuffled order of the rows.
        search: what the search found that its parameters come from, see `lakeloop.search_gain.gain_section`.
    """

    name: str
    domain: str
    environment: str
    version: str
    description: str
    owners: Sequence[str]
    label: str
    unit: str | None
    predict_at: str
    fitted_rows: int
    windows: Mapping[str, tuple[str, str]]
    window_rows: Mapping[str, int]
    inputs: Mapping[str, int]
    training_set: int
    features: Mapping[str, str]
    pipeline: str
    cluster: str | None
    gates: Mapping[str, tuple[str, str, str, str, str]]
    champion: str | None
    margin: float | None
    error_rate: float
    previous: str | None
    changes: Sequence[Change]
    made_at: str
    query: str
    search: Mapping[str, Any] | None = None
    static: bool = False


def evaluation_report(subject: Subject, question: Question, found: Assessment) -> Report:
    """Compose the page."""
    primary = found.own[question.primary]
    best = cheapest(found.thresholds)
    sections = [
        _purpose(subject, question),
        _data(subject, question.elsewhere, learnt=question.planted is None),
        _headline(subject, question, found),
        *([gain_section(subject.search)] if subject.search else []),
        *([_champion(subject, question, found)] if subject.champion else []),
        *(SECTIONS[name](question, found) for name in question.answer.kind.sections),
        _importance(question, found),
        *([] if subject.static else [_over_time(question, found, primary)]),
        *([_slices(question, found)] if _sliced(question, found) else []),
        _weak(question, found),
        _checks(found),
        _changes(subject),
        _method(subject, question, found),
    ]
    return Report(
        title=f"{subject.name}, version {subject.version}",
        subtitle=f"{subject.domain} · {question.answer.task.replace('_', ' ')} · environment {subject.environment} · evaluated {subject.made_at}",
        lead=_lead(subject, question, found),
        tiles=_tiles(subject, question, found, best),
        sections=sections,
        footer=f"Made by Lakeloop, {subject.made_at}. One file: nothing is loaded from anywhere.",
    )


def _lead(subject: Subject, question: Question, found: Assessment) -> str:
    primary = found.own[question.primary]
    suspicious = [c for c in found.checks if c.outcome == "found"]
    failed = [name for name, gate in subject.gates.items() if gate[0] != "passed" and gate[4] == "blocking"]
    warned = [name for name, gate in subject.gates.items() if gate[0] != "passed" and gate[4] != "blocking"]
    kind = question.answer.kind
    constant = found.differences[kind.reference]
    seen = question.elsewhere is not None and question.elsewhere.may_have_seen
    unseen = "a test window that it wasn't trained on" if subject.static else "later time that it wasn't trained on"
    rows = "the test window" if seen else unseen
    planted = f", {int(question.test.y.sum()):,} of them planted" if question.planted is not None else ""
    parts = [
        f"On {primary.n:,} rows of {rows}{planted}, {primary.name.replace('_', ' ')} is {figures(primary)}"
        f" ({sign(constant.difference)} against {reference_words(question.answer, question.primary)}, positive is better)."
    ]
    if seen and question.elsewhere is not None:
        parts.append(f"{question.elsewhere.sentence}.")
    if failed:
        parts.append(f"It fails {listed(failed, 'gate')}.")
    elif len(subject.gates) > len(warned):
        parts.append("It passes its gates." if len(subject.gates) - len(warned) > 1 else "It passes its gate.")
    if warned:
        parts.append(
            f"It doesn't meet {listed(warned, 'gate')}, which {'warns' if len(warned) == 1 else 'warn'} and {'stops' if len(warned) == 1 else 'stop'} nothing."
        )
    parts.append(
        f"{len(suspicious)} of {len(found.checks)} model checks found something." if suspicious else "No model check found anything."
    )
    return " ".join(parts)


def _tiles(subject: Subject, question: Question, found: Assessment, best: ThresholdRow | None) -> list[Tile]:
    primary, bad = found.own[question.primary], [c for c in found.checks if c.outcome == "found"]
    failed = [name for name, gate in subject.gates.items() if gate[0] != "passed"]
    tiles = [Tile(primary.name, number(primary.value), f"95%: {number(primary.low)} to {number(primary.high)}")]
    if CHAMPION in found.differences:
        d = found.differences[CHAMPION]
        tone: Tone = "good" if d.low > 0 else "bad" if d.high < 0 else ""
        tiles.append(Tile(f"against champion {subject.champion}", sign(d.difference), f"95%: {sign(d.low)} to {sign(d.high)}", tone))
    elif LINEAR in found.differences and found.differences[LINEAR].error:
        d = found.differences[LINEAR]
        tiles.append(Tile("against a linear model", sign(d.difference), f"95%: {sign(d.low)} to {sign(d.high)}"))
    if subject.gates:
        tiles.append(
            Tile(
                "gates",
                f"{len(subject.gates) - len(failed)} of {len(subject.gates)}",
                ", ".join(failed) or "passed",
                "bad" if failed else "good",
            )
        )
    tiles.append(
        Tile(
            "model checks",
            f"{len(bad)} found" if bad else "all clean",
            ", ".join(c.kind.title.lower() for c in bad[:3]),
            "bad" if bad else "good",
        )
    )
    if best is not None and best.cost is not None:
        tiles.append(Tile("cheapest threshold", f"{best.threshold:g}", f"{best.cost:.4g} per row"))
    return tiles


def _purpose(subject: Subject, question: Question) -> Section:
    rows = [
        ["question", subject.description],
        ["asked at", f"{subject.predict_at}, for every row of the spine"],
        ["label", f"{subject.label}{f', in {subject.unit}' if subject.unit else ''}"],
        ["task", question.answer.task.replace("_", " ")],
        ["decided by", f"{question.primary}: {metrics_of(question.answer)[question.primary].description}"],
        ["model", subject.pipeline],
        ["ask", ", ".join(subject.owners) or "no owner is named"],
    ]
    return Section("purpose", "What the model is for", [Table(["", ""], rows)])


def _data(subject: Subject, elsewhere: Elsewhere | None, *, learnt: bool) -> Section:
    windows = [
        [name, moment(ends[0]), moment(ends[1]), f"{subject.window_rows.get(name, 0):,}"]
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
                + f" version {subject.training_set} of the training set, with {len(features)} features, each "
                f"as it was known at {subject.predict_at}. {how}"
            ),
            Table(columns, windows, [rows]),
            Table(["read from", "Delta version"], inputs, ["Delta version"], folded=f"{len(inputs)} tables that were read"),
            Table(["feature", "what it is"], features, folded=f"{len(features)} features"),
        ],
    )


def _headline(subject: Subject, question: Question, found: Assessment) -> Section:
    order = [who for who in ORDER if who in found.values]
    named = {who: {v.name: v for v in found.values[who]} for who in order}
    rows: list[list[str | Cell]] = [
        [name, *[figures(named[who][name]) if name in named[who] else "" for who in order]] for name in named[CANDIDATE]
    ]
    names = [NAMES[who] if who != CHAMPION else f"champion {subject.champion}" for who in order]
    blocks: list[Any] = [
        Figure(
            plots.plot_metric_comparison(found.values, question.primary),
            "All on the same rows"
            + (
                f", but for the champion's, which are the {named[CHAMPION][question.primary].n:,} that it wasn't trained on."
                if CHAMPION in named and question.champion_known
                else "."
            ),
            "metric_comparison",
        ),
        Table(["metric", *names], rows, names, "Value and 95% interval on the test window."),
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
                [
                    [name, wanted, seen, _gate_outcome(outcome, severity)]
                    for name, (outcome, _, wanted, seen, severity) in subject.gates.items()
                ],
                ["wanted", "found"],
            )
        )
    return Section("headline", "How good it is", blocks)


def _gate_outcome(outcome: str, severity: str) -> Cell:
    if outcome == "passed":
        return Cell(outcome, "good")
    return Cell(outcome, "bad") if severity == "blocking" else Cell(f"{outcome}, a warning", "quiet")


def _champion(subject: Subject, question: Question, found: Assessment) -> Section:
    d = found.differences.get(CHAMPION)
    if d is None and CHAMPION not in question.test.scores:
        told = f"They aren't compared: {question.champion_told}. What decides is the gates, and that this model knows more than a constant."
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
            f"On {d.rows:,} rows{' that neither was trained on' if known else ''}, {question.primary} differs by {sign(d.difference)} "
            f"[{sign(d.low)}, {sign(d.high)}] (positive is better), paired row by row."
        ),
        *([Paragraph(f"Mind that {question.champion_told}.")] if question.champion_told else []),
        *([] if question.champion_known else [Paragraph("It isn't known on what the champion was trained: it may have seen these rows.")]),
    ]
    if subject.margin is not None:
        p = d.p_not_worse(subject.margin)
        loss = f"a loss of {subject.margin:g} or more" if subject.margin else "being no better"
        blocks.append(
            Paragraph(
                f"The gate asks that {loss} be ruled out, with an error rate of {subject.error_rate:g}: the probability of such a figure under that loss "
                f"is {p_value(p)}, so it {'is' if p <= subject.error_rate else 'is not'}. A model that loses just so much is promoted at most "
                f"{subject.error_rate:.0%} of the time."
            )
        )
    return Section("champion", f"Against champion {subject.champion}", blocks)


def _importance(question: Question, found: Assessment) -> Section:
    columns = ["feature", "loss", "95% interval"]
    rows = [[item.feature, number(item.value), f"{number(item.low)} to {number(item.high)}"] for item in found.importance]
    nothing = sum(item.low <= 0 for item in found.importance)
    words = (
        f"How much {question.primary} loses when one feature is shuffled among the rows: what the model leans on, not what causes anything. "
        "Of two features that say the same, each looks less important than both are together."
    )
    if nothing:
        words += f" {nothing} of {len(found.importance)} can't be told from no importance at all."
    note = f"{REPEATS} shuffles of {found.importance_rows:,} evenly spaced test rows; the interval covers the choice of rows, by truth and by lent value."
    picture = Figure(plots.plot_importance(found.importance, question.primary), "Grey: can't be told from nothing.", "importance")
    return Section(
        "importance", "What it leans on", [Paragraph(words), picture, Table(columns, rows, columns[1:], note, f"all {len(rows)} features")]
    )


def _over_time(question: Question, found: Assessment, overall: MetricValue) -> Section:
    columns = ["from", "rows", question.primary, "95% interval"]
    rows = [
        [str(row["period"]), f"{row['n']:,}", number(row["value"]), f"{number(row['low'])} to {number(row['high'])}"]
        for row in found.over_time
        if row["metric"] == question.primary
    ]
    known = [row for row in found.over_time if row["metric"] == question.primary and math.isfinite(row["value"])]
    blocks: list[Any] = [Table(columns, rows, columns[1:], folded=f"the {len(rows)} periods")]
    if known:
        blocks.insert(
            0,
            Figure(plots.plot_over_time(known, question.primary, overall.value), "By the first day of each period, over the test window."),
        )
    return Section("time", "Error over time", blocks)


def _sliced(question: Question, found: Assessment) -> bool:
    own = question.forecast.column if question.forecast else None
    return any(row["slice_by"] != own for row in found.slices)


def _slices(question: Question, found: Assessment) -> Section:
    blocks: list[Any] = []
    for column in dict.fromkeys(row["slice_by"] for row in found.slices):
        if question.forecast is not None and column == question.forecast.column:
            continue  # it has a section of its own
        rows = [row for row in found.slices if row["slice_by"] == column]
        if any(math.isfinite(row["value"]) for row in rows):
            blocks.append(
                Figure(
                    plots.plot_slices(rows, column, question.primary),
                    f"By {column}, largest first (rows in brackets); grey: too few rows to say.",
                    f"by_{column}",
                )
            )
        columns = [column, "rows", question.primary, "95% interval"]
        listed = [
            [str(r["slice"]), f"{r['n']:,}", number(r["value"]), f"{number(r['low'])} to {number(r['high'])}"]
            for r in rows[:MOST_SLICE_ROWS]
        ]
        more = f"The {MOST_SLICE_ROWS} largest of {len(rows)}; all of them are in reports/slices." if len(rows) > MOST_SLICE_ROWS else ""
        blocks.append(Table(columns, listed, columns[1:], more, f"the figures by {column}"))
    return Section("slices", "By declared slice", blocks)


def _weak(question: Question, found: Assessment) -> Section:
    loss = question.answer.kind.loss_words
    confirmed = [item for item in found.weak if item.confirmed]
    words = (
        f"{found.searched} features were searched, alone and in pairs, for rows with more {loss} than the rest. Half of the test rows proposed up to "
        f"{TESTED} slices; the figures and tests are of the other half, so that the search itself makes nothing look bad."
    )
    words += f" {len(confirmed)} of {len(found.weak)} were confirmed." if found.weak else " None was proposed."
    columns = ["slice", "share of rows", "loss", "elsewhere", "ratio", "p", "outcome"]
    rows: list[list[str | Cell]] = [
        [
            item.name, f"{item.share:.1%}", number(item.loss), number(item.rest), f"{item.loss / item.rest:.2f}" if item.rest else "", p_value(item.p),
            Cell("confirmed", "bad") if item.confirmed else Cell("chance", "quiet"),
        ]
        for item in found.weak
    ]  # fmt: skip
    small = "A slice with more error isn't served worse by this model alone: where the outcome is less certain, every model errs more."
    table = [Table(columns, rows, columns[1:6], "p: adjusted for all that were tested (Holm).")] if rows else []
    return Section("weak", "The worst slices, found automatically", [Paragraph(words), *table, Paragraph(small, quiet=True)])


def _checks(found: Assessment) -> Section:
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


def _changes(subject: Subject) -> Section:
    title = f"What changed since version {subject.previous}" if subject.previous else "What changed since the last version"
    if subject.previous is None:
        return Section("changes", title, [Paragraph("This is the first version that was evaluated.")])
    if not subject.changes:
        return Section("changes", title, [Paragraph("Nothing that is recorded: data, features, parameters and windows are the same.")])
    rows = [[change.what, change.before, change.after] for change in subject.changes]
    note = "Scores are of each version's own test window; where windows differ, only both models on the same rows can be compared."
    return Section("changes", title, [Table(["what", f"version {subject.previous}", f"version {subject.version}"], rows, caption=note)])


def _method(subject: Subject, question: Question, found: Assessment) -> Section:
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
            f"({number(days.low)} to {number(days.high)}); say `evaluation: {{cluster: day}}` for that."
        )
    n = len(question.test.y)
    sampled = [f"Importance uses {found.importance_rows:,} of {n:,} test rows, evenly spaced in time."] if found.importance_rows < n else []
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
