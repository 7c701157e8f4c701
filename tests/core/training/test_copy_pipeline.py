"""Copying a pipeline: the file as it is, and never over another."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeloop.errors import DataError
from lakeloop.training.copy_pipeline import copy_pipeline
from lakeloop.training.pipelines import NAMES
from tests.worlds.places import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shop" / "returns"
    path.mkdir(parents=True)
    (path / "defs.yaml").touch()
    return path


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_is_the_pipeline_s_own_file(folder: Path, name: str) -> None:
    copy = copy_pipeline(name, folder)
    assert copy == folder / f"{name}.py" and copy.read_bytes() == (ROOT / "lakeloop" / "pipelines" / f"{name}.py").read_bytes()
    with pytest.raises(DataError, match="exists already; nothing was written"):
        copy_pipeline(name, folder)


def test_a_pipeline_or_workflow_that_is_not_there_is_told_with_the_nearest(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no pipeline 'liner'; did you mean 'linear'\?"):
        copy_pipeline("liner", folder)
    with pytest.raises(DataError, match=r"no folder .*retruns; did you mean 'shop/returns'\?"):
        copy_pipeline("linear", folder.with_name("retruns"))
    assert [path.name for path in folder.iterdir()] == ["defs.yaml"]
