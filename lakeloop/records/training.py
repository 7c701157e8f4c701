"""What the stages up to a model record: training set, study, model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

from lakeloop.records.base import CheckedState, Record, StateRecord
from lakeloop.records.features import FeatureSpec


class Citation(NamedTuple):
    """A version of a view that a model was trained on, and the fingerprint of what its values mean; None where that wasn't recorded."""

    version: int
    meaning: str | None = None

    @staticmethod
    def by_view(values: Mapping[str, Any] | None) -> dict[str, Citation]:
        """Citations by view from JSON."""
        return {view: Citation(*cited) for view, cited in (values or {}).items()}


@dataclass(frozen=True)
class TrainingSetState(CheckedState):
    """A training set.

    Attributes:
        checks: of the batch.
        inputs: the Delta version that was read of each table, by its path.
        feature_spec: what was looked up.
        cites: the version of each view, by its path.
        windows: start and end of each window of the split (ISO 8601).
        rows: by split.
    """

    stage: ClassVar[str] = "training_sets"

    feature_spec: FeatureSpec
    inputs: Mapping[str, int] = field(default_factory=dict)
    cites: Mapping[str, Citation] = field(default_factory=dict)
    windows: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The state of some JSON values; see `Record.from_record`."""
        state = super().from_record(values)
        return replace(
            state,
            feature_spec=FeatureSpec.from_record(values["feature_spec"]),
            cites=Citation.by_view(values.get("cites")),
            windows={name: (str(start), str(end)) for name, (start, end) in values.get("windows", {}).items()},
        )


@dataclass(frozen=True)
class SearchResult(Record):
    """What a search found, as a model and its evaluation report it.

    Attributes:
        study: Optuna's name of it.
        metric: that was searched for.
        best: the best parameters.
        own: the model's own values of them.
        best_value: the metric with the best parameters, in cross-validation.
        counts: trials by how they ended.
        gain: see `lakeloop.search.gain.Gain`.
        used: the parameters that the model is fitted with: the best ones if they gained, else those that it had before. None in searches of
            releases before 0.4.0, which used the best.
    """

    study: str
    metric: str
    best: Mapping[str, Any]
    own: Mapping[str, Any]
    best_value: float
    counts: Mapping[str, int]
    gain: Mapping[str, Any]
    used: Mapping[str, Any] | None = field(default=None, kw_only=True)

    @property
    def taken(self) -> Mapping[str, Any]:
        """The parameters that the model is fitted with."""
        return self.best if self.used is None else self.used


@dataclass(frozen=True)
class StudyState(SearchResult, StateRecord):
    """A finished search.

    Attributes:
        best_trial: its number.
        seconds: of all trials together.
        training_set: the Delta version that was searched on.
        trials: the numbers of those that have a row in `reports/trials`.
    """

    stage: ClassVar[str] = "studies"

    best_trial: int
    seconds: float
    training_set: int
    trials: tuple[int, ...] = ()

    @property
    def result(self) -> SearchResult:
        """The part that a model keeps."""
        return SearchResult(**{each.name: getattr(self, each.name) for each in fields(SearchResult)})


@dataclass(frozen=True)
class TakenModel(Record):
    """A model registered elsewhere that a workflow takes: its name, its version, and until when it was trained, if anybody knows."""

    name: str
    version: str
    trained_until: str | None = None


@dataclass(frozen=True)
class ModelState(StateRecord):
    """A registered model version.

    Attributes:
        name: of the registered model.
        version: of it.
        mlflow_run_id: of the run that made it.
        training_set: the Delta version that it was trained on.
        features: its inputs, in order.
        starts_from: the champion at the time, which the fingerprint cites; only under a warm start.
        training: how it was trained, as a sentence; only under a warm start.
        continued_from: the version whose trees it continues.
        search: what its search found.
        registered: the model elsewhere that it refers to.
    """

    stage: ClassVar[str] = "models"

    name: str
    version: str
    mlflow_run_id: str
    training_set: int
    features: tuple[str, ...]
    starts_from: str | None = None
    training: str | None = None
    continued_from: str | None = None
    search: SearchResult | None = None
    registered: TakenModel | None = None

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The state of some JSON values; see `Record.from_record`."""
        search, registered = values.get("search"), values.get("registered")
        return replace(
            super().from_record(values),
            search=SearchResult.from_record(search) if search else None,
            registered=TakenModel.from_record(registered) if registered else None,
        )
