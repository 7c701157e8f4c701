"""What the three components share: attributes are a spec, from YAML or Python alike; assets need the whole project."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import dagster as dg
from pydantic import BaseModel

from lakeloop.errors import SpecErrors
from lakeloop.project.files import Definition, to_spec
from lakeloop.project.project import Located
from lakeloop.spec.tables import TableSpec, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.assets import assets_of
from platform_assets.loading import load_definitions, shown

S = TypeVar("S", TableSpec, ViewSpec, WorkflowSpec)


class SpecComponent(dg.Component, Generic[S]):
    """A component whose attributes are a spec.

    Args:
        attributes: the fields of the spec, as in YAML.

    Raises:
        SpecErrors: an attribute is wrong; the message names the file and line of the call, the attribute, and the nearest match.
    """

    spec_type: ClassVar[type[BaseModel]]

    def __init__(self, **attributes: Any) -> None:
        caller = sys._getframe(1)
        kind = f"platform_assets.components.{type(self).__name__}"
        self.definition = Definition(shown(Path(caller.f_code.co_filename)), kind, attributes, {("attributes",): caller.f_lineno})
        spec, errors = to_spec(self.definition)
        if errors:
            raise SpecErrors(errors)
        self.spec: S = spec  # type: ignore[assignment]

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The spec, which is the schema of the YAML."""
        return cls.spec_type

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Any:
        """From validated YAML."""
        component = cls.__new__(cls)
        component.spec = attributes  # type: ignore[assignment]
        component.definition = Definition(shown(Path(context.path)), f"platform_assets.components.{cls.__name__}", {})
        return component

    def located(self, domain: str, folder: Path) -> Located[S]:
        """The spec with its place: the domain, and the folder that its files are relative to."""
        return Located(self.spec, domain, folder, self.definition)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of this one definition; the others of its project are read for what it refers to."""
        folder = Path(context.path)
        folder = folder if folder.is_dir() else folder.parent
        project, errors = load_definitions(folder.parent.parent)
        mine = self.located(folder.parent.name, folder)
        if errors:
            raise SpecErrors(errors)
        return dg.Definitions(assets=assets_of(project, project.shelf(self.spec_type).get(mine.id, mine)))
