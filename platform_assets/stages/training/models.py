"""models: fit a pipeline on a training set, log it to MLflow in the MLflow model format, register it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project
from lakeloop.records.features import FeatureSpec
from lakeloop.search.space import with_params
from lakeloop.spec.tasks import scores_of
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.model_code import import_model_code, model_source, reference_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.stage import Stage
from platform_assets.stages.training import registered, studies
from platform_assets.stages.training.rows import FIT_SPLITS, SEARCH, fit_rows
from platform_assets.stages.training.training_set import LABEL
from platform_assets.stages.training.warm_start import START, Training, continue_champion, start_of
from resources.host.crash_points import crash_point
from resources.lake.published import WHOLE, PartitionState, States, TableKey
from resources.tracking.tags import (
    CONTINUED_FROM_TAG,
    DOMAIN_TAG,
    ROWS_FITTED_TAG,
    TRAINING_SET_TAG,
    TRAINING_TAG,
    WORKFLOW_TAG,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lakeloop.project.project import Located

CODE_VERSION = "1"


def expected(states: States, located: Located[WorkflowSpec], taken: str | None = None) -> str:
    """The fingerprint of a model: its training set, how it is fitted and what a search found for it, or which registered version is `taken`.

    Raises:
        NotPublished: there is no training set, or no finished search.
    """
    if located.spec.model.registered is not None:
        return registered.expected(states, located, taken)
    key = key_of("training_sets", located)
    if WHOLE not in states.get(key, {}):
        raise NotPublished(f"{key} has no published version; materialise {key} first")
    return _start(states, located)[0]


def _start(states: States, located: Located[WorkflowSpec]) -> tuple[str, str | None]:
    """The fingerprint, and the champion that the training starts from."""
    spec, training = located.spec, states[key_of("training_sets", located)][WHOLE].fingerprint
    made_of = (
        training,
        spec.model,
        spec.answer.record(),
        model_source(spec.model, located.folder),
        *([spec.anomaly] if spec.anomaly else []),
        *studies.fingerprint_of(states, located),
    )
    return start_of(states, located, lambda champion: fingerprint("model", CODE_VERSION, *made_of, champion))


def train(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Fit, log and register the model of a training set; the same fingerprint gives the same version, and nothing is done.

    Raises:
        NotPublished: there is no training set.
        SpecError: the training window has no rows, or one class only.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from lakeloop.training.fitting import fit_model
    from lakeloop.training.frames import feature_frame, feature_kinds
    from lakeloop.training.labels import label_numbers
    from lakeloop.training.pipelines import TRUSTED_TYPES, build_estimator, most_rows, pipeline_module
    from resources.host.memory import release_memory
    from resources.tracking.autologging import autolog_fits
    from resources.tracking.model_format import log_model
    from resources.tracking.registry import Registry, register

    spec, key = located.spec, key_of("models", located)
    name = platform.settings.mlflow_name(located.domain, spec.name)
    states = platform.lake.states()
    if spec.model.registered is not None:
        return registered.take(platform, located, states=states)
    expected(states, located)
    wanted, champion = _start(states, located)
    registry = Registry(platform.settings.tracking_uri)
    done = states.get(key, {}).get(WHOLE)
    found = registry.find_version(name, wanted)
    if done and done.fingerprint == wanted and found == done.value["version"]:
        return StageResult(wanted, fresh=True, rows=done.rows, metadata={"model_version": found})
    if found is not None:
        return _adopted(platform, located, wanted, champion, found, states)

    training_key = key_of("training_sets", located)
    training = states[training_key][WHOLE]
    lookups = FeatureSpec.from_record(training.value["feature_spec"])
    names = lookups.names
    table = fit_rows(platform.lake, located, training, [*names, spec.predict_at])
    at = table[spec.predict_at].to_numpy().astype("datetime64[us]")
    kinds = feature_kinds(table.schema, names)
    frame, label = feature_frame(table, names), label_numbers(table[LABEL], spec.answer)
    size = table.nbytes
    del table
    release_memory(size)
    absent = _absent_classes(located, label)
    if absent:
        platform.log.warning(f"{training_key}: no row to fit on is of {absent}, so the model will never say it")
    code = import_model_code(spec.model, located.folder)
    chosen = with_params(spec.model, studies.params_of(states, located))
    personal = personal_columns(platform.project, "training_sets", located)
    with platform.tracking.run(platform, located.domain, spec.name) as run:
        started = time.perf_counter()
        with autolog_fits():
            estimator, training_was = (
                None,
                Training("", None, min(len(label), most_rows(spec.model, spec.answer, located.folder) or len(label))),
            )
            if spec.model.warm_start is not None:
                estimator, training_was = continue_champion(
                    platform, located, champion,
                    fresh=lambda: build_estimator(chosen, kinds, spec.answer, located.folder, code=code),
                    pipeline=pipeline_module(str(spec.model.pipeline), spec.task, located.folder),
                    lookups=lookups, kinds=kinds, frame=frame, label=label, at=at, in_full=training_was.rows,
                )  # fmt: skip
            if estimator is None:
                estimator = fit_model(chosen, kinds, spec.answer, frame, label, folder=located.folder, code=code, at=at, gap=spec.split.gap)
        seconds = time.perf_counter() - started
        crash_point("model.fitted")
        run.log_params({**dict([reference_of(spec.model)]), "features": len(names), **_flat(chosen.params), **training_was.tags})
        run.log_metrics({"fit_seconds": seconds, "rows_fitted": float(training_was.rows)})
        logged = log_model(
            run,
            estimator,
            name=spec.name,
            frame=frame.head(5).assign(**{column: None for column in names if column in personal}),
            kinds=kinds,
            answer=spec.answer,
            feature_spec=replace(
                lookups,
                alert_threshold=_alert_threshold(spec, estimator, frame) if spec.anomaly else None,
                personal=tuple(sorted(personal & set(names))) or None,
                trained_until=training.value["windows"][FIT_SPLITS[-1] if FIT_SPLITS[-1] in training.value["windows"] else "train"][1],
            ),
            fingerprint=wanted,
            datasets=[
                (path, platform.lake.path(path), version)
                for path, version in {str(training_key): training.version, **training.value["inputs"]}.items()
            ],
            trusted_types=[*TRUSTED_TYPES, *spec.model.trusted_types],
            own_module=code.module if code else None,
            shipped=code.shipped if code else {},
        )
        crash_point("model.logged")
        tags = {DOMAIN_TAG: located.domain, WORKFLOW_TAG: spec.name, TRAINING_SET_TAG: str(training.version)}
        tags |= training_was.tags
        version = register(run, logged, name, tags=tags, fingerprint=wanted)
        crash_point("model.registered")
        run_id = registry.run_of(name, version)
    more = {"fit_seconds": round(seconds, 2), "at": datetime.now(UTC).isoformat(), **({"classes_without_rows": absent} if absent else {})}
    return _recorded(platform, located, states, wanted, champion, version, run_id, training, training_was, more)


def _alert_threshold(spec: WorkflowSpec, estimator: Any, frame: pd.DataFrame) -> float:
    """The score that the declared share of the rows that were fitted on is above."""
    import numpy as np

    assert spec.anomaly is not None
    return float(np.quantile(scores_of(estimator, frame, spec.answer), 1 - spec.anomaly.alert_rate))


def _adopted(
    platform: Platform, located: Located[WorkflowSpec], wanted: str, champion: str | None, version: str, states: States
) -> StageResult:
    """A version that a step registered before it died: complete, so that nothing is fitted again and its run has finished its work."""
    from resources.tracking.registry import Registry

    registry = Registry(platform.settings.tracking_uri)
    training_key = key_of("training_sets", located)
    training = states[training_key][WHOLE]
    names = FeatureSpec.from_record(training.value["feature_spec"]).names
    name = platform.settings.mlflow_name(located.domain, located.spec.name)
    run_id, tags = registry.finish_run_of(name, version), registry.tags_of(name, version)
    rows = int(tags[ROWS_FITTED_TAG]) if ROWS_FITTED_TAG in tags else fit_rows(platform.lake, located, training, names[:1]).num_rows
    how = Training(tags.get(TRAINING_TAG, ""), tags.get(CONTINUED_FROM_TAG), rows)
    more = {"adopted": "a step that died had registered it"}
    return _recorded(platform, located, states, wanted, champion, version, run_id, training, how, more)


def _recorded(
    platform: Platform,
    located: Located[WorkflowSpec],
    states: States,
    wanted: str,
    champion: str | None,
    version: str,
    run_id: str,
    training: PartitionState,
    how: Training,
    more: dict[str, Any],
) -> StageResult:
    """List a registered version as the workflow's model."""
    from resources.tracking.registry import Registry

    name, address = platform.settings.mlflow_name(located.domain, located.spec.name), platform.settings.tracking_uri
    names, experiment = (
        FeatureSpec.from_record(training.value["feature_spec"]).names,
        Registry(address).client.get_run(run_id).info.experiment_id,
    )
    value: dict[str, Any] = {"name": name, "version": version, "mlflow_run_id": run_id, "training_set": training.version, "features": names}
    value |= {START: champion, "training": how.text, "continued_from": how.parent} if how.text else {}
    value |= {SEARCH: studies.found_by(states, located)} if located.spec.search is not None else {}
    key = key_of("models", located)
    platform.lake.record(key, [PartitionState(WHOLE, wanted, -1, how.rows, value=value)], run_id=platform.run_id, after=states.get(key, {}))
    return StageResult(
        wanted,
        rows=how.rows,
        metadata={
            "model_name": name,
            "model_version": version,
            "mlflow_run": dg.MetadataValue.url(f"{address}/#/experiments/{experiment}/runs/{run_id}"),
            "mlflow_model": dg.MetadataValue.url(f"{address}/#/models/{name}/versions/{version}"),
            "training_set_version": training.version,
            "rows_fitted": how.rows,
            "features": names,
            **({"training": how.text} if how.text else {}),
            **more,
        },
    )


