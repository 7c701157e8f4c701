"""A sample of what `make chaos` does besides crashes: after it and a rerun everything is as if nothing had happened."""

from __future__ import annotations

import pytest

from tests.chaos import Calm, undisturbed
from tests.chaos_disturbances import SERVER_POINTS, server_killed, two_at_once


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Calm:
    return undisturbed(tmp_path_factory.mktemp("calm"), mlflow_uri)


@pytest.mark.parametrize("point", ["model.logged", "release.decided"])
def test_two_runs_of_the_same_at_once_leave_what_one_leaves(
    calm: Calm, tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str, point: str
) -> None:
    assert two_at_once(tmp_path_factory.mktemp("two"), mlflow_uri, calm, point) == []


def test_a_server_that_is_killed_in_the_middle_is_named_and_a_rerun_mends_all(calm: Calm, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert server_killed(tmp_path_factory.mktemp("server"), calm, SERVER_POINTS["evaluation"]) == []
