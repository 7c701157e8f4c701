"""A project that `dg scaffold defs` writes: calling it, and what it has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa


def scaffold(project: Path, kind: str, path: str, **params: Any) -> None:
    """`dg scaffold defs`, from where its command line hands over."""
    import json

    from dagster.components.component_scaffolding import scaffold_object

    scaffold_object(
        project / "platform_assets" / "defs" / path,
        f"platform_assets.components.{kind}",
        json.dumps(params) if params else None,
        "yaml",
        project,
    )


def problems(project: Path) -> list[str]:
    """What is wrong with the project's definitions."""
    from lakeloop.checking.project import load_checked

    return [str(error) for error in load_checked(project / "platform_assets" / "defs")[1]]


def definition(project: Path, path: str) -> str:
    """The text of a definition file."""
    return (project / "platform_assets" / "defs" / path).read_text()


def draft_workflow(project: Path, rows: dict[str, list[Any]], **params: Any) -> dict[str, str]:
    """Draft table and workflow from columns; the workflow's files by path."""
    import pyarrow.csv

    (project / "in").mkdir(exist_ok=True)
    pyarrow.csv.write_csv(pa.table(rows), project / "in" / "rows.csv")
    scaffold(project, "LakeTable", "x/rows", source=str(project / "in" / "rows.csv"))
    scaffold(project, "MLWorkflow", "x/guess", table="rows", **params)
    assert problems(project) == []
    base = project / "platform_assets" / "defs" / "x"
    return {str(p.relative_to(base)): p.read_text() for p in base.glob("guess*/*")}
