"""Decisions: whether a model is promoted, as a pure function with a reason that a person can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lakeloop.metrics.wording import number, signed
from lakeloop.spec.workflow import Gate

CHAMPION_GATE = "champion"
ERROR_RATE = 0.05
"""How often at most a challenger may be promoted that loses more than is allowed, or knows nothing, unless the gate says otherwise."""


@dataclass(frozen=True)
class Decision:
    """What to do with a model version, why, and on what evidence."""

    action: Literal["promote", "refuse", "keep"]
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What an evaluation found of one model version.

    Attributes:
        version: the model version that was judged.
        primary, value: the deciding metric.
        gates: per gate (outcome, message, severity).
        champion: the version it was compared with, if any.
        comparison: with the champion on the same rows, as `lakeloop.metrics.table.Difference.record` gives it; None when there were too few.
        skill: the same with a reference, which is something that knows nothing.
        reference: what that is, in words.
        incomparable: why it can't be compared with the champion at all, if so: the champion answers another question.
    """

    version: str
    primary: str
    value: float
    gates: Mapping[str, Sequence[Any]]
    champion: str | None = None
    comparison: Mapping[str, float] | None = None
    skill: Mapping[str, float] | None = None
    reference: str = "a constant"
    incomparable: str = ""


def should_promote(*, candidate: str, champion: str | None, evidence: Evidence, gates: Mapping[str, Gate]) -> Decision:
    """Decide on a candidate.

    Args:
        candidate: the version to decide on.
        champion: the version that is released now.
        evidence: the candidate's evaluation.
        gates: as the workflow states them; `champion` bounds the loss against the champion, and the probability of being wrong.

    Returns:
        `keep` for the champion itself; `refuse` when the evidence is about something else, a blocking gate did not pass, it isn't shown
        that the candidate knows more than a constant, or a loss against the champion of more than is allowed isn't ruled out (unless the
        champion answers another question, since the workflow file asks another one now); else `promote`. Both tests are one-sided at the gate's error rate, so that a candidate that knows nothing, or loses as much as is
        allowed or more, is promoted no more often than that.
    """
    facts: dict[str, Any] = {
        "primary": evidence.primary,
        "value": evidence.value,
        "comparison": dict(evidence.comparison or {}),
        "gates": {name: outcome[0] for name, outcome in evidence.gates.items()},
    }
    if candidate == champion:
        return Decision("keep", f"version {candidate} is the champion already", facts)
    if evidence.version != candidate:
        return Decision("refuse", f"the evaluation is of version {evidence.version}, not of {candidate}", facts)
    for name, gate in gates.items():
        if name == CHAMPION_GATE or gate.severity != "blocking":
            continue
        outcome = evidence.gates.get(name)
        if outcome is None:
            return Decision("refuse", f"the gate {name} has no result", facts)
        if outcome[0] != "passed":
            return Decision("refuse", f"the gate {name} {str(outcome[0]).replace('_', ' ')}: {outcome[1]}", facts)
    bound = gates.get(CHAMPION_GATE)
    rate = ERROR_RATE if bound is None or bound.error_rate is None else bound.error_rate
    if bound is not None and bound.severity == "blocking":
        knows = _test(evidence.skill, 0.0)
        facts["p_no_better_than_constant"] = knows
        if evidence.skill is None:
            return Decision("refuse", f"it was not compared with {evidence.reference}; evaluate it again", facts)
        if not knows <= rate:
            return Decision(
                "refuse",
                f"{evidence.primary} differs by {signed(evidence.skill['difference'])} (positive is better) from {evidence.reference}: that it knows more is "
                f"not shown (p {knows:.3f}, wanted at most {rate:g})",
                facts,
            )
    if champion is None:
        return Decision("promote", f"it passes its gates ({evidence.primary} {number(evidence.value)}) and there is no champion", facts)
    if evidence.champion != champion:
        return Decision(
            "refuse",
            f"it was compared with version {evidence.champion or 'none'}, but the champion is {champion}; evaluate it again",
            facts,
        )
    if bound is None or bound.max_drop is None or bound.severity != "blocking":
        return Decision("promote", f"it passes its gates ({evidence.primary} {number(evidence.value)})", facts)
    if evidence.incomparable:
        told = f"it passes its gates ({evidence.primary} {number(evidence.value)}); champion {champion} isn't compared with it: {evidence.incomparable}"
        return Decision("promote", told, facts)
    if evidence.comparison is None:
        return Decision("refuse", f"too few rows that neither it nor the champion {champion} was trained on to compare them", facts)
    p = _test(evidence.comparison, bound.max_drop)
    facts["p_worse_than_champion"] = p
    difference, rows = evidence.comparison["difference"], int(evidence.comparison["rows"])
    shown = (
        f"{evidence.primary} differs by {signed(difference)} (positive is better, standard error {number(evidence.comparison['error'])}) from champion "
        f"{champion} on the same {rows} rows"
    )
    loss = f"a loss of {bound.max_drop:g} or more" if bound.max_drop else "being no better"
    if not p <= rate:
        return Decision("refuse", f"{shown}: {loss} is not ruled out (p {p:.3f}, wanted at most {rate:g})", facts)
    return Decision("promote", f"{shown}: {loss} is ruled out (p {p:.3f}, wanted at most {rate:g})", facts)


def _test(found: Mapping[str, float] | None, margin: float) -> float:
    """One-sided p-value of a loss of `margin` or more; 1 where nothing is known."""
    from lakeloop.metrics.intervals import one_sided_p

    return 1.0 if found is None else one_sided_p(found["difference"], found["error"], found["degrees"], margin)
