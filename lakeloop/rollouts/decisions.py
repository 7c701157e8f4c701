"""What to do with a canary now: a pure function of what was counted, by how much it loses, and the time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from lakeloop.rollouts.guards import Phase, evidence
from lakeloop.rollouts.quality import Bound, DayLoss, bound

GUARD_ERROR_RATE = 0.007
"""The probability that a canary that is no worse than the champion is rolled back by any guard."""
QUALITY_ERROR_RATE = 0.003
"""The same by its quality: together at most 1%."""
ERRORS = "errors"
"""The guard that has half of the guards' probability: four equal ones would take 2,300 requests to find 5% errors instead of 1%, and not 2,000."""
PROMOTION_ERROR_RATE = 0.05
"""The probability that a canary that loses the margin or more is promoted, as in the gate `champion`."""

Action = Literal["hold", "advance", "promote", "roll_back", "no_evidence"]


@dataclass(frozen=True)
class Plan:
    """How a canary goes.

    Attributes:
        steps: percents of the traffic, ascending. 100 is the promotion, which needs evidence of quality; the others need requests.
        min_requests: on the canary, before the next step.
        deadline: from the start; then the champion stays.
        margin: the loss that is tolerated, in the units of the loss.
        guards: the ratio of rates that each tolerates.
    """

    steps: tuple[int, ...] = (10, 50, 100)
    min_requests: int = 2_000
    deadline: timedelta = timedelta(days=7)
    margin: float = 0.0
    guards: Mapping[str, float] = field(default_factory=dict)

    @property
    def shared(self) -> tuple[int, ...]:
        """The steps at which both versions answer."""
        return tuple(step for step in self.steps if step < 100)


@dataclass(frozen=True)
class Progress:
    """Where a rollout is.

    Attributes:
        started_at: UTC.
        step: the percent of the traffic that the canary has.
        requests: that it has answered at this step.
        counts: per guard, what was counted in each phase.
        days: judged days, see `DayLoss`; with `feedback` the difference between the legs' own rows.
    """

    started_at: datetime
    step: int
    requests: int
    counts: Mapping[str, Sequence[Phase]]
    days: Sequence[DayLoss] = ()


@dataclass(frozen=True)
class RolloutDecision:
    """What to do with a canary, why, and on what figures.

    Attributes:
        action: `advance` to the next step; `no_evidence`: the deadline has come, and the champion stays.
        reason: in words.
        step: the percent that the canary is to have from now on; 0 where it is taken away.
        figures: evidence per guard, and the bounds of quality.
    """

    action: Action
    reason: str
    step: int
    figures: Mapping[str, Any]


def decide(plan: Plan, progress: Progress, now: datetime) -> RolloutDecision:
    """Decide on a canary.

    Args:
        plan: how it goes.
        progress: where it is.
        now: UTC.

    Returns:
        In this order: `roll_back` when a guard's evidence or the lower bound of its loss says that it is worse; `promote` when all shared steps have had their
        requests and a loss of the margin is ruled out; `no_evidence` at the deadline; `advance` when this step has had its requests; else `hold`.
    """
    figures: dict[str, Any] = {"step": progress.step, "requests": progress.requests}
    if worse := _worse_guard(plan, progress, figures):
        return RolloutDecision("roll_back", worse, 0, figures)
    losses = [day.difference for day in progress.days]
    worst, best = bound(losses, QUALITY_ERROR_RATE), bound(losses, PROMOTION_ERROR_RATE)
    figures |= {"days": worst.days, "loss_difference": worst.mean, "lower": worst.lower, "upper": best.upper, "margin": plan.margin}
    if worst.lower > 0:
        return RolloutDecision(
            "roll_back", f"its loss is larger by {worst.mean:.4g} over {worst.days} days, and by {worst.lower:.4g} at least", 0, figures
        )
    is_quality_shown = best.upper < plan.margin
    last = max(plan.shared, default=0)
    has_requests = progress.requests >= plan.min_requests
    if is_quality_shown and (not plan.shared or (progress.step >= last and has_requests)):
        return RolloutDecision(
            "promote", f"a loss of {plan.margin:g} is ruled out over {best.days} days (at most {best.upper:.4g})", 100, figures
        )
    if now - progress.started_at >= plan.deadline:
        return RolloutDecision(
            "no_evidence", f"no evidence after {plan.deadline}: {_missing(plan, progress, best)}; the champion stays", 0, figures
        )
    if progress.step < last and has_requests:
        following = min(step for step in plan.shared if step > progress.step)
        return RolloutDecision(
            "advance", f"{progress.requests} requests at {progress.step}% and no guard speaks against it", following, figures
        )
    return RolloutDecision("hold", _missing(plan, progress, best), progress.step, figures)


def guard_error_rates(guards: Collection[str]) -> dict[str, float]:
    """What each guard may err by: half for `ERRORS` where others stand beside it, the rest equally."""
    others = [name for name in guards if name != ERRORS]
    kept = 1.0 if not others else 0.5 if ERRORS in guards else 0.0
    return {name: GUARD_ERROR_RATE * (kept if name == ERRORS else (1 - kept) / len(others)) for name in guards}


def _worse_guard(plan: Plan, progress: Progress, figures: dict[str, Any]) -> str:
    """Why a guard rolls back; empty if none does. Their error rates sum to `GUARD_ERROR_RATE` (Bonferroni)."""
    wanted = {name: -math.log(rate) for name, rate in guard_error_rates(plan.guards).items()}
    logs = {name: evidence(progress.counts.get(name, ()), ratio) for name, ratio in plan.guards.items()}
    figures["log_evidence"], figures["log_evidence_wanted"] = logs, wanted
    for name, value in logs.items():
        if value >= wanted[name]:
            counted = progress.counts[name]
            canary, champion = sum(phase.canary_bad for phase in counted), sum(phase.champion_bad for phase in counted)
            tolerated = "the champion's rate" if plan.guards[name] == 1 else f"{plan.guards[name]:g} times the champion's rate"
            return (
                f"{name}: {canary} on the canary and {champion} on the champion are more than {tolerated} "
                f"(evidence e^{value:.1f}, e^{wanted[name]:.1f} decides)"
            )
    return ""


def _missing(plan: Plan, progress: Progress, best: Bound) -> str:
    """What a promotion still needs."""
    last = max(plan.shared, default=0)
    if progress.step < last or progress.requests < plan.min_requests:
        return f"{progress.requests} of {plan.min_requests} requests at {progress.step}%"
    if not math.isfinite(best.radius):
        return f"{best.days} days of labelled rows, too few to bound the loss"
    return f"a loss of {plan.margin:g} isn't ruled out over {best.days} days (at most {best.upper:.4g})"
