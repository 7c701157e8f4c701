"""What the three components share: attributes are a spec, from YAML or Python alike; assets need the whole project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import dagster as dg
from pydantic import BaseModel

from lakeloop.definition_files import Definition
from lakeloop.errors import SpecError
from lakeloop.project import Located, Project, load_project
from lakeloop.spec import TableSpec, ViewSpec, WorkflowSpec

S = TypeVar("S", TableSpec, ViewSpec, WorkflowSpec)


class SpecComponent(dg.Component, Generic[S]):
    """A component whose attributes are a spec.

    Args:
        attributes: the fields of the spec, as in YAML.
    """

    spec_type: ClassVar[type[BaseModel]]

    def __init__(self, **attributes: Any) -> None:
        self.spec: S = self.spec_type.model_validate(attributes)  # type: ignore[assignment]

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The spec, which is the schema of the YAML."""
        return cls.spec_type

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Any:
        """From validated YAML."""
        component = cls.__new__(cls)
        component.spec = attributes  # type: ignore[assignment]
        return component

    def located(self, domain: str, folder: Path) -> Located[S]:
        """The spec with its place: the domain, and the folder that its files are relative to."""
        kind = f"{type(self).__module__.rpartition('.')[0]}.{type(self).__name__}"
        return Located(self.spec, domain, folder, Definition(str(folder / "defs.py"), kind, {}))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of this one definition; the others of its project are read for what it refers to."""
        folder = Path(context.path)
        folder = folder if folder.is_dir() else folder.parent
        project, errors = load_project(folder.parent.parent)
        mine = self.located(folder.parent.name, folder)
        shelf: Any = (
            project.tables if isinstance(self.spec, TableSpec) else project.views if isinstance(self.spec, ViewSpec) else project.workflows
        )
        shelf.setdefault(mine.id, mine)
        if errors:
            raise SpecError("\n".join(str(error) for error in errors))
        return dg.Definitions(assets=self.assets(project, shelf[mine.id]))

    @classmethod
    def assets(cls, project: Project, located: Located[S]) -> list[dg.AssetsDefinition]:
        """The assets of a located spec."""
        raise NotImplementedError
