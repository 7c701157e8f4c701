"""The gate on leaks: what it counts, what it says to change, and that a release is refused by it."""

from __future__ import annotations

from lakeloop.evaluation.decisions import Evidence, should_promote
from lakeloop.evaluation.leak_gate import judge_leaks
from lakeloop.evaluation.model_checks import CheckResult
from lakeloop.spec.workflow import Gate

GATES = {"leaks": Gate(max=0)}
MADE = CheckResult("LL111", "found", "a and b give it", {"columns": ["rides_inputs__casual", "rides_inputs__registered"]})
TORN = CheckResult("LL103", "found", "patient is on both sides", {"columns": ["visits_inputs__patient"]})
BY_DESIGN = CheckResult("LL103", "found", "better on known entities", {"by_design": True})
WEAK = CheckResult("LL107", "found", "a weak slice")
CLEAN = CheckResult("LL104", "clean", "the best is x")


def test_findings_of_leaks_fail_it_and_name_what_to_leave_out() -> None:
    outcome, message, severity, observed = judge_leaks([MADE, TORN, BY_DESIGN, WEAK, CLEAN], GATES)["leaks"]
    assert (outcome, severity, observed) == ("failed", "blocking", 2.0)
    assert "Leave out casual of rides_inputs, registered of rides_inputs" in message and "split: {group: patient}" in message


def test_other_findings_pass_it_and_without_it_nothing_is_said() -> None:
    assert judge_leaks([BY_DESIGN, WEAK, CLEAN], GATES)["leaks"][0] == "passed"
    assert judge_leaks([MADE], {"leaks": Gate(max=1)})["leaks"][0] == "passed"
    assert judge_leaks([MADE], {}) == {}


def test_a_version_with_a_leak_is_refused_with_the_columns() -> None:
    evidence = Evidence("2", "roc_auc", 0.99, judge_leaks([MADE], GATES))
    decision = should_promote(candidate="2", champion=None, evidence=evidence, gates=GATES)
    assert decision.action == "refuse" and "Leave out casual of rides_inputs" in decision.reason
    warned = {"leaks": Gate(max=0, severity="warning")}
    assert should_promote(candidate="2", champion=None, evidence=evidence, gates=warned).action == "promote"
