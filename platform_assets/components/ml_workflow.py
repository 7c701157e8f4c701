"""MLWorkflow: the pipeline that stays the same while features, label and model are plugged in."""

from __future__ import annotations

import dagster as dg

from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.components.base import SpecComponent
from platform_assets.components.scaffolders import MLWorkflowScaffolder


@dg.scaffold_with(MLWorkflowScaffolder)
class MLWorkflow(SpecComponent[WorkflowSpec]):
    """From a spine, a label and features to a released model, batch predictions and an endpoint."""

    spec_type = WorkflowSpec
