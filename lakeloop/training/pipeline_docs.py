"""The page of all ready-made pipelines, written from their files: `python -m lakeloop.training.pipeline_docs docs/pipelines.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakeloop.spec.tasks import TASKS
from lakeloop.training.pipelines import NAMES, pipelines_for, ready_made_module

_HEAD = """\
# Ready-made pipelines

<!-- Written by `python -m lakeloop.training.pipeline_docs docs/pipelines.md`. -->

`model: {pipeline: NAME, params: {…}}` selects a pipeline in a workflow; `dg scaffold defs … --pipeline NAME` writes this line. Each pipeline
is one short file in `lakeloop/pipelines`, which you may copy and own ([models](models.md)). All use scikit-learn's components only, so they
are stored without pickle and load wherever scikit-learn is installed. Parameters are those of the estimator; the lists below give the defaults
that differ from scikit-learn's.

A feature that has no value in any row of the training window is left out of the model. What a value means that training never saw, a new
category or the first missing number, is said with each pipeline.
"""


def documentation() -> str:
    """The text of the page."""
    parts = [_HEAD, "## Pipelines by task\n", "| task | pipelines | primary metric of a draft |\n|---|---|---|"]
    parts += [f"| `{task}` | {', '.join(_link(name) for name in pipelines_for(task))} | `{kind.primary}` |" for task, kind in TASKS.items()]
    return "\n".join(parts) + "\n" + "".join(_page(name) for name in NAMES)


def _link(name: str) -> str:
    return f"[{name}](#{name})"


def _page(name: str) -> str:
    module = ready_made_module(name)
    lines = ["", f"## {name}", "", inspect.cleandoc(module.__doc__ or ""), "", f"* **Tasks.** {', '.join(f'`{t}`' for t in module.TASKS)}."]
    defaults = getattr(module, "DEFAULTS", {})
    if defaults:
        lines.append(f"* **Defaults.** {', '.join(f'`{key}: {value}`' for key, value in defaults.items())}.")
    spaces: dict[str, list[str]] = {}
    for task in module.TASKS:
        spaces.setdefault(_space(module.search_space(task)), []).append(task)
    for space, tasks in spaces.items():
        where = "" if len(spaces) == 1 else f" for {', '.join(tasks)}"
        lines.append(f"* **Search{where}.** {space}.")
    return "\n".join(lines) + "\n"


def _space(space: Mapping[str, Any]) -> str:
    parameters = []
    for key, value in space.items():
        if isinstance(value, Mapping) and "low" in value:
            scale = ", log" if value.get("log") else ""
            parameters.append(f"`{key}` {value['low']:g} to {value['high']:g}{scale}")
        else:
            choices = value.get("choices", value) if isinstance(value, Mapping) else value
            parameters.append(f"`{key}` {' or '.join(map(str, choices))}")
    return "; ".join(parameters) or "nothing to search"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(documentation(), encoding="utf-8")
