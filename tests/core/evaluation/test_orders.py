"""What an order means: which version, nothing because all is so already, or an error with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from lakeloop.errors import DataError
from lakeloop.evaluation.decisions import Evidence, should_promote
from lakeloop.evaluation.orders import Ask, Known, plan_order
from lakeloop.records.release import Action, Order, ReleaseState

ROLLED = Order("rollback", "bob", "late", "2024-01-01T00:00:00+00:00", "4")


def known(champion: str | None = "3", alias: str | None = "", past: tuple[str, ...] = ("3", "2", "1"), **fields: Any) -> Known:
    release = ReleaseState(champion, "n", **fields)
    return Known("shop.returns", release, past, ["1", "2", "3", "4"], champion if alias == "" else alias)


def ask(action: Action, version: str | None = None, reason: str = "why") -> Ask:
    return Ask(action, version, reason, "ada")


@pytest.mark.parametrize(
    ("order", "state", "version", "told"),
    [
        (ask("rollback"), known(), "2", "goes back from version 3 to 2"),
        (ask("rollback"), known(withdrawn={"2": "bob: slow"}), "1", "from version 3 to 1"),
        (ask("rollback"), known(voided={"2": "a leak"}), "1", "from version 3 to 1"),
        (ask("rollback"), known(past=("3", "9", "1")), "1", "from version 3 to 1"),
        (ask("rollback", "1"), known(), "1", "from version 3 to 1"),
        (ask("rollback", "3"), known(), None, "is the champion already"),
        (ask("rollback"), known(ordered=ROLLED), None, "rolled back already, to version 3, by bob (late); to go back further"),
        (ask("rollback", "2"), known(ordered=ROLLED), "2", "from version 3 to 2"),
        (ask("promote", "4"), known(), "4", "in place of 3"),
        (ask("promote", "2"), known(withdrawn={"2": "bob: slow"}), "2", "in place of 3"),
        (ask("promote", "3"), known(), None, "is the champion already"),
        (ask("promote", "3"), known(alias="2"), "3", "from version 2 back to the champion, 3"),
        (ask("promote", "3"), known(alias=None), "3", "from version none back"),
        (ask("promote", "1"), known(champion=None, past=()), "1", "in place of none"),
    ],
)
def test_an_order_names_its_version_or_says_that_all_is_so_already(order: Ask, state: Known, version: str | None, told: str) -> None:
    plan = plan_order(order, state)
    assert plan.version == version and told in plan.sentence


@pytest.mark.parametrize(
    ("order", "state", "told"),
    [
        (ask("rollback", reason="  "), known(), "reason: wanted why"),
        (ask("promote", "44"), known(), r"did you mean '4'\? Available: 1, 2, 3, 4"),
        (ask("promote"), known(), "wanted the version of shop.returns to promote, found none"),
        (ask("rollback"), known(champion=None), "no version of shop.returns is released"),
        (ask("rollback", "4"), known(), "never the champion; to release it past its gates: lakeloop release promote shop.returns 4"),
        (
            ask("rollback", "2"),
            known(withdrawn={"2": "bob: slow"}),
            r"it was rolled back \(bob: slow\); to release it all the same: lakeloop",
        ),
        (ask("rollback"), known(past=("3",)), "there was no champion before it"),
        (
            ask("rollback"),
            known(withdrawn={"2": "x"}, voided={"1": "y"}),
            r"version 2: it was rolled back \(x\); version 1: its evidence is void",
        ),
    ],
)
def test_an_order_that_means_no_version_is_refused_with_what_to_do(order: Ask, state: Known, told: str) -> None:
    with pytest.raises(DataError, match=told):
        plan_order(order, state)


def test_a_version_that_does_not_load_is_passed_over_and_refused_by_name() -> None:
    def obstacle(version: str) -> str:
        return "its files are gone" if version == "2" else ""

    assert plan_order(ask("rollback"), known(), obstacle).version == "1"
    with pytest.raises(DataError, match="version 2 of shop.returns can't be released: its files are gone; nothing was moved"):
        plan_order(ask("rollback", "2"), known(), obstacle)


def test_gates_never_release_a_version_that_a_person_took_back() -> None:
    evidence = Evidence(version="4", primary="roc_auc", value=0.9, gates={})
    for state in (ReleaseState("3", withdrawn={"4": "bob: slow"}), ReleaseState("3", voided={"4": "a leak"})):
        decision = should_promote(candidate="4", champion="3", evidence=evidence, gates={}, barred=state.barred("4"))
        assert decision.action == "refuse" and decision.reason.endswith("only `lakeloop release promote` releases it again")
    assert should_promote(candidate="4", champion="4", evidence=evidence, gates={}, barred="it was rolled back").action == "keep"
