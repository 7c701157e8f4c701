"""Bring a model from elsewhere (a notebook, another system) to a workflow: what to log it with, or what to add to a version that is there.

mlflow.lightgbm.log_model(booster, name="mine", registered_model_name="mine", **contract_of("shop.returns"))

describe("models:/mine/1", "shop.returns")
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, nearest
from lakeloop.project.names import find_named
from platform_assets.loading import read_project
from resources.settings import Settings
from resources.tracking.model_format import METADATA
from resources.tracking.registry import Registry
from resources.tracking.server import wait_until_ready
from resources.tracking.tags import DESCRIBED_FROM_TAG

if TYPE_CHECKING:
    from resources.tracking.brought_model import Contract


def contract_of(
    workflow: str, *, features: Sequence[str] | None = None, trained_until: str | datetime | None = None, defs: Path | None = None
) -> dict[str, Any]:
    """What to log a model with, so that a workflow can take it: `log_model(…, **contract_of("shop.returns"))` of any MLflow flavor.

    Args:
        workflow: `<domain>.<name>`, or its name where that is unique.
        features: those that the model takes, in its order; all of the workflow's otherwise.
        trained_until: what it was trained on ends before this time; left out, its evaluation says that nobody knows.
        defs: folder of definitions, of this project otherwise.

    Returns:
        `signature` and `metadata`.

    Raises:
        DataError: there is no such workflow or feature.
    """
    own = _contract_of(workflow, defs)
    return _logged(own, list(own.kinds) if features is None else list(features), trained_until)


def describe(uri: str, workflow: str, *, trained_until: str | datetime | None = None, defs: Path | None = None) -> str:
    """Make a new version of a registered model: the same files, with signature and feature spec for a workflow.

    Args:
        uri: `models:/<name>/<version>`.
        workflow: `<domain>.<name>`, or its name where that is unique.
        trained_until: what it was trained on ends before this time.
        defs: folder of definitions, of this project otherwise.

    Returns:
        The new version.

    Raises:
        DataError: there is no such workflow, or the model has inputs that are no features of it.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    wanted, address = _contract_of(workflow, defs), Settings.from_environment().tracking_uri
    wait_until_ready(address, 6.0)
    client = Registry(address).client
    import mlflow

    mlflow.set_tracking_uri(address)
    name = uri.removeprefix("models:/").partition("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
        info = mlflow.models.Model.load(path)
        known = info.signature.inputs.input_names() if info.signature is not None and info.signature.inputs is not None else None
        more = _logged(wanted, known or list(wanted.kinds), trained_until)
        info.signature, info.metadata = more["signature"], {**(info.metadata or {}), **more["metadata"]}
        loader = info.flavors.get("python_function", {})
        if loader.get("loader_module") == "mlflow.sklearn":
            loader["predict_fn"] = wanted.answer.kind.methods[0]
        experiment = mlflow.set_experiment(f"brought.{name}")
        logged = client.create_logged_model(experiment.experiment_id, name.replace(".", "_"))
        info.model_id, info.model_uuid = logged.model_id, logged.model_id
        info.save(str(Path(path, "MLmodel")))
        client.log_model_artifacts(logged.model_id, path)
        client.finalize_logged_model(logged.model_id, "READY")
        made = client.create_model_version(name, f"models:/{logged.model_id}", model_id=logged.model_id, tags={DESCRIBED_FROM_TAG: uri})
    return str(made.version)


def _contract_of(workflow: str, defs: Path | None) -> Contract:
    from platform_assets.stages.training.contract import contract

    project = read_project(defs)
    return contract(project, find_named(project, workflow, kinds=["workflow"]))


def _logged(wanted: Contract, features: list[str], trained_until: str | datetime | None) -> dict[str, Any]:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    for name in features:
        if name not in wanted.kinds:
            raise DataError(f"{wanted.workflow} has no feature {name!r}; {nearest(name, wanted.kinds)}")
    spec = wanted.feature_spec.restricted_to(features)
    if trained_until is not None:
        moment = datetime.fromisoformat(trained_until) if isinstance(trained_until, str) else trained_until
        spec = replace(spec, trained_until=str(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
    kinds = {name: wanted.kinds[name] for name in features}
    described = {**wanted.answer.record(), "feature_spec": spec.record(), "kinds": kinds}
    inputs = Schema([ColSpec(kind, name, required=False) for name, kind in kinds.items()])
    return {"signature": ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double")])), "metadata": {METADATA: described}}
