"""evaluations: how good a model version is on later time that it wasn't trained on, beside baselines and the champion.

What is found is computed by `lakeloop.assessment` and told by `lakeloop.evaluation_report`; its numbers are rows of `reports/*`, its page hangs
on the MLflow model version. The gates are Great Expectations on the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.decisions import ERROR_RATE
from lakeloop.errors import NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.model_code import reference_of
from lakeloop.personal import personal_columns
from lakeloop.workflow_spec import Gate, WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, States, figures, key_of, markdown_table
from platform_assets.stages.lookup import feature_names, feature_spec, join_features
from platform_assets.stages.models import SEARCH, fit_rows, model_of
from platform_assets.stages.training_set import LABEL, LABEL_KNOWN_AT, SPLIT
from resources.crash_points import crash_point
from resources.lake import WHOLE, PartitionState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from lakeloop.assessment import Assessment, Question
    from lakeloop.evaluation_report import Subject
    from lakeloop.metrics import MetricValue
    from lakeloop.model_checks import Elsewhere, Overlap
    from lakeloop.project import Located
    from resources.model_format import ServableModel

CODE_VERSION = "2"
CHAMPION_GATE = "champion"
PERIODS = {"day": "datetime64[D]", "week": "datetime64[W]"}
"""What rows may be clustered by beside a key or feature: the time that they ask at."""
FIT_SAMPLE = 20_000
"""Rows that were fitted on and are scored again, for the checks that compare with them."""
REFIT_SAMPLE = 5_000
"""Test rows that refits by seed are scored on."""


def metric_gates(spec: WorkflowSpec) -> dict[str, Gate]:
    """The gates on the model's own metrics; the comparison with the champion stands apart."""
    return {name: gate for name, gate in spec.gates.items() if name != CHAMPION_GATE}


