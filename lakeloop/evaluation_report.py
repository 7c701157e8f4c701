"""What an evaluation's page says: from an assessment and its subject to a `Report`. Sentences first, then pictures, then tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakeloop import plots
from lakeloop.assessment import CANDIDATE, CHAMPION, CONSTANT, LINEAR, NAIVE, ORDER, SEARCHED_ROWS, Assessment, Question
from lakeloop.changes import Change
from lakeloop.check_kinds import KINDS
from lakeloop.importance import REPEATS
from lakeloop.metrics import MetricValue, metrics_of
from lakeloop.model_checks import CheckResult
from lakeloop.report import Cell, Figure, Paragraph, Report, Section, Table, Tile, Tone
from lakeloop.thresholds import ThresholdRow, cheapest
from lakeloop.weak_slices import TESTED

NAMES = {CANDIDATE: "this model", CHAMPION: "champion", LINEAR: "linear model", NAIVE: "seasonal naive", CONSTANT: "constant"}
SHOWN_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
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
        gates: per gate (outcome, message, wanted, found).
        champion: version that it is held against.
        margin: loss against it that is allowed; None without a champion gate.
        error_rate: of that gate.
        previous: version that `changes` are against.
        changes: since then.
        made_at: UTC.
        query: where the numbers are, as SQL.
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
    gates: Mapping[str, tuple[str, str, str, str]]
    champion: str | None
    margin: float | None
    error_rate: float
    previous: str | None
    changes: Sequence[Change]
    made_at: str
    query: str


def evaluation_report(subject: Subject, question: Question, found: Assessment) -> Report:
    """Compose the page."""
    primary = found.own[question.primary]
    best = cheapest(found.thresholds)
    sections = [
        _purpose(subject, question),
        _data(subject),
        _headline(subject, question, found),
        *([_champion(subject, question, found)] if subject.champion else []),
        *(SECTIONS[name](question, found) for name in question.answer.kind.sections),
        _importance(question, found),
        _over_time(question, found, primary),
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
    failed = [name for name, gate in subject.gates.items() if gate[0] != "passed"]
    kind = question.answer.kind
    constant = found.differences[kind.reference]
    parts = [
        f"On {primary.n:,} rows of later time that it wasn't trained on, {primary.name.replace('_', ' ')} is {_figures(primary)}"
        f" ({_sign(constant.difference)} against {kind.reference_words}, positive is better)."
    ]
    if failed:
        parts.append(f"It fails {_listed(failed, 'gate')}.")
    elif subject.gates:
        parts.append("It passes its gates." if len(subject.gates) > 1 else "It passes its gate.")
    parts.append(
        f"{len(suspicious)} of {len(found.checks)} model checks found something." if suspicious else "No model check found anything."
    )
    return " ".join(parts)


def _tiles(subject: Subject, question: Question, found: Assessment, best: ThresholdRow | None) -> list[Tile]:
    primary, bad = found.own[question.primary], [c for c in found.checks if c.outcome == "found"]
    failed = [name for name, gate in subject.gates.items() if gate[0] != "passed"]
    tiles = [Tile(primary.name, _number(primary.value), f"95%: {_number(primary.low)} to {_number(primary.high)}")]
    if CHAMPION in found.differences:
        d = found.differences[CHAMPION]
        tone: Tone = "good" if d.low > 0 else "bad" if d.high < 0 else ""
        tiles.append(Tile(f"against champion {subject.champion}", _sign(d.difference), f"95%: {_sign(d.low)} to {_sign(d.high)}", tone))
    elif LINEAR in found.differences:
        d = found.differences[LINEAR]
        tiles.append(Tile("against a linear model", _sign(d.difference), f"95%: {_sign(d.low)} to {_sign(d.high)}"))
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


def _data(subject: Subject) -> Section:
    windows = [
        [name, _moment(ends[0]), _moment(ends[1]), f"{subject.window_rows.get(name, 0):,}"]
        for name, ends in sorted(subject.windows.items(), key=lambda item: item[1])
    ]
    inputs = [[table, str(version)] for table, version in sorted(subject.inputs.items())]
    features = [[name, text] for name, text in subject.features.items()]
    return Section(
        "data",
        "Data and versions",
        [
            Paragraph(
                f"Fitted on {subject.fitted_rows:,} rows of version {subject.training_set} of the training set, with {len(features)} features, each "
                f"as it was known at {subject.predict_at}. The windows are walked back from the newest label that is known."
            ),
            Table(["window", "from (UTC)", "to (UTC)", "labelled rows"], windows, ["labelled rows"]),
            Table(["read from", "Delta version"], inputs, ["Delta version"], folded=f"{len(inputs)} tables that were read"),
            Table(["feature", "what it is"], features, folded=f"{len(features)} features"),
        ],
    )


def _headline(subject: Subject, question: Question, found: Assessment) -> Section:
    order = [who for who in ORDER if who in found.values]
    named = {who: {v.name: v for v in found.values[who]} for who in order}
    rows: list[list[str | Cell]] = [[name, *[_figures(named[who][name]) for who in order]] for name in named[CANDIDATE]]
    names = [NAMES[who] if who != CHAMPION else f"champion {subject.champion}" for who in order]
    blocks: list[Any] = [
        Figure(
            plots.plot_metric_comparison(found.values, question.primary),
            "All on the same rows"
            + (
                f", but for the champion's, which are the {named[CHAMPION][question.primary].n:,} that it wasn't trained on."
                if CHAMPION in named
                else "."
            ),
        ),
        Table(["metric", *names], rows, names, "Value and 95% interval on the test window."),
    ]
    if question.answer.kind.costs:
        blocks.append(
            Figure(
                plots.plot_roc_pr(question.test.y, question.test.scores[CANDIDATE]),
                "Dashed: what a model without any knowledge would show.",
            )
        )
    if subject.gates:
        blocks.append(
            Table(
                ["gate", "wanted", "found", "outcome"],
                [
                    [name, wanted, seen, Cell(outcome, "good" if outcome == "passed" else "bad")]
                    for name, (outcome, _, wanted, seen) in subject.gates.items()
                ],
                ["wanted", "found"],
            )
        )
    return Section("headline", "How good it is", blocks)


def _champion(subject: Subject, question: Question, found: Assessment) -> Section:
    d = found.differences.get(CHAMPION)
    if d is None:
        return Section(
            "champion",
            f"Against champion {subject.champion}",
            [Paragraph("Too few rows of the test window are later than what the champion was trained on. They can't be compared.")],
        )
    blocks: list[Any] = [
        Paragraph(
            f"On {d.rows:,} rows that neither was trained on, {question.primary} differs by {_sign(d.difference)} "
            f"[{_sign(d.low)}, {_sign(d.high)}] (positive is better), paired row by row."
        )
    ]
    if subject.margin is not None:
        p = d.p_not_worse(subject.margin)
        loss = f"a loss of {subject.margin:g} or more" if subject.margin else "being no better"
        blocks.append(
            Paragraph(
                f"The gate asks that {loss} be ruled out, with an error rate of {subject.error_rate:g}: the probability of such a figure under that loss "
                f"is {_p(p)}, so it {'is' if p <= subject.error_rate else 'is not'}. A model that loses just so much is promoted at most "
                f"{subject.error_rate:.0%} of the time."
            )
        )
    return Section("champion", f"Against champion {subject.champion}", blocks)


def _calibration(question: Question, found: Assessment) -> Section:
    binary = question.answer.kind.costs
    what = "probability" if binary else "value"
    words = (
        "When it says 20%, does it happen one time in five? Each point is a tenth of the rows."
        if binary
        else "Are rows that are predicted higher also higher on average? Each point is a tenth of the rows."
    )
    check = next(c for c in found.checks if c.code == "LL108")
    rows = [[_number(b.predicted), _number(b.observed), f"{_number(b.low)} to {_number(b.high)}", f"{b.n:,}"] for b in found.calibration]
    columns = ["mean predicted", "mean observed", "95% interval", "rows"]
    blocks: list[Any] = [
        Paragraph(words),
        Figure(plots.plot_calibration(found.calibration, what), f"{_capital(check.message)}."),
        Table(columns, rows, columns, folded="the ten bins"),
    ]
    if binary:
        blocks.insert(
            2,
            Figure(
                plots.plot_score_histogram(question.test.y, question.test.scores[CANDIDATE]), "How far the two outcomes are told apart."
            ),
        )
    return Section("calibration", "Calibration", blocks)


def _thresholds(question: Question, found: Assessment) -> Section:
    costs, best = question.costs, cheapest(found.thresholds)
    words = "A row is flagged when its probability is at least the threshold."
    if costs is not None and best is not None:
        words += (
            f" A false alarm costs {costs.false_positive:g} and a miss {costs.false_negative:g}: the threshold {best.threshold:g} costs least, "
            f"{best.cost:.4g} per row. Flagging nothing costs {costs.false_negative * float(np.mean(question.test.y)):.4g}, flagging everything "
            f"{costs.false_positive * float(1 - np.mean(question.test.y)):.4g}."
        )
    else:
        words += " Say under `evaluation: {costs: {false_positive: …, false_negative: …}}` what mistakes cost, and the cheapest is shown."
    wanted = {*SHOWN_THRESHOLDS, *([best.threshold] if best else [])}
    columns = ["threshold", "flagged", "precision", "recall", *(["cost per row"] if costs else ["false alarms", "misses"])]
    rows: list[list[str | Cell]] = [
        [
            Cell(f"{row.threshold:g}", "good" if row is best else ""), f"{row.flagged:.1%}",
            _share(row.precision, row.precision_low, row.precision_high), _share(row.recall, row.recall_low, row.recall_high),
            *([f"{row.cost:.4g}"] if row.cost is not None else [f"{row.false_positives:,}", f"{row.false_negatives:,}"]),
        ]
        for row in found.thresholds
        if row.threshold in wanted
    ]  # fmt: skip
    note = "Shares with 95% intervals over rows taken as independent."
    if best:
        note += " The cheapest threshold was found on these very rows, so its cost is a little too good."
    picture = Figure(plots.plot_thresholds(found.thresholds, best), "What each threshold flags, and how right it is.")
    return Section(
        "thresholds", "Thresholds and costs" if costs else "Thresholds", [Paragraph(words), picture, Table(columns, rows, columns, note)]
    )


def _residuals(question: Question, found: Assessment) -> Section:
    picture = plots.plot_residuals(question.test.y, question.test.scores[CANDIDATE])
    return Section("residuals", "Errors", [Figure(picture, "The axes leave out the outermost 0.5% at either end.")])


def _importance(question: Question, found: Assessment) -> Section:
    columns = ["feature", "loss", "95% interval"]
    rows = [[item.feature, _number(item.value), f"{_number(item.low)} to {_number(item.high)}"] for item in found.importance]
    nothing = sum(item.low <= 0 for item in found.importance)
    words = (
        f"How much {question.primary} loses when one feature is shuffled among the rows: what the model leans on, not what causes anything. "
        "Of two features that say the same, each looks less important than both are together."
    )
    if nothing:
        words += f" {nothing} of {len(found.importance)} can't be told from no importance at all."
    note = f"{REPEATS} shuffles of {found.importance_rows:,} evenly spaced test rows; the interval covers the choice of rows, by truth and by lent value."
    picture = Figure(plots.plot_importance(found.importance, question.primary), "Grey: can't be told from nothing.")
    return Section(
        "importance", "What it leans on", [Paragraph(words), picture, Table(columns, rows, columns[1:], note, f"all {len(rows)} features")]
    )


def _over_time(question: Question, found: Assessment, overall: MetricValue) -> Section:
    columns = ["from", "rows", question.primary, "95% interval"]
    rows = [
        [str(row["period"]), f"{row['n']:,}", _number(row["value"]), f"{_number(row['low'])} to {_number(row['high'])}"]
        for row in found.over_time
    ]
    known = [row for row in found.over_time if math.isfinite(row["value"])]
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
                )
            )
        columns = [column, "rows", question.primary, "95% interval"]
        listed = [
            [str(r["slice"]), f"{r['n']:,}", _number(r["value"]), f"{_number(r['low'])} to {_number(r['high'])}"]
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
            item.name, f"{item.share:.1%}", _number(item.loss), _number(item.rest), f"{item.loss / item.rest:.2f}" if item.rest else "", _p(item.p),
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
    return Section("changes", title, [Table(["what", f"version {subject.previous}", f"version {subject.version}"], rows)])


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
    if not subject.cluster and math.isfinite(ratio):
        sentence += (
            f" Were days what is independent, the interval of {question.primary} would be {ratio:.1f} times as wide "
            f"({_number(days.low)} to {_number(days.high)}); say `evaluation: {{cluster: day}}` for that."
        )
    n = len(question.test.y)
    sampled = [f"Importance uses {found.importance_rows:,} of {n:,} test rows, evenly spaced in time."] if found.importance_rows < n else []
    sampled += [f"The search for weak slices uses {SEARCHED_ROWS:,}."] if n > SEARCHED_ROWS else []
    sampled += [
        f"What is known of training rows (overfit, leakage) is from {len(question.fit.y):,} of {subject.fitted_rows:,}, evenly spaced."
    ]
    return Section(
        "method",
        "How the numbers were made",
        [
            Paragraph(sentence),
            Paragraph(" ".join(sampled)),
            Paragraph(f"Every figure is a row of the lake: {subject.query}"),
        ],
    )


def _horizons(question: Question, found: Assessment) -> Section:
    from lakeloop.forecast_report import horizon_section

    return horizon_section(question, found)


SECTIONS: Mapping[str, Callable[[Question, Assessment], Section]] = {
    "horizons": _horizons,
    "calibration": _calibration,
    "thresholds": _thresholds,
    "residuals": _residuals,
}
"""What a task may have of its own, by the name that `lakeloop.tasks` calls it."""


def _figures(value: MetricValue) -> str:
    if not math.isfinite(value.value):
        return "not defined"
    return f"{_number(value.value)} [{_number(value.low)}, {_number(value.high)}]"


def _number(value: float) -> str:
    """Four digits after the point, or four in all for large numbers."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}" if abs(value) < 10_000 else f"{value:,.0f}"


def _sign(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return ("+" if value >= 0 else "−") + _number(abs(value))


def _share(value: float, low: float, high: float) -> str:
    return f"{value:.1%} [{low:.1%}, {high:.1%}]" if math.isfinite(value) else "–"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _moment(text: str) -> str:
    return text[:16].replace("T", " ")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(names: Sequence[str], what: str) -> str:
    return f"the {what} {names[0]}" if len(names) == 1 else f"the {what}s {', '.join(names[:-1])} and {names[-1]}"
