"""What an evaluation asks: the rows of the test window with every model's scores, and what is known of how they were fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lakeloop.evaluation.assessment import BEST, CANDIDATE, CHAMPION, LINEAR, ForecastRows, Question, Rows
from lakeloop.evaluation.decisions import CHAMPION_GATE
from lakeloop.evaluation.entities import repeated_columns
from lakeloop.evaluation.leaks import find_leaks
from lakeloop.evaluation.model_checks import Overlap, SeenColumn, TrainedElsewhere, check_leakage, check_relations
from lakeloop.evaluation.power import entity_power
from lakeloop.metrics.classes import one_hot
from lakeloop.metrics.table import metrics_of
from lakeloop.project.known_floor import known_floor
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, feature_columns
from lakeloop.records.features import FeatureSpec
from lakeloop.records.training import ModelState, TakenModel, TrainingSetState
from lakeloop.rows.types import Kind
from lakeloop.spec.tables import render_duration
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.baselines import BASELINE_ROWS, REFIT_ROWS, baseline_scores, reference_scores, seed_refits
from lakeloop.training.comparison import AnswerComparison, compare_answers
from lakeloop.training.frames import evenly_spaced, feature_frame, feature_kinds
from lakeloop.training.labels import label_numbers
from platform_assets.stages.base import Platform, key_of
from platform_assets.stages.evaluation.planted import with_planted
from platform_assets.stages.evaluation.subject import Judged
from platform_assets.stages.features.lookup import join_features, utc_moment, warn_of_standing
from platform_assets.stages.training.groups import groups_of, slice_column, split_times
from platform_assets.stages.training.rows import clusters_of, fit_rows, model_of, times_of
from platform_assets.stages.training.training_set import LABEL, LABEL_KNOWN_AT, SPLIT
from resources.host.memory import release_memory
from resources.lake.published import PartitionState, States
from resources.tracking.model_format import ServableModel

FIT_SAMPLE = 20_000
"""Rows that were fitted on and are scored again, for the checks that compare with them."""
REFIT_SAMPLE = 5_000
"""Test rows that refits by seed are scored on."""


@dataclass(frozen=True)
class _Sample:
    """Some of the rows that were fitted on: their places among all of them, and their features."""

    places: np.ndarray
    frame: pd.DataFrame


@dataclass(frozen=True)
class _Data:
    """The rows of an evaluation.

    Attributes:
        spec: the workflow.
        kinds: the features and what they are, in order.
        test: the rows of the test window.
        frame: their features.
        y: their labels, as numbers.
        fitted: entity keys and times of all rows that were fitted on.
        fit_y: their labels.
        overlap: of the entities of test rows and fitted ones.
        linear, shown, refitted: samples for the linear baseline, for the checks, and for refits by seed.
    """

    spec: WorkflowSpec
    kinds: Mapping[str, Kind]
    test: pa.Table
    frame: pd.DataFrame
    y: np.ndarray
    fitted: pa.Table
    fit_y: np.ndarray
    overlap: Overlap
    linear: _Sample
    shown: _Sample
    refitted: _Sample

    @property
    def names(self) -> list[str]:
        """The features, in order."""
        return list(self.kinds)

    def reference(self, frame: pd.DataFrame) -> np.ndarray:
        """Scores of a frame by the reference that the task has: a constant, or for forecasts the seasonal naive."""
        naive = slice_column(self.test.column_names, self.spec.forecast.naive, self.names) if self.spec.forecast else None
        return reference_scores(self.fit_y, self.spec.answer, frame, self.spec.evaluation.primary, naive)

    def baseline(self, frame: pd.DataFrame) -> np.ndarray:
        """Scores of a frame by the linear baseline."""
        return baseline_scores(self.linear.frame, self.fit_y[self.linear.places], frame, self.kinds, self.spec.answer)


def evaluation_question(platform: Platform, located: Located[WorkflowSpec], judged: Judged, states: States) -> Question:
    """Read the rows, score them with every model, and say what is to be found."""
    spec, model, rival, best = located.spec, judged.model, judged.champion, judged.best
    state, training = states.required(ModelState, located), states.required(TrainingSetState, located)
    data = _read(platform, located, state, training)
    lookups = training.value.feature_spec
    compared = compare_answers(spec.answer, rival.answer) if rival else None
    scores = {
        CANDIDATE: model.predict(data.frame),
        spec.answer.kind.reference: data.reference(data.frame),
        LINEAR: data.baseline(data.frame),
    }
    if rival is not None and compared is not None and compared.convert is not None:
        scores[CHAMPION] = _rival_scores(platform, located, data, rival, compared, scores[CANDIDATE], states, lookups)
    answers = compare_answers(spec.answer, best.answer) if best else None
    if best is not None and answers is not None and answers.convert is not None:
        scores[BEST] = _rival_scores(platform, located, data, best, answers, scores[CANDIDATE], states, lookups)

    made_like = model_of(located, state)

    def refit(scored: pd.DataFrame) -> list[np.ndarray] | None:
        labels = data.fit_y[data.refitted.places]
        return seed_refits(made_like, data.kinds, spec.answer, data.refitted.frame, labels, scored, folder=located.folder)

    is_unlabelled = spec.answer.kind.label == "none"
    some = evenly_spaced(len(data.y), REFIT_SAMPLE)
    refits = None if is_unlabelled else refit(data.frame.iloc[some])
    primary = metrics_of(spec.answer)[spec.evaluation.primary]
    test_start = utc_moment(training.value.windows["test"][0])
    personal = personal_columns(platform.project, "training_sets", located)
    forecast = _forecast_rows(data, personal)
    question = Question(
        answer=spec.answer,
        primary=spec.evaluation.primary,
        predict=model.predict,
        test=Rows(y=data.y, at=times_of(data.test[spec.predict_at]), frame=data.frame, scores=scores, slices=_slices(data, forecast)),
        fit=_fit_rows(data, model),
        test_start=test_start,
        overlap=data.overlap,
        champion=rival.version if rival else None,
        best=best.version if best else None,
        champion_note=compared.note if compared else "",
        champion_known=rival is None or rival.feature_spec.trained_until is not None,
        refits=None if refits is None else [primary.value(data.y[some], score) for score in refits],
        clusters=clusters_of(spec, data.test, data.names),
        costs=spec.evaluation.costs,
        hidden=personal,
        seed=spec.model.seed,
        forecast=forecast,
        elsewhere=_elsewhere(state.value.registered, test_start),
        fit_times=(times_of(data.fitted[spec.predict_at]), times_of(data.fitted[LABEL_KNOWN_AT])),
        static=spec.evaluation.static,
        champion_leaks=_champion_leaks(platform, located, data, rival, states, lookups) if rival is not None else "",
        early=_known_early(platform, located),
        gated=[name for name in spec.gates if name != CHAMPION_GATE],
    )
    if not is_unlabelled:
        return question

    def predict_planted(other: ServableModel | None) -> Callable[[pd.DataFrame], np.ndarray] | None:
        """How another model scores planted rows; None where they don't hold what it reads."""
        if other is None or not set(other.feature_spec.names) <= set(data.names) or not other.feature_spec.looks_up_alike(lookups):
            return None
        return other.predict

    return with_planted(
        question,
        data.kinds,
        linear=data.baseline,
        rivals={CHAMPION: predict_planted(rival), BEST: predict_planted(best)},
        refit=refit,
        some=some,
        labels=data.y,
        alert_rate=spec.anomaly.alert_rate if spec.anomaly else None,
        threshold=model.alert_above,
    )