def opponent(states: States, located: Located[WorkflowSpec]) -> str | None:
    """The champion that a new model is held against: the released version, unless that is the model itself.

    A model that has been released since its evaluation keeps the opponent it was evaluated with.
    """
    released = states.get(key_of("releases", located), {}).get(WHOLE)
    model = states.get(key_of("models", located), {}).get(WHOLE)
    champion = released.value.get("champion") if released else None
    if model and champion == model.value["version"]:
        done = states.get(key_of("evaluations", located), {}).get(WHOLE)
        return done.value.get("champion") if done and done.value["version"] == champion else None
    return champion


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of an evaluation: the model version, the rows, the measures, the opponent.

    Raises:
        NotPublished: there is no model.
    """
    model = states.get(key_of("models", located), {}).get(WHOLE)
    training = states.get(key_of("training_sets", located), {}).get(WHOLE)
    if model is None or training is None:
        raise NotPublished(f"{key_of('models', located)} has no model; materialise it first")
    return fingerprint(
        "evaluation",
        CODE_VERSION,
        model.fingerprint,
        model.value["version"],
        training.fingerprint,
        located.spec.evaluation,
        located.spec.gates,
        opponent(states, located),
    )


def evaluate_model(platform: Platform, located: Located[WorkflowSpec], context: Any, *, states: States | None = None) -> StageResult:
    """Score the test window with the model, the champion and two baselines; judge the gates; write the report and its rows.

    What gates and checks find is evidence, not an error: a model that fails a gate is evaluated, and then not promoted.

    Raises:
        NotPublished: there is no model.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from lakeloop.assessment import CANDIDATE, CHAMPION, assess
    from lakeloop.evaluation_report import evaluation_report
    from lakeloop.metrics import metrics_of
    from lakeloop.report import render
    from platform_assets.stages.evaluation_tables import write_tables
    from resources.model_format import load_model
    from resources.quality import gate_suite
    from resources.registry import Registry
    from resources.report_page import ARTIFACT, report_url

    spec, key = located.spec, key_of("evaluations", located)
    states = platform.lake.states() if states is None else states
    wanted = expected(states, located)
    done = states.get(key, {}).get(WHOLE)
    if done and done.fingerprint == wanted:
        return StageResult(
            wanted, fresh=True, rows=done.rows, checks=done.value["checks"], metadata={"model_version": done.value["version"]}
        )
    model_state = states[key_of("models", located)][WHOLE]
    training_key = key_of("training_sets", located)
    training = states[training_key][WHOLE]
    if training.version != model_state.value["training_set"]:
        raise NotPublished(
            f"{key_of('models', located)} is of version {model_state.value['training_set']} of {training_key}, "
            f"version {training.version} stands now; materialise {key_of('models', located)} first"
        )

    name, version = model_state.value["name"], model_state.value["version"]
    champion, primary = opponent(states, located), spec.evaluation.primary
    model = load_model(f"models:/{name}/{version}", platform.settings.tracking_uri)
    if model.answer != spec.answer:
        raise NotPublished(
            f"version {version} of {name} answers another question than {located.definition.file} asks now; materialise {key_of('models', located)} first"
        )
    rival = load_model(f"models:/{name}/{champion}", platform.settings.tracking_uri) if champion else None
    question = _question(platform, located, model, rival, states)
    found = assess(question)

    own = {value.name: value.value for value in found.values[CANDIDATE]}
    gate_results = gate_suite(own, metric_gates(spec))
    checks: dict[str, Any] = {r.name: [r.outcome, r.message or r.wanted, r.severity, r.observed] for r in gate_results}
    gates = {r.name: (r.outcome, r.message, r.wanted, f"{own.get(r.name, float('nan')):.4f}") for r in gate_results}
    checks |= {check.kind.name: [check.outcome, check.message, "warning"] for check in found.checks}
    now = datetime.now(UTC)
    window = "/".join(training.value["windows"]["test"])
    facts = _facts(located, training, model_state)
    previous = _previous(done, version)
    subject = _subject(platform, located, training, model_state, version, champion, facts, previous, gates, question, now)
    page = render(evaluation_report(subject, question, found))
    shared = {
        "domain": located.domain, "workflow": spec.name, "version": version, "window": window, "at": now, "run_id": platform.run_id,
        "evaluation": wanted,
    }  # fmt: skip
    write_tables(platform.lake, shared, primary, champion, found)
    crash_point("evaluation.reported")

    pictures = _pictures(spec, question, found)
    registry = Registry(platform.settings.tracking_uri)
    with platform.tracking.run(context, located.domain, spec.name) as run:
        run.log_metrics({f"test_{name}": value for name, value in own.items() if value == value})
        for title, png in pictures.items():
            run.log_image(png, f"evaluation/{title}.png")
        run.log_text(markdown_table(_metric_rows(found.values)), "evaluation/metrics.md")
        run.log_text(page, ARTIFACT)
        url = report_url(platform.settings.tracking_uri, run.run_id)
        registry.attach_report(name, version, url, page, own_files="registered" not in model_state.value)
    if "registered" not in model_state.value:
        # The run that made the version may have died in an evaluation; what it was there for stands.
        registry.finish_run_of(name, version)
    comparison, skill = found.differences.get(CHAMPION), found.differences[spec.answer.kind.reference]
    value = {
        "version": version,
        "name": name,
        "metrics": own,
        "intervals": {v.name: [v.low, v.high] for v in found.values[CANDIDATE]},
        "baselines": {who: {v.name: v.value for v in listed} for who, listed in found.values.items() if who != CANDIDATE},
        "champion": champion,
        "comparison": comparison.record() if comparison else None,
        "incomparable": question.champion_told if rival and CHAMPION not in question.test.scores else "",
        "skill": skill.record(),
        "checks": checks,
        "rows": len(question.test.y),
        "window": window,
        "greater_is_better": metrics_of(spec.answer)[primary].greater_is_better,
        "report": url,
        "facts": facts,
        "previous": previous,
    }
    state = PartitionState(WHOLE, wanted, -1, len(question.test.y), value=value)
    platform.lake.record(key, [state], run_id=platform.run_id, after=states.get(key, {}))
    return StageResult(
        wanted,
        rows=len(question.test.y),
        checks=checks,
        metadata={
            "report": dg.MetadataValue.url(url),
            "model_version": version,
            "training_set_version": training.version,
            primary: own[primary],
            "metrics": dg.MetadataValue.md(markdown_table(_metric_rows(found.values))),
            "model_checks": dg.MetadataValue.md(
                markdown_table([{"check": c.kind.name, "outcome": c.outcome, "what was seen": c.message} for c in found.checks])
            ),
            "slices": dg.MetadataValue.md(markdown_table([dict(row.items()) for row in found.slices[:50]])),
            "champion": champion or "none",
            **({"against_champion": dg.MetadataValue.json(comparison.record())} if comparison else {}),
            "test_window": " to ".join(f"{datetime.fromisoformat(end):%Y-%m-%d %H:%M}" for end in training.value["windows"]["test"]),
            "plots": figures(pictures),
        },
    )


