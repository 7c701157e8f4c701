"""What the supervisor does about deployments that fail: the decisions. With real model servers they are in `test_serving`."""

from __future__ import annotations

import json
from pathlib import Path

from resources.serving.desired import Deployment, read_desired, read_status, write_desired
from resources.serving.supervisor import FIRST_RETRY_S, MOST_RETRY_S, Failure, Supervisor, backoff_s, find_suspects, next_to_serve


def of(*names: str) -> dict[str, Deployment]:
    """Deployments such as `a:1`, by name."""
    made = [Deployment(name, version, f"models:/{name}/{version}") for name, version in (n.split(":") for n in names)]
    return {deployment.name: deployment for deployment in made}


def failures(named: bool = True, **again_at: float) -> dict[Deployment, Failure]:
    """Failures such as `a2=5.0`: a:2 is tried again at 5."""
    return {of(f"{key[0]}:{key[1:]}")[key[0]]: Failure("broken", named, 1, at) for key, at in again_at.items()}


A2, B1 = of("a:2")["a"], of("b:1")["b"]
OLD, NEW = of("a:1", "b:1"), of("a:2", "b:1")


def test_a_failed_deployment_is_replaced_by_the_last_good_one_until_it_is_due() -> None:
    failed = failures(a2=5.0)
    assert next_to_serve(NEW, serving=OLD, good=OLD, failed={}, now=0.0) == NEW
    assert next_to_serve(NEW, serving=OLD, good=OLD, failed=failed, now=4.9) == OLD
    assert next_to_serve(NEW, serving=OLD, good=OLD, failed=failed, now=5.0) == NEW
    assert next_to_serve(NEW, serving=of("b:1"), good=of("b:1"), failed=failed, now=0.0) == of("b:1")


def test_when_nothing_serves_the_last_good_set_comes_first_whatever_is_due() -> None:
    assert next_to_serve(NEW, serving=None, good=OLD, failed=failures(a2=5.0), now=9.0) == OLD
    assert next_to_serve(NEW, serving=None, good=OLD, failed=failures(a2=5.0, a1=5.0), now=9.0) == of("b:1")
    assert next_to_serve(NEW, serving=of("b:1"), good=OLD, failed=failures(a2=99.0, a1=5.0), now=9.0) == OLD


def test_another_wanted_version_is_tried_at_once_and_a_model_that_is_no_longer_wanted_is_not() -> None:
    assert next_to_serve(of("a:3", "b:1"), serving=OLD, good=OLD, failed=failures(a2=5.0), now=0.0) == of("a:3", "b:1")
    assert next_to_serve(of("b:1"), serving=OLD, good=OLD, failed=failures(a2=5.0), now=9.0) == of("b:1")


def test_suspects_are_tried_one_by_one_and_after_everything_else_and_named_ones_together() -> None:
    both = of("a:2", "b:2")
    named, suspects = failures(a2=5.0, b2=4.0), failures(named=False, a2=5.0, b2=4.0)
    assert next_to_serve(both, serving=OLD, good=OLD, failed=named, now=9.0) == both
    assert next_to_serve(both, serving=OLD, good=OLD, failed=suspects, now=9.0) == of("a:1", "b:2")
    assert next_to_serve(both | of("c:1"), serving=OLD, good=OLD, failed=suspects, now=9.0) == OLD | of("c:1")


def test_a_start_without_a_report_speaks_against_what_differs_from_what_serves_only() -> None:
    assert find_suspects(NEW, {}, "it hung", serving=OLD, good=OLD) == {A2: ("it hung", False)}
    assert find_suspects(NEW, {}, "it hung", serving=None, good=OLD) == {A2: ("it hung", False)}
    assert find_suspects(OLD, {}, "it hung", serving=None, good=OLD) == {}
    assert find_suspects(NEW, {}, "it hung", serving=None, good={}) == {A2: ("it hung", False), B1: ("it hung", False)}


def test_a_report_speaks_against_those_it_names_but_never_against_what_serves() -> None:
    away = {"a": "MLflow is away", "b": "MLflow is away"}
    assert find_suspects(NEW, {"a": "broken"}, "", serving=OLD, good=OLD) == {A2: ("broken", True)}
    assert find_suspects(NEW, away, "", serving=OLD, good=OLD) == {A2: ("MLflow is away", True)}
    assert find_suspects(NEW, away, "", serving=None, good=OLD) == {A2: ("MLflow is away", True), B1: ("MLflow is away", True)}
    [(deployment, (why, named))] = find_suspects(NEW, {"b": "MLflow is away"}, "", serving=OLD, good=OLD).items()
    assert (deployment, why, named) == (A2, "b, which is served, could not be loaded again: MLflow is away", False)


def test_waits_double_up_to_a_bound_even_after_thousands_of_attempts() -> None:
    waits = [backoff_s(attempts, FIRST_RETRY_S, MOST_RETRY_S) for attempts in (1, 2, 3, 4, 7, 8, 100_000)]
    assert waits == [5, 10, 20, 40, 300, 300, 300]


def test_one_model_that_takes_its_server_down_keeps_no_other_out() -> None:
    """Each start with b:1 ends without a report, and nothing has ever served."""
    wanted, bad = of("a:1", "b:1", "c:1", "d:1"), B1
    serving, failed, starts = None, {}, []
    for now in range(0, 200, 5):
        trying = next_to_serve(wanted, serving=serving, good=serving or {}, failed=failed, now=now)
        if trying == serving:
            continue
        starts.append(trying)
        if bad in trying.values():
            for deployment, (why, named) in find_suspects(trying, {}, "it ended", serving=serving, good=serving or {}).items():
                attempts = failed[deployment].attempts + 1 if deployment in failed else 1
                failed[deployment] = Failure(why, named, attempts, now + backoff_s(attempts, FIRST_RETRY_S, MOST_RETRY_S))
        else:
            serving, failed = trying, {d: f for d, f in failed.items() if d not in trying.values()}
    assert serving == of("a:1", "c:1", "d:1")
    assert set(failed) == {bad}
    assert 2 <= sum(bad in trying.values() for trying in starts) == failed[bad].attempts <= 7


def test_a_deployment_stated_by_version_0_1_0_is_the_same_without_its_task(tmp_path: Path) -> None:
    write_desired(tmp_path, A2)
    stated = tmp_path / "desired" / "a.json"
    stated.write_text(json.dumps({**json.loads(stated.read_text()), "task": "regression"}))
    assert read_desired(tmp_path) == {"a": A2}


def test_a_state_is_written_when_it_changes_and_else_only_often_enough_to_be_known_alive(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, 0, "http://127.0.0.1:9")
    try:
        written: dict[float, int] = {}
        for now in (100.0, 100.5, 101.9, 102.5, 103.0):
            supervisor._write_status(now)
            written[now] = (tmp_path / "status.json").stat().st_ino
        assert written[100.0] == written[100.5] == written[101.9] != written[102.5] == written[103.0]
        supervisor.failed, supervisor.desired = {A2: Failure("away", True, 1, 200.0)}, {"a": A2}
        supervisor._write_status(103.1)
        status = read_status(tmp_path)
        assert status is not None and status.models["a"]["state"] == "failed"
    finally:
        supervisor.shut_down()
