"""Decisions: whether a model version is promoted, as a pure function that gives its reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lakeloop.evaluation.simpler import Skills, better_baseline
from lakeloop.metrics.wording import format_number, format_plain_signed
from lakeloop.spec.workflow import Gate

CHAMPION_GATE = "champion"
LEAK_GATE = "leaks"
"""Bounds how many checks of the leak family find something, see `lakeloop.evaluation.leak_gate`."""
ERROR_RATE = 0.05
"""How often at most a challenger is promoted although it loses more than is allowed, or predicts no better than a constant, unless the gate
sets another rate."""


@dataclass(frozen=True)
class Decision:
    """What to do with a model version, why, and on what evidence."""

    action: Literal["promote", "refuse", "keep"]
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What an evaluation measured for one model version.

    Attributes:
        version: the evaluated model version.
        primary, value: the deciding metric.
        gates: per gate (outcome, message, ...).
        champion: the version that it was compared with, if any.
        comparison: with the champion on the same rows, as `lakeloop.metrics.table.Difference.record` gives it; None when there were too few.
        best: the best release so far, where it is another version than the champion and could be scored.
        best_comparison: the comparison with it, as `comparison`.
        skill: the same with a reference, a prediction that uses no feature.
        reference: what the reference is, in words.
        baselines: the differences from each baseline by every metric that counts, see `lakeloop.evaluation.simpler`; empty in evaluations of
            releases before 0.4.0.
        naive: which of the baselines the reference is.
        incomparable: why it can't be compared with the champion: the champion answers another question. Empty when it can.
    """

    version: str
    primary: str
    value: float
    gates: Mapping[str, Sequence[Any]]
    champion: str | None = None
    comparison: Mapping[str, float] | None = None
    skill: Mapping[str, float] | None = None
    reference: str = "a constant"
    baselines: Skills = field(default_factory=dict)
    naive: str = "constant"
    best: str | None = None
    best_comparison: Mapping[str, float] | None = None
    incomparable: str = ""


def should_promote(
    *,
    candidate: str,
    champion: str | None,
    evidence: Evidence,
    gates: Mapping[str, Gate],
    voided: Mapping[str, str] | None = None,
    barred: str = "",
) -> Decision:
    """Decide whether a candidate is promoted.

    Both tests are one-sided at the gate's error rate: a candidate that is no better than a constant, or loses as much as is allowed or
    more, is promoted no more often than that.

    Args:
        candidate: the version to decide on.
        champion: the version that is released now.
        evidence: the candidate's evaluation.
        gates: as the workflow declares them; `champion` bounds the loss against the champion and the probability of a wrong promotion.
        voided: versions whose evidence counts in no comparison, by why.
        barred: why only a person may release the candidate: it was rolled back, or its evidence is void. Empty where its gates decide.

    Returns:
        `keep` for the champion itself. `refuse` when the candidate is barred, the evidence is about another version or another champion, a blocking gate did not
        pass, the candidate isn't shown to be better than the reference, a baseline is better by a metric that counts, or a loss against the champion of more than is allowed isn't ruled
        out (unless the champion answers another question, because the workflow file has changed). Otherwise `promote`.
    """
    facts: dict[str, Any] = {
        "primary": evidence.primary,
        "value": evidence.value,
        "comparison": dict(evidence.comparison or {}),
        "gates": {name: outcome[0] for name, outcome in evidence.gates.items()},
    }
    if candidate == champion:
        return Decision("keep", f"version {candidate} is the champion already", facts)
    if barred:
        return Decision("refuse", f"{barred}; only `lakeloop release promote` releases it again", facts)
    if evidence.version != candidate:
        return Decision("refuse", f"the evaluation is of version {evidence.version}, not of {candidate}", facts)
    if obstacle := _metric_gate_obstacle(evidence, gates):
        return Decision("refuse", obstacle, facts)
    bound = gates.get(CHAMPION_GATE)
    rate = ERROR_RATE if bound is None or bound.error_rate is None else bound.error_rate
    if bound is not None and bound.severity == "blocking":
        p_no_skill = _p_value(evidence.skill, 0.0)
        facts["p_no_better_than_constant"] = p_no_skill
        if evidence.skill is None:
            return Decision("refuse", f"it was not compared with {evidence.reference}; evaluate it again", facts)
        if not p_no_skill <= rate:
            return Decision(
                "refuse",
                f"{evidence.primary} differs by {format_plain_signed(evidence.skill['difference'])} (positive is better) from {evidence.reference}: that it is better "
                f"is not shown (p {p_no_skill:.3f}, wanted at most {rate:g})",
                facts,
            )
        if better := better_baseline(evidence.baselines, evidence.primary, evidence.naive, evidence.reference, rate):
            return Decision("refuse", better, facts)
    passes = f"it passes its gates ({evidence.primary} {format_number(evidence.value)})"
    if champion is None:
        return Decision("promote", f"{passes} and there is no champion", facts)
    if voided and champion in voided:
        return Decision(
            "promote", f"{passes}; champion {champion} isn't compared with it: its evidence is void ({voided[champion]})", facts
        )
    if evidence.champion != champion:
        return Decision(
            "refuse",
            f"it was compared with version {evidence.champion or 'none'}, but the champion is {champion}; evaluate it again",
            facts,
        )
    if bound is None or bound.max_drop is None or bound.severity != "blocking":
        return Decision("promote", passes, facts)
    if evidence.incomparable:
        return Decision("promote", f"{passes}; champion {champion} isn't compared with it: {evidence.incomparable}", facts)
    if evidence.comparison is None:
        return Decision("refuse", f"too few rows that neither it nor the champion {champion} was trained on to compare them", facts)
    words = []
    for who, version, compared in _opponents(evidence):
        p_loss = _p_value(compared, bound.max_drop)
        facts[f"p_worse_than_{who.replace(' ', '_')}"] = p_loss
        sentence, is_ruled_out = _loss_words(evidence.primary, f"{who} {version}", compared, bound.max_drop, p_loss, rate)
        if not is_ruled_out:
            return Decision("refuse", sentence, facts)
        words.append(sentence)
    return Decision("promote", "; ".join(words), facts)


