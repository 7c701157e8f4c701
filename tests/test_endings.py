"""Runs that ended badly under a platform, and what they leave."""

from __future__ import annotations


def test_runs_that_began_under_a_platform_that_is_gone_hold_no_slot() -> None:
    import dagster as dg
    from dagster._core.storage.tags import GRPC_INFO_TAG
    from dagster._core.test_utils import create_run_for_test

    from lakeloop.up import _settle_runs
    from lakeloop.up_runs import UP_TAG

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
        found = {what: instance.get_run_by_id(run_id).status for what, run_id in made.items()}
    assert found == {
        "of a sensor": statuses.CANCELED,
        "of up": statuses.CANCELED,
        "of a sensor, waiting": statuses.NOT_STARTED,
        "of a command": statuses.STARTED,
    }
