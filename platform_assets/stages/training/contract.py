"""What a workflow wants of a model that somebody else brings."""

from __future__ import annotations

from lakeloop.project.project import Located, Project, feature_columns
from lakeloop.rows.types import held_type
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.features.lookup import feature_spec
from resources.tracking.brought_model import Contract


def contract(project: Project, located: Located[WorkflowSpec]) -> Contract:
    """What a workflow wants of a model."""
    kinds = {column.output: kind for column in feature_columns(project, located) if (kind := held_type(column.type).model)}
    return Contract(
        f"{located.domain}.{located.spec.name}",
        located.spec.answer,
        kinds,
        feature_spec(project, located),
        located.spec.model.trusted_types,
    )
