"""What a release decided, in one line for people: the version, released or not and why, its score, the address of its report."""

from __future__ import annotations

import math

from lakeloop.project.project import Located
from lakeloop.records.release import EvaluationState, ReleaseState
from lakeloop.spec.workflow import WorkflowSpec
from resources.lake.published import States


def verdict_line(located: Located[WorkflowSpec], states: States) -> str | None:
    """The verdict on the newest model of a workflow; None while nothing has been decided."""
    release, evaluation = states.whole(ReleaseState, located), states.whole(EvaluationState, located)
    if release is None or evaluation is None:
        return None
    report = f" {evaluation.value.report}" if evaluation.value.report else ""
    return f"{score_sentence(located, release.value, evaluation.value)}{report}"


def score_sentence(located: Located[WorkflowSpec], release: ReleaseState, evaluation: EvaluationState) -> str:
    """The score of the newest model, and whether it is released."""
    primary = located.spec.evaluation.primary
    low, high = evaluation.intervals[primary]
    others = ", ".join(f"{who} {metrics[primary]:.3f}" for who, metrics in evaluation.baselines.items())
    stays = f"; version {release.champion} stays" if release.champion else ""
    interval = f"[{low:.3f}, {high:.3f}]" if math.isfinite(low) and math.isfinite(high) else "(no interval)"
    state = "is released" if release.champion == evaluation.version else f"is not released ({release.reason}{stays})"
    return (
        f"{'.'.join(located.id)} version {evaluation.version} {state}: {primary} {evaluation.metrics[primary]:.3f} {interval} "
        f"on {evaluation.rows:,} {'held-back' if evaluation.static else 'later'} rows ({others})."
    )
