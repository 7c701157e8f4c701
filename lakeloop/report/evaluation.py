"""What an evaluation's page says: from an assessment and its subject to a `Report`. Sentences first, then pictures, then tables."""

from __future__ import annotations

import math
from collections.abc import Callable

from lakeloop.evaluation.assessment import CHAMPION, LINEAR, Assessment, Question
from lakeloop.metrics.table import Difference, reference_words
from lakeloop.metrics.thresholds import ThresholdRow, find_cheapest
from lakeloop.metrics.wording import format_difference, format_metric, format_number, format_signed, format_threshold, join_names
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
    method_section,
    over_time_section,
    purpose_section,
    slices_section,
    weak_section,
)
from lakeloop.report.subject import Subject
from lakeloop.report.task_sections import SECTIONS


def evaluation_report(subject: Subject, question: Question, found: Assessment) -> Report:
    """Compose the page."""
    primary = found.own[question.primary]
    best = find_cheapest(found.thresholds)
    sections = [
        purpose_section(subject, question),
        data_section(subject, question.elsewhere, learnt=question.planted is None),
        headline_section(subject, question, found),
        *([gain_section(subject.search)] if subject.search else []),
        *([champion_section(subject, question, found)] if subject.champion else []),
        *(SECTIONS[name](question, found) for name in question.answer.kind.sections),
        importance_section(question, found),
        *([] if subject.static else [over_time_section(question, found, primary)]),
        *([slices_section(question, found)] if is_sliced(question, found) else []),
        weak_section(question, found),
        checks_section(found),
        changes_section(subject),
        method_section(subject, question, found),
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
    failed = [name for name, gate in subject.gates.items() if not gate.is_passed and gate.is_blocking]
    warned = [name for name, gate in subject.gates.items() if not gate.is_passed and not gate.is_blocking]
    kind = question.answer.kind
    constant = found.differences[kind.reference]
    seen = question.elsewhere is not None and question.elsewhere.may_have_seen
    unseen = "a test window that it wasn't trained on" if subject.static else "later time that it wasn't trained on"
    rows = "the test window" if seen else unseen
    planted = f", {int(question.test.y.sum()):,} of them planted" if question.planted is not None else ""
    parts = [
        f"On {primary.n:,} rows of {rows}{planted}, {primary.name} ({better(question)}) is {format_metric(primary)}; "
        f"against {reference_words(question.answer, question.primary)} that is {format_signed(constant.difference)}, where positive is better."
    ]
    if seen and question.elsewhere is not None:
        parts.append(f"{question.elsewhere.sentence}.")
    if failed:
        parts.append(f"It fails {join_names(failed, 'gate')}. That blocks its promotion.")
    elif len(subject.gates) > len(warned):
        parts.append("It passes its gates." if len(subject.gates) - len(warned) > 1 else "It passes its gate.")
    if warned:
        parts.append(
            f"It doesn't meet {join_names(warned, 'gate')}, which {'warns' if len(warned) == 1 else 'warn'} and {'stops' if len(warned) == 1 else 'stop'} nothing."
        )
    if CHAMPION in found.differences:
        parts.append(_against_champion(subject, found.differences[CHAMPION]))
    parts.append(
        f"{len(suspicious)} of {len(found.checks)} model checks found something; what to do is said under “Model checks”."
        if suspicious
        else "No model check found anything."
    )
    return " ".join(parts)


def _against_champion(subject: Subject, d: Difference) -> str:
    told = f"Against champion {subject.champion} it differs by {format_difference(d.difference, d.low, d.high)}"
    if subject.margin is None:
        return f"{told}."
    loss = f"a loss of {subject.margin:g} or more" if subject.margin else "that it is no better"
    met = d.p_not_worse(subject.margin) <= subject.error_rate
    return (
        f"{told}: {loss} is {'ruled out, as the gate champion asks' if met else 'not ruled out, though the gate champion asks for that'}."
    )


def _tiles(subject: Subject, question: Question, found: Assessment, best: ThresholdRow | None) -> list[Tile]:
    primary, bad = found.own[question.primary], [c for c in found.checks if c.outcome == "found"]
    failed = [name for name, gate in subject.gates.items() if not gate.is_passed]
    tiles = [Tile(primary.name, format_number(primary.value), _interval(format_number, primary.low, primary.high))]
    if CHAMPION in found.differences:
        d = found.differences[CHAMPION]
        tone: Tone = "good" if d.low > 0 else "bad" if d.high < 0 else ""
        tiles.append(
            Tile(f"against champion {subject.champion}", format_signed(d.difference), _interval(format_signed, d.low, d.high), tone)
        )
    elif LINEAR in found.differences and found.differences[LINEAR].error:
        d = found.differences[LINEAR]
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
            f"{len(bad)} found" if bad else "all clean",
            ", ".join(c.kind.title.lower() for c in bad[:3]),
            "bad" if bad else "good",
        )
    )
    if best is not None and best.cost is not None:
        tiles.append(Tile("cheapest threshold", format_threshold(best.threshold), f"{format_number(best.cost)} per row"))
    return tiles


def _interval(written: Callable[[float], str], low: float, high: float) -> str:
    return f"95%: {written(low)} to {written(high)}" if math.isfinite(low) and math.isfinite(high) else "no interval"
