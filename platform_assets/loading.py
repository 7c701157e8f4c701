"""All definitions of a project, from both ways to write them: `defs.yaml`, and `defs.py` with the same classes."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from lakeloop.errors import SpecError, SpecErrors
from lakeloop.project import Located, Project, load_project
from lakeloop.python_code import load_file
from resources.settings import PROJECT_ROOT

DEFS = PROJECT_ROOT / "platform_assets" / "defs"
PYTHON_FILE = "defs.py"


def load_definitions(defs: Path) -> tuple[Project, list[SpecError]]:
    """Read and check every definition below a folder.

    Returns:
        What could be read, and every error found. A project with errors must not be built.
    """
    found, errors = python_definitions(defs)
    project, more = load_project(defs, extra=found)
    return project, sorted([*errors, *more], key=lambda e: (e.file, e.line or 0, str(e)))


def python_definitions(defs: Path) -> tuple[list[Located[Any]], list[SpecError]]:
    """The components that stand in `<domain>/<name>/defs.py`, each as a variable of the module.

    A name must be the folder's own where the file defines one component, as in YAML.
    """
    found: list[Located[Any]] = []
    errors: list[SpecError] = []
    for path in sorted(defs.glob(f"*/*/{PYTHON_FILE}")):
        from platform_assets.components.base import SpecComponent, shown

        try:
            module = load_file(path)
        except SpecErrors as error:
            errors += error.errors
            continue
        except Exception as error:  # whatever the user's own code raises, told with its line
            line = next(
                (frame.lineno for frame in reversed(traceback.extract_tb(error.__traceback__)) if frame.filename == str(path)), None
            )
            line = error.lineno if isinstance(error, SyntaxError) else line
            errors.append(SpecError(f"{type(error).__name__}: {error}", file=shown(path), line=line))
            continue
        components = [value for value in vars(module).values() if isinstance(value, SpecComponent)]
        if not components:
            errors.append(
                SpecError("wanted a LakeTable, FeatureView or MLWorkflow as a variable of the module, found none", file=shown(path))
            )
        for component in components:
            if len(components) == 1 and component.spec.name != path.parent.name:
                errors.append(
                    component.definition.error(f"wanted the folder's name {path.parent.name!r}, found {component.spec.name!r}", "name")
                )
            found.append(component.located(path.parent.parent.name, path.parent))
    return found, errors


def read_project(defs: Path = DEFS, domain: str | None = None) -> Project:
    """Read and check all definitions.

    Args:
        defs: the folder of definitions.
        domain: only errors of this domain count; a broken file elsewhere stops only its own.

    Raises:
        SpecErrors: with every error found, one a line.
    """
    project, errors = load_definitions(defs)
    counted = [error for error in errors if domain is None or Path(error.file).parts[2:3] == (domain,)]
    if counted:
        elsewhere = f"({len(errors) - len(counted)} more in other domains: lakeloop check)" if len(counted) < len(errors) else ""
        raise SpecErrors(counted, f"{len(counted)} errors in the definitions:", elsewhere)
    return project
