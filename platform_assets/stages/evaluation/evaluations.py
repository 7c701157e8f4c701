"""evaluations: how good a model version is on later time that it wasn't trained on, beside baselines and the champion.

What is found is computed by `lakeloop.evaluation.assessment` and told by `lakeloop.report.evaluation`; its numbers are rows of `reports/*`, its page hangs
on the MLflow model version. The gates are Great Expectations on the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import NotPublished
from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.evaluation.decisions import CHAMPION_GATE
from lakeloop.fingerprint import fingerprint
from lakeloop.project.project import Located, Project
from lakeloop.spec.workflow import Gate, WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.evaluation.question import evaluation_question
from platform_assets.stages.evaluation.subject import SCORE, evaluation_subject, previous_facts, version_facts
from platform_assets.stages.metadata import figures, markdown_table
from platform_assets.stages.stage import Check, Stage
from resources.host.crash_points import crash_point
from resources.lake.published import WHOLE, PartitionState, States

if TYPE_CHECKING:
    from lakeloop.evaluation.assessment import Assessment
    from lakeloop.metrics.table import MetricValue
    from lakeloop.project.project import Located
    from lakeloop.report.subject import GateOutcome

CODE_VERSION = "3"


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
    from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, assess
    from lakeloop.metrics.table import metrics_of
    from lakeloop.metrics.wording import format_metric as interval_of
    from lakeloop.report.evaluation import evaluation_report
    from lakeloop.report.page import render
    from platform_assets.stages.evaluation.tables import write_tables
    from resources.tracking.model_format import load_model

    spec, key = located.spec, key_of("evaluations", located)
    states = platform.lake.states()
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
    question = evaluation_question(platform, located, model, rival, states)
    found = assess(question)

    own = {value.name: value.value for value in found.values[CANDIDATE]}
    checks, gates = _judged(spec, own, found)
    now = datetime.now(UTC)
    window = "/".join(training.value["windows"]["test"])
    facts = {SCORE: {value.name: interval_of(value) for value in found.values[CANDIDATE]}, **version_facts(located, training, model_state)}
    previous = previous_facts(done, version)
    subject = evaluation_subject(platform, located, training, model_state, version, champion, facts, previous, gates, now)
    report = evaluation_report(subject, question, found)
    page = render(report)
    shared = {
        "domain": located.domain, "workflow": spec.name, "version": version, "window": window, "at": now, "run_id": platform.run_id,
        "evaluation": wanted,
    }  # fmt: skip
    write_tables(platform.lake, shared, primary, champion, found)
    crash_point("evaluation.reported")

    pictures = report.pictures
    url = _logged(platform, located, model_state.value, own, found, pictures, page)
    comparison, skill = found.differences.get(CHAMPION), found.differences[spec.answer.kind.reference]
    value = {
        "version": version,
        "name": name,
        "metrics": own,
        "intervals": {v.name: [v.low, v.high] for v in found.values[CANDIDATE]},
        "baselines": {who: {v.name: v.value for v in listed} for who, listed in found.values.items() if who != CANDIDATE},
        "champion": champion,
        "comparison": comparison.record() if comparison else None,
        "incomparable": question.champion_note if rival and CHAMPION not in question.test.scores else "",
        "skill": skill.record(),
        "checks": checks,
        "rows": len(question.test.y),
        "window": window,
        "asked": asked(spec),
        "static": spec.evaluation.static,
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


def _judged(spec: WorkflowSpec, own: Mapping[str, float], found: Assessment) -> tuple[dict[str, list[Any]], dict[str, GateOutcome]]:
    """The outcomes of gates and model checks, by name, as they are kept; and the gates again, as the page tells them."""
    from lakeloop.metrics.wording import format_number
    from lakeloop.report.subject import GateOutcome
    from resources.quality import judge_gates

    results = judge_gates(own, metric_gates(spec))
    checks: dict[str, list[Any]] = {r.name: [r.outcome, r.message or r.wanted, r.severity, r.observed] for r in results}
    checks |= {check.kind.name: [check.outcome, check.message, "warning"] for check in found.checks}
    return checks, {r.name: GateOutcome(r.outcome, r.wanted, format_number(own.get(r.name, float("nan"))), r.severity) for r in results}


def _logged(
    platform: Platform,
    located: Located[WorkflowSpec],
    model: Mapping[str, Any],
    own: Mapping[str, float],
    found: Assessment,
    pictures: Mapping[str, str],
    page: str,
) -> str:
    """Log scores, pictures and page to MLflow, hang the page on the model version, and give its address."""
    from resources.tracking.registry import Registry
    from resources.tracking.report_page import ARTIFACT, report_url

    name, version, registry = model["name"], model["version"], Registry(platform.settings.tracking_uri)
    with platform.tracking.run(platform, located.domain, located.spec.name) as run:
        run.log_metrics({f"test_{metric}": value for metric, value in own.items() if value == value})
        for title, picture in pictures.items():
            run.log_text(picture, f"evaluation/{title}.svg")
        run.log_text(markdown_table(_metric_rows(found.values)), "evaluation/metrics.md")
        run.log_text(page, ARTIFACT)
        url = report_url(platform.settings.tracking_uri, run.run_id)
        registry.attach_report(name, version, url, page, own_files="registered" not in model)
    if "registered" not in model:
        # The run that made the version may have died in an evaluation; what it was there for stands.
        registry.finish_run_of(name, version)
    return url


def _metric_rows(values: Mapping[str, list[MetricValue]]) -> list[dict[str, Any]]:
    from lakeloop.evaluation.assessment import ORDER
    from lakeloop.metrics.wording import format_metric as interval_of

    order = [who for who in ORDER if who in values]
    named = {who: {v.name: v for v in values[who]} for who in order}
    rows = []
    for metric in named["candidate"]:
        row: dict[str, Any] = {"metric": metric}
        for who in order:
            v = named[who].get(metric)
            row[who] = "" if v is None else interval_of(v)
        rows.append(row)
    return rows


def _checks(project: Project, located: Located[WorkflowSpec]) -> list[Check]:
    """A failed gate is an answer: it stops the promotion (in `releases`), not the run."""
    gates = metric_gates(located.spec).items()
    return [
        *(Check(name, False, f"gate on {name}: {gate.model_dump(exclude_none=True)}") for name, gate in gates),
        *(Check(kind.name, False, f"{kind.meaning} See {kind.anchor}", kind.text) for kind in KINDS.values()),
    ]


STAGE = Stage(
    name="evaluations",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: evaluate_model(platform, located),
    reads=lambda project, located: (key_of("models", located), key_of("training_sets", located)),
    expected=lambda world, located, _: expected(world.states, located),
    checks=_checks,
    describe=lambda _: (
        "How good the model version is on later time that it wasn't trained on, beside champion and baselines; the page `report` tells it all."
    ),
    kinds=lambda _: ("mlflow", "greatexpectations"),
)
