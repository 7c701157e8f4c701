"""A sample of what `make chaos` does besides crashes: after it and a rerun everything is as if nothing had happened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.chaos.crashes import Calm
from tests.chaos.disturbances import (
    DISK_POINTS,
    JUMPS,
    SERVER_POINTS,
    built_shim,
    clock_jumps,
    disk_full,
    server_killed,
    two_at_once,
)


@pytest.mark.parametrize("point", ["model.logged"])
def test_two_runs_of_the_same_at_once_leave_what_one_leaves(
    calm: Calm, tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str, point: str
) -> None:
    assert two_at_once(tmp_path_factory.mktemp("two"), mlflow_uri, calm, point) == []


@pytest.mark.parametrize("during", ["release"])
def test_a_server_that_is_killed_in_the_middle_is_named_and_a_rerun_mends_all(
    calm: Calm, tmp_path_factory: pytest.TempPathFactory, during: str
) -> None:
    assert server_killed(tmp_path_factory.mktemp("server"), calm, SERVER_POINTS[during]) == []


@pytest.mark.parametrize("point", ["lake.before_commit"])
def test_a_full_disk_is_told_and_leaves_the_tables_as_they_were(
    calm: Calm, tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str, point: str
) -> None:
    folder = tmp_path_factory.mktemp("full")
    try:
        assert disk_full(folder / folder.name, mlflow_uri, calm, point, DISK_POINTS[point]) == []
    except PermissionError as error:
        pytest.skip(str(error))


def test_a_clock_that_jumps_there_and_back_changes_nothing(
    calm: Calm, tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str, tmp_path: Path
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to build the library that shifts a process's clock")
    assert clock_jumps(tmp_path_factory.mktemp("clock"), mlflow_uri, calm, built_shim(tmp_path), JUMPS["there and back"]) == []