def _read(
    platform: Platform, located: Located[WorkflowSpec], model: PartitionState[ModelState], training: PartitionState[TrainingSetState]
) -> _Data:
    """Read the test window, and what was fitted on: all of its keys and times, samples of its features."""
    spec, names = located.spec, list(model.value.features)
    pinned = (key_of("training_sets", located), model.value.training_set)
    test = platform.lake.read(pinned, where=pc.field(SPLIT) == "test", order=[spec.predict_at, *spec.keys])
    fitted = fit_rows(platform.lake, located, training, [*names, *spec.keys, spec.predict_at, LABEL_KNOWN_AT])
    frame = feature_frame(test, names)
    fit_y = label_numbers(fitted[LABEL], spec.answer)

    def sample(most: int) -> _Sample:
        places = evenly_spaced(len(fit_y), most)
        return _Sample(places, feature_frame(fitted.take(places), names))

    linear, shown, refitted = sample(BASELINE_ROWS), sample(FIT_SAMPLE), sample(REFIT_ROWS)
    overlap = _overlap(spec, fitted, test, names, fit_y)
    size, fitted = fitted.nbytes, fitted.select([*spec.keys, spec.predict_at, LABEL_KNOWN_AT])
    release_memory(size)
    y, kinds = label_numbers(test[LABEL], spec.answer), feature_kinds(test.schema, names)
    return _Data(spec, kinds, test, frame, y, fitted, fit_y, overlap, linear, shown, refitted)


