"""The subject of an evaluation's report: everything on the page except the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakeloop.records.training import SearchResult
from lakeloop.report.changes import Change


@dataclass(frozen=True)
class GateOutcome:
    """The outcome of one gate.

    Attributes:
        outcome: passed, failed or could_not_run.
        required: the bounds of the metric, in words.
        observed: the value of the metric, in words.
        severity: blocking, or warning, which stops nothing.
    """

    outcome: str
    required: str
    observed: str
    severity: str

    @property
    def is_passed(self) -> bool:
        """Whether the metric is within its bounds."""
        return self.outcome == "passed"

    @property
    def is_blocking(self) -> bool:
        """Whether the gate blocks the promotion when it isn't passed."""
        return self.severity == "blocking"


@dataclass(frozen=True)
class Subject:
    """What is reported on, as plain values.

    Attributes:
        name: of the workflow.
        domain: of the workflow.
        environment: in which the report is written.
        version: of the model.
        description: the purpose of the model, as the workflow declares it.
        owners: contacts.
        label: view and column.
        unit: of the label, if it has one.
        predict_at: the column with the time of the prediction.
        fitted_rows: the number of rows that the model was fitted on.
        windows: name -> (from, to), in order of time.
        window_rows: labelled rows per window.
        inputs: table -> Delta version.
        training_set: its Delta version.
        features: name -> description.
        pipeline: what the model is made from, with its parameters.
        cluster: within which rows may depend on each other, as the workflow declares it; None for independent rows.
        gates: the outcome per gate.
        champion: the version that the model is compared with.
        margin: the loss against it that is allowed; None without a champion gate.
        error_rate: of that gate.
        previous: the version that `changes` starts from.
        changes: since then.
        made_at: the time of the report, UTC.
        query: SQL that reads the figures.
        static: the rows have no time; `predict_at` is a shuffled order.
        search: the study that the parameters come from, see `lakeloop.report.search.gain_section`.
    """

    name: str
    domain: str
    environment: str
    version: str
    description: str
    owners: Sequence[str]
    label: str
    unit: str | None
    predict_at: str
    fitted_rows: int
    windows: Mapping[str, tuple[str, str]]
    window_rows: Mapping[str, int]
    inputs: Mapping[str, int]
    training_set: int
    features: Mapping[str, str]
    pipeline: str
    cluster: str | None
    gates: Mapping[str, GateOutcome]
    champion: str | None
    margin: float | None
    error_rate: float
    previous: str | None
    changes: Sequence[Change]
    made_at: str
    query: str
    search: SearchResult | None = None
    static: bool = False
