"""What the stages from the evaluation on record: evaluation, release, predictions, deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from lakeloop.records.base import CheckedState, Record
from lakeloop.records.features import FeatureSpec
from lakeloop.records.training import Citation


@dataclass(frozen=True)
class EarlierVersion(Record):
    """A version that was evaluated before, and what it was made of."""

    version: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class EvaluationState(CheckedState):
    """The evaluation of a model version.

    Attributes:
        version: that was evaluated.
        name: of the registered model.
        metrics: its metrics on the test rows.
        intervals: low and high of each.
        baselines: metrics of the champion and of the baselines, by who.
        champion: the version that it was compared with.
        comparison: the difference from the champion, see `lakeloop.metrics.table.Difference`; None without a comparison.
        incomparable: why the champion could not be compared, if so.
        best: the best release so far, where that is another version than the champion and it could be scored.
        best_comparison: the difference from it, as `comparison`; None where there were too few common rows.
        yardstick: the best release that it was to be compared with, whether or not it could be scored.
        skill: the difference from the reference, as `comparison`.
        skills: the differences from each baseline, by every metric that counts; None in states that didn't record them.
        checks: gates and model checks.
        rows: that were scored.
        window: the test window, `<start>/<end>`.
        asked: the fingerprint of what is asked of every model: metrics, clusters, costs, gates.
        static: whether the rows are of no later time than those that were fitted on.
        greater_is_better: of the primary metric.
        report: the address of its page.
        facts: what the version was made of; None in states that didn't record it.
        previous: the version that was evaluated before.
        voids: why the evidence of the champion is void, where this evaluation found it so; None where it didn't.
    """

    stage: ClassVar[str] = "evaluations"
    written_as_null: ClassVar[frozenset[str]] = frozenset({"champion", "comparison", "previous"})

    version: str
    name: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    champion: str | None = None
    comparison: Mapping[str, Any] | None = None
    incomparable: str = ""
    best: str | None = None
    best_comparison: Mapping[str, Any] | None = None
    yardstick: str | None = None
    skill: Mapping[str, Any] | None = None
    skills: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None
    rows: int = 0
    window: str = ""
    asked: str | None = None
    static: bool = False
    greater_is_better: bool = True
    report: str = ""
    facts: Mapping[str, Any] | None = None
    previous: EarlierVersion | None = None
    voids: str | None = None

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The state of some JSON values; see `Record.from_record`."""
        previous = values.get("previous")
        return replace(super().from_record(values), previous=EarlierVersion.from_record(previous) if previous else None)


@dataclass(frozen=True)
class Rollback(Record):
    """The champion before the live one, and the views that it cites."""

    version: str
    cites: Mapping[str, Citation] = field(default_factory=dict)

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The rollback of some JSON values; see `Record.from_record`."""
        return replace(super().from_record(values), cites=Citation.by_view(values.get("cites")))


@dataclass(frozen=True)
class Tuned(Record):
    """Parameters that a search found, and the fingerprint of the model that they are of, as its workflow declared it."""

    model: str
    params: Mapping[str, Any]


Action = Literal["rollback", "promote"]
"""What a person may order."""


@dataclass(frozen=True)
class Order(Record):
    """The order by which the champion became it, past the gates: who gave it, why, when (ISO 8601), and the champion before."""

    action: Action
    who: str
    reason: str
    at: str
    before: str | None = None


@dataclass(frozen=True)
class ReleaseState(CheckedState):
    """A decision on a model version.

    Attributes:
        champion: the version that is live after it; None where none is.
        name: of the registered model.
        candidate: the version that was decided on.
        action: what was decided.
        reason: why, as a sentence.
        decided_at: when (ISO 8601).
        checks: whether the candidate is the champion.
        feature_spec: what the champion looks up, whatever the workflow's definition says meanwhile; None where it isn't known.
        cites: the views that the champion was trained on.
        rollback: the champion before it.
        best: the best release so far, from which losses are counted: the last one that was shown to be better than the one before. None in
            states of releases before 0.4.0: the champion.
        tuned: the searched parameters that the champion was fitted with, and the model that they are of; None where nothing was searched, or
            in states of releases before 0.4.0.
        voided: versions whose evidence counts in no comparison, by why; None where there is none.
        ordered: by whom and why the champion was released, where it was by order; None where it passed its gates.
        withdrawn: versions that were rolled back, by why; None where there is none.
    """

    stage: ClassVar[str] = "releases"
    written_as_null: ClassVar[frozenset[str]] = frozenset({"feature_spec", "rollback"})

    champion: str | None
    name: str = ""
    candidate: str = ""
    action: str = ""
    reason: str = ""
    decided_at: str | None = None
    feature_spec: FeatureSpec | None = None
    cites: Mapping[str, Citation] = field(default_factory=dict)
    rollback: Rollback | None = None
    best: str | None = None
    tuned: Tuned | None = None
    voided: Mapping[str, str] | None = None
    ordered: Order | None = None
    withdrawn: Mapping[str, str] | None = None

    def barred(self, version: str) -> str:
        """Why a version is released by an order only; empty where its gates decide."""
        if version in (self.withdrawn or {}):
            return f"it was rolled back ({(self.withdrawn or {})[version]})"
        return f"its evidence is void ({(self.voided or {})[version]})" if version in (self.voided or {}) else ""

    @property
    def yardstick(self) -> str | None:
        """The version that losses are counted from: the best release, or the champion, whose evidence isn't void."""
        return next((version for version in (self.best, self.champion) if version and version not in (self.voided or {})), None)

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The state of some JSON values; see `Record.from_record`."""
        spec, rollback, tuned = values.get("feature_spec"), values.get("rollback"), values.get("tuned")
        ordered = values.get("ordered")
        return replace(
            super().from_record(values),
            feature_spec=FeatureSpec.from_record(spec) if spec else None,
            cites=Citation.by_view(values.get("cites")),
            rollback=Rollback.from_record(rollback) if rollback else None,
            tuned=Tuned.from_record(tuned) if tuned else None,
            ordered=Order.from_record(ordered) if ordered else None,
        )


@dataclass(frozen=True)
class PredictionState(CheckedState):
    """A partition of batch predictions: its checks, and the model version that made them."""

    stage: ClassVar[str] = "predictions"

    model_version: str


@dataclass(frozen=True)
class DeploymentState(CheckedState):
    """A version stated to be served: whether it is (`serving`, `nobody`, …), where, and the check that says so."""

    stage: ClassVar[str] = "deployments"

    version: str
    state: str
    address: str | None = None