def _opponents(evidence: Evidence) -> list[tuple[str, str, Mapping[str, float]]]:
    """Who a loss is counted from: the champion, and the best release so far.

    From the champion alone each release may lose a margin against the one before, without end; from the best one all of them together can't.
    """
    assert evidence.champion is not None and evidence.comparison is not None
    opponents = [("champion", evidence.champion, evidence.comparison)]
    if evidence.best is not None and evidence.best_comparison is not None:
        opponents.append(("best release", evidence.best, evidence.best_comparison))
    return opponents


def _loss_words(primary: str, whom: str, compared: Mapping[str, float], margin: float, p: float, rate: float) -> tuple[str, bool]:
    """What a comparison shows, in words, and whether it rules out a loss of the margin."""
    is_ruled_out = p <= rate
    loss = f"a loss of {margin:g} or more" if margin else "being no better"
    return (
        f"{primary} differs by {format_plain_signed(compared['difference'])} (positive is better, standard error {format_number(compared['error'])}) from "
        f"{whom} on the same {int(compared['rows'])} rows: {loss} is {'' if is_ruled_out else 'not '}ruled out (p {p:.3f}, wanted at most {rate:g})"
    ), is_ruled_out


def best_after(decision: Decision, evidence: Evidence, best: str | None) -> str | None:
    """The release that losses are counted from after a decision.

    A promoted version takes the place of the best release so far only if it is shown to be better on the same rows (one-sided, `ERROR_RATE`):
    a better figure alone would let the mark slide down with every lucky draw. Where they can't be compared, it takes the place.

    Args:
        decision: on the version.
        evidence: that it rests on.
        best: the best release before it; None where there was none.
    """
    if decision.action != "promote":
        return best
    against = evidence.best_comparison if evidence.best is not None else evidence.comparison
    if best is None or best not in (evidence.best, evidence.champion) or against is None:
        return evidence.version
    return evidence.version if _p_value(against, 0.0) <= ERROR_RATE else best


def _metric_gate_obstacle(evidence: Evidence, gates: Mapping[str, Gate]) -> str:
    """The first blocking gate of a metric that did not pass, in words; empty when there is none."""
    for name, gate in gates.items():
        if name == CHAMPION_GATE or gate.severity != "blocking":
            continue
        result = evidence.gates.get(name)
        if result is None:
            return f"the gate {name} has no result"
        outcome, message = str(result[0]), result[1]
        if outcome != "passed":
            return f"the gate {name} {outcome.replace('_', ' ')}: {message}"
    return ""


def _p_value(difference: Mapping[str, float] | None, margin: float) -> float:
    """One-sided p-value of a loss of `margin` or more; 1 when there was no comparison."""
    from lakeloop.metrics.intervals import one_sided_p

    return 1.0 if difference is None else one_sided_p(difference["difference"], difference["error"], difference["degrees"], margin)
