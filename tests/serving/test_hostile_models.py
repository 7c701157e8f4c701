"""A brought model may hold what is on the list of its flavour and nothing else: honest ones pass, and a table of hostile ones is refused everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lakeloop.errors import DataError
from lakeloop.training.pipelines import TRUSTED_TYPES
from resources.serving.models import load_models
from resources.tracking.brought_model import check_brought
from resources.tracking.model_files import Trust, UnsafeModel, check_files
from resources.tracking.model_format import load_model
from tests.worlds.code.brought_models import CONTRACT, ROWS
from tests.worlds.hostile.honest import copy, save_all
from tests.worlds.hostile.hostile import hostile_models

MARK = "it_ran"
NOWHERE = "http://127.0.0.1:9"
"""The address of an MLflow server that isn't there: these models are folders."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each flavour and format."""
    return save_all(tmp_path_factory.mktemp("honest"))


def checked(folder: Path) -> str:
    """Why a folder is refused; empty when it isn't."""
    try:
        check_files(folder, "it", Trust(TRUSTED_TYPES))
    except UnsafeModel as error:
        return str(error)
    return ""


def test_an_honest_model_of_each_flavour_passes_with_the_digest_of_each_file(honest: dict[str, Path]) -> None:
    for name, folder in honest.items():
        files = check_files(folder, name, Trust(TRUSTED_TYPES))
        assert files.keys() == {path.name for path in folder.iterdir()}, name


def test_every_hostile_model_is_refused_with_a_sentence_and_nothing_runs(honest: dict[str, Path], tmp_path: Path) -> None:
    passed, count = [], 0
    for count, (name, base, change) in enumerate(hostile_models(tmp_path / MARK), 1):
        folder = copy(honest[base], tmp_path / f"{count}" / base)
        change(folder)
        problem = checked(folder)
        if not problem:
            passed.append(name)
        assert "\n" not in problem and len(problem) < 700, problem
    assert (passed, (tmp_path / MARK).exists()) == ([], False)
    assert count >= 150


PLACES: dict[str, Callable[[Path], str]] = {
    "registration": lambda folder: reason(lambda: check_brought(str(folder), NOWHERE, CONTRACT, ROWS)),
    "load": lambda folder: reason(lambda: load_model(str(folder))),
    "server": lambda folder: load_models([{"name": "a.b", "version": "1", "uri": str(folder)}], NOWHERE)[1].get("a.b", ""),
}
"""Why a model is refused by each that loads one; empty where it isn't. Batch predictions load as `load` does."""


def reason(act: Callable[[], object]) -> str:
    try:
        act()
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "name",
    ["pickle, gzip, as model.skops", "skops of os.system", "code as code/evil.py", "loaded by mlflow.pyfunc.model", "LightGBM with a child out of range"],
)  # fmt: skip
def test_it_is_refused_by_all_that_load_models(honest: dict[str, Path], tmp_path: Path, name: str) -> None:
    base, change = {each: (base, change) for each, base, change in hostile_models(tmp_path / MARK)}[name]
    folder = copy(honest[base], tmp_path / base)
    assert load_model(str(folder)).predict(ROWS).shape == (len(ROWS),)
    change(folder)
    for place, refused in PLACES.items():
        assert (
            "wanted" in refused(folder) or "which isn't what it is said to be" in refused(folder) or "aren't trusted" in refused(folder)
        ), place
    assert not (tmp_path / MARK).exists()


def test_a_model_that_was_fitted_here_holds_its_workflows_source_and_no_other(honest: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(honest["sklearn"], tmp_path / "own")
    source = b"VALUE = 1\n"
    path = folder / "code" / f"mine_{hashlib.sha256(source).hexdigest()[:12]}.py"
    path.parent.mkdir()
    path.write_bytes(source)
    assert checked(folder)
    assert f"code/{path.name}" in check_files(folder, "it", Trust(TRUSTED_TYPES, code=True))
    for name, content in ((path.name, b"VALUE = 2\n"), ("mine.py", source), (f"{path.stem}.pyc", source)):
        (path.parent / name).write_bytes(content)
        with pytest.raises(UnsafeModel, match="code/mine"):
            check_files(folder, "it", Trust(TRUSTED_TYPES, code=True))
        (path.parent / name).unlink()


def test_of_types_that_nobody_kept_none_of_the_standard_library_counts(honest: dict[str, Path], tmp_path: Path) -> None:
    assert check_files(honest["sklearn"], "it", Trust(None))
    changes = {name: change for name, base, change in hostile_models(tmp_path / MARK) if name.startswith("skops of ") and base == "sklearn"}
    for number, (name, change) in enumerate(changes.items()):
        folder = copy(honest["sklearn"], tmp_path / str(number))
        change(folder)
        with pytest.raises(UnsafeModel):
            check_files(folder, name, Trust(None))
    assert len(changes) > 10 and not (tmp_path / MARK).exists()
