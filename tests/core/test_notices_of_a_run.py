"""Which notices a run makes: checks, gates and refusals beside failures."""

from __future__ import annotations

from dataclasses import replace

from lakeloop.notices import CheckOutcome, EndedRun, Refusal, StepFailure, clear_resolved, collect_notices, record_notice, select_new


def judged(run: EndedRun, *, warnings: bool = False) -> list[str]:
    return [notice.subject for notice in collect_notices(run, ui="http://ui", environment="dev", warnings=warnings)]


RUN = EndedRun("0123456789", "FAILURE", request="raw/d/t")


def test_one_cause_makes_one_notice_whatever_its_signs() -> None:
    check = CheckOutcome("validated/d/t", "unique", passed=False, blocking=True, reason="3 rows")
    gate = CheckOutcome("evaluations/d/w", "roc_auc", passed=False, blocking=False)
    refusal = Refusal("d", "w", "4", "roc_auc is too low")
    assert judged(replace(RUN, failures=[StepFailure("validated/d/t", "not published")], checks=[check])) == ["validated/d/t"]
    warning = replace(check, check="seats", blocking=False)
    stopped = replace(RUN, failures=[StepFailure("validated/d/t", "not published")], checks=[check, warning])
    assert judged(stopped, warnings=True) == ["validated/d/t", "validated/d/t#seats"]
    assert judged(replace(RUN, status="SUCCESS", checks=[check])) == ["validated/d/t#unique"]
    assert judged(replace(RUN, status="SUCCESS", checks=[gate])) == []
    assert judged(replace(RUN, status="SUCCESS", checks=[gate]), warnings=True) == ["evaluations/d/w#roc_auc"]
    assert judged(replace(RUN, status="SUCCESS", checks=[gate], refusals=[refusal]), warnings=True) == ["refused:d.w"]


def test_a_trouble_is_told_again_for_another_reason_or_after_a_success() -> None:
    failing = replace(RUN, failures=[StepFailure("raw/d/t", "no file")])
    (told,) = collect_notices(failing, ui="http://ui", environment="dev", warnings=False)
    known = record_notice(told, {})
    assert select_new([told], known) == []
    (other,) = collect_notices(
        replace(RUN, failures=[StepFailure("raw/d/t", "no column")]), ui="http://ui", environment="dev", warnings=False
    )
    assert select_new([other], known) == [other]
    assert clear_resolved(failing, known) == known
    assert clear_resolved(EndedRun("1", "SUCCESS", succeeded=["raw/d/t"]), known) == {}
    assert clear_resolved(EndedRun("1", "SUCCESS", succeeded=["raw/d/other"]), known) == known


def test_the_gates_of_a_refused_model_are_known_with_the_refusal() -> None:
    gate = CheckOutcome("evaluations/d/w", "roc_auc", passed=False, blocking=False)
    run = replace(RUN, status="SUCCESS", checks=[gate], refusals=[Refusal("d", "w", "4", "too low")])
    (told,) = collect_notices(run, ui="http://ui", environment="dev", warnings=True)
    again = collect_notices(replace(run, refusals=[]), ui="http://ui", environment="dev", warnings=True)
    assert [notice.subject for notice in again] == ["evaluations/d/w#roc_auc"]
    assert select_new(again, record_notice(told, {})) == []
    assert select_new(
        collect_notices(replace(run, refusals=[Refusal("d", "w", "5", "too low")]), ui="", environment="dev", warnings=True),
        record_notice(told, {}),
    )


def test_a_long_reason_is_cut_for_a_chat() -> None:
    (notice,) = collect_notices(
        replace(RUN, failures=[StepFailure("raw/d/t", "x" * 5000)]), ui="http://ui", environment="prod", warnings=False
    )
    assert notice.title == "[prod] raw/d/t failed"
    assert len(notice.text) < 1200 and "…" in notice.text
