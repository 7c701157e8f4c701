"""Decisions: whether a model is promoted, as a pure function with a reason that a person can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lakeloop.spec import Gate

CHAMPION_GATE = "champion"


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
        comparison: `difference` (positive is better), `low`, `high`, `rows`, on the same rows; None when there were too few.
    """

    version: str
    primary: str
    value: float
    gates: Mapping[str, Sequence[Any]]
    champion: str | None = None
    comparison: Mapping[str, float] | None = None


def should_promote(*, candidate: str, champion: str | None, evidence: Evidence, gates: Mapping[str, Gate]) -> Decision:
    """Decide on a candidate.

    Args:
        candidate: the version to decide on.
        champion: the version that is released now.
        evidence: the candidate's evaluation.
        gates: as the workflow states them; `champion` bounds the loss against the champion.

    Returns:
        `keep` for the champion itself; `refuse` when the evidence is about something else, a blocking gate did not pass, or the candidate
        is worse than the champion by more than is allowed; else `promote`.
    """
    facts = {
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
    if champion is None:
        return Decision("promote", f"it passes its gates ({evidence.primary} {evidence.value:.4f}) and there is no champion", facts)
    if evidence.champion != champion:
        return Decision(
            "refuse",
            f"it was compared with version {evidence.champion or 'none'}, but the champion is {champion}; evaluate it again",
            facts,
        )
    bound = gates.get(CHAMPION_GATE)
    if bound is None or bound.max_drop is None:
        return Decision("promote", f"it passes its gates ({evidence.primary} {evidence.value:.4f})", facts)
    if evidence.comparison is None:
        return Decision("refuse", f"too few rows that neither it nor the champion {champion} was trained on to compare them", facts)
    difference, rows = evidence.comparison["difference"], int(evidence.comparison["rows"])
    shown = f"{evidence.primary} differs by {difference:+.4f} (positive is better) from champion {champion} on the same {rows} rows"
    if not difference >= -bound.max_drop:
        return Decision("refuse", f"{shown}; wanted a loss of at most {bound.max_drop:g}", facts)
    return Decision("promote", f"{shown}; at most {bound.max_drop:g} may be lost", facts)
