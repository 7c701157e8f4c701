"""Every stage, in the order of the graph. A new stage is a module that ends in `STAGE = Stage(…)`, and a line here."""

from __future__ import annotations

from typing import Any

from lakeloop.project.lineage import Rule
from lakeloop.project.project import Located, Project
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.evaluation import evaluations
from platform_assets.stages.features import views
from platform_assets.stages.release import deployments, predictions, releases
from platform_assets.stages.stage import Stage
from platform_assets.stages.tables import raw, validated
from platform_assets.stages.training import models, studies, training_set
from resources.lake.published import TableKey

STAGES: tuple[Stage[Any], ...] = (
    raw.STAGE,
    validated.STAGE,
    views.STAGE,
    training_set.STAGE,
    studies.STAGE,
    models.STAGE,
    evaluations.STAGE,
    releases.STAGE,
    predictions.STAGE,
    deployments.STAGE,
)


def stage_named(name: str) -> Stage[Any]:
    """The stage of a name.

    Raises:
        KeyError: there is none.
    """
    return {stage.name: stage for stage in STAGES}[name]


def stage_names() -> list[str]:
    """Every stage by name, in order."""
    return [stage.name for stage in STAGES]


def stages_of(located: Located[Any]) -> list[Stage[Any]]:
    """The stages that a definition has, in order."""
    return [stage for stage in STAGES if isinstance(located.spec, stage.noun) and stage.exists(located)]


def data_stages() -> set[str]:
    """The stages of tables and views, by name; the others are of workflows."""
    return {stage.name for stage in STAGES if stage.noun is not WorkflowSpec}


def lineage_rules() -> dict[str, Rule]:
    """How the columns of stages come about that `lakeloop.project.lineage` doesn't know, by stage."""
    return {
        stage.name: Rule(lambda located, stage=stage: isinstance(located.spec, stage.noun) and stage.exists(located), stage.lineage)  # type: ignore[misc]
        for stage in STAGES
        if stage.lineage is not None
    }


def definition_of(project: Project, key: TableKey) -> Located[Any]:
    """The table, view or workflow that an asset is of.

    Raises:
        KeyError: it isn't defined.
    """
    return project.shelf(stage_named(key.stage).noun)[(key.domain, key.name)]