def _rival_scores(
    platform: Platform,
    located: Located[WorkflowSpec],
    data: _Data,
    rival: ServableModel,
    compared: AnswerComparison,
    like: np.ndarray,
    states: States,
    lookups: FeatureSpec,
) -> np.ndarray:
    """The champion's scores of the test rows that neither model has seen, in the candidate's shape; NaN for the others."""
    assert compared.convert is not None
    common, rows = _unseen_by(rival, data.spec, data.test, data.names)
    scores = np.full_like(like, np.nan)
    if rows.num_rows:
        own = _with_features(platform, located, rows, rival, states, lookups)
        scores[common] = compared.convert(rival.predict(feature_frame(own, rival.feature_spec.names)))
    return scores


def _fit_rows(data: _Data, model: ServableModel) -> Rows:
    """A sample of the rows that were fitted on, scored by the model and by the reference."""
    shown = data.shown
    return Rows(
        y=data.fit_y[shown.places],
        at=times_of(data.fitted[data.spec.predict_at])[shown.places],
        frame=shown.frame,
        scores={CANDIDATE: model.predict(shown.frame), data.spec.answer.kind.reference: data.reference(shown.frame)},
        known_at=times_of(data.fitted[LABEL_KNOWN_AT])[shown.places],
    )


def _forecast_rows(data: _Data, personal: frozenset[str]) -> ForecastRows | None:
    """Horizon, target time and series of each test row; None where nothing is forecast."""
    forecast = data.spec.forecast
    if forecast is None:
        return None
    hidden = bool(personal & set(forecast.series))
    series = ForecastRows.series_names([data.test[column].to_pylist() for column in forecast.series], hidden=hidden)
    ahead = data.test[forecast.ahead].to_numpy().astype(int)
    return ForecastRows(forecast.ahead, ahead, times_of(data.test[forecast.target]), series)


def _slices(data: _Data, forecast: ForecastRows | None) -> dict[str, list[object]]:
    """The declared slices by column; of a forecast also its horizons, and its series where there are several."""
    declared = {
        column: data.test[slice_column(data.test.column_names, column, data.names)].to_pylist() for column in data.spec.evaluation.slices
    }
    if forecast is None or data.spec.forecast is None:
        return declared
    several = {"series": list(forecast.series)} if len(set(forecast.series)) > 1 else {}
    return {data.spec.forecast.ahead: forecast.ahead.tolist(), **several, **declared}


