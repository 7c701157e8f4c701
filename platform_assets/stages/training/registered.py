"""models, of a workflow that takes a registered model: nothing is fitted; a version is checked and listed as the workflow's own, by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from lakeloop.errors import DataError, NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from resources.host.crash_points import crash_point
from resources.lake.published import WHOLE, PartitionState, States
from resources.tracking.tags import DOMAIN_TAG, REGISTERED_TAG, TRAINING_SET_TAG, WORKFLOW_TAG

if TYPE_CHECKING:
    from lakeloop.project.project import Located, Project

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
    key = key_of("training_sets", located)
    if WHOLE not in states.get(key, {}):
        raise NotPublished(f"{key} has no published version; materialise {key} first")
    model = located.spec.model
    done = states.get(key_of("models", located), {}).get(WHOLE)
    standing = (done.value.get("registered") or {}) if done else {}
    pinned = str(model.version) if model.version is not None else taken
    if pinned is None and standing.get("name") == model.registered:
        pinned = standing["version"]
    return fingerprint("registered", CODE_VERSION, states[key][WHOLE].fingerprint, model, located.spec.answer.record(), pinned)


def taken_versions(project: Project, tracking_uri: str) -> dict[tuple[str, str], str]:
    """The version that each workflow means which names none by number, by workflow; nothing of a server that doesn't answer."""
    asking = {id_: w.spec.model for id_, w in project.workflows.items() if w.spec.model.registered and w.spec.model.version is None}
    if not asking:
        return {}
    from resources.tracking.brought_model import resolve_version
    from resources.tracking.registry import Registry
    from resources.tracking.server import is_up

    if not is_up(tracking_uri):
        return {}
    found = {}
    for id_, model in asking.items():
        try:
            found[id_] = resolve_version(Registry(tracking_uri), model)
        except DataError:
            continue  # told when the model is taken
    return found


def take(platform: Platform, located: Located[WorkflowSpec], *, states: States) -> StageResult:
    """Check the version that is meant, and list it as a version of the workflow's own model; the same version twice is one.

    Raises:
        NotPublished: there is no training set.
        DataError: there is no such version, or it doesn't keep the contract.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from lakeloop.training.frames import feature_frame
    from platform_assets.stages.training.contract import contract
    from resources.tracking.brought_model import check_brought, resolve_version
    from resources.tracking.registry import Registry

    spec, key, training_key = located.spec, key_of("models", located), key_of("training_sets", located)
    expected(states, located)
    platform.tracking.wait()
    name = platform.settings.mlflow_name(located.domain, spec.name)
    registry = Registry(platform.settings.tracking_uri)
    if spec.model.registered == name:
        raise DataError(f"model.registered: {name} is the workflow's own model; wanted one that somebody else registered")
    taken = resolve_version(registry, spec.model)
    wanted = expected(states, located, taken)
    done = states.get(key, {}).get(WHOLE)
    own = fingerprint("registered", spec.model.registered, taken)
    found = registry.find_version(name, own)
    if done and done.fingerprint == wanted and found == done.value["version"]:
        return StageResult(wanted, fresh=True, rows=done.rows, metadata={"model_version": found})

    training = states[training_key][WHOLE]
    wants = contract(platform.project, located)
    order = [located.spec.predict_at, *located.spec.keys]
    rows = platform.lake.read((training_key, training.version), columns=list(wants.kinds), order=order).slice(0, TRIED_ROWS)
    uri = f"models:/{spec.model.registered}/{taken}"
    with platform.tracking.run(platform, located.domain, spec.name) as run:
        model = check_brought(uri, platform.settings.tracking_uri, wants, feature_frame(rows, list(wants.kinds)))
        run.log_params({"registered": model.name, "version": model.version, "features": len(model.features)})
        tags = {
            DOMAIN_TAG: located.domain,
            WORKFLOW_TAG: spec.name,
            TRAINING_SET_TAG: str(training.version),
            REGISTERED_TAG: uri,
        }
        version = found or registry.refer(name, uri, tags=tags, fingerprint=own)
        crash_point("model.registered")
        run_id, experiment = run.run_id, run.experiment_id
    value = {
        "name": name,
        "version": version,
        "mlflow_run_id": run_id,
        "training_set": training.version,
        "features": model.features,
        "registered": {"name": model.name, "version": model.version, "trained_until": model.trained_until},
    }
    platform.lake.record(key, [PartitionState(WHOLE, wanted, -1, 0, value=value)], run_id=platform.run_id, after=states.get(key, {}))
    address = platform.settings.tracking_uri
    return StageResult(
        wanted,
        rows=0,
        metadata={
            "model_name": name,
            "model_version": version,
            "registered": uri,
            "trained": f"elsewhere, until {model.trained_until}" if model.trained_until else UNKNOWN_TRAINING,
            "features_not_taken": [feature for feature in wants.kinds if feature not in model.features],
            "features": model.features,
            "training_set_version": training.version,
            "mlflow_run": dg.MetadataValue.url(f"{address}/#/experiments/{experiment}/runs/{run_id}"),
            "mlflow_model": dg.MetadataValue.url(f"{address}/#/models/{name}/versions/{version}"),
        },
    )