def _question(
    platform: Platform, located: Located[WorkflowSpec], model: ServableModel, rival: ServableModel | None, states: States
) -> Question:
    """Read the rows, score them with every model, and say what is to be found."""
    import numpy as np

    from lakeloop.assessment import CANDIDATE, CHAMPION, LINEAR, ForecastRows, Question, Rows
    from lakeloop.baselines import baseline_scores, reference_scores, seed_refits
    from lakeloop.comparison import comparable
    from lakeloop.fitting import evenly
    from lakeloop.frames import feature_frame, feature_kinds
    from lakeloop.labels import label_numbers
    from lakeloop.metrics import metrics_of

    spec = located.spec
    model_value = states[key_of("models", located)][WHOLE].value
    training_key = key_of("training_sets", located)
    training, names = states[training_key][WHOLE], list(model_value["features"])
    table = platform.lake.read((training_key, int(model_value["training_set"])))
    kinds = feature_kinds(table.schema, names)
    test = _only(table, "test")
    fitted = fit_rows(platform.lake, training_key, training, [*names, *spec.keys, spec.predict_at, LABEL_KNOWN_AT])
    test_frame, fit_frame = feature_frame(test, names), feature_frame(fitted, names)
    y, fit_y = label_numbers(test[LABEL], spec.answer), label_numbers(fitted[LABEL], spec.answer)
    naive = _slice_column(test, spec.forecast.naive, names) if spec.forecast else None
    reference = spec.answer.kind.reference
    scores = {
        CANDIDATE: model.predict(test_frame),
        reference: reference_scores(fit_y, spec.answer, test_frame, spec.evaluation.primary, naive),
    }
    scores[LINEAR] = baseline_scores(fit_frame, fit_y, test_frame, kinds, spec.answer)
    compared = comparable(spec.answer, rival.answer) if rival else None
    if rival is not None and compared is not None and compared.take is not None:
        common, rows = _unseen_by(rival, test, spec.predict_at)
        scores[CHAMPION] = np.full_like(scores[CANDIDATE], np.nan)
        if rows.num_rows:
            own = _with_features(platform, located, rows, rival, states)
            said = rival.predict(feature_frame(own, feature_names(rival.feature_spec)))
            scores[CHAMPION][common] = compared.take(said)
    picked = evenly(len(fit_y), FIT_SAMPLE)
    sample = fit_frame.iloc[picked].reset_index(drop=True)
    fit = Rows(
        y=fit_y[picked],
        at=_times(fitted[spec.predict_at])[picked],
        frame=sample,
        scores={
            CANDIDATE: model.predict(sample),
            reference: reference_scores(fit_y, spec.answer, sample, spec.evaluation.primary, naive),
        },
        known_at=_times(fitted[LABEL_KNOWN_AT])[picked],
    )
    some = evenly(len(y), REFIT_SAMPLE)
    made = model_of(located, states[key_of("models", located)][WHOLE])

    def refit(scored: pd.DataFrame) -> list[np.ndarray] | None:
        return seed_refits(made, kinds, spec.answer, fit_frame, fit_y, scored, folder=located.folder)

    unlabelled = spec.answer.kind.label == "none"
    refits = None if unlabelled else refit(test_frame.iloc[some])
    test_start = np.datetime64(datetime.fromisoformat(training.value["windows"]["test"][0]).replace(tzinfo=None), "us")
    sliced = {column: test[_slice_column(test, column, names)].to_pylist() for column in spec.evaluation.slices}
    asked = None
    if spec.forecast is not None:
        series = ForecastRows.named([test[column].to_pylist() for column in spec.forecast.series])
        asked = ForecastRows(
            spec.forecast.ahead, test[spec.forecast.ahead].to_numpy().astype(int), _times(test[spec.forecast.target]), series
        )
        sliced = {spec.forecast.ahead: asked.ahead.tolist(), **({"series": series} if len(set(series)) > 1 else {}), **sliced}
    question = Question(
        answer=spec.answer,
        primary=spec.evaluation.primary,
        predict=model.predict,
        test=Rows(y=y, at=_times(test[spec.predict_at]), frame=test_frame, scores=scores, slices=sliced),
        fit=fit,
        test_start=test_start,
        overlap=_overlap(fitted, test, spec.keys),
        champion=rival.version if rival else None,
        champion_told=compared.told if compared else "",
        refits=None if refits is None else [metrics_of(spec.answer)[spec.evaluation.primary].value(y[some], score) for score in refits],
        clusters=clusters_of(spec, test, names),
        costs=spec.evaluation.costs,
        hidden=personal_columns(platform.project, "training_sets", located),
        seed=spec.model.seed,
        forecast=asked,
        elsewhere=_elsewhere(model_value, test_start),
    )
    if not unlabelled:
        return question
    from platform_assets.stages.anomaly_question import with_planted

    same = rival is not None and set(feature_names(rival.feature_spec)) <= set(names)
    return with_planted(
        question,
        kinds,
        linear=lambda frame: baseline_scores(fit_frame, fit_y, frame, kinds, spec.answer),
        rival=(lambda frame: rival.predict(frame)) if rival is not None and same else None,
        refit=refit,
        some=some,
        labels=y,
        alert_rate=spec.anomaly.alert_rate if spec.anomaly else None,
        threshold=model.alert_above,
    )


