"""A sample of `make chaos`: crashed at a named point and run again, everything is as if nothing had happened."""

from __future__ import annotations

import ast

import pytest

from resources.host.crash_points import POINTS
from tests.chaos.crashes import Calm, trial
from tests.worlds.places import ROOT

SAMPLE = [
    ("lake.before_commit", "raise", 2),
    ("lake.after_commit", "kill", 2),
    ("model.registered", "kill", 1),
    ("evaluation.reported", "term", 1),
    ("release.decided", "kill", 1),
]


def test_every_point_is_passed_somewhere_and_no_other() -> None:
    passed = []
    for ring in ("resources", "platform_assets"):
        for path in (ROOT / ring).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crash_point":
                    assert isinstance(node.args[0], ast.Constant)
                    passed.append(node.args[0].value)
    assert set(passed) == set(POINTS)


@pytest.mark.parametrize(("point", "how", "passing"), SAMPLE)
def test_after_a_crash_and_a_rerun_everything_is_as_if_undisturbed(
    calm: Calm, tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str, point: str, how: str, passing: int
) -> None:
    assert calm.registry["versions"] == ["1"] and calm.registry["aliases"] == {"champion": "1", "challenger": "1"}
    assert trial(tmp_path_factory.mktemp("crash"), mlflow_uri, point, how, passing, calm) == []
