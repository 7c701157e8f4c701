"""The report's section on anomalies: what was planted, how it is told from real rows, how much is flagged, and how steady the top is."""

from __future__ import annotations

import numpy as np

from lakeloop.evaluation.anomaly_findings import FLAGGED, LABELLED, STEADY, separation_by_kind
from lakeloop.evaluation.assessment import CANDIDATE, Assessment, Question
from lakeloop.metrics.table import BESIDE
from lakeloop.report import plots
from lakeloop.report.anomaly_plots import plot_strangeness
from lakeloop.report.page import Figure, Paragraph, Section, Table
from lakeloop.training.planting import FARTHEST, MIXTURE, MOVED

_WHAT = {
    MIXTURE: "every value from another row: each is ordinary, together they are not",
    MOVED: f"a row as it is but for one value: a number {FARTHEST[0]:g} to {FARTHEST[1]:g} interquartile ranges away, or a text that no row has",
}


def planted_section(question: Question, found: Assessment) -> Section:
    """What the figures of a detector stand on."""
    marks, test = question.planted, question.test
    assert marks is not None
    y, score = test.y, test.scores[CANDIDATE]
    real, planted = int((y == 0).sum()), int((y == 1).sum())
    own = found.own
    words = (
        f"{'Nothing is learnt from the label' if marks.labelled else 'Nobody has said which rows are anomalies'}, so some were planted: {planted:,} rows "
        f"made out of rows of the test window, among its {real:,} real ones. How well the model tells these from those is what {question.primary} and "
        "average_precision above say (misranked is the share of the other kind that a row is on the wrong side of). Real rows may be "
        "anomalies, too, so a perfect figure can't be reached; and what happens to you may be of another kind than what was planted here."
    )
    alone = separation_by_kind(y, score, marks.kinds)
    rows = [[kind, f"{int((marks.kinds == kind).sum()):,}", f"{value:.4f}", _WHAT.get(kind, "")] for kind, value in alone.items()]
    blocks: list[Paragraph | Figure | Table] = [
        Paragraph(words),
        Table(["planted", "rows", "ROC AUC", "what it is"], rows, ["rows", "ROC AUC"], "Each kind against all real rows."),
        Figure(
            plots.plot_roc_pr(y, score),
            "Planted against real rows. Dashed: what a model without any knowledge would show.",
            "roc_and_precision_recall",
        ),
        Figure(
            plot_strangeness(y, score, marks.threshold), "What is told apart well lies apart. The outermost 0.5% are drawn at the edges."
        ),
    ]
    flagged, steady = own.get(FLAGGED), own.get(STEADY)
    if flagged is not None and marks.alert_rate is not None:
        caught = float(np.mean(score[y == 1] > marks.threshold)) if marks.threshold is not None else float("nan")
        blocks.append(
            Paragraph(
                f"At the threshold that flags {marks.alert_rate:.2%} of the rows that were fitted on, {flagged.value:.2%} [{flagged.low:.2%}, "
                f"{flagged.high:.2%}] of the real rows of the test window are flagged, and {caught:.1%} of the planted ones. "
                + (
                    "More than expected: the rows have changed, or the newest ones are stranger."
                    if flagged.low > marks.alert_rate
                    else "Fewer than expected: the rows have changed."
                    if flagged.high < marks.alert_rate
                    else "That is as many as expected."
                )
            )
        )
    else:
        blocks.append(
            Paragraph("No row is flagged: say `anomaly: {alert_rate: 0.01}` in the workflow for a flag beside the score.", quiet=True)
        )
    if steady is not None:
        blocks.append(
            Paragraph(
                f"Of the {steady.n:,} strangest real rows, another seed has {steady.value:.0%} [{steady.low:.0%}, {steady.high:.0%}] "
                "among its own. (Refits on fewer rows; more rows are steadier.)"
            )
        )
    if marks.labelled:
        shown = "; ".join(
            f"{metric.replace('_', ' ')} {own[name].value:.4f} [{own[name].low:.4f}, {own[name].high:.4f}]"
            for name, metric in LABELLED.items()
            if name in own and np.isfinite(own[name].value)
        )
        blocks.append(
            Paragraph(
                f"By the label, which nothing was learnt from: {marks.anomalies:,} anomalies among {marks.labelled:,} real rows that have one"
                + (f"; {shown}." if shown else ", too few of one kind to say more.")
            )
        )
    told = [[name, text] for name, text in BESIDE["anomaly_detection"].items() if name in own]
    if told:
        blocks.append(Table(["figure", "what it is"], told, folded="what the other figures are"))
    return Section("planted", "What was planted, and what is flagged", blocks)
