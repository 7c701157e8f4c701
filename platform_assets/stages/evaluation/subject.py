"""What the page of an evaluation tells beside what was found: the version, what it was made of, and what that was made of before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakeloop.evaluation.decisions import CHAMPION_GATE, ERROR_RATE
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.model_code import reference_of
from platform_assets.stages.base import Platform
from platform_assets.stages.training.rows import SEARCH, model_of
from resources.lake.published import PartitionState

if TYPE_CHECKING:
    from lakeloop.project.project import Located
    from lakeloop.report.subject import GateOutcome, Subject

SCORE = "score"
"""Among the facts of a version: what it scored on its own test window."""


def evaluation_subject(
    platform: Platform,
    located: Located[WorkflowSpec],
    training: PartitionState,
    model: PartitionState,
    version: str,
    champion: str | None,
    facts: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    gates: Mapping[str, GateOutcome],
    now: datetime,
) -> Subject:
    """What the page tells beside what was found."""
    from lakeloop.project.project import feature_columns, label_view
    from lakeloop.report.changes import compare_facts
    from lakeloop.report.subject import Subject

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
        static=spec.evaluation.static,
        gates=gates,
        champion=champion,
        margin=bound.max_drop if bound else None,
        error_rate=(bound.error_rate if bound else None) or ERROR_RATE,
        previous=previous["version"] if previous else None,
        changes=compare_facts(previous["facts"], facts) if previous else (),
        made_at=f"{now:%Y-%m-%d %H:%M} UTC",
        search=model.value.get(SEARCH),
        query=f"SELECT * FROM reports.metrics WHERE {where}; likewise slices, comparisons, importance, calibration, thresholds, over_time, "
        f"weak_slices and model_checks{own}.",
    )


def version_facts(located: Located[WorkflowSpec], training: PartitionState, model: PartitionState) -> dict[str, Any]:
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


def previous_facts(done: PartitionState | None, version: str) -> dict[str, Any] | None:
    """Version and facts of the version that was evaluated before this one."""
    if done is None or "facts" not in done.value:
        return None
    if done.value["version"] == version:
        return done.value.get("previous")
    return {"version": done.value["version"], "facts": done.value["facts"]}


def _probabilities(spec: WorkflowSpec) -> str:
    """What was done to the probabilities, as the end of a sentence."""
    if spec.model.calibrate:
        method = "isotonic regression" if spec.model.calibrate == "isotonic" else "a sigmoid"
        return f", calibrated by {method} on the newest fifth of the rows to fit on"
    if spec.model.params.get("class_weight"):
        return "; under class weights its probabilities are not how often something happens (calibrate puts them right)"
    return ""
