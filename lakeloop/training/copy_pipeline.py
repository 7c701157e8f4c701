"""Copy a ready-made pipeline to a file beside a definition, to be changed there."""

from __future__ import annotations

from pathlib import Path

import lakeloop.pipelines
from lakeloop.errors import DataError, nearest
from lakeloop.training.pipelines import NAMES


def copy_pipeline(name: str, folder: Path) -> Path:
    """Copy a ready-made pipeline into a workflow's folder and change nothing else.

    Args:
        name: of the pipeline.
        folder: of the workflow's definition.

    Returns:
        The new file.

    Raises:
        DataError: there is no such pipeline or folder, or the file exists already.
    """
    if name not in NAMES:
        raise DataError(f"no pipeline {name!r}; {nearest(name, NAMES)}")
    if not folder.is_dir():
        others = [f"{path.parent.parent.name}/{path.parent.name}" for path in folder.parent.parent.glob("*/*/defs.*")]
        raise DataError(f"no folder {folder}; {nearest(f'{folder.parent.name}/{folder.name}', others)}")
    target = folder / f"{name}.py"
    if target.exists():
        raise DataError(f"{target} exists already; nothing was written")
    target.write_text(Path(lakeloop.pipelines.__file__).with_name(f"{name}.py").read_text(encoding="utf-8"), encoding="utf-8")
    return target
