"""evaluations: how good a model version is on later time that it wasn't trained on, beside baselines and the champion.

What is found is computed by `lakeloop.evaluation.assessment` and told by `lakeloop.report.evaluation`; its numbers are rows of `reports/*`, its page hangs
on the MLflow model version. The gates are Great Expectations on the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import LakeloopError, NotPublished
from lakeloop.evaluation.assessment import BEST, CANDIDATE, CHAMPION, ORDER, assess
from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.evaluation.decisions import CHAMPION_GATE, LEAK_GATE
from lakeloop.evaluation.leak_gate import judge_leaks, leaks_of
from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.metrics.table import metrics_of
from lakeloop.metrics.wording import format_metric, format_number
from lakeloop.project.project import Located, Project, feature_columns
from lakeloop.records.base import Checks
from lakeloop.records.release import EarlierVersion, EvaluationState, ReleaseState
from lakeloop.records.training import ModelState, TrainingSetState
from lakeloop.report.evaluation import evaluation_report
from lakeloop.report.page import render
from lakeloop.report.subject import GateOutcome
from lakeloop.spec.workflow import Gate, WorkflowSpec
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.evaluation.subject import SCORE, Judged, evaluation_subject, previous_facts, version_facts
from platform_assets.stages.evaluation.tables import write_tables
from platform_assets.stages.metadata import figures, markdown_table
from platform_assets.stages.publishing import record_whole
from platform_assets.stages.stage import Check, Stage
from platform_assets.stages.training.version_files import load_version
from resources.host.crash_points import crash_point
from resources.lake.published import States
from resources.quality import judge_gates
from resources.tracking.registry import Registry
from resources.tracking.report_page import ARTIFACT, report_url

if TYPE_CHECKING:
    from lakeloop.evaluation.assessment import Assessment, Question
    from lakeloop.metrics.table import MetricValue
    from resources.tracking.model_format import ServableModel

CODE_VERSION = "3"


def metric_gates(spec: WorkflowSpec) -> dict[str, Gate]:
    """The gates on the model's own metrics; the comparison with the champion and the gate on leaks stand apart."""
    return {name: gate for name, gate in spec.gates.items() if name not in (CHAMPION_GATE, LEAK_GATE)}


def opponent(states: States, located: Located[WorkflowSpec]) -> str | None:
    """The champion that a new model is compared with: the released version, unless that is the model itself, or its evidence is void.

    A model that has been released since its evaluation keeps the opponent it was evaluated with.
    """
    release, model = states.whole(ReleaseState, located), states.whole(ModelState, located)
    champion = release.value.champion if release else None
    if model is None or champion != model.value.version:
        return None if release and champion in (release.value.voided or {}) else champion
    evaluation = states.whole(EvaluationState, located)
    return evaluation.value.champion if evaluation and evaluation.value.version == champion else None


def yardstick(states: States, located: Located[WorkflowSpec]) -> str | None:
    """The best release so far, where that is neither the opponent nor the model itself: a new model is compared with it, too.

    A model that has been released since its evaluation keeps the one that it was evaluated with.
    """
    release, model = states.whole(ReleaseState, located), states.whole(ModelState, located)
    if release is None or model is None:
        return None
    if release.value.champion == model.value.version:
        evaluation = states.whole(EvaluationState, located)
        return evaluation.value.yardstick if evaluation and evaluation.value.version == model.value.version else None
    best = release.value.yardstick
    return None if best in (release.value.champion, model.value.version) else best


