"""models: fit a pipeline on a training set, log it to MLflow in the MLflow model format, register it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.python_code import source_of
from lakeloop.spec import WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, States, key_of
from platform_assets.stages.lookup import feature_names
from platform_assets.stages.training_set import LABEL, SPLIT
from resources.lake import WHOLE, Lake, PartitionState, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project import Located

CODE_VERSION = "1"
FIT_SPLITS = ("train", "validation")
"""Without a search nothing is chosen on the validation window, so the model is fitted on it too and is not a month older than need be."""


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a model: its training set and how it is fitted.

    Raises:
        NotPublished: there is no training set.
    """
    key = key_of("training_sets", located)
    if WHOLE not in states.get(key, {}):
        raise NotPublished(f"{key} has no published version; materialise {key} first")
    spec = located.spec
    return fingerprint("model", CODE_VERSION, states[key][WHOLE].fingerprint, spec.model, spec.task, _code(located))


def _code(located: Located[WorkflowSpec]) -> str:
    return source_of(located.spec.model.estimator, located.folder) if located.spec.model.estimator else ""


def train(platform: Platform, located: Located[WorkflowSpec], context: Any, *, states: States | None = None) -> StageResult:
    """Fit, log and register the model of a training set; the same fingerprint gives the same version, and nothing is done.

    Raises:
        NotPublished: there is no training set.
        DataError: the training window has no rows, or one class only.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from lakeloop.frames import feature_frame, feature_kinds
    from lakeloop.pipelines import TRUSTED_TYPES, build_estimator
    from resources.model_format import log_model, register
    from resources.registry import Registry

    spec, key = located.spec, key_of("models", located)
    name = platform.settings.mlflow_name(located.domain, spec.name)
    states = platform.lake.states() if states is None else states
    wanted = expected(states, located)
    registry = Registry(platform.settings.tracking_uri)
    done = states.get(key, {}).get(WHOLE)
    found = registry.find_version(name, wanted)
    if done and done.fingerprint == wanted and found == done.value["version"]:
        return StageResult(wanted, fresh=True, rows=done.rows, metadata={"model_version": found})

    training_key = key_of("training_sets", located)
    training = states[training_key][WHOLE]
    lookups = training.value["feature_spec"]
    names = feature_names(lookups)
    table = fit_rows(platform.lake, training_key, training, names)
    kinds = feature_kinds(table.schema, names)
    frame, label = feature_frame(table, names), table[LABEL].to_numpy()
    if spec.task == "binary_classification" and len(set(label.tolist())) < 2:
        raise DataError(f"{training_key}: the training window has one class only ({label[0]:g}); wanted both")
    estimator = build_estimator(spec.model, kinds, spec.task)
    personal = _personal(platform, located)
    with platform.tracking.run(context, located.domain, spec.name) as run:
        started = time.perf_counter()
        with run.autolog():
            estimator.fit(frame, label)
        seconds = time.perf_counter() - started
        run.log_params({"pipeline": spec.model.pipeline or spec.model.estimator, "features": len(names), **_flat(spec.model.params)})
        run.log_metrics({"fit_seconds": seconds, "rows_fitted": float(table.num_rows)})
        logged = log_model(
            run,
            estimator,
            name=spec.name,
            frame=frame.head(5).assign(**{column: None for column in names if column in personal}),
            kinds=kinds,
            task=spec.task,
            feature_spec={
                **lookups,
                "trained_until": training.value["windows"][FIT_SPLITS[-1] if FIT_SPLITS[-1] in training.value["windows"] else "train"][1],
            },
            fingerprint=wanted,
            datasets=[
                (path, platform.lake.path(path), version)
                for path, version in {str(training_key): training.version, **training.value["inputs"]}.items()
            ],
            trusted_types=[*TRUSTED_TYPES, *spec.model.trusted_types],
        )
        tags = {"lakeloop.domain": located.domain, "lakeloop.workflow": spec.name, "training_set_version": str(training.version)}
        version = register(run, logged, name, tags=tags, fingerprint=wanted)
        run_id = run.run_id
    value = {"name": name, "version": version, "mlflow_run_id": run_id, "training_set": training.version, "features": names}
    platform.lake.record(key, [PartitionState(WHOLE, wanted, -1, table.num_rows, value=value)], run_id=platform.run_id)
    address = platform.settings.tracking_uri
    return StageResult(
        wanted,
        rows=table.num_rows,
        metadata={
            "model_name": name,
            "model_version": version,
            "mlflow_run": dg.MetadataValue.url(f"{address}/#/experiments/{run.experiment_id}/runs/{run_id}"),
            "mlflow_model": dg.MetadataValue.url(f"{address}/#/models/{name}/versions/{version}"),
            "training_set_version": training.version,
            "rows_fitted": table.num_rows,
            "fit_seconds": round(seconds, 2),
            "features": names,
            "at": datetime.now(UTC).isoformat(),
        },
    )


def fit_rows(lake: Lake, key: TableKey, training: PartitionState, names: list[str]) -> pa.Table:
    """The rows of a training set that a model is fitted on, with some of its columns, the label and the split."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = lake.read((key, training.version), columns=list(dict.fromkeys([*names, LABEL, SPLIT])))
    return table.filter(pc.is_in(table[SPLIT], value_set=pa.array(FIT_SPLITS)))


def _personal(platform: Platform, located: Located[WorkflowSpec]) -> set[str]:
    from lakeloop.project import feature_columns

    return {column.output for column in feature_columns(platform.project, located) if column.personal}


def _flat(params: dict[str, Any]) -> dict[str, Any]:
    return {f"model.{name}": value for name, value in params.items()}
