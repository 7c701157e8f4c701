"""MLWorkflow: the pipeline that stays the same while features, label and model are plugged in."""

from __future__ import annotations

from functools import partial

import dagster as dg

from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.assets import Check, stage_asset
from platform_assets.components.base import SpecComponent
from platform_assets.components.scaffolders import MLWorkflowScaffolder
from platform_assets.stages.base import Platform
from platform_assets.stages.evaluation import evaluations
from platform_assets.stages.metadata import column_schema
from platform_assets.stages.release import deployments, predictions, releases
from platform_assets.stages.training import models, studies, study_job, training_set


@dg.scaffold_with(MLWorkflowScaffolder)
class MLWorkflow(SpecComponent[WorkflowSpec]):
    """From a spine, a label and features to a released model, batch predictions and an endpoint."""

    spec_type = WorkflowSpec

    @classmethod
    def assets(cls, project: Project, located: Located[WorkflowSpec]) -> list[dg.AssetsDefinition]:
        """`training_sets`, `models`, `evaluations`, `releases`, and as asked `studies`, `predictions` and `deployments`."""
        spec, asset = located.spec, partial(stage_asset, project, located)
        balance = Check(training_set.ACCOUNTING, True, "the rows of the spine, none lost, none twice")
        found = [
            asset(
                "training_sets",
                lambda platform, _: training_set.build(platform, located),
                checks=[*Check.of(training_set.suite(project, located)), balance],
                description=f"{spec.description} The spine with its label, and every feature as it was known at {spec.predict_at}.",
                schema=column_schema(training_set.training_columns(project, located), personal_columns(project, "training_sets", located)),
                code_version=training_set.CODE_VERSION,
            ),
            *([_study(project, located)] if spec.search is not None else []),
            asset(
                "models",
                lambda platform, _: models.train(platform, located),
                description=f"{spec.description} The model version registered in MLflow for the training set that stands.",
                kinds={"mlflow", "scikitlearn"},
                code_version=models.CODE_VERSION,
            ),
            asset(
                "evaluations",
                lambda platform, _: evaluations.evaluate_model(platform, located),
                # A failed gate is an answer: it stops the promotion (in `releases`), not the run.
                checks=[
                    Check(name, False, f"gate on {name}: {gate.model_dump(exclude_none=True)}")
                    for name, gate in evaluations.metric_gates(spec).items()
                ]
                + [Check(kind.name, False, f"{kind.meaning} See {kind.anchor}", kind.text) for kind in KINDS.values()],
                description="How good the model version is on later time that it wasn't trained on, beside champion and baselines; the page `report` tells it all.",
                kinds={"mlflow", "greatexpectations"},
                code_version=evaluations.CODE_VERSION,
            ),
            asset(
                "releases",
                lambda platform, _: releases.release(platform, located),
                checks=[Check(releases.PROMOTED, False, "the newest model is the champion")],
                description="Which version is the champion, and why. The only place that moves an alias.",
                kinds={"mlflow"},
                code_version=releases.CODE_VERSION,
            ),
        ]
        if spec.batch is not None:
            found.append(
                asset(
                    "predictions",
                    lambda platform, partitions: predictions.predict(platform, located, partitions),
                    checks=[
                        *Check.of(predictions.suite(spec)),
                        Check(predictions.ACCOUNTING, True, "a prediction for every row of the spine that is asked about, none twice"),
                        *(
                            Check(name, True, "probabilities of a row add up to one, quantiles don't cross")
                            for name in predictions.own_checks(spec)
                        ),
                    ],
                    description=f"{spec.description} Predictions of the released version for every row of the spine.",
                    schema=column_schema(predictions.columns(spec), personal_columns(project, "predictions", located)),
                    code_version=predictions.CODE_VERSION,
                )
            )
        if spec.online is not None:
            found.append(
                asset(
                    "deployments",
                    lambda platform, _: deployments.deploy(platform, located),
                    checks=[Check(deployments.SERVING, False, "the released version answers at the endpoint")],
                    description="Which version should be served, and whether it is.",
                    kinds={"kserve"},
                    code_version=deployments.CODE_VERSION,
                )
            )
        return found


def _study(project: Project, located: Located[WorkflowSpec]) -> dg.AssetsDefinition:
    """The search, whose trials run in as many steps as the workflow says."""
    search = located.spec.search
    assert search is not None
    return stage_asset(
        project,
        located,
        "studies",
        lambda platform, _: studies.search(platform, located),
        helpers=[partial(_help, located, number) for number in range(search.steps if search.steps > 1 else 0)],
        description="The best parameters that Optuna found by time-ordered cross-validation within the training window, and what they gain.",
        kinds={"optuna"},
        code_version=study_job.CODE_VERSION,
    )


def _help(located: Located[WorkflowSpec], number: int, platform: Platform) -> None:
    studies.help_search(platform, located, number)
