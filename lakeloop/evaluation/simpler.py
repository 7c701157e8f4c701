"""What is simpler than a model and better by some metric: a constant or naive forecast, a linear model on the same features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lakeloop.metrics.wording import format_plain_signed
from lakeloop.spec.tasks import Answer

PROPER = ("log_loss", "brier")
"""What probabilities are judged by beside the primary metric and the gated ones: a model that ranks well can still say worse than the base rate."""
CONSTANT_IS_BEST = ("calibration_error",)
"""Metrics that a constant has at their best, so that beating it by them means nothing; so has it those that can't decide."""
Skills = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Baseline -> metric -> how much better the model is on the same rows, see `lakeloop.metrics.table.Difference.record`."""


def compared_metrics(answer: Answer, primary: str, gated: Sequence[str]) -> list[str]:
    """The metrics by which a model must not be worse than what is simpler: the primary one, the gated ones, for probabilities also log loss and Brier."""
    from lakeloop.metrics.table import metrics_of

    metrics = metrics_of(answer)
    wanted = [primary, *gated, *(PROPER if answer.kind.gives_probabilities else ())]
    return [name for name in dict.fromkeys(wanted) if name in metrics and metrics[name].decides and name not in CONSTANT_IS_BEST]


def better_baseline(skills: Skills, primary: str, reference: str, words: str, rate: float) -> str:
    """The first baseline that is better by some metric, as a sentence; empty where none is.

    The model must show that it beats the reference on the primary metric (`should_promote` tests that). By every other metric the
    reference must not have the better value on these rows: a model that can't be told from a constant has no claim to replace it. A baseline that
    was itself fitted is compared by what is shown: its difference is significant (one-sided, `rate` for all metrics together, Bonferroni).

    Args:
        skills: what was compared; nothing in evaluations of releases before 0.4.0.
        primary: the deciding metric.
        reference: the baseline that uses no feature.
        words: that one in words.
        rate: the error rate of the tests of a baseline.
    """
    from lakeloop.metrics.intervals import one_sided_p

    for metric, against in skills.get(reference, {}).items():
        if metric != primary and against["difference"] < 0:
            return f"{words} has the better {metric}: it differs by {format_plain_signed(against['difference'])} (positive is better)"
    for who, by_metric in skills.items():
        for metric, against in by_metric.items() if who != reference else ():
            p = one_sided_p(-against["difference"], against["error"], against["degrees"])
            if math.isfinite(against["difference"]) and p <= rate / len(by_metric):
                return (
                    f"a {who} model on the same features has the better {metric}: it differs by {format_plain_signed(against['difference'])} "
                    f"(positive is better, p {p:.3g}, of {rate / len(by_metric):.3g} allowed); take it, or add what the model lacks"
                )
    return ""
