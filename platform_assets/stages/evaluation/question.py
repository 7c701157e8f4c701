"""What an evaluation asks: the rows of the test window with every model's scores, and what is known of how they were fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakeloop.project.personal import personal_columns
from lakeloop.records.features import FeatureSpec
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, key_of
from platform_assets.stages.features.lookup import join_features, utc_moment, warn_of_standing
from platform_assets.stages.training.rows import clusters_of, fit_rows, model_of, slice_column, times_of
from platform_assets.stages.training.training_set import LABEL, LABEL_KNOWN_AT, SPLIT
from resources.lake.published import WHOLE, States

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from lakeloop.evaluation.assessment import Question
    from lakeloop.evaluation.model_checks import Overlap, TrainedElsewhere
    from lakeloop.project.project import Located
    from resources.tracking.model_format import ServableModel

FIT_SAMPLE = 20_000
"""Rows that were fitted on and are scored again, for the checks that compare with them."""
REFIT_SAMPLE = 5_000
"""Test rows that refits by seed are scored on."""


def evaluation_question(
    platform: Platform, located: Located[WorkflowSpec], model: ServableModel, rival: ServableModel | None, states: States
) -> Question:
    """Read the rows, score them with every model, and say what is to be found."""
    import numpy as np
    import pyarrow.compute as pc

    from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, LINEAR, ForecastRows, Question, Rows
    from lakeloop.metrics.table import metrics_of
    from lakeloop.training.baselines import BASELINE_ROWS, REFIT_ROWS, baseline_scores, reference_scores, seed_refits
    from lakeloop.training.comparison import compare_answers
    from lakeloop.training.frames import evenly_spaced, feature_frame, feature_kinds
    from lakeloop.training.labels import label_numbers
    from resources.host.memory import release_memory

    spec = located.spec
    model_value = states[key_of("models", located)][WHOLE].value
    training_key = key_of("training_sets", located)
    training, names = states[training_key][WHOLE], list(model_value["features"])
    lookups = FeatureSpec.from_record(training.value["feature_spec"])
    test = platform.lake.read(
        (training_key, int(model_value["training_set"])), where=pc.field(SPLIT) == "test", order=[spec.predict_at, *spec.keys]
    )
    kinds = feature_kinds(test.schema, names)
    fitted = fit_rows(platform.lake, located, training, [*names, *spec.keys, spec.predict_at, LABEL_KNOWN_AT])
    test_frame = feature_frame(test, names)
    y, fit_y = label_numbers(test[LABEL], spec.answer), label_numbers(fitted[LABEL], spec.answer)

    # Of the features of what was fitted on only samples are needed.
    for_linear, picked, for_refits = (evenly_spaced(len(fit_y), most) for most in (BASELINE_ROWS, FIT_SAMPLE, REFIT_ROWS))
    linear_frame, sample, refit_frame = (feature_frame(fitted.take(places), names) for places in (for_linear, picked, for_refits))
    size, fitted = fitted.nbytes, fitted.select([*spec.keys, spec.predict_at, LABEL_KNOWN_AT])
    release_memory(size)
    naive = slice_column(test, spec.forecast.naive, names) if spec.forecast else None
    reference = spec.answer.kind.reference
    scores = {
        CANDIDATE: model.predict(test_frame),
        reference: reference_scores(fit_y, spec.answer, test_frame, spec.evaluation.primary, naive),
    }
    scores[LINEAR] = baseline_scores(linear_frame, fit_y[for_linear], test_frame, kinds, spec.answer)
    compared = compare_answers(spec.answer, rival.answer) if rival else None
    if rival is not None and compared is not None and compared.convert is not None:
        common, rows = _unseen_by(rival, test, spec.predict_at)
        scores[CHAMPION] = np.full_like(scores[CANDIDATE], np.nan)
        if rows.num_rows:
            own = _with_features(platform, located, rows, rival, states, lookups)
            said = rival.predict(feature_frame(own, rival.feature_spec.names))
            scores[CHAMPION][common] = compared.convert(said)
    fit_times = times_of(fitted[spec.predict_at]), times_of(fitted[LABEL_KNOWN_AT])
    fit = Rows(
        y=fit_y[picked],
        at=fit_times[0][picked],
        frame=sample,
        scores={
            CANDIDATE: model.predict(sample),
            reference: reference_scores(fit_y, spec.answer, sample, spec.evaluation.primary, naive),
        },
        known_at=fit_times[1][picked],
    )
    some = evenly_spaced(len(y), REFIT_SAMPLE)
    made = model_of(located, states[key_of("models", located)][WHOLE])

    def refit(scored: pd.DataFrame) -> list[np.ndarray] | None:
        return seed_refits(made, kinds, spec.answer, refit_frame, fit_y[for_refits], scored, folder=located.folder)

    unlabelled = spec.answer.kind.label == "none"
    refits = None if unlabelled else refit(test_frame.iloc[some])
    test_start = utc_moment(training.value["windows"]["test"][0])
    personal = personal_columns(platform.project, "training_sets", located)
    sliced = {column: test[slice_column(test, column, names)].to_pylist() for column in spec.evaluation.slices}
    asked = None
    if spec.forecast is not None:
        hidden = bool(personal & set(spec.forecast.series))
        series = ForecastRows.series_names([test[column].to_pylist() for column in spec.forecast.series], hidden=hidden)
        asked = ForecastRows(
            spec.forecast.ahead, test[spec.forecast.ahead].to_numpy().astype(int), times_of(test[spec.forecast.target]), series
        )
        sliced = {spec.forecast.ahead: asked.ahead.tolist(), **({"series": series} if len(set(series)) > 1 else {}), **sliced}
    question = Question(
        answer=spec.answer,
        primary=spec.evaluation.primary,
        predict=model.predict,
        test=Rows(y=y, at=times_of(test[spec.predict_at]), frame=test_frame, scores=scores, slices=sliced),
        fit=fit,
        test_start=test_start,
        overlap=_overlap(fitted, test, spec.keys),
        champion=rival.version if rival else None,
        champion_note=compared.note if compared else "",
        champion_known=rival is None or rival.feature_spec.trained_until is not None,
        refits=None if refits is None else [metrics_of(spec.answer)[spec.evaluation.primary].value(y[some], score) for score in refits],
        clusters=clusters_of(spec, test, names),
        costs=spec.evaluation.costs,
        hidden=personal,
        seed=spec.model.seed,
        forecast=asked,
        elsewhere=_elsewhere(model_value, test_start),
        fit_times=fit_times,
        static=spec.evaluation.static,
    )
    if not unlabelled:
        return question
    from platform_assets.stages.evaluation.planted import with_planted

    same = rival is not None and set(rival.feature_spec.names) <= set(names) and rival.feature_spec.looks_up_alike(lookups)
    return with_planted(
        question,
        kinds,
        linear=lambda frame: baseline_scores(linear_frame, fit_y[for_linear], frame, kinds, spec.answer),
        rival=(lambda frame: rival.predict(frame)) if rival is not None and same else None,
        refit=refit,
        some=some,
        labels=y,
        alert_rate=spec.anomaly.alert_rate if spec.anomaly else None,
        threshold=model.alert_above,
    )


def _elsewhere(model: Mapping[str, Any], test_start: np.datetime64) -> TrainedElsewhere | None:
    """What is known of the training of a registered model that the workflow takes."""
    from lakeloop.evaluation.model_checks import TrainedElsewhere

    taken = model.get("registered")
    if taken is None:
        return None
    until = taken["trained_until"]
    return TrainedElsewhere(f"{taken['name']} version {taken['version']}", None if until is None else utc_moment(until), test_start)


def _overlap(fitted: pa.Table, test: pa.Table, keys: list[str]) -> Overlap:
    """Which test rows have all their keys in common with a row that was fitted on."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from lakeloop.evaluation.model_checks import Overlap

    # As text, so that a key is the same where another one of its column is null (pandas would make numbers of it).
    known, asked = (
        pd.util.hash_pandas_object(
            rows.select(keys).cast(pa.schema([(name, pa.string()) for name in keys])).to_pandas(), index=False
        ).to_numpy()
        for rows in (fitted, test)
    )
    unique = np.unique(known)
    return Overlap(np.isin(asked, unique), len(unique) < len(known))


def _unseen_by(rival: ServableModel, test: pa.Table, predict_at: str) -> tuple[np.ndarray, pa.Table]:
    """The test rows after the rival's own training window: rows that neither model has seen."""
    import numpy as np
    import pyarrow as pa

    until = rival.feature_spec.trained_until
    times = test[predict_at].to_numpy().astype("datetime64[us]")
    mask = np.ones(test.num_rows, bool) if until is None else times >= utc_moment(until)
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
