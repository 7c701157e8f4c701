"""The report's section on anomalies: planted rows and how well they are separated, flagged rows, stability of the top, labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lakeloop.evaluation.anomaly_findings import FLAGGED, LABELLED, STEADY, PlantedRows, separation_by_kind
from lakeloop.evaluation.assessment import CANDIDATE, Assessment, Question
from lakeloop.metrics.table import BESIDE, MetricValue
from lakeloop.report import plots
from lakeloop.report.anomaly_plots import plot_anomaly_scores
from lakeloop.report.page import Figure, Paragraph, Section, Table
from lakeloop.training.planting import FARTHEST, MIXTURE, MOVED

_DESCRIPTIONS = {
    MIXTURE: "every value from another row: each is ordinary, their combination is not",
    MOVED: f"a real row with one value changed: a number by {FARTHEST[0]:g} to {FARTHEST[1]:g} interquartile ranges, a text to one that no row has",
}


def planted_section(question: Question, assessment: Assessment) -> Section:
    """What the figures of an anomaly detector are based on."""
    planted, own = question.planted, assessment.own
    assert planted is not None
    blocks = _separation(question, planted)
    blocks.append(_flagged(question, planted, own.get(FLAGGED)))
    steady = own.get(STEADY)
    if steady is not None:
        blocks.append(
            Paragraph(
                f"Of the {steady.n:,} most anomalous real rows by one seed, {steady.value:.0%} [{steady.low:.0%}, {steady.high:.0%}] "
                "are among those by another. (Refits on fewer rows; with more rows the overlap is larger.)"
            )
        )
    if planted.labelled:
        blocks.append(_labelled(planted, own))
    others = [[name, text] for name, text in BESIDE["anomaly_detection"].items() if name in own]
    if others:
        blocks.append(Table(["figure", "description"], others, folded="the other figures"))
    return Section("planted", "Planted anomalies and flagged rows", blocks)


def _separation(question: Question, planted: PlantedRows) -> list[Paragraph | Figure | Table]:
    """How well planted rows are separated from real ones, in words, by kind and in pictures."""
    y, score = question.test.y, question.test.scores[CANDIDATE]
    reason = "The label isn't used for training" if planted.labelled else "No label says which rows are anomalies"
    words = (
        f"{reason}, so anomalies were planted: {int((y == 1).sum()):,} rows made from rows of the test window, among its {int((y == 0).sum()):,} real "
        f"ones. {question.primary} and average_precision above measure how well the model separates them (misranked is the share of rows of the "
        "other kind that a row is on the wrong side of). Real rows may be anomalies, too, so a perfect figure can't be reached; and your "
        "anomalies may be of another kind than the planted ones."
    )
    rows = [
        [kind, f"{int((planted.kinds == kind).sum()):,}", f"{value:.4f}", _DESCRIPTIONS.get(kind, "")]
        for kind, value in separation_by_kind(y, score, planted.kinds).items()
    ]
    return [
        Paragraph(words),
        Table(["planted", "rows", "ROC AUC", "description"], rows, ["rows", "ROC AUC"], "Each kind against all real rows."),
        Figure(
            plots.plot_roc_pr(y, score),
            "Planted against real rows. Dashed: a model without any knowledge.",
            "roc_and_precision_recall",
        ),
        Figure(
            plot_anomaly_scores(y, score, planted.threshold),
            "The less the distributions overlap, the better the separation. The outermost 0.5% are drawn at the edges.",
        ),
    ]


def _flagged(question: Question, planted: PlantedRows, flagged: MetricValue | None) -> Paragraph:
    """How many real and planted rows are flagged."""
    if flagged is None or planted.alert_rate is None:
        return Paragraph("No row is flagged: set `anomaly: {alert_rate: 0.01}` in the workflow for a flag beside the score.", quiet=True)
    y, score = question.test.y, question.test.scores[CANDIDATE]
    caught = float(np.mean(score[y == 1] > planted.threshold)) if planted.threshold is not None else float("nan")
    if flagged.low > planted.alert_rate:
        comparison = "More than expected: the rows have changed, or the newest ones are more anomalous."
    elif flagged.high < planted.alert_rate:
        comparison = "Fewer than expected: the rows have changed."
    else:
        comparison = "That is as many as expected."
    return Paragraph(
        f"At the threshold that flags {planted.alert_rate:.2%} of the rows that the model was fitted on, {flagged.value:.2%} [{flagged.low:.2%}, "
        f"{flagged.high:.2%}] of the real rows of the test window are flagged, and {caught:.1%} of the planted ones. {comparison}"
    )


def _labelled(planted: PlantedRows, own: Mapping[str, MetricValue]) -> Paragraph:
    """The metrics by the label, where some real rows have one."""
    metrics = "; ".join(
        f"{metric.replace('_', ' ')} {own[name].value:.4f} [{own[name].low:.4f}, {own[name].high:.4f}]"
        for name, metric in LABELLED.items()
        if name in own and np.isfinite(own[name].value)
    )
    return Paragraph(
        f"By the label, which isn't used for training: {planted.anomalies:,} anomalies among {planted.labelled:,} labelled real rows"
        + (f"; {metrics}." if metrics else ", too few of one kind for metrics.")
    )
