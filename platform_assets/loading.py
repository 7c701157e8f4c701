"""All definitions of a project, from both ways to write them: `defs.yaml`, and `defs.py` with the same classes."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lakeloop.checking.project import check, load_checked
from lakeloop.errors import SpecError, SpecErrors
from lakeloop.project.files import Definition
from lakeloop.project.lineage import Rule
from lakeloop.project.project import Located, Project, base_of, parse_sql_file
from lakeloop.python_code import load_file
from lakeloop.spec.tables import ViewSpec
from lakeloop.spec.workflow import WorkflowSpec
from resources.project import DEFS_VARIABLE, find_project

PYTHON_FILE = "defs.py"


@runtime_checkable
class DefinedInPython(Protocol):
    """What a variable of `defs.py` has to be: a component of ours, whose class stands above this module."""

    spec: Any
    definition: Definition

    def located(self, domain: str, folder: Path) -> Located[Any]:
        """The spec with its place."""
        ...


def shown(path: Path) -> str:
    """A file below a folder of definitions, as messages name it: relative to the project's folder."""
    named = os.environ.get(DEFS_VARIABLE)
    base = next((base_of(parent) for parent in path.parents if parent.name == "defs" or (named and parent == Path(named))), None)
    return str(path.relative_to(base)) if base else str(path)


def load_definitions(defs: Path) -> tuple[Project, list[SpecError]]:
    """Read and check every definition below a folder.

    Returns:
        What could be read, and every error found. A project with errors must not be built.
    """
    definitions, errors = python_definitions(defs)
    project, more = load_checked(defs, extra=definitions)
    project.more_rules = more_rules
    return project, sorted([*errors, *more], key=lambda e: (e.file, e.line or 0, str(e)))


def more_rules() -> Mapping[str, Rule]:
    """How the columns of stages come about that the core doesn't know; asked for by who wants a whole lineage, as the stages load Dagster."""
    from platform_assets.stages.registry import lineage_rules

    return lineage_rules()


def python_definitions(defs: Path) -> tuple[list[Located[Any]], list[SpecError]]:
    """The components that stand in `<domain>/<name>/defs.py`, each as a variable of the module.

    A name must be the folder's own where the file defines one component, as in YAML.
    """
    definitions: list[Located[Any]] = []
    errors: list[SpecError] = []
    for path in sorted(defs.glob(f"*/*/{PYTHON_FILE}")):
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
        components = [value for value in vars(module).values() if isinstance(value, DefinedInPython)]
        if not components:
            errors.append(
                SpecError("wanted a LakeTable, FeatureView or MLWorkflow as a variable of the module, found none", file=shown(path))
            )
        for component in components:
            if len(components) == 1 and component.spec.name != path.parent.name:
                errors.append(
                    component.definition.error(f"wanted the folder's name {path.parent.name!r}, found {component.spec.name!r}", "name")
                )
            definitions.append(component.located(path.parent.parent.name, path.parent))
    return definitions, errors


def read_project(defs: Path | None = None, domain: str | None = None) -> Project:
    """Read and check all definitions.

    Args:
        defs: the folder of definitions; the project's, unless another is given.
        domain: only errors of this domain count. What is broken elsewhere, and what reads it, is left out with a warning.

    Raises:
        SpecErrors: with every error found, one a line.
    """
    valid = _read_without(defs, lambda place: domain is not None and place[:1] not in ((), (domain,)))
    valid.warn()
    return valid.project


@dataclass(frozen=True)
class ValidProject:
    """The definitions that pass all checks.

    Attributes:
        project: they.
        errors: of the others.
        left_out: the others, and what reads them, by domain and name.
    """

    project: Project
    errors: tuple[SpecError, ...] = ()
    left_out: frozenset[tuple[str, ...]] = frozenset()

    def warn(self) -> None:
        """Log what is left out."""
        if self.left_out:
            named = ", ".join(sorted("/".join(folder) for folder in self.left_out))
            logging.getLogger("lakeloop").warning(f"left out, as they are broken or read what is: {named}; see lakeloop check")


def read_valid(defs: Path | None = None) -> ValidProject:
    """Read the definitions that pass all checks; the others, and what reads them, are left out.

    Raises:
        SpecErrors: an error that belongs to no definition.
    """
    return _read_without(defs, lambda place: len(place) == 2)


def _read_without(defs: Path | None, may_leave_out: Callable[[tuple[str, ...]], bool]) -> ValidProject:
    """Read the definitions, without the broken ones that may be left out, by their domain and name, and without what reads those."""
    defs = (defs or find_project().defs).resolve()
    project, errors = load_definitions(defs)
    depth = len(defs.relative_to(base_of(defs)).parts)
    tolerated: list[SpecError] = []
    left_out: set[tuple[str, ...]] = set()

    def place(error: SpecError) -> tuple[str, ...]:
        """The folder of the definition that an error is in, as its domain and name."""
        return Path(error.file).parts[depth : depth + 2]

    while errors:
        project, folders = _without(project, {place(e) for e in errors if may_leave_out(place(e))})
        counted = [error for error in errors if place(error) not in folders]
        if counted:
            elsewhere = f"({len(errors) - len(counted)} more in other domains: lakeloop check)" if len(counted) < len(errors) else ""
            raise SpecErrors(counted, f"{len(counted)} errors in the definitions:", elsewhere)
        tolerated += errors
        left_out |= folders
        # Circles, for one, are only looked for where nothing else is wrong.
        errors = check(project)
    return ValidProject(project, tuple(tolerated), frozenset(left_out))


def _without(project: Project, broken: set[tuple[str, ...]]) -> tuple[Project, set[tuple[str, ...]]]:
    """A project without what stands in some folders, and without what reads that; and the folders of all that is left out."""
    gone, ids = set(broken), set(broken)
    waiting = list(project.all())
    while added := [located for located in waiting if (located.domain, located.folder.name) in gone or named_in(located) & ids]:
        gone |= {(located.domain, located.folder.name) for located in added}
        ids |= {located.id for located in added}
        waiting = [located for located in waiting if located not in added]
    kept = {id(located) for located in waiting}
    tables = {key: located for key, located in project.tables.items() if id(located) in kept}
    views = {key: located for key, located in project.views.items() if id(located) in kept}
    workflows = {key: located for key, located in project.workflows.items() if id(located) in kept}
    return Project(tables, views, workflows, files=project.files, more_rules=project.more_rules), gone


def named_in(located: Located[Any]) -> set[tuple[str, ...]]:
    """The tables and views that a definition names, there or not, by domain and name; none where its query can't be read."""
    spec = located.spec
    names: list[str] = []
    if isinstance(spec, WorkflowSpec):
        names = [*spec.features, *([spec.label.view] if spec.label else [])]
    elif isinstance(spec, ViewSpec):
        names = list(spec.inputs)
    query = spec.spine if isinstance(spec, WorkflowSpec) else spec.sql if isinstance(spec, ViewSpec) else None
    with suppress(SpecError):
        names += [".".join(table.parts) for table in parse_sql_file(located, query).tables] if query else []
    return {tuple([located.domain, *name.split(".")][-2:]) for name in names}
