"""models: fit a pipeline on a training set, log it to MLflow in the MLflow model format, register it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from lakeloop.evaluation.relations import MOST_ROWS as RELATED_ROWS
from lakeloop.evaluation.relations import find_relations
from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project
from lakeloop.records.training import ModelState, StudyState, TrainingSetState
from lakeloop.search.space import with_params
from lakeloop.spec.tasks import scores_of
from lakeloop.spec.workflow import Model, WorkflowSpec
from lakeloop.training.fitting import fit_model
from lakeloop.training.frames import evenly_spaced
from lakeloop.training.model_code import ModelCode, import_model_code, model_source, reference_of
from lakeloop.training.pipelines import TRUSTED_TYPES, build_estimator, most_rows, pipeline_module
from lakeloop.training.warm_start import CannotContinue
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.publishing import record_whole
from platform_assets.stages.stage import Stage
from platform_assets.stages.training import registered, studies
from platform_assets.stages.training.rows import FIT_SPLITS, FitData, fit_rows, read_fit_data
from platform_assets.stages.training.version_files import load_version, take_contents, trust_in
from platform_assets.stages.training.warm_start import Start, Training, continue_champion, start_of
from resources.host.crash_points import crash_point
from resources.lake.published import PartitionState, States, TableKey
from resources.tracking.autologging import autolog_fits
from resources.tracking.model_format import LoggedModel, log_model
from resources.tracking.registry import Registry, register
from resources.tracking.tags import DOMAIN_TAG, TRAINING_SET_TAG, WORKFLOW_TAG

if TYPE_CHECKING:
    from lakeloop.records.features import FeatureSpec
    from resources.tracking.runs import RunHandle

CODE_VERSION = "1"


@dataclass(frozen=True)
class Fitted:
    """A fitted model: the estimator, how it was trained, the user's own code in it, and the seconds that it took."""

    estimator: Any
    training: Training
    code: ModelCode | None
    seconds: float


@dataclass(frozen=True)
class Version:
    """A registered version of a workflow's model.

    Attributes:
        number: as MLflow counts it.
        run_id: of the MLflow run that made it.
        training: how it was trained.
        metadata: for Dagster, beside what every version has.
    """

    number: str
    run_id: str
    training: Training
    metadata: Mapping[str, Any]


def expected(states: States, located: Located[WorkflowSpec], taken: str | None = None) -> str:
    """The fingerprint of a model: its training set, how it is fitted and what a search found for it, or which registered version is `taken`.

    Raises:
        NotPublished: there is no training set, or no finished search.
    """
    if located.spec.model.registered is not None:
        return registered.expected(states, located, taken)
    return _start(states, located).fingerprint


def _start(states: States, located: Located[WorkflowSpec]) -> Start:
    """The model's fingerprint, and the champion that its training starts from."""
    spec = located.spec
    ingredients = (
        states.required(TrainingSetState, located).fingerprint,
        spec.model,
        spec.answer.record(),
        model_source(spec.model, located.folder),
        *([spec.anomaly] if spec.anomaly else []),
        *studies.fingerprint_of(states, located),
    )
    search = made_of.upstream(states, key_of(StudyState.stage, located)) if spec.search is not None else {}
    parts = {
        **made_of.code(CODE_VERSION),
        **made_of.keys(spec, ("model", "task", "anomaly")),
        **made_of.file("the model's code", model_source(spec.model, located.folder)),
        **made_of.upstream(states, key_of(TrainingSetState.stage, located)),
        **search,
    }
    return start_of(
        states,
        located,
        lambda champion: Fingerprint(
            fingerprint("model", CODE_VERSION, *ingredients, champion), {**parts, **made_of.value("the champion it starts from", champion)}
        ),
    )


