"""Code that definitions name: what is wrong with a reference is said without running it, and what it names is found."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lakeloop.errors import DataError
from lakeloop.python_code import definition_of, find_problem, load_reference, source_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code.py").write_text("import os as system\nVALUE = 1\n\ndef rows():\n    return VALUE\n\nclass Model:\n    pass\n")
    (tmp_path / "open.py").write_text("from os.path import *\n")
    (tmp_path / "late.py").write_text("def __getattr__(name):\n    return name\n")
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "raises.py").write_text("raise RuntimeError('it ran')\ndef rows(): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("code.py:rows", ""),
        ("code.py:Model", ""),
        ("code.py:VALUE", ""),
        ("code.py:system", ""),
        ("open.py:join", ""),
        ("late.py:anything", ""),
        ("raises.py:rows", ""),
        ("json:loads", ""),
        ("math:sqrt", ""),  # compiled, so that its names can't be read
        ("code.py:row", "code.py has no 'row'; did you mean 'rows'?"),
        ("json:lods", "json has no 'lods'"),
        ("cod.py:rows", "no file 'cod.py' beside the definition; did you mean 'code.py'?"),
        ("no_such_module:rows", "no module 'no_such_module' is installed"),
        ("broken.py:rows", "can't read broken.py: "),
        ("code.py", "wanted module:name or file.py:name, found 'code.py'"),
        ("code.py:two words", "wanted module:name or file.py:name, found"),
    ],
)  # fmt: skip
def test_a_reference_is_checked_without_importing_it(folder: Path, reference: str, message: str) -> None:
    actual = find_problem(reference, folder)
    assert actual.startswith(message) and bool(actual) == bool(message), actual


def test_what_a_reference_names_is_imported_and_anything_missing_is_told(folder: Path) -> None:
    assert load_reference("code.py:rows", folder)() == 1 and load_reference("json:loads", folder)("[1]") == [1]
    with pytest.raises(DataError, match=r"code.py:row: code.py has no 'row'; did you mean 'rows'\?"):
        load_reference("code.py:row", folder)
    with pytest.raises(DataError, match="no_such_module:x: can't import no_such_module"):
        load_reference("no_such_module:x", folder)
    with pytest.raises(DataError, match="gone.py:x: can't import gone.py"):
        load_reference("gone.py:x", folder)
    with pytest.raises(RuntimeError, match="it ran"):
        load_reference("raises.py:rows", folder)


def test_a_file_is_run_anew_each_time_so_that_an_edit_counts(folder: Path) -> None:
    assert load_reference("code.py:VALUE", folder) == 1
    (folder / "code.py").write_text("VALUE = 22\n")
    assert load_reference("code.py:VALUE", folder) == 22


def test_the_source_of_a_reference_is_its_file_or_the_reference_itself(folder: Path) -> None:
    assert source_of("code.py:rows", folder) == (folder / "code.py").read_text()
    assert source_of("gone.py:rows", folder) == "gone.py:rows" and source_of("no_such_module:rows", folder) == "no_such_module:rows"
    node = definition_of("code.py:rows", folder)
    assert isinstance(node, ast.FunctionDef) and isinstance(definition_of("code.py:Model", folder), ast.ClassDef)
    assert definition_of("code.py:VALUE", folder) is None and definition_of("math:sqrt", folder) is None
