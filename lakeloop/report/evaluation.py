"""The page of an evaluation: from an assessment and its subject to a `Report`. Sentences first, then pictures, then tables."""

from __future__ import annotations

import math
from collections.abc import Callable

from lakeloop.evaluation.assessment import CHAMPION, LINEAR, Assessment, Question
from lakeloop.metrics.table import Difference, reference_words
from lakeloop.metrics.thresholds import ThresholdRow, find_cheapest
from lakeloop.metrics.wording import format_difference, format_metric, format_number, format_signed, format_threshold, join_names
from lakeloop.report.method import method_section
from lakeloop.report.page import Report, Tile, Tone
from lakeloop.report.search import gain_section
from lakeloop.report.sections import (
    better,
    champion_section,
    changes_section,
    checks_section,
    data_section,
    headline_section,
    importance_section,
    is_sliced,
    over_time_section,
    purpose_section,
    slices_section,
    weak_section,
)
from lakeloop.report.subject import Subject
from lakeloop.report.task_sections import SECTIONS


def evaluation_report(subject: Subject, question: Question, assessment: Assessment) -> Report:
    """Compose the page of an evaluation."""
    primary = assessment.own[question.primary]
    best = find_cheapest(assessment.thresholds)
    sections = [
        purpose_section(subject, question),
        data_section(subject, question.elsewhere, has_label=question.planted is None),
        headline_section(subject, question, assessment),
        *([gain_section(subject.search)] if subject.search else []),
        *([champion_section(subject, question, assessment)] if subject.champion else []),
        *(SECTIONS[name](question, assessment) for name in question.answer.kind.sections),
        importance_section(question, assessment),
        *([] if subject.static else [over_time_section(question, assessment, primary)]),
        *([slices_section(question, assessment)] if is_sliced(question, assessment) else []),
        weak_section(question, assessment),
        checks_section(assessment),
        changes_section(subject),
        method_section(subject, question, assessment),
    ]
    return Report(
        title=f"{subject.name}, version {subject.version}",
        subtitle=f"{subject.domain} · {question.answer.task.replace('_', ' ')} · environment {subject.environment} · evaluated {subject.made_at}",
        lead=_lead(subject, question, assessment),
        tiles=_tiles(subject, question, assessment, best),
        sections=sections,
        footer=f"Written by Lakeloop, {subject.made_at}. One file that loads nothing from anywhere else.",
    )


def _lead(subject: Subject, question: Question, assessment: Assessment) -> str:
    primary = assessment.own[question.primary]
    suspicious = [c for c in assessment.checks if c.outcome == "found"]
    failed = [name for name, gate in subject.gates.items() if not gate.is_passed and gate.is_blocking]
    warned = [name for name, gate in subject.gates.items() if not gate.is_passed and not gate.is_blocking]
    kind = question.answer.kind
    reference = assessment.differences[kind.reference]
    may_have_seen = question.elsewhere is not None and question.elsewhere.may_have_seen
    unseen = "rows of a test window that it wasn't trained on" if subject.static else "later rows that it wasn't trained on"
    rows = "rows of the test window" if may_have_seen else unseen
    planted = f", {int(question.test.y.sum()):,} of them planted" if question.planted is not None else ""
    parts = [
        f"On {primary.n:,} {rows}{planted}, {primary.name} ({better(question)}) is {format_metric(primary)}; "
        f"the difference to {reference_words(question.answer, question.primary)} is {format_signed(reference.difference)} (positive is better)."
    ]
    if may_have_seen and question.elsewhere is not None:
        parts.append(f"{question.elsewhere.sentence}.")
    if failed:
        parts.append(f"It fails {join_names(failed, 'gate')}. This blocks its promotion.")
    elif len(subject.gates) > len(warned):
        parts.append("It passes its gates." if len(subject.gates) - len(warned) > 1 else "It passes its gate.")
    if warned:
        parts.append(f"It doesn't meet {join_names(warned, 'gate')}, which only {'warns' if len(warned) == 1 else 'warn'}.")
    if CHAMPION in assessment.differences:
        parts.append(_against_champion(subject, assessment.differences[CHAMPION]))
    parts.append(
        f"{len(suspicious)} of {len(assessment.checks)} model checks found something; “Model checks” says what to do."
        if suspicious
        else "No model check found anything."
    )
    return " ".join(parts)


def _against_champion(subject: Subject, d: Difference) -> str:
    difference = f"The difference to champion {subject.champion} is {format_difference(d.difference, d.low, d.high)}"
    if subject.margin is None:
        return f"{difference}."
    loss = f"a loss of {subject.margin:g} or more" if subject.margin else "that it is no better"
    is_ruled_out = d.p_not_worse(subject.margin) <= subject.error_rate
    return f"{difference}: {loss} is {'ruled out, as' if is_ruled_out else 'not ruled out, though'} the gate champion requires."


def _tiles(subject: Subject, question: Question, assessment: Assessment, best: ThresholdRow | None) -> list[Tile]:
    primary, suspicious = assessment.own[question.primary], [c for c in assessment.checks if c.outcome == "found"]
    failed = [name for name, gate in subject.gates.items() if not gate.is_passed]
    tiles = [Tile(primary.name, format_number(primary.value), _interval(format_number, primary.low, primary.high))]
    if CHAMPION in assessment.differences:
        d = assessment.differences[CHAMPION]
        tone: Tone = "good" if d.low > 0 else "bad" if d.high < 0 else ""
        tiles.append(
            Tile(f"against champion {subject.champion}", format_signed(d.difference), _interval(format_signed, d.low, d.high), tone)
        )
    elif LINEAR in assessment.differences and assessment.differences[LINEAR].error:
        d = assessment.differences[LINEAR]
        tiles.append(Tile("against a linear model", format_signed(d.difference), _interval(format_signed, d.low, d.high)))
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
            f"{len(suspicious)} found" if suspicious else "all clean",
            ", ".join(c.kind.title.lower() for c in suspicious[:3]),
            "bad" if suspicious else "good",
        )
    )
    if best is not None and best.cost is not None:
        tiles.append(Tile("cheapest threshold", format_threshold(best.threshold), f"{format_number(best.cost)} per row"))
    return tiles


def _interval(write: Callable[[float], str], low: float, high: float) -> str:
    return f"95%: {write(low)} to {write(high)}" if math.isfinite(low) and math.isfinite(high) else "no interval"