def _absent_classes(located: Located[WorkflowSpec], label: np.ndarray) -> str:
    """Declared classes that no row to fit on has, as a list in words.

    Raises:
        SpecError: there is no row, or they are all of one class.
    """
    answer, at = located.spec.answer, located.definition
    if not len(label):
        raise at.error("no row with a label lies in the training window", "split", "train")
    if answer.kind.label == "number":
        return ""
    classes = answer.classes or (0, 1)
    there = {int(place) for place in label}
    if len(there) < 2:
        (only,) = there
        raise at.error(f"every row of the training window is of one class, {classes[only]}; wanted two at least", "split", "train")
    return ", ".join(str(name) for place, name in enumerate(classes) if place not in there)


def _flat(params: dict[str, Any]) -> dict[str, Any]:
    return {f"model.{name}": value for name, value in params.items()}


def _reads(project: Project, located: Located[WorkflowSpec]) -> list[TableKey]:
    return [key_of("training_sets", located), *([key_of("studies", located)] if located.spec.search is not None else [])]


STAGE = Stage(
    name="models",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: train(platform, located),
    reads=_reads,
    expected=lambda world, located, _: expected(world.states, located, world.taken.get(located.id)),
    describe=lambda located: f"{located.spec.description} The model version registered in MLflow for the training set that stands.",
    kinds=lambda _: ("mlflow", "scikitlearn"),
)
