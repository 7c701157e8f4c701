"""Who and what an evaluation's report is about, beside what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        domain: that it belongs to.
        environment: where it was made.
        version: of the model.
        description: what the model is for, as the workflow says.
        owners: whom to ask.
        label: view and column.
        unit: of the label, if it has one.
        predict_at: the column of the moment that is asked about.
        fitted_rows: rows that it was fitted on.
        windows: name -> (from, to), in order of time.
        window_rows: labelled rows per window.
        inputs: table -> Delta version.
        training_set: its Delta version.
        features: name -> description.
        pipeline: what the model is, with its parameters.
        cluster: what may depend on each other, as the workflow says; None for rows.
        gates: the outcome per gate.
        champion: version that it is held against.
        margin: loss against it that is allowed; None without a champion gate.
        error_rate: of that gate.
        previous: version that `changes` are against.
        changes: since then.
        made_at: UTC.
        query: where the numbers are, as SQL.
        static: `predict_at` is no time, but a shuffled order of the rows.
        search: what the search found that its parameters come from, see `lakeloop.report.search.gain_section`.
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
    search: Mapping[str, Any] | None = None
    static: bool = False
