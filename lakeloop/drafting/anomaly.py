"""A workflow that detects anomalies, drafted from a table: a view of inputs, a spine, the workflow; a label is used only for evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.label_profile import LabelProfile, profile_features, profile_label
from lakeloop.drafting.workflow import LEAST_ROWS, WorkflowDraft, WorkflowPlan, prediction_time
from lakeloop.errors import DataError
from lakeloop.spec.tables import Column, TableSpec
from lakeloop.yaml_text import to_comment, to_line

if TYPE_CHECKING:
    import pyarrow as pa

PIPELINE = "anomaly"
ALERT_RATE = 0.01


def draft_anomaly(
    table: TableSpec,
    rows: pa.Table,
    *,
    table_domain: str,
    name: str,
    label: str | None = None,
    time: str | None = None,
    positive: str | None = None,
    pipeline: str | None = None,
) -> WorkflowDraft:
    """Draft a workflow that detects anomalies.

    Args:
        table: the table whose rows are scored.
        rows: its rows, in declared types.
        table_domain: domain of the table.
        name: of the workflow.
        label: a column that tells for some rows whether they are anomalies; it isn't used for training.
        time: the column of the time of the prediction; the table's event time by default. Without either the table is static.
        positive: the value of the label that is an anomaly.
        pipeline: instead of `anomaly`.

    Raises:
        DataError: a column doesn't exist or doesn't fit, or there are too few rows.
    """
    when = prediction_time(table, rows, time)
    if len(rows) < LEAST_ROWS:
        raise DataError(f"{table.name} has {len(rows)} rows; wanted at least {LEAST_ROWS} to learn what is ordinary")
    no_label = LabelProfile(
        "anomaly_detection",
        "",
        ("label", Column(type="string")),
        np.zeros(len(rows)),
        "no label: anomalies are rows that are unlike the others",
    )
    outcome = profile_label(rows, table.columns, label, task="binary_classification", positive=positive) if label else None
    features = profile_features(rows, table.columns, no_label, without={*table.keys, *([when] if when else [])}, labelled_by=label or "")
    plan = _AnomalyPlan(table, rows, f"{table_domain}.{table.name}", name, label or "", when, no_label, features, pipeline)
    if outcome is not None:
        plan.outcome = plan.profile = outcome
    return WorkflowDraft(plan.files(), [no_label.reason, plan.summary(), *plan.notes])


class _AnomalyPlan(WorkflowPlan):
    """The plan of a workflow whose label, if there is one, is used only for evaluation."""

    outcome: LabelProfile | None = None

    def _outcome_files(self) -> dict[str, str]:
        return super()._outcome_files() if self.outcome else {}

    def _why(self) -> str:
        """Why no pipeline was compared with another."""
        if self.pipeline:
            return "as requested"
        if self.outcome is not None:
            return "not compared with linear: the label judges the evaluation alone; draft with --pipeline linear to evaluate the other"
        return "not compared with linear: without labels nothing says which of the two is right"

    def _static_moment(self, position: str) -> tuple[str, str]:
        return position, ""

    def workflow_yaml(self) -> str:
        when = f"asked at {self.when}" if self.when else "static: rows have no time, so their order is shuffled"
        label: list[str] = [
            to_comment(1, "label: {view: …, column: …} of rows that somebody has reviewed adds metrics; the model isn't trained on it.")
        ]
        if self.outcome is not None:
            label = [
                to_line(
                    1, "label", {"view": f"{self.name}_outcomes", "column": self.outcome.column[0]}, "for evaluation only, not for training"
                )
            ]
        planted = "with anomalies that are planted among the rows of the test window"
        lines = [
            to_comment(0, f"Drafted from {self.source}: rows that are unlike the others."),
            "type: platform_assets.components.MLWorkflow",
            "attributes:",
            to_line(1, "name", self.name),
            to_line(1, "description", f"Which rows of {self.table.name} are unlike the others ({when})?"),
            to_line(1, "task", "anomaly_detection"),
            to_line(1, "spine", "spine.sql"),
            to_line(1, "keys", list(self.table.keys)),
            *label,
            "  features:",
            to_line(2, f"{self.name}_inputs", "*"),
            to_line(1, "model", {"pipeline": self.pipeline or PIPELINE}, self._why()),
            to_line(1, "anomaly", {"alert_rate": ALERT_RATE}, "the share of ordinary rows to flag: as many as somebody can review"),
            to_line(1, "split", self.split, "windows of all rows, labelled or not"),
            to_line(1, "evaluation", self._evaluation("roc_auc"), "; ".join(filter(None, (planted, self.cluster_reason)))),
            "  gates:",
            to_line(2, "roc_auc", {"min": 0.6}, "guessing has 0.5: raise it to the least that is useful"),
            to_line(2, "champion", {"max_drop": 0.02}),
        ]
        if self.when and self.table.partitions:
            lines.append(to_line(1, "partitions", self._partitions()))
        lines += [to_line(1, "batch", {}), to_line(1, "online", {}), to_line(1, "retrain", {"causes": ["data"], "cooldown": "1d"})]
        return "\n".join(lines) + "\n"
