"""The mutants that `make mutation` makes, of a module of a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutation import ROOT, TESTS, make_mutants, take_sample

SOURCE = '''\
"""A module."""
import math


def clip(values: list[int], low: int = 0, *, upper: bool = True) -> list[int]:
    """Values that are not too low."""
    assert low < 9
    kept = [value for value, _ in zip(values, values, strict=True) if value > low]
    if upper and kept:
        kept.sort()
    return kept
'''
ARGUMENTS = "values: list[int], low: int=0, *, upper: bool=True"
CHANGES = [
    (ARGUMENTS, ARGUMENTS.replace("True", "False")),
    (ARGUMENTS, ARGUMENTS.replace("0", "1")),
    (ARGUMENTS, ARGUMENTS.replace("0", "-1")),
    ("for value, _ in zip(values, values, strict=True) if value > low", "for value, _ in zip(values, values, strict=True) if True"),
    ("for value, _ in zip(values, values, strict=True) if value > low", "for value, _ in zip(values, values, strict=True) if False"),
    ("for value, _ in zip(values, values, strict=True) if value > low", "for value, _ in zip(values, values, strict=True) if value >= low"),
    ("for value, _ in zip(values, values, strict=True) if value > low", "for value, _ in zip(values, values, strict=True) if value <= low"),
    ("upper and kept", "True"),
    ("upper and kept", "False"),
    ("upper and kept", "upper or kept"),
    ("upper and kept", "kept"),
    ("upper and kept", "upper"),
    ("kept.sort()", "pass"),
    ("kept.sort()", "kept"),
    ("return kept", "return None"),
]


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "module.py").write_text(SOURCE)
    return str(tmp_path / "module.py")


def test_every_place_that_does_something_is_changed_and_docstrings_imports_and_assertions_are_not(module: str) -> None:
    made = make_mutants(module)
    assert [(mutant.before, mutant.after) for mutant in made] == CHANGES
    assert {(mutant.module, mutant.function) for mutant in made} == {(module, "clip")}
    assert [mutant.line for mutant in made] == [5] * 3 + [8] * 4 + [9] * 5 + [10] * 2 + [11]


def test_a_mutant_is_the_module_with_its_change_alone(module: str) -> None:
    results = []
    for mutant in make_mutants(module):
        names: dict[str, Any] = {}
        exec(mutant.code, names)
        results.append(names["clip"]([3, 0, 1]))
    assert results == [[3, 1], [3], [0, 1, 3], [0, 1, 3], [], [0, 1, 3], [0], [1, 3], [3, 1], [1, 3], [1, 3], [1, 3], [3, 1], [3, 1], None]


def test_a_sample_is_the_same_for_a_seed_and_stays_when_another_function_changes(module: str) -> None:
    made = make_mutants(module)
    sample = [mutant.key for mutant in take_sample(made, 5, seed=1)]
    assert len(sample) == 5 and sample == [mutant.key for mutant in take_sample(make_mutants(module), 5, seed=1)]
    assert sample != [mutant.key for mutant in take_sample(made, 5, seed=2)]
    Path(module).write_text(SOURCE.replace("import math", "import math\n\nLIMIT = 3"))
    assert set(sample) & {mutant.key for mutant in take_sample(make_mutants(module), 7, seed=1)} == set(sample)


def test_the_modules_and_their_tests_are_there() -> None:
    assert [file for module, tests in TESTS.items() for file in (module, *tests) if not (ROOT / file).is_file()] == []
