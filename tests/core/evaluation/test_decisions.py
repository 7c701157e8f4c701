"""Promotions: what follows from the evidence, in the order of the reasons, to the last bit of the error rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.evaluation.decisions import ERROR_RATE, Decision, Evidence, best_after, should_promote
from lakeloop.metrics.intervals import one_sided_p
from lakeloop.spec.workflow import Gate

Comparison = Mapping[str, float]


def compared(difference: float, error: float = 0.002) -> Comparison:
    return {"difference": difference, "error": error, "degrees": 499, "rows": 500}


GATES = {"roc_auc": Gate(min=0.7), "champion": Gate(max_drop=0.005)}
PASSED = {"roc_auc": ["passed", "", "blocking", 0.8]}
FAILED = {"roc_auc": ["failed", "roc_auc: wanted at least 0.7, found 0.6", "blocking", 0.6]}
SKILL = compared(0.3)


def seen(**fields: Any) -> Evidence:
    """The evidence of a version 2 that is promoted over a champion 1, unless a field says otherwise."""
    return Evidence(
        **{
            "version": "2",
            "primary": "roc_auc",
            "value": 0.8,
            "gates": PASSED,
            "champion": "1",
            "comparison": compared(0.01),
            "skill": SKILL,
        }
        | fields
    )


def decide(evidence: Evidence, champion: str | None = "1", gates: Mapping[str, Gate] = GATES) -> Decision:
    return should_promote(candidate="2", champion=champion, evidence=evidence, gates=gates)


def alone(**fields: Any) -> Evidence:
    return seen(champion=None, comparison=None, **fields)


@pytest.mark.parametrize(
    ("champion", "evidence", "action", "reason"),
    [
        (None, alone(), "promote", "it passes its gates (roc_auc 0.8000) and there is no champion"),
        (None, alone(value=0.6, gates=FAILED), "refuse", "the gate roc_auc failed: roc_auc: wanted at least 0.7, found 0.6"),
        (None, alone(gates={"roc_auc": ["could_not_run", "no rows", "blocking", None]}), "refuse", "the gate roc_auc could not run: no rows"),
        (None, alone(gates={}), "refuse", "the gate roc_auc has no result"),
        (None, alone(gates={"mae": PASSED["roc_auc"]}), "refuse", "the gate roc_auc has no result"),
        ("2", seen(gates=FAILED, version="3"), "keep", "version 2 is the champion already"),
        (None, alone(version="3"), "refuse", "the evaluation is of version 3, not of 2"),
        ("1", alone(), "refuse", "it was compared with version none, but the champion is 1; evaluate it again"),
        ("1", seen(champion="0"), "refuse", "it was compared with version 0, but the champion is 1; evaluate it again"),
        ("1", seen(comparison=None), "refuse", "too few rows that neither it nor the champion 1 was trained on to compare them"),
        (
            "1", seen(comparison=compared(-0.001)), "promote",
            "roc_auc differs by -0.0010 (positive is better, standard error 0.0020) from champion 1 on the same 500 rows: "
            "a loss of 0.005 or more is ruled out (p 0.023, wanted at most 0.05)",
        ),
        (
            "1", seen(comparison=compared(-0.004)), "refuse",
            "roc_auc differs by -0.0040 (positive is better, standard error 0.0020) from champion 1 on the same 500 rows: "
            "a loss of 0.005 or more is not ruled out (p 0.309, wanted at most 0.05)",
        ),
        (
            "1", seen(comparison=compared(-0.001, 0.01)), "refuse",
            "roc_auc differs by -0.0010 (positive is better, standard error 0.0100) from champion 1 on the same 500 rows: "
            "a loss of 0.005 or more is not ruled out (p 0.345, wanted at most 0.05)",
        ),
        (
            "1", seen(comparison=compared(0.1), skill=compared(0.003)), "refuse",
            "roc_auc differs by +0.0030 (positive is better) from a constant: that it is better is not shown (p 0.067, wanted at most 0.05)",
        ),
        (
            None, alone(skill=compared(0.003), reference="the seasonal naive forecast"), "refuse",
            "roc_auc differs by +0.0030 (positive is better) from the seasonal naive forecast: that it is better is not shown "
            "(p 0.067, wanted at most 0.05)",
        ),
        (None, alone(skill=None), "refuse", "it was not compared with a constant; evaluate it again"),
        (
            "1", seen(comparison=None, incomparable="it answers another question (regression)"), "promote",
            "it passes its gates (roc_auc 0.8000); champion 1 isn't compared with it: it answers another question (regression)",
        ),
        ("1", seen(champion=None, incomparable="another question"), "refuse", "it was compared with version none, but the champion is 1; evaluate it again"),
        ("1", seen(skill=None, incomparable="another question"), "refuse", "it was not compared with a constant; evaluate it again"),
    ],
)  # fmt: skip
def test_a_decision_follows_from_the_evidence_and_says_why(champion: str | None, evidence: Evidence, action: str, reason: str) -> None:
    decision = decide(evidence, champion)
    assert (decision.action, decision.reason) == (action, reason)


@pytest.mark.parametrize(
    ("gates", "action", "reason"),
    [
        ({}, "promote", "it passes its gates (roc_auc 0.8000)"),
        ({"roc_auc": Gate(min=0.7, severity="warning")}, "promote", "it passes its gates (roc_auc 0.8000)"),
        ({"roc_auc": Gate(min=0.7, severity="warning"), "mae": Gate(max=1)}, "refuse", "the gate mae has no result"),
        ({"champion": Gate(max_drop=0.005, severity="warning")}, "promote", "it passes its gates (roc_auc 0.8000)"),
        ({"champion": Gate()}, "refuse", "it was not compared with a constant; evaluate it again"),
    ],
)
def test_a_gate_that_warns_or_is_not_there_stops_nothing(gates: Mapping[str, Gate], action: str, reason: str) -> None:
    decision = decide(seen(gates=FAILED, skill=None, comparison=None), gates=gates)
    assert (decision.action, decision.reason) == (action, reason)


def test_a_gate_without_a_loss_bounds_what_it_knows_alone() -> None:
    decision = decide(seen(comparison=None), gates={"champion": Gate()})
    assert (decision.action, decision.reason) == ("promote", "it passes its gates (roc_auc 0.8000)")


def test_where_no_loss_is_allowed_being_no_better_is_ruled_out_or_not() -> None:
    gates = {"champion": Gate(max_drop=0)}
    assert decide(seen(comparison=compared(0.001)), gates=gates).reason.endswith(
        "rows: being no better is not ruled out (p 0.309, wanted at most 0.05)"
    )
    better = decide(seen(comparison=compared(0.01)), gates=gates)
    assert better.action == "promote" and better.reason.endswith("rows: being no better is ruled out (p 0.000, wanted at most 0.05)")


def test_the_error_rate_of_the_gate_decides_and_one_that_is_just_kept_is_kept() -> None:
    def champion(rate: float | None) -> dict[str, Gate]:
        return {"champion": Gate(max_drop=0.005, error_rate=rate)}

    loss = seen(comparison=compared(-0.003))
    p = one_sided_p(-0.003, 0.002, 499, 0.005)
    assert [decide(loss, gates=champion(rate)).action for rate in (None, 0.05, p * 0.999, p, 0.3)] == ["refuse"] * 3 + ["promote"] * 2
    unskilled = alone(skill=compared(0.003))
    p = one_sided_p(0.003, 0.002, 499)
    assert [decide(unskilled, None, champion(rate)).action for rate in (None, p * 0.999, p, 0.3)] == ["refuse"] * 2 + ["promote"] * 2
    assert ERROR_RATE == 0.05


def test_a_comparison_that_says_nothing_rules_nothing_out() -> None:
    nothing = {"difference": float("nan"), "error": float("nan"), "degrees": 0, "rows": 3}
    assert decide(seen(comparison=nothing)).action == decide(seen(skill=nothing)).action == "refuse"


def test_the_evidence_of_a_decision_is_kept_with_it() -> None:
    facts = {"primary": "roc_auc", "value": 0.8, "comparison": compared(0.01), "gates": {"roc_auc": "passed"}}
    skill, loss = one_sided_p(0.3, 0.002, 499), one_sided_p(0.01, 0.002, 499, 0.005)
    assert decide(seen()).evidence == {**facts, "p_no_better_than_constant": skill, "p_worse_than_champion": loss}
    assert decide(seen(), champion="2").evidence == facts
    assert decide(alone(skill=None), champion=None).evidence == {**facts, "comparison": {}, "p_no_better_than_constant": 1.0}
    assert decide(alone(), champion=None).evidence == {**facts, "comparison": {}, "p_no_better_than_constant": skill}
    assert Decision("keep", "").evidence == {}


numbers = st.builds(compared, st.floats(-0.05, 0.05), st.floats(0.0005, 0.02))


@given(
    st.sampled_from([PASSED, FAILED, {}]), st.one_of(st.none(), numbers), st.one_of(st.none(), numbers), st.sampled_from([None, "0", "1"]),
    st.sampled_from([None, "1"]), st.one_of(st.none(), st.sampled_from([0.0, 0.005, 0.02])), st.sampled_from(["2", "3"]),
)  # fmt: skip
def test_a_version_is_promoted_just_when_every_condition_holds(
    gates, skill, comparison, compared_with, champion, max_drop, version
) -> None:
    decision = decide(
        Evidence(version, "roc_auc", 0.8, gates, compared_with, comparison, skill),
        champion,
        {"roc_auc": Gate(min=0.7), "champion": Gate(max_drop=max_drop)},
    )

    def shown(numbers: Comparison | None, margin: float) -> bool:
        return numbers is not None and one_sided_p(numbers["difference"], numbers["error"], numbers["degrees"], margin) <= ERROR_RATE

    no_loss = champion is None or (compared_with == champion and (max_drop is None or shown(comparison, max_drop)))
    promoted = version == "2" and gates is PASSED and shown(skill, 0.0) and no_loss
    assert decision.action == ("promote" if promoted else "refuse")
    assert decision.reason


def test_a_loss_is_counted_from_the_best_release_too() -> None:
    refused = decide(seen(best="0", best_comparison=compared(-0.004)))
    assert (
        refused.action == "refuse"
        and "from best release 0 on the same 500 rows: a loss of 0.005 or more is not ruled out" in refused.reason
    )
    assert refused.evidence["p_worse_than_best_release"] == one_sided_p(-0.004, 0.002, 499, 0.005)
    promoted = decide(seen(best="0", best_comparison=compared(-0.001)))
    assert promoted.action == "promote" and "from champion 1 " in promoted.reason and "; roc_auc differs by -0.0010" in promoted.reason
    assert decide(seen(best="0", best_comparison=None)).action == "promote", "too few common rows with a version that is not the champion"


@pytest.mark.parametrize(
    ("action", "fields", "best", "after"),
    [
        ("promote", {"champion": None, "comparison": None}, None, "2"),
        ("promote", {"comparison": compared(0.01)}, "1", "2"),
        ("promote", {"comparison": compared(0.003)}, "1", "1"),  # better, but by chance as likely as 7%
        ("promote", {"comparison": None, "incomparable": "another question"}, "1", "2"),
        ("promote", {"best": "0", "best_comparison": compared(0.01)}, "0", "2"),
        ("promote", {"best": "0", "best_comparison": compared(-0.001)}, "0", "0"),
        ("promote", {"best": None}, "0", "2"),  # it could not be loaded any more
        ("refuse", {"best": "0", "best_comparison": compared(-0.1)}, "0", "0"),
        ("refuse", {"champion": None}, None, None),
    ],
)
def test_the_mark_moves_only_to_what_is_shown_to_be_better(
    action: str, fields: dict[str, Any], best: str | None, after: str | None
) -> None:
    assert best_after(Decision(action, ""), seen(**fields), best) == after  # type: ignore[arg-type]


def test_many_releases_that_are_each_a_little_worse_lose_no_more_than_one_margin() -> None:
    from benchmarks.truth.drift import MARGIN, World, chain

    world = World("worse", 0.3 * MARGIN)
    from_champion, from_best = (chain(world, 1, from_best=way, releases=15) for way in (False, True))
    assert from_champion.most > 1.5 * MARGIN, "non-inferiority repeated is a walk downwards"
    assert from_best.most < 1.3 * MARGIN
