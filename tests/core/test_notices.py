"""What counts as one cause, and when it is told: pure, without Dagster."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from lakeloop.notices import (
    MOST_KNOWN,
    MOST_NAMED,
    CheckOutcome,
    EndedRun,
    Notice,
    StepFailure,
    clear_resolved,
    collect_notices,
    normalize_reason,
    record_notice,
    select_new,
)

RUN = EndedRun("0123456789", "FAILURE", request="everything")
DOWN = "the MLflow server at http://mlflow.example:5000 did not answer within 10 s"


def judged(run: EndedRun) -> list[Notice]:
    return collect_notices(run, ui="http://ui", environment="dev", warnings=False)


def failing(*assets: str, reason: str = DOWN, **options: Any) -> EndedRun:
    return replace(RUN, failures=[StepFailure(asset, reason) for asset in assets], **options)


def tell(troubles: dict[str, list[str]], run: EndedRun) -> tuple[list[str], dict[str, list[str]]]:
    """What a channel is told of a run, and what it knows then; as the sensor does it."""
    troubles, told = clear_resolved(run, troubles), []
    for notice in judged(run):
        told += [notice_told.title.removeprefix("[dev] ") for notice_told in select_new([notice], troubles)]
        troubles = record_notice(notice, troubles)
    return told, troubles


def test_assets_of_a_run_that_fail_for_one_cause_are_one_notice() -> None:
    (notice,) = judged(failing("models/d/a", "models/d/b", "studies/d/c"))
    assert notice.title == "[dev] 3 assets failed for one cause"
    assert notice.subject == "models/d/a"
    assert set(notice.known) == {"models/d/a", "models/d/b", "studies/d/c"} and set(notice.known.values()) == {notice.cause}
    assert notice.body.count(DOWN) == 1
    assert "Failed: models/d/a, models/d/b, studies/d/c.\n" in notice.body and "materialise them again" in notice.body
    assert notice.links == {"Run": "http://ui/runs/0123456789", "Asset": "http://ui/assets/models/d/a"}


def test_a_single_failure_reads_as_before() -> None:
    (notice,) = judged(failing("models/d/a"))
    assert notice.title == "[dev] models/d/a failed"
    assert notice.body == f"{DOWN}\nFix the cause, then materialise it again; what was published before is still valid."
    assert notice.covers == {}


def test_assets_that_fail_for_other_reasons_are_notices_of_their_own() -> None:
    run = replace(RUN, failures=[StepFailure("raw/d/a", "no file"), StepFailure("raw/d/b", "no column"), StepFailure("raw/d/c", "no file")])
    assert [(trouble.subject, len(trouble.known)) for trouble in judged(run)] == [("raw/d/a", 2), ("raw/d/b", 1)]


@pytest.mark.parametrize(("count", "more"), [(MOST_NAMED, ""), (MOST_NAMED + 1, " and 1 more"), (60, " and 50 more")])
def test_a_message_names_some_assets_and_counts_the_others_and_all_are_known(count: int, more: str) -> None:
    assets = [f"raw/d/t{number:02d}" for number in range(count)]
    (notice,) = judged(failing(*assets, reason="x" * 5000))
    assert f"Failed: {', '.join(assets[:MOST_NAMED])}{more}.\n" in notice.body
    assert notice.title == f"[dev] {count} assets failed for one cause"
    assert set(notice.known) == set(assets)
    assert len(notice.text) < 1400


def test_the_blocking_checks_of_every_asset_are_covered() -> None:
    checks = [CheckOutcome(f"validated/d/{name}", "unique", passed=False, blocking=True, reason=f"{name} rows") for name in ("a", "b", "c")]
    troubles = judged(failing("validated/d/a", "validated/d/b", reason="not published", checks=checks))
    assert [notice.subject for notice in troubles] == ["validated/d/a", "validated/d/c#unique"]
    assert set(troubles[0].known) == {"validated/d/a", "validated/d/b", "validated/d/a#unique", "validated/d/b#unique"}
    assert set(troubles[0].subjects) == {"validated/d/a", "validated/d/b"}


def test_one_cause_is_told_once_and_again_when_all_were_well() -> None:
    told, known = tell({}, failing("models/d/a", "models/d/b"))
    assert told == ["2 assets failed for one cause"] and set(known) == {"models/d/a", "models/d/b"}
    for order in permutations(["models/d/a", "models/d/b"]):
        assert tell(known, failing(*order)) == ([], known)
    assert tell(known, failing("models/d/b")) == ([], known)

    told, known = tell(known, EndedRun("1", "SUCCESS", succeeded=["models/d/a", "models/d/b"]))
    assert (told, known) == ([], {})
    assert tell(known, failing("models/d/b"))[0] == ["models/d/b failed"]


def test_reasons_that_take_turns_are_told_once_each_until_the_asset_is_well() -> None:
    told: list[str] = []
    known: dict[str, list[str]] = {}
    for reason in ("disk full", "no memory", "disk full", "no memory"):
        troubles, known = tell(known, failing("models/d/a", reason=reason))
        told += troubles
    assert told == ["models/d/a failed"] * 2
    _, known = tell(known, EndedRun("1", "SUCCESS", succeeded=["models/d/a"]))
    assert tell(known, failing("models/d/a", reason="disk full"))[0] == ["models/d/a failed"]


def test_of_a_subject_that_is_never_well_the_newest_causes_are_kept() -> None:
    known: dict[str, list[str]] = {}
    for number in range(MOST_KNOWN + 5):
        troubles, known = tell(known, failing("models/d/a", reason=f"version {number}"))
        assert troubles == ["models/d/a failed"]
    assert len(known["models/d/a"]) == MOST_KNOWN
    assert tell(known, failing("models/d/a", reason=f"version {MOST_KNOWN}"))[0] == []


def test_each_asset_gets_well_by_itself() -> None:
    _, known = tell({}, failing("models/d/a", "models/d/b"))
    _, known = tell(known, EndedRun("1", "SUCCESS", succeeded=["models/d/a"]))
    assert set(known) == {"models/d/b"}
    assert tell(known, failing("models/d/b"))[0] == []
    assert tell(known, failing("models/d/a"))[0] == ["models/d/a failed"]


def test_a_known_cause_that_reaches_another_asset_is_not_told_again_but_known_of_it() -> None:
    _, known = tell({}, failing("models/d/a"))
    told, known = tell(known, failing("models/d/b", "models/d/a"))
    assert told == [] and set(known) == {"models/d/a", "models/d/b"}
    _, known = tell(known, EndedRun("1", "SUCCESS", succeeded=["models/d/a"]))
    assert tell(known, failing("models/d/b"))[0] == [], "known though it has never been named"


def test_a_run_in_which_nothing_is_known_of_the_cause_is_told() -> None:
    _, known = tell({}, failing("models/d/a", reason="KeyError: 'amount'"))
    told, known = tell(known, failing("models/d/b", reason="KeyError: 'amount'"))
    assert told == ["models/d/b failed"]
    told, known = tell(known, failing("models/d/a", "models/d/b"))
    assert told == ["2 assets failed for one cause"], "another reason"


def test_an_asset_with_another_reason_leaves_the_cause_that_the_others_have() -> None:
    _, known = tell({}, failing("models/d/a", "models/d/b"))
    told, known = tell(known, replace(RUN, failures=[StepFailure("models/d/a", "no rows"), StepFailure("models/d/b", DOWN)]))
    assert told == ["models/d/a failed"]
    assert tell(known, replace(RUN, failures=[StepFailure("models/d/b", DOWN), StepFailure("models/d/a", "no rows")]))[0] == []


def test_several_steps_of_an_asset_are_one_trouble_in_whatever_order_they_failed() -> None:
    steps = [StepFailure("studies/d/w", reason) for reason in ("killed", DOWN, "killed")]
    (notice,) = judged(replace(RUN, failures=steps))
    assert notice.title == "[dev] studies/d/w failed"
    assert notice.body.startswith(f"killed\n{DOWN}\n")
    _, known = tell({}, replace(RUN, failures=steps))
    assert known == {"studies/d/w": [notice.cause]}
    for order in permutations(steps):
        assert tell(known, replace(RUN, failures=order)) == ([], known)
    assert judged(failing("studies/d/w", "studies/d/w", "models/d/a"))[0].title == "[dev] 2 assets failed for one cause"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("run 0b5f1c9e-3d7a-4f0e-9a68-1f2e3d4c5b6a is gone", "run 7c0d5a3e-94b1-4cc2-8f52-d04a6e1b9a77 is gone"),
        ("run 0B5F1C9E-3D7A-4F0E-9A68-1F2E3D4C5B6A is gone", "run 7c0d5a3e-94b1-4cc2-8f52-d04a6e1b9a77 is gone"),
        ("Run 'a3f0c1d2e4b5968778695a4b3c2d1e0f' not found", "Run 'b4f0c1d2e4b5968778695a4b3c2d1e0f' not found"),
        ("no model m-a3f0c1d2e4b5968778695a4b3c2d1e0f", "no model m-b4f0c1d2e4b5968778695a4b3c2d1e0f"),
        ("can't write /tmp/tmpab3_d9xk/model/MLmodel", "can't write /tmp/tmpq0z_11ab/model/MLmodel"),
        ("can't write /var/folders/zz/T/tmpab3_d9xk.csv", "can't write /var/folders/zz/T/tmpq0z_11ab.csv"),
        ("can't write /tmp/tmp.Ab3dE9xkQ1", "can't write /tmp/tmp.Zb3dE9xkQ2"),
        ("worker (pid 4711) was killed", "worker (pid 98) was killed"),
        ("worker pid=4711 was killed", "worker pid=98 was killed"),
        ("no /proc/4711/status", "no /proc/98/status"),
        ("Process 4711 waits for a lock; blocked by process 4712.", "Process 31 waits for a lock; blocked by process 32."),
        ("held by another (process 4711)", "held by another (process 98)"),
        ("gave up after 12.3 s", "gave up after 7 s"),
        ("gave up after 12.3s, then stopped", "gave up after 850ms, then stopped"),
        ("gave up after 1 min 3 s", "gave up after 59 s"),
        ("gave up after 0:00:12.345", "gave up after 0:01:07"),
        ("PUT https://bucket.example/x failed in 12.3µs", "PUT https://bucket.example/x failed in 1.2ms"),
        ("http://127.0.0.1:5001/api refused", "http://127.0.0.1:43121/api refused"),
        ("http://localhost:5001/api refused", "http://localhost:43121/api refused"),
        ('server at "127.0.0.1", port 5432 failed', 'server at "127.0.0.1", port 5433 failed'),
        ('server at "localhost" (::1), port 5432 failed', 'server at "localhost" (::1), port 5433 failed'),
        ("HTTPConnectionPool(host='127.0.0.1', port=5000)", "HTTPConnectionPool(host='127.0.0.1', port=5001)"),
        ("<HTTPConnection object at 0x7f0012ab>: refused", "<HTTPConnection object at 0x7f99ee10>: refused"),
        ("the MLflow server at http://m went away: GET /runs/1", "the MLflow server at http://m went away: POST /metrics"),
        ("the MLflow server at http://m went away: GET /runs/1", "the MLflow server at http://m did not answer within 10 s"),
        ("orders: postgresql db/shop does not answer: refused", "public.customers: postgresql db/shop does not answer: refused"),
    ],
)
def test_what_is_new_every_time_makes_no_new_cause(one: str, two: str) -> None:
    assert normalize_reason(one) == normalize_reason(two)
    _, known = tell({}, failing("raw/d/t", reason=one))
    assert tell(known, failing("raw/d/t", reason=two))[0] == []
    (notice,) = judged(failing("raw/d/t", reason=one))
    assert one in notice.body, "people read the reason as it is"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("partition 2024-03 has no rows", "partition 2024-04 has no rows"),
        ("version 12 is gone", "version 13 is gone"),
        ("3 rows have no key", "4 rows have no key"),
        ("can't process 3 rows", "can't process 4 rows"),
        ("can't process 2024-03", "can't process 2024-04"),
        ("row 12345678901234567890123456789012 is twice", "row 12345678901234567890123456789013 is twice"),
        ("MLflow at http://m.example:5000 refused", "MLflow at http://m.example:5001 refused"),
        ("no file /tmp/orders.csv", "no file /tmp/customers.csv"),
        ("no file /data/tmp.parquet", "no file /data/tmp.feather"),
        ("late at 2024-03-01 10:00:00", "late at 2024-03-01 11:00:00"),
        ("wanted 12 columns in 3 files", "wanted 12 columns in 4 files"),
        ("exit code -9", "exit code -11"),
        ("orders: postgresql db/shop does not answer: refused", "orders: postgresql db/shop does not answer: wrong password"),
        ("orders: postgresql db/shop does not answer: refused", "orders: postgresql db/staff does not answer: refused"),
        ("the MLflow server at http://m did not answer", "the MLflow server at http://n did not answer"),
        ("orders: no column 'a'", "customers: no column 'a'"),
    ],
)
def test_other_numbers_and_names_tell_causes_apart(one: str, two: str) -> None:
    assert normalize_reason(one) != normalize_reason(two)
    _, known = tell({}, failing("raw/d/t", reason=one))
    assert tell(known, failing("raw/d/t", reason=two))[0] == ["raw/d/t failed"]


def test_a_run_that_died_is_known_by_its_cause_whatever_its_process() -> None:
    died = replace(RUN, reason="the run's worker (pid 4711) is gone")
    told, known = tell({}, died)
    assert told == ["run 01234567 failed"]
    assert tell(known, replace(died, run_id="9876543210", reason="the run's worker (pid 98) is gone"))[0] == []


def test_what_a_check_has_found_is_data_ids_included() -> None:
    ids = "0b5f1c9e-3d7a-4f0e-9a68-1f2e3d4c5b6a", "7c0d5a3e-94b1-4cc2-8f52-d04a6e1b9a77"
    runs = [
        replace(RUN, status="SUCCESS", checks=[CheckOutcome("raw/d/t", "unique", passed=False, blocking=True, reason=f"{one} is twice")])
        for one in ids
    ]
    told, known = tell({}, runs[0])
    assert len(told) == 1 and len(tell(known, runs[1])[0]) == 1
