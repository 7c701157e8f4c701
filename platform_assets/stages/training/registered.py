"""models, of a workflow that takes a registered model: nothing is fitted; a version is checked and listed as the workflow's own, by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from lakeloop.errors import DataError
from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.records.training import ModelState, TakenModel, TrainingSetState
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.frames import feature_frame
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.publishing import record_whole
from platform_assets.stages.training.contract import contract
from platform_assets.stages.training.version_files import keep_contents
from resources.host.crash_points import crash_point
from resources.lake.published import PartitionState, States
from resources.tracking.brought_model import Contract, check_brought, resolve_version
from resources.tracking.model_files import UnsafeModel, differences
from resources.tracking.registry import Registry
from resources.tracking.server import is_up
from resources.tracking.tags import DOMAIN_TAG, REGISTERED_TAG, TRAINING_SET_TAG, WORKFLOW_TAG

if TYPE_CHECKING:
    import pandas as pd

    from lakeloop.project.project import Located, Project
    from resources.tracking.runs import RunHandle

CODE_VERSION = "1"
TRIED_ROWS = 100
UNKNOWN_TRAINING = "the model was registered elsewhere, and it isn't known what it was trained on: it may have seen the test rows"


def expected(states: States, located: Located[WorkflowSpec], taken: str | None = None) -> str:
    """The fingerprint of a registered model as a workflow's: which version, and the training set that it was checked against.

    Args:
        states: what is published.
        located: the workflow.
        taken: the version that is meant, where it has been looked up; else the one that stands.

    Raises:
        NotPublished: there is no training set.
    """
    training, state, model = states.required(TrainingSetState, located), states.whole(ModelState, located), located.spec.model
    standing = state.value.registered if state is not None else None
    version = str(model.version) if model.version is not None else taken
    if version is None and standing is not None and standing.name == model.registered:
        version = standing.version
    parts = {
        **made_of.code(CODE_VERSION),
        **made_of.keys(located.spec, ("model", "task")),
        **made_of.upstream(states, key_of(TrainingSetState.stage, located)),
        **made_of.value(f"the version of {model.registered}", version),
    }
    whole = fingerprint("registered", CODE_VERSION, training.fingerprint, model, located.spec.answer.record(), version)
    return Fingerprint(whole, parts)


def taken_versions(project: Project, tracking_uri: str) -> dict[tuple[str, str], str]:
    """The version that each workflow means which names none by number, by workflow; nothing of a server that doesn't answer."""
    models = {id_: w.spec.model for id_, w in project.workflows.items() if w.spec.model.registered and w.spec.model.version is None}
    if not models or not is_up(tracking_uri):
        return {}
    versions = {}
    for id_, model in models.items():
        try:
            versions[id_] = resolve_version(Registry(tracking_uri), model)
        except DataError:
            continue  # reported when the model is taken
    return versions


def take(platform: Platform, located: Located[WorkflowSpec], *, states: States) -> StageResult:
    """Check the version that is meant, and list it as a version of the workflow's own model; the same version twice is one.

    Raises:
        NotPublished: there is no training set.
        DataError: there is no such version, or it doesn't keep the contract.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    spec, training = located.spec, states.required(TrainingSetState, located)
    platform.tracking.wait()
    name = platform.settings.mlflow_name(located.domain, spec.name)
    registry = Registry(platform.settings.tracking_uri)
    if spec.model.registered == name:
        raise DataError(f"model.registered: {name} is the workflow's own model; wanted one that somebody else registered")
    taken = resolve_version(registry, spec.model)
    current = expected(states, located, taken)
    own_fingerprint = fingerprint("registered", spec.model.registered, taken)
    version = registry.find_version(name, own_fingerprint)
    before = states.whole(ModelState, located)
    if before is not None and before.fingerprint == current and before.value.version == version:
        return StageResult(current, fresh=True, rows=before.rows, metadata={"model_version": version})

    uri, wanted = f"models:/{spec.model.registered}/{taken}", contract(platform.project, located)
    rows = _some_rows(platform, located, training, wanted)
    with platform.tracking.run(platform, located.domain, spec.name) as run:
        model = check_brought(uri, platform.settings.tracking_uri, wanted, rows)
        run.log_params({"registered": model.name, "version": model.version, "features": len(model.features)})
        if version is None:
            tags = {
                DOMAIN_TAG: located.domain,
                WORKFLOW_TAG: spec.name,
                TRAINING_SET_TAG: str(training.version),
                REGISTERED_TAG: uri,
            }
            version = registry.refer(name, uri, tags=tags, fingerprint=own_fingerprint)
        known = keep_contents(platform, located, name, version, model.contents, "registration")
        if problem := differences(uri, model.contents.files, known.files):
            raise UnsafeModel(
                f"{problem}; wanted what was checked then, as version {version} of {name}. Register a new version of {model.name}"
            )
        crash_point("model.registered")
    state = ModelState(
        name=name,
        version=version,
        mlflow_run_id=run.run_id,
        training_set=training.version,
        features=tuple(model.features),
        registered=TakenModel(model.name, model.version, model.trained_until),
    )
    record_whole(platform, states, located, state, current)
    metadata = _metadata(platform, state, uri, run, [name for name in wanted.kinds if name not in model.features])
    return StageResult(current, rows=0, metadata=metadata)


def _some_rows(
    platform: Platform, located: Located[WorkflowSpec], training: PartitionState[TrainingSetState], wanted: Contract
) -> pd.DataFrame:
    """The first rows of the training set with all features, for the model to be tried on."""
    order, names = [located.spec.predict_at, *located.spec.keys], list(wanted.kinds)
    rows = platform.lake.read((key_of(TrainingSetState.stage, located), training.version), columns=names, order=order)
    return feature_frame(rows.slice(0, TRIED_ROWS), names)


def _metadata(platform: Platform, state: ModelState, uri: str, run: RunHandle, features_not_taken: list[str]) -> dict[str, object]:
    """What Dagster shows of a registered model that was taken."""
    address, until = platform.settings.tracking_uri, state.registered.trained_until if state.registered else None
    return {
        "model_name": state.name,
        "model_version": state.version,
        "registered": uri,
        "trained": f"elsewhere, until {until}" if until else UNKNOWN_TRAINING,
        "features_not_taken": features_not_taken,
        "features": list(state.features),
        "training_set_version": state.training_set,
        "mlflow_run": dg.MetadataValue.url(f"{address}/#/experiments/{run.experiment_id}/runs/{run.run_id}"),
        "mlflow_model": dg.MetadataValue.url(f"{address}/#/models/{state.name}/versions/{state.version}"),
    }
