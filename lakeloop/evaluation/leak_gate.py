"""The gate on leaks: how many model checks of the leak family found something, and what to change in the definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeloop.evaluation.decisions import LEAK_GATE
from lakeloop.evaluation.model_checks import CheckResult
from lakeloop.spec.workflow import Gate

LEAK_CODES = ("LL102", "LL103", "LL104", "LL111")


def leaks_of(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """The findings that say that the score is too good: not that known entities, which later rows are of by design, are served better."""
    return [check for check in checks if check.code in LEAK_CODES and check.outcome == "found" and not check.evidence.get("by_design")]


def judge_leaks(checks: Sequence[CheckResult], gates: Mapping[str, Gate]) -> dict[str, tuple[Any, ...]]:
    """The outcome of the gate, as gates are kept: outcome, message, severity, observed; nothing where the workflow has none."""
    gate = gates.get(LEAK_GATE)
    if gate is None:
        return {}
    found = leaks_of(checks)
    passed = len(found) <= (gate.max or 0)
    message = (
        "no check of leaks found anything" if not found else "; ".join(f"{check.code}: {check.message}{_remedy(check)}" for check in found)
    )
    return {LEAK_GATE: ("passed" if passed else "failed", message, gate.severity, float(len(found)))}


def _remedy(check: CheckResult) -> str:
    """What to change in the definition, as the end of a sentence."""
    columns = check.evidence.get("columns") or []
    if check.code == "LL103":
        return f". Write split: {{group: {columns[0].rpartition('__')[2]}}}" if columns else ""
    return f". Leave out {', '.join(_written(name) for name in columns)}" if columns else ""


def _written(name: str) -> str:
    """A feature as it is written in a definition: its column, and the view or table that it is of."""
    view, _, column = name.partition("__")
    return f"{column} of {view}" if column else name
