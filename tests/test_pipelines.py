"""The shelf of ready-made pipelines: its page, and that each keeps its contract."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from lakeloop.pipeline_docs import documentation
from lakeloop.pipelines import names, names_for
from lakeloop.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_of_pipelines_says_what_the_files_do() -> None:
    assert (ROOT / "docs" / "pipelines.md").read_text() == documentation(), "run python -m lakeloop.pipeline_docs docs/pipelines.md"


@pytest.mark.parametrize("name", names())
def test_a_pipeline_says_when_to_use_it_and_what_it_can_do(name: str) -> None:
    module = importlib.import_module(f"lakeloop.pipelines.{name}")
    assert "use it" in (module.__doc__ or "").lower() or "to try" in (module.__doc__ or "")
    assert set(module.TASKS) <= set(TASKS) and module.TASKS
    assert len(inspect.getsource(module).splitlines()) < 100
    assert all(isinstance(module.search_space(task), dict) for task in module.TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_linear_pipeline_and_another(task: str) -> None:
    assert "linear" in names_for(task) and len(names_for(task)) >= 2  # type: ignore[arg-type]