def train(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Fit, log and register the model of a training set; the same fingerprint gives the same version, and nothing is done.

    Raises:
        NotPublished: there is no training set.
        SpecError: the training window has no rows, or one class only.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    states = platform.lake.states()
    if located.spec.model.registered is not None:
        return registered.take(platform, located, states=states)
    start, training = _start(states, located), states.required(TrainingSetState, located)
    name = platform.settings.mlflow_name(located.domain, located.spec.name)
    number = Registry(platform.settings.tracking_uri).find_version(name, str(start.fingerprint))
    before = states.whole(ModelState, located)
    if before is not None and before.fingerprint == start.fingerprint and before.value.version == number:
        return StageResult(start.fingerprint, fresh=True, rows=before.rows, metadata={"model_version": number})
    if number is None:
        version = _make_version(platform, located, states, training, start)
    else:
        version = _adopt_version(platform, located, training, number)
    return _record(platform, located, states, training, start, version)


def _make_version(
    platform: Platform, located: Located[WorkflowSpec], states: States, training: PartitionState[TrainingSetState], start: Start
) -> Version:
    """Fit, log and register a model."""
    spec, name = located.spec, platform.settings.mlflow_name(located.domain, located.spec.name)
    data = read_fit_data(platform.lake, located, training)
    absent = _absent_classes(located, data.label)
    if absent:
        platform.log.warning(f"{key_of(TrainingSetState.stage, located)}: no row to fit on is of {absent}, so the model will never say it")
    made_of_features = _label_made_of(platform, located, data)
    code = import_model_code(spec.model, located.folder)
    model = with_params(spec.model, studies.params_of(states, located))
    with platform.tracking.run(platform, located.domain, spec.name) as run:
        fitted = _fit(platform, located, model, code, data, training.value.feature_spec, start.champion)
        crash_point("model.fitted")
        how = fitted.training
        run.log_params(
            {
                **dict([reference_of(spec.model)]),
                "features": len(data.kinds),
                **{f"model.{param}": value for param, value in model.params.items()},
                **how.tags,
            }
        )
        run.log_metrics({"fit_seconds": fitted.seconds, "rows_fitted": float(how.rows)})
        logged = _log(platform, located, run, fitted, data, training, str(start.fingerprint))
        crash_point("model.logged")
        tags = {
            DOMAIN_TAG: located.domain,
            WORKFLOW_TAG: spec.name,
            TRAINING_SET_TAG: str(training.version),
            **how.tags,
        }
        number = register(run, logged, name, tags=tags, fingerprint=str(start.fingerprint))
        crash_point("model.registered")
        take_contents(platform, located, name, number, trust_in(located, code))
        run_id = Registry(platform.settings.tracking_uri).run_of(name, number)
    missing = {**({"classes_without_rows": absent} if absent else {}), **({"label_made_of": made_of_features} if made_of_features else {})}
    return Version(number, run_id, how, {"fit_seconds": round(fitted.seconds, 2), "at": datetime.now(UTC).isoformat(), **missing})


def _label_made_of(platform: Platform, located: Located[WorkflowSpec], data: FitData) -> str:
    """The features that give the label together, in words; told before anything is fitted on them."""
    kind = located.spec.answer.kind
    if kind.label == "none" or located.spec.forecast is not None:
        return ""
    frame = data.frame.iloc[evenly_spaced(len(data.frame), RELATED_ROWS)]
    labels = data.label[evenly_spaced(len(data.label), RELATED_ROWS)]
    relations = find_relations({name: frame[name].to_numpy() for name in frame}, labels, is_class=kind.label != "number")
    told = "; ".join(relation.sentence for relation in relations)
    if told:
        platform.log.warning(
            f"{key_of(ModelState.stage, located)}: {told}. Leave them out, unless they are known when the prediction is asked for"
        )
    return told


def _fit(
    platform: Platform,
    located: Located[WorkflowSpec],
    model: Model,
    code: ModelCode | None,
    data: FitData,
    lookups: FeatureSpec,
    champion: str | None,
) -> Fitted:
    """Continue the champion where the workflow asks for it and it can be done; else fit in full."""
    spec = located.spec
    started = time.perf_counter()
    with autolog_fits():
        continued, text = None, ""
        if spec.model.warm_start is not None:
            try:
                continued = _continue(platform, located, model, code, data, lookups, champion)
            except CannotContinue as reason:
                text = f"in full: {reason}"
        if continued is not None:
            estimator, how = continued
        else:
            estimator = fit_model(
                model,
                data.kinds,
                spec.answer,
                data.frame,
                data.label,
                folder=located.folder,
                code=code,
                at=data.at,
                gap=spec.split.gap,
                groups=data.groups,
            )
            most = most_rows(model, spec.answer, located.folder)
            how = Training(text, None, min(len(data.label), most or len(data.label)))
    return Fitted(estimator, how, code, time.perf_counter() - started)


def _continue(
    platform: Platform,
    located: Located[WorkflowSpec],
    model: Model,
    code: ModelCode | None,
    data: FitData,
    lookups: FeatureSpec,
    champion: str | None,
) -> tuple[Any, Training]:
    """Continue the champion.

    Raises:
        CannotContinue: there is none, or its trees can't be continued.
    """
    if champion is None:
        raise CannotContinue("nothing is released yet")
    assert model.warm_start is not None
    name = platform.settings.mlflow_name(located.domain, located.spec.name)
    estimator, rows = continue_champion(
        load_version(platform, located, name, champion),
        data,
        lookups,
        unfitted=build_estimator(model, data.kinds, located.spec.answer, located.folder, code=code),
        pipeline=pipeline_module(str(model.pipeline), located.spec.task, located.folder),
        warm_start=model.warm_start,
    )
    return estimator, Training(f"{model.warm_start.trees} more trees on version {champion}'s, from {rows:,} newer rows", champion, rows)


def _log(
    platform: Platform,
    located: Located[WorkflowSpec],
    run: RunHandle,
    fitted: Fitted,
    data: FitData,
    training: PartitionState[TrainingSetState],
    model_fingerprint: str,
) -> LoggedModel:
    """Log a fitted model to a run, with what it looks up and the tables that it was trained on."""
    spec, windows = located.spec, training.value.windows
    personal = personal_columns(platform.project, TrainingSetState.stage, located) & data.kinds.keys()
    feature_spec = replace(
        training.value.feature_spec,
        alert_threshold=_alert_threshold(spec, fitted.estimator, data) if spec.anomaly else None,
        personal=tuple(sorted(personal)) or None,
        trained_until=windows[FIT_SPLITS[-1] if FIT_SPLITS[-1] in windows else "train"][1],
    )
    tables = {str(key_of(TrainingSetState.stage, located)): training.version, **training.value.inputs}
    return log_model(
        run,
        fitted.estimator,
        name=spec.name,
        frame=data.frame.head(5).assign(**{column: None for column in data.kinds if column in personal}),
        kinds=data.kinds,
        answer=spec.answer,
        feature_spec=feature_spec,
        fingerprint=model_fingerprint,
        datasets=[(path, platform.lake.path(path), version) for path, version in tables.items()],
        trusted_types=[*TRUSTED_TYPES, *spec.model.trusted_types],
        own_module=fitted.code.module if fitted.code else None,
        shipped=fitted.code.shipped if fitted.code else {},
    )


def _alert_threshold(spec: WorkflowSpec, estimator: Any, data: FitData) -> float:
    """The score that the declared share of the rows that were fitted on is above."""
    assert spec.anomaly is not None
    return float(np.quantile(scores_of(estimator, data.frame, spec.answer), 1 - spec.anomaly.alert_rate))


def _adopt_version(platform: Platform, located: Located[WorkflowSpec], training: PartitionState[TrainingSetState], number: str) -> Version:
    """A version that a step registered before it died: complete, so that nothing is fitted again and its run has finished its work."""
    registry = Registry(platform.settings.tracking_uri)
    name = platform.settings.mlflow_name(located.domain, located.spec.name)
    take_contents(platform, located, name, number, trust_in(located, import_model_code(located.spec.model, located.folder)))
    run_id, tags = registry.finish_run_of(name, number), registry.tags_of(name, number)
    one_column = training.value.feature_spec.names[:1]
    how = Training.from_tags(tags, lambda: fit_rows(platform.lake, located, training, one_column).num_rows)
    return Version(number, run_id, how, {"adopted": "a step that died had registered it"})


def _record(
    platform: Platform,
    located: Located[WorkflowSpec],
    states: States,
    training: PartitionState[TrainingSetState],
    start: Start,
    version: Version,
) -> StageResult:
    """List a registered version as the workflow's model."""
    name, address = platform.settings.mlflow_name(located.domain, located.spec.name), platform.settings.tracking_uri
    how, features = version.training, training.value.feature_spec.names
    state = ModelState(
        name=name,
        version=version.number,
        mlflow_run_id=version.run_id,
        training_set=training.version,
        features=tuple(features),
        starts_from=start.champion,
        training=how.text or None,
        continued_from=how.parent,
        search=studies.found_by(states, located),
    )
    experiment = Registry(address).client.get_run(version.run_id).info.experiment_id
    record_whole(platform, states, located, state, start.fingerprint, rows=how.rows)
    return StageResult(
        start.fingerprint,
        rows=how.rows,
        metadata={
            "model_name": name,
            "model_version": version.number,
            "mlflow_run": dg.MetadataValue.url(f"{address}/#/experiments/{experiment}/runs/{version.run_id}"),
            "mlflow_model": dg.MetadataValue.url(f"{address}/#/models/{name}/versions/{version.number}"),
            "training_set_version": training.version,
            "rows_fitted": how.rows,
            "features": features,
            **({"training": how.text} if how.text else {}),
            **version.metadata,
        },
    )


def _absent_classes(located: Located[WorkflowSpec], label: np.ndarray) -> str:
    """Declared classes that no row to fit on has, as a list in words.

    Raises:
        SpecError: there is no row, or they are all of one class.
    """
    answer, definition = located.spec.answer, located.definition
    if not len(label):
        raise definition.error("no row with a label lies in the training window", "split", "train")
    if answer.kind.label == "number":
        return ""
    classes = answer.classes or (0, 1)
    present = {int(place) for place in label}
    if len(present) < 2:
        (only,) = present
        raise definition.error(f"every row of the training window is of one class, {classes[only]}; wanted two at least", "split", "train")
    return ", ".join(str(name) for place, name in enumerate(classes) if place not in present)


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