def expected(project: Project, states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of an evaluation: the model version, the rows, the measures, the opponents, and which views say that they are known early.

    Raises:
        NotPublished: there is no model.
    """
    model, training = states.whole(ModelState, located), states.whole(TrainingSetState, located)
    if model is None or training is None:
        raise NotPublished(f"{key_of('models', located)} has no model; materialise it first")
    champion, best, early = opponent(states, located), yardstick(states, located), _early_views(project, located)
    whole = fingerprint(
        "evaluation",
        CODE_VERSION,
        model.fingerprint,
        model.value.version,
        training.fingerprint,
        located.spec.evaluation,
        located.spec.gates,
        champion,
        *([best] if best else []),
        *([early] if early else []),
    )
    parts = {
        **made_of.code(CODE_VERSION),
        **made_of.keys(located.spec, ("evaluation", "gates")),
        **made_of.upstream(states, key_of("models", located), model.value.version),
        **made_of.upstream(states, key_of("training_sets", located)),
        **made_of.value("the champion to compare with", champion),
        **(made_of.value("the best release to compare with", best) if best else {}),
        **(made_of.value("views with known_delay: ignored", ", ".join(early)) if early else {}),
    }
    return Fingerprint(whole, parts)


def _early_views(project: Project, located: Located[WorkflowSpec]) -> list[str]:
    """The views among its features that have no event time and say of themselves that their tables' `known_delay` means nothing, which LL102 goes by."""
    said = {id_ for id_, view in project.views.items() if view.spec.event_time is None and view.spec.known_delay == "ignored"}
    if not said:
        return []
    columns = feature_columns(project, located)
    return sorted({f"{c.ref.domain}.{c.ref.name}" for c in columns if c.ref.kind == "view" and (c.ref.domain, c.ref.name) in said})


def asked(spec: WorkflowSpec) -> str:
    """The fingerprint of what is asked of every model: metrics, clusters, costs, gates."""
    return fingerprint("asked", spec.evaluation, spec.gates)


def evaluate_model(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Score the test window with the model, the champion and two baselines; judge the gates; write the report and its rows.

    What gates and checks find is evidence, not an error: a model that fails a gate is evaluated, and then not promoted.

    Raises:
        NotPublished: there is no model.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from platform_assets.stages.evaluation.question import evaluation_question

    states = platform.lake.states()
    fingerprint_now = expected(platform.project, states, located)
    before = states.whole(EvaluationState, located)
    if before and before.fingerprint == fingerprint_now:
        metadata = {"model_version": before.value.version}
        # An evaluation of an earlier release lacks the checks that have come since.
        later = {kind.name: ("not_applicable", "not looked at when this version was evaluated", "warning") for kind in KINDS.values()}
        return StageResult(fingerprint_now, fresh=True, rows=before.rows, checks={**later, **before.value.checks}, metadata=metadata)
    judged = _load_judged(platform, located, states)
    question = evaluation_question(platform, located, judged, states)
    assessment = assess(question)

    metrics = {value.name: value.value for value in assessment.values[CANDIDATE]}
    checks, gates = _judge(located.spec, metrics, assessment)
    now = datetime.now(UTC)
    facts = {SCORE: {v.name: format_metric(v) for v in assessment.values[CANDIDATE]}, **version_facts(located, judged)}
    previous = previous_facts(before.value if before else None, judged.version)
    report = evaluation_report(evaluation_subject(platform, located, judged, facts, previous, gates, now), question, assessment)
    shared = {
        "domain": located.domain, "workflow": located.spec.name, "version": judged.version, "window": judged.window, "at": now,
        "run_id": platform.run_id, "evaluation": str(fingerprint_now),
    }  # fmt: skip
    versions = {CHAMPION: judged.champion_version, BEST: judged.best.version if judged.best else None}
    write_tables(platform.lake, shared, located.spec.evaluation.primary, versions, assessment)
    crash_point("evaluation.reported")
    url = _log(platform, located, judged, metrics, assessment, report.pictures, render(report))
    record = _record(located, judged, question, assessment, checks, url, facts, previous)
    record_whole(platform, states, located, record, fingerprint_now, rows=record.rows)
    metadata = _metadata(located, judged, assessment, record, report.pictures)
    return StageResult(fingerprint_now, rows=record.rows, checks=checks, metadata=metadata)


def _load_judged(platform: Platform, located: Located[WorkflowSpec], states: States) -> Judged:
    """The published model and its opponent, loaded.

    Raises:
        NotPublished: the model is of another training set than the published one, or answers another question than the workflow asks.
    """
    model, training = states.required(ModelState, located), states.required(TrainingSetState, located)
    name, version, key = model.value.name, model.value.version, key_of("models", located)
    if training.version != model.value.training_set:
        raise NotPublished(
            f"{key} is of version {model.value.training_set} of {key_of('training_sets', located)}, version {training.version} is published now; "
            f"materialise {key} first"
        )
    loaded = load_version(platform, located, name, version)
    if loaded.answer != located.spec.answer:
        raise NotPublished(
            f"version {version} of {name} answers another question than {located.definition.file} asks now; materialise {key} first"
        )
    champion = opponent(states, located)
    rival = load_version(platform, located, name, champion) if champion else None
    wanted = yardstick(states, located)
    return Judged(training, model, loaded, rival, _load_best(platform, located, name, wanted) if wanted else None, wanted)


def _load_best(platform: Platform, located: Located[WorkflowSpec], name: str, version: str) -> ServableModel | None:
    """The best release so far, loaded; None, with a warning, where it is gone or can't be loaded any more."""
    from mlflow.exceptions import MlflowException

    try:
        return load_version(platform, located, name, version)
    except (MlflowException, LakeloopError, OSError) as error:
        platform.log.warning(f"{name} version {version}, the best release so far, can't be loaded, so nothing is compared with it: {error}")
        return None


def _judge(
    spec: WorkflowSpec, metrics: Mapping[str, float], assessment: Assessment
) -> tuple[dict[str, tuple[Any, ...]], dict[str, GateOutcome]]:
    """The outcomes of gates and model checks, by name, as they are kept; and the gates again, as the page shows them."""
    results = judge_gates(metrics, metric_gates(spec))
    checks: dict[str, tuple[Any, ...]] = {r.name: (r.outcome, r.message or r.wanted, r.severity, r.observed) for r in results}
    leaks = judge_leaks(assessment.checks, spec.gates)
    checks |= leaks | {check.kind.name: (check.outcome, check.message, "warning") for check in assessment.checks}
    shown = {r.name: GateOutcome(r.outcome, r.wanted, format_number(metrics.get(r.name, float("nan"))), r.severity) for r in results}
    shown |= {name: GateOutcome(outcome, "no leak", message, severity) for name, (outcome, message, severity, _) in leaks.items()}
    return checks, shown


def _log(
    platform: Platform,
    located: Located[WorkflowSpec],
    judged: Judged,
    metrics: Mapping[str, float],
    assessment: Assessment,
    pictures: Mapping[str, str],
    page: str,
) -> str:
    """Log scores, pictures and page to MLflow, attach the page to the model version, and return its address."""
    model, registry = judged.state.value, Registry(platform.settings.tracking_uri)
    with platform.tracking.run(platform, located.domain, located.spec.name) as run:
        run.log_metrics({f"test_{metric}": value for metric, value in metrics.items() if value == value})
        for title, picture in pictures.items():
            run.log_text(picture, f"evaluation/{title}.svg")
        run.log_text(markdown_table(_metric_rows(assessment.values)), "evaluation/metrics.md")
        run.log_text(page, ARTIFACT)
        url = report_url(platform.settings.tracking_uri, run.run_id)
        registry.attach_report(model.name, model.version, url, page, own_files=model.registered is None)
    if model.registered is None:
        # The run that made the version may have died in an evaluation; the version that it made is complete.
        registry.finish_run_of(model.name, model.version)
    return url


def _record(
    located: Located[WorkflowSpec],
    judged: Judged,
    question: Question,
    assessment: Assessment,
    checks: Checks,
    url: str,
    facts: Mapping[str, Any],
    previous: EarlierVersion | None,
) -> EvaluationState:
    """What is kept of an evaluation for the release, the summary and the next evaluation."""
    spec, values = located.spec, assessment.values
    comparison, skill = assessment.differences.get(CHAMPION), assessment.differences[spec.answer.kind.reference]
    best_comparison = assessment.differences.get(BEST)
    return EvaluationState(
        version=judged.version,
        name=judged.state.value.name,
        metrics={v.name: v.value for v in values[CANDIDATE]},
        intervals={v.name: (v.low, v.high) for v in values[CANDIDATE]},
        baselines={who: {v.name: v.value for v in listed} for who, listed in values.items() if who != CANDIDATE},
        champion=judged.champion_version,
        comparison=comparison.record() if comparison else None,
        incomparable=question.champion_note if judged.champion and CHAMPION not in question.test.scores else "",
        best=judged.best.version if judged.best and BEST in question.test.scores else None,
        best_comparison=best_comparison.record() if best_comparison else None,
        yardstick=judged.yardstick,
        skill=skill.record(),
        skills={who: {name: d.record() for name, d in by_metric.items()} for who, by_metric in assessment.baselines.items()},
        checks=checks,
        rows=len(question.test.y),
        window=judged.window,
        asked=asked(spec),
        static=spec.evaluation.static,
        greater_is_better=metrics_of(spec.answer)[spec.evaluation.primary].greater_is_better,
        report=url,
        facts=facts,
        previous=previous,
        voids=question.champion_leaks if question.champion_leaks and not leaks_of(assessment.checks) else None,
    )


def _metadata(
    located: Located[WorkflowSpec], judged: Judged, assessment: Assessment, record: EvaluationState, pictures: Mapping[str, str]
) -> dict[str, Any]:
    """What Dagster shows of an evaluation."""
    primary = located.spec.evaluation.primary
    checks = [{"check": c.kind.name, "outcome": c.outcome, "what was seen": c.message} for c in assessment.checks]
    return {
        "report": dg.MetadataValue.url(record.report),
        "model_version": record.version,
        "training_set_version": judged.training.version,
        primary: record.metrics[primary],
        "metrics": dg.MetadataValue.md(markdown_table(_metric_rows(assessment.values))),
        "model_checks": dg.MetadataValue.md(markdown_table(checks)),
        "slices": dg.MetadataValue.md(markdown_table([dict(row.items()) for row in assessment.slices[:50]])),
        "champion": record.champion or "none",
        **({"against_champion": dg.MetadataValue.json(dict(record.comparison))} if record.comparison else {}),
        "test_window": " to ".join(f"{datetime.fromisoformat(end):%Y-%m-%d %H:%M}" for end in judged.training.value.windows["test"]),
        "plots": figures(pictures),
    }


def _metric_rows(values: Mapping[str, list[MetricValue]]) -> list[dict[str, Any]]:
    """A row per metric: the value and interval of the model, the champion and the baselines."""
    by_metric = {who: {v.name: v for v in values[who]} for who in ORDER if who in values}

    def cell(who: str, metric: str) -> str:
        value = by_metric[who].get(metric)
        return "" if value is None else format_metric(value)

    return [{"metric": metric, **{who: cell(who, metric) for who in by_metric}} for metric in by_metric[CANDIDATE]]


def _checks(project: Project, located: Located[WorkflowSpec]) -> list[Check]:
    """A failed gate is an answer: it stops the promotion (in `releases`), not the run."""
    gates = metric_gates(located.spec).items()
    return [
        *(Check(name, False, f"gate on {name}: {gate.model_dump(exclude_none=True)}") for name, gate in gates),
        *([Check(LEAK_GATE, False, "no check of leaks found anything")] if LEAK_GATE in located.spec.gates else []),
        *(Check(kind.name, False, f"{kind.meaning} See {kind.anchor}", kind.text) for kind in KINDS.values()),
    ]


STAGE = Stage(
    name="evaluations",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: evaluate_model(platform, located),
    reads=lambda project, located: (key_of("models", located), key_of("training_sets", located)),
    expected=lambda world, located, _: expected(world.project, world.states, located),
    checks=_checks,
    describe=lambda _: (
        "How good the model version is on later time that it wasn't trained on, beside champion and baselines; the page `report` tells it all."
    ),
    kinds=lambda _: ("mlflow", "greatexpectations"),
)
