"""What the page of an evaluation tells beside what was found: the version, what it was made of, and what that was made of before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakeloop.evaluation.decisions import CHAMPION_GATE, ERROR_RATE
from lakeloop.project.project import Located, feature_columns, label_view
from lakeloop.records.release import EarlierVersion, EvaluationState
from lakeloop.records.training import ModelState, TrainingSetState
from lakeloop.report.changes import compare_facts
from lakeloop.report.subject import GateOutcome, Subject
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.model_code import reference_of
from platform_assets.stages.base import Platform
from platform_assets.stages.training.rows import model_of
from resources.lake.published import PartitionState

if TYPE_CHECKING:
    from resources.tracking.model_format import ServableModel

SCORE = "score"
"""Among the facts of a version: what it scored on its own test window."""


@dataclass(frozen=True)
class Judged:
    """The model version that an evaluation judges, and what it is judged with.

    Attributes:
        training: the training set, published.
        state: the model's own state.
        model: the model, loaded.
        champion: the version that it is compared with, loaded; None without one.
        best: the best release so far, loaded, where it is another version and can be loaded.
        yardstick: the version of that one, whether or not it can be loaded.
    """

    training: PartitionState[TrainingSetState]
    state: PartitionState[ModelState]
    model: ServableModel
    champion: ServableModel | None
    best: ServableModel | None = None
    yardstick: str | None = None

    @property
    def version(self) -> str:
        """That is judged."""
        return self.state.value.version

    @property
    def champion_version(self) -> str | None:
        """That it is compared with."""
        return self.champion.version if self.champion else None

    @property
    def window(self) -> str:
        """The test window, `<start>/<end>`."""
        return "/".join(self.training.value.windows["test"])


def evaluation_subject(
    platform: Platform,
    located: Located[WorkflowSpec],
    judged: Judged,
    facts: Mapping[str, Any],
    previous: EarlierVersion | None,
    gates: Mapping[str, GateOutcome],
    now: datetime,
) -> Subject:
    """What the page says beside what was found."""
    spec, model, training = located.spec, judged.state, judged.training
    bound = spec.gates.get(CHAMPION_GATE)
    columns = feature_columns(platform.project, located)
    descriptions = {c.output: " ".join(filter(None, [c.description, f"[{c.unit}]" if c.unit else ""])) for c in columns}
    view = label_view(platform.project, located)
    label = view.spec.columns.get(spec.label.column) if view and spec.label else None
    return Subject(
        name=spec.name,
        domain=located.domain,
        environment=platform.settings.environment,
        version=judged.version,
        description=spec.description,
        owners=spec.owners,
        label=f"{spec.label.view}.{spec.label.column}" if spec.label else "none: nothing says which rows are anomalies",
        unit=label.unit if label else None,
        predict_at=spec.predict_at,
        fitted_rows=model.rows,
        windows=training.value.windows,
        window_rows=training.value.rows,
        inputs=training.value.inputs,
        training_set=training.version,
        features={name: descriptions.get(name, "") for name in model.value.features},
        pipeline=_pipeline(located, model),
        cluster=spec.evaluation.cluster or (" and ".join(spec.split.group) if spec.split.group else None),
        static=spec.evaluation.static,
        gates=gates,
        champion=judged.champion_version,
        margin=bound.max_drop if bound else None,
        error_rate=(bound.error_rate if bound else None) or ERROR_RATE,
        previous=previous.version if previous else None,
        changes=compare_facts(previous.facts, facts) if previous else (),
        made_at=f"{now:%Y-%m-%d %H:%M} UTC",
        search=model.value.search,
        query=_query(located, judged.version),
    )


def _pipeline(located: Located[WorkflowSpec], model: PartitionState[ModelState]) -> str:
    """What the model is, with its parameters, how it was trained and what was done to its probabilities."""
    taken = model.value.registered
    name = f"{taken.name} version {taken.version}, registered elsewhere" if taken else reference_of(located.spec.model)[1]
    params = ", ".join(f"{parameter} {value}" for parameter, value in model_of(located, model).params.items())
    training = f"; {model.value.training}" if model.value.training else ""
    return f"{name}{f' ({params})' if params else ''}{training}{_probabilities(located.spec)}"


def _query(located: Located[WorkflowSpec], version: str) -> str:
    """Where the numbers of the page are, as SQL."""
    answer = located.spec.answer
    own = "; classes and confusion" if answer.classes else "; coverage" if answer.quantiles else ""
    where = f"domain = '{located.domain}' AND workflow = '{located.spec.name}' AND version = '{version}'"
    return (
        f'lakeloop sql "SELECT * FROM reports.metrics WHERE {where}"; likewise slices, comparisons, importance, calibration, thresholds, over_time, '
        f"weak_slices and model_checks{own}."
    )


def version_facts(located: Located[WorkflowSpec], judged: Judged) -> dict[str, Any]:
    """What a version was made of, to be compared with the next one."""
    spec, model, training = located.spec, judged.state.value, judged.training
    version = {"version": model.registered.version} if model.registered else {}
    return {
        "training set": training.version,
        **({"training": model.training} if model.training else {}),
        "rows fitted": judged.state.rows if model.registered is None else "elsewhere",
        "windows": {name: f"{start[:16]} to {end[:16]}" for name, (start, end) in training.value.windows.items()},
        "features": list(model.features),
        "model": {
            **dict([reference_of(spec.model)]),
            **version,
            "seed": spec.model.seed,
            **({"calibrate": spec.model.calibrate} if spec.model.calibrate else {}),
            **model_of(located, judged.state).params,
        },
        "read from": dict(training.value.inputs),
    }


def previous_facts(before: EvaluationState | None, version: str) -> EarlierVersion | None:
    """Version and facts of the version that was evaluated before this one."""
    if before is None or before.facts is None:
        return None
    return before.previous if before.version == version else EarlierVersion(before.version, before.facts)


def _probabilities(spec: WorkflowSpec) -> str:
    """What was done to the probabilities, as the end of a sentence."""
    if spec.model.calibrate:
        method = "isotonic regression" if spec.model.calibrate == "isotonic" else "a sigmoid"
        return f", calibrated by {method} on the newest fifth of the rows to fit on"
    if spec.model.params.get("class_weight"):
        return "; under class weights its probabilities are not how often something happens (calibrate puts them right)"
    return ""
