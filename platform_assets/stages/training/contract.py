"""What a workflow wants of a model that somebody else brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeloop.project.project import Located, Project, feature_columns
from lakeloop.rows.types import TYPES
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.features.lookup import feature_spec

if TYPE_CHECKING:
    from resources.tracking.brought_model import Contract


def contract(project: Project, located: Located[WorkflowSpec]) -> Contract:
    """What a workflow wants of a model."""
    from resources.tracking.brought_model import Contract

    kinds = {column.output: kind for column in feature_columns(project, located) if (kind := TYPES[column.type].model)}
    return Contract(
        f"{located.domain}.{located.spec.name}",
        located.spec.answer,
        kinds,
        feature_spec(project, located),
        located.spec.model.trusted_types,
    )
