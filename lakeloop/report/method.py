"""The section that says what the intervals of a page assume, and what was sampled."""

from __future__ import annotations

import math

from lakeloop.evaluation.assessment import SEARCHED_ROWS, Assessment, Question
from lakeloop.metrics.wording import format_number
from lakeloop.report.page import Paragraph, Section
from lakeloop.report.subject import Subject

MOST_ALIKE = 0.8
"""Effective clusters over clusters: below it the page tells that their sizes differ."""


def method_section(subject: Subject, question: Question, assessment: Assessment) -> Section:
    """What the intervals assume, and what was sampled."""
    own, days = assessment.own[question.primary], assessment.by_day
    assumption = _cluster_words(subject.cluster, question.primary, assessment) if subject.cluster else "Rows are assumed to be independent"
    ratio = (days.high - days.low) / (own.high - own.low) if own.high > own.low else math.nan
    sentence = f"{assumption}. The intervals show how the figures would vary from one such window to the next if nothing else changed."
    if not subject.cluster and not subject.static and math.isfinite(ratio):
        sentence += (
            f" If only days were independent, the interval of {question.primary} would be {ratio:.1f} times as wide "
            f"({format_number(days.low)} to {format_number(days.high)}); set `evaluation: {{cluster: day}}` for that."
        )
    if not math.isfinite(own.low):
        sentence += " Where there is no interval, the rows are too few, or too few of them are independent."
    n = len(question.test.y)
    sampled = (
        [f"Importance uses {assessment.importance_rows:,} of {n:,} test rows, evenly spaced."] if assessment.importance_rows < n else []
    )
    sampled += [f"The search for weak slices uses {SEARCHED_ROWS:,}."] if n > SEARCHED_ROWS else []
    sampled += (
        []
        if question.elsewhere
        else [f"Checks of training rows (overfit, leakage) use {len(question.fit.y):,} of {subject.fitted_rows:,}, evenly spaced."]
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


def _cluster_words(cluster: str, primary: str, assessment: Assessment) -> str:
    """What is assumed of clustered rows, how like the clusters are in size, and how much their neighbours depend."""
    varied = assessment.clusters
    words = f"Rows of one {cluster} may depend on each other; "
    if varied is None or varied.widened == 1:
        words += "those of different ones are assumed to be independent"
    else:
        words += f"neighbouring ones do, too, which makes the interval of {primary} {varied.widened:.1f} times as wide"
    if varied is not None and varied.effective < MOST_ALIKE * varied.clusters:
        words += f". Its {varied.clusters:,} values are of unequal size and tell as much as {varied.effective:,.0f} of one size"
    return words
