"""Runs that are killed under a real daemon: final everywhere within seconds, with nothing left that runs, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.endings import Platform, killed, platform


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("endings"), mlflow_uri) as found:
        yield found


def test_a_run_whose_worker_is_killed_is_final_and_its_rerun_goes_through(made: Platform) -> None:
    orphans = killed(made, "worker")
    assert (orphans.dagster, orphans.mlflow in ("KILLED", "FAILED")) == ("FAILURE", True), orphans
    assert float("inf") not in (orphans.dagster_s, orphans.mlflow_s, orphans.processes_s), orphans
    assert orphans.rerun == "SUCCESS, FINISHED" and orphans.versions == 1, orphans
    # Killed, not failed by itself: nobody has to start it again.
    assert orphans.retried == "SUCCESS", orphans


def test_runs_that_began_under_a_platform_that_is_gone_hold_no_slot() -> None:
    import dagster as dg
    from dagster._core.storage.tags import GRPC_INFO_TAG
    from dagster._core.test_utils import create_run_for_test

    from lakeloop.cli.up import _settle_runs
    from resources.host.run_tags import STOPPED_TAG, UP_TAG

    server, statuses = {GRPC_INFO_TAG: "{}"}, dg.DagsterRunStatus
    with dg.DagsterInstance.ephemeral() as instance:
        made = {
            what: create_run_for_test(instance, status=status, tags=tags).run_id
            for what, status, tags in (
                ("of a sensor", statuses.STARTED, server),
                ("of up", statuses.NOT_STARTED, {UP_TAG: "true"}),
                ("of a sensor, waiting", statuses.NOT_STARTED, {}),
                ("of a command", statuses.STARTED, {}),
            )
        }
        _settle_runs(instance, "stopped")
        assert STOPPED_TAG in instance.get_run_by_id(made["of a sensor"]).tags, "nobody canceled it"
        status_of = {what: instance.get_run_by_id(run_id).status for what, run_id in made.items()}
    assert status_of == {
        "of a sensor": statuses.CANCELED,
        "of up": statuses.CANCELED,
        "of a sensor, waiting": statuses.NOT_STARTED,
        "of a command": statuses.STARTED,
    }