def _champion_leaks(
    platform: Platform, located: Located[WorkflowSpec], data: _Data, rival: ServableModel, states: States, lookups: FeatureSpec
) -> str:
    """What features that the champion has and the model hasn't say of the label, in words; empty where it is no leak.

    A check that came after the champion's release finds its leak here, and a model without it isn't held against a score that rests on one.
    """
    dropped = [name for name in rival.feature_spec.names if name not in data.names]
    answer = data.spec.answer
    if not dropped or answer.kind.label == "none" or data.spec.forecast is not None:
        return ""
    asked, places = [*data.spec.keys, data.spec.predict_at], evenly_spaced(len(data.fit_y), FIT_SAMPLE)
    spine = pa.concat_tables([data.fitted.take(places).select(asked), data.test.select(asked)])
    frame = feature_frame(_with_features(platform, located, spine, rival, states, lookups), rival.feature_spec.names)
    labels = np.append(data.fit_y[places], data.y)
    order = np.random.default_rng(0).permutation(len(frame))
    fit, held = order[: len(order) // 2], order[len(order) // 2 :]
    columns = {name: frame[name].to_numpy() for name in frame}
    findings = find_leaks(
        answer,
        {n: values[fit] for n, values in columns.items()},
        labels[fit],
        {n: values[held] for n, values in columns.items()},
        labels[held],
    )
    checks = [check for check in (check_leakage(answer, findings), check_relations(findings)) if check.outcome == "found"]
    return "; ".join(f"{check.code}: {check.message}" for check in checks if set(check.evidence["columns"]) & set(dropped))


def _known_early(platform: Platform, located: Located[WorkflowSpec]) -> dict[str, list[str]]:
    """The features of views without an event time that read rows which are known only some time after theirs, by what is said of them."""
    project, early = platform.project, dict[str, list[str]]()
    for column in feature_columns(project, located):
        view = project.views.get((column.ref.domain, column.ref.name)) if column.ref.kind == "view" else None
        floor = known_floor(project, view) if view is not None and view.spec.event_time is None else timedelta(0)
        if floor:
            said = (
                f"{column.ref.domain}.{column.ref.name} has no event time, so that its values count as known always, and it reads rows that are "
                f"known only {render_duration(floor)} after their event"
            )
            early.setdefault(said, []).append(column.output)
    return early


def _elsewhere(taken: TakenModel | None, test_start: np.datetime64) -> TrainedElsewhere | None:
    """What is known of the training of a registered model that the workflow takes."""
    if taken is None:
        return None
    until = None if taken.trained_until is None else utc_moment(taken.trained_until)
    return TrainedElsewhere(f"{taken.name} version {taken.version}", until, test_start)


def _overlap(spec: WorkflowSpec, fitted: pa.Table, test: pa.Table, names: list[str], fit_y: np.ndarray) -> Overlap:
    """Which test rows have all their keys in common with a row that was fitted on, or the value of a column that the label belongs to."""
    keys = spec.keys
    # As text, so that a key is the same where another one of its column is null (pandas would make numbers of it).
    fitted_hashes, test_hashes = (
        pd.util.hash_pandas_object(
            rows.select(keys).cast(pa.schema([(name, pa.string()) for name in keys])).to_pandas(), index=False
        ).to_numpy()
        for rows in (fitted, test)
    )
    unique = np.unique(fitted_hashes)
    target = one_hot(fit_y, len(spec.answer.classes)) if spec.answer.classes else fit_y
    columns = {name: fitted[name] for name in dict.fromkeys([*keys, *names])}
    repeated = [] if spec.answer.kind.label == "none" else repeated_columns(columns, target)
    entities = [SeenColumn(each, _is_among(test[each.name], fitted[each.name])) for each in repeated if each.is_entity]
    return Overlap(
        np.isin(test_hashes, unique),
        len(unique) < len(fitted_hashes),
        tuple(each.name for each in repeated),
        tuple(entities),
        tuple(spec.split.group or ()),
        1.0 if spec.answer.kind.label == "none" else entity_power(target),
    )


def _is_among(values: pa.ChunkedArray, others: pa.ChunkedArray) -> np.ndarray:
    """Which values are among others; null is not."""
    return np.asarray(pc.is_in(values, value_set=pc.unique(others.drop_null())))


def _unseen_by(rival: ServableModel, spec: WorkflowSpec, test: pa.Table, names: list[str]) -> tuple[np.ndarray, pa.Table]:
    """The test rows after the rival's own training window: rows that neither model has seen."""
    until, times = rival.feature_spec.trained_until, times_of(test[spec.predict_at])
    mask = np.ones(test.num_rows, bool)
    if until is not None:
        # The rival's rows were split by their own times, or by those of their groups.
        mask = np.minimum(times, split_times(spec, times, groups_of(spec, test, names))) >= utc_moment(until)
    return mask, test.filter(pa.array(mask))


def _with_features(
    platform: Platform, located: Located[WorkflowSpec], rows: pa.Table, rival: ServableModel, states: States, lookups: FeatureSpec
) -> pa.Table:
    """The rival's own features for the rows: those of the training set where its `lookups` give them, else looked up by the rival's spec."""
    spec = rival.feature_spec
    if spec.looks_up_alike(lookups) and set(spec.names) <= set(rows.column_names):
        return rows
    warn_of_standing(platform, spec, states, f"champion {rival.version} of {rival.name}")
    return join_features(platform, located.domain, rows.select([*located.spec.keys, located.spec.predict_at]), spec, states)[0]