def _elsewhere(model: Mapping[str, Any], test_start: np.datetime64) -> Elsewhere | None:
    """What is known of the training of a registered model that the workflow takes."""
    import numpy as np

    from lakeloop.model_checks import Elsewhere

    taken = model.get("registered")
    if taken is None:
        return None
    until = taken["trained_until"]
    moment = None if until is None else np.datetime64(datetime.fromisoformat(until).astimezone(UTC).replace(tzinfo=None), "us")
    return Elsewhere(f"{taken['name']} version {taken['version']}", moment, test_start)


def _only(table: pa.Table, split: str) -> pa.Table:
    import pyarrow.compute as pc

    return table.filter(pc.equal(table[SPLIT], split))


def _times(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy().astype("datetime64[us]")


def _overlap(fitted: pa.Table, test: pa.Table, keys: list[str]) -> Overlap:
    """Which test rows have all their keys in common with a row that was fitted on."""
    import numpy as np
    import pandas as pd

    from lakeloop.model_checks import Overlap

    known, asked = (pd.util.hash_pandas_object(rows.select(keys).to_pandas(), index=False).to_numpy() for rows in (fitted, test))
    unique = np.unique(known)
    return Overlap(np.isin(asked, unique), len(unique) < len(known))


def clusters_of(spec: WorkflowSpec, test: pa.Table, names: list[str]) -> np.ndarray | None:
    """Codes of the rows that may depend on each other, as the workflow says."""
    from lakeloop.intervals import codes

    by = spec.evaluation.cluster
    if by is None:
        return None
    if by in PERIODS:
        return codes(_times(test[spec.predict_at]).astype(PERIODS[by]))
    return codes(test[_slice_column(test, by, names)].to_pandas().astype(str).to_numpy(dtype=str))


def _slice_column(test: pa.Table, column: str, names: list[str]) -> str:
    if column in test.column_names:
        return column
    return next(name for name in names if name.endswith(f"__{column}"))


def _unseen_by(rival: ServableModel, test: pa.Table, predict_at: str) -> tuple[np.ndarray, pa.Table]:
    """The test rows after the rival's own training window: rows that neither model has seen."""
    import numpy as np
    import pyarrow as pa

    until = rival.feature_spec.get("trained_until")
    times = test[predict_at].to_numpy().astype("datetime64[us]")
    mask = (
        np.ones(test.num_rows, bool)
        if until is None
        else times >= np.datetime64(datetime.fromisoformat(str(until)).replace(tzinfo=None), "us")
    )
    return mask, test.filter(pa.array(mask))


def _with_features(platform: Platform, located: Located[WorkflowSpec], rows: pa.Table, rival: ServableModel, states: States) -> pa.Table:
    """The rival's own features for the rows: those of the training set where it has them all, else looked up by its spec."""
    ours = feature_spec(platform.project, located)["views"]
    versions = {(view["kind"], view["domain"], view["name"]): view["version"] for view in ours}
    same = all(versions.get((view["kind"], view["domain"], view["name"])) == view["version"] for view in rival.feature_spec["views"])
    if same and set(feature_names(rival.feature_spec)) <= set(rows.column_names):
        return rows
    return join_features(platform, located.domain, rows.select([*located.spec.keys, located.spec.predict_at]), rival.feature_spec, states)[
        0
    ]


def _metric_rows(values: Mapping[str, list[MetricValue]]) -> list[dict[str, Any]]:
    from lakeloop.assessment import ORDER

    order = [who for who in ORDER if who in values]
    named = {who: {v.name: v for v in values[who]} for who in order}
    rows = []
    for metric in named["candidate"]:
        row: dict[str, Any] = {"metric": metric}
        for who in order:
            v = named[who].get(metric)
            row[who] = "" if v is None else f"{v.value:.4f} [{v.low:.4f}, {v.high:.4f}]"
        rows.append(row)
    return rows


def _facts(located: Located[WorkflowSpec], training: PartitionState, model: PartitionState) -> dict[str, Any]:
    """What a version was made of, to be compared with the next one."""
    spec, taken = located.spec, model.value.get("registered")
    version = {"version": taken["version"]} if taken else {}
    return {
        "training set": training.version,
        **({"training": model.value["training"]} if model.value.get("training") else {}),
        "rows fitted": model.rows if "registered" not in model.value else "elsewhere",
        "windows": {name: f"{start[:16]} to {end[:16]}" for name, (start, end) in training.value["windows"].items()},
        "features": list(model.value["features"]),
        "model": {
            **dict([reference_of(spec.model)]),
            **version,
            "seed": spec.model.seed,
            **({"calibrate": spec.model.calibrate} if spec.model.calibrate else {}),
            **model_of(located, model).params,
        },
        "read from": dict(training.value["inputs"]),
    }


def _probabilities(spec: WorkflowSpec) -> str:
    """What was done to the probabilities, as the end of a sentence."""
    if spec.model.calibrate:
        method = "isotonic regression" if spec.model.calibrate == "isotonic" else "a sigmoid"
        return f", calibrated by {method} on the newest fifth of the rows to fit on"
    if spec.model.params.get("class_weight"):
        return "; under class weights its probabilities are not how often something happens (calibrate puts them right)"
    return ""


def _previous(done: PartitionState | None, version: str) -> dict[str, Any] | None:
    """Version and facts of the version that was evaluated before this one."""
    if done is None or "facts" not in done.value:
        return None
    if done.value["version"] == version:
        return done.value.get("previous")
    return {"version": done.value["version"], "facts": done.value["facts"]}


def _subject(
    platform: Platform,
    located: Located[WorkflowSpec],
    training: PartitionState,
    model: PartitionState,
    version: str,
    champion: str | None,
    facts: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    gates: Mapping[str, tuple[str, str, str, str]],
    question: Question,
    now: datetime,
) -> Subject:
    """What the page tells beside what was found."""
    from lakeloop.changes import what_changed
    from lakeloop.evaluation_report import Subject
    from lakeloop.project import feature_columns, label_view

    spec = located.spec
    bound = spec.gates.get(CHAMPION_GATE)
    described = {
        c.output: " ".join(filter(None, [c.description, f"[{c.unit}]" if c.unit else ""]))
        for c in feature_columns(platform.project, located)
    }
    view = label_view(platform.project, located)
    label = view.spec.columns.get(spec.label.column) if view and spec.label else None
    taken = model.value.get("registered")
    named = f"{taken['name']} version {taken['version']}, registered elsewhere" if taken else reference_of(spec.model)[1]
    params = ", ".join(f"{name} {value}" for name, value in model_of(located, model).params.items())
    own = "; classes and confusion" if spec.answer.classes else "; coverage" if spec.answer.quantiles else ""
    trained = f"; {model.value['training']}" if model.value.get("training") else ""
    where = f"domain = '{located.domain}' AND workflow = '{spec.name}' AND version = '{version}'"
    return Subject(
        name=spec.name,
        domain=located.domain,
        environment=platform.settings.environment,
        version=version,
        description=spec.description,
        owners=spec.owners,
        label=f"{spec.label.view}.{spec.label.column}" if spec.label else "none: nothing says which rows are anomalies",
        unit=label.unit if label else None,
        predict_at=spec.predict_at,
        fitted_rows=model.rows,
        windows={name: (ends[0], ends[1]) for name, ends in training.value["windows"].items()},
        window_rows=training.value["rows"],
        inputs=training.value["inputs"],
        training_set=training.version,
        features={name: described.get(name, "") for name in model.value["features"]},
        pipeline=f"{named}{f' ({params})' if params else ''}{trained}{_probabilities(spec)}",
        cluster=spec.evaluation.cluster,
        gates=gates,
        champion=champion,
        margin=bound.max_drop if bound else None,
        error_rate=(bound.error_rate if bound else None) or ERROR_RATE,
        previous=previous["version"] if previous else None,
        changes=what_changed(previous["facts"], facts) if previous else (),
        made_at=f"{now:%Y-%m-%d %H:%M} UTC",
        search=model.value.get(SEARCH),
        query=f"SELECT * FROM reports.metrics WHERE {where}; likewise slices, comparisons, importance, calibration, thresholds, over_time, "
        f"weak_slices and model_checks{own}.",
    )


def _pictures(spec: WorkflowSpec, question: Question, found: Assessment) -> dict[str, bytes]:
    """The pictures that Dagster and MLflow show; the page has them all."""
    from lakeloop import plots, task_plots
    from lakeloop.assessment import CANDIDATE

    test, primary = question.test, spec.evaluation.primary
    drawn = {"metric_comparison": plots.plot_metric_comparison(found.values, primary)}
    if question.planted is not None:
        drawn["roc_and_precision_recall"] = plots.plot_roc_pr(test.y, test.scores[CANDIDATE])
    elif spec.answer.kind.costs:
        drawn["roc_and_precision_recall"] = plots.plot_roc_pr(test.y, test.scores[CANDIDATE])
        drawn["calibration"] = plots.plot_calibration(found.calibration, "probability")
    elif found.confusion is not None:
        drawn["confusion"] = task_plots.plot_confusion(found.confusion, list(map(str, spec.answer.classes)))
    else:
        drawn["residuals"] = plots.plot_residuals(test.y, spec.answer.point(test.scores[CANDIDATE]))
    if found.coverage:
        drawn["coverage"] = task_plots.plot_coverage(found.coverage, spec.answer.quantiles[-1] - spec.answer.quantiles[0])
    drawn["importance"] = plots.plot_importance(found.importance, primary)
    for column in spec.evaluation.slices:
        rows = [row for row in found.slices if row["slice_by"] == column]
        if rows:
            drawn[f"by_{column}"] = plots.plot_slices(rows, column, primary)
    return {title: picture.png for title, picture in drawn.items()}
