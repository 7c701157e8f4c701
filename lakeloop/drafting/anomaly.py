"""A workflow that looks for anomalies, drafted from a table: a view of inputs, a spine, the workflow; a label only judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.label_profile import LabelProfile, profile_features, profile_label, why_none
from lakeloop.drafting.workflow import LEAST_ROWS, WorkflowDraft, _Plan, asked_at
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
    """Draft a workflow.

    Args:
        table: the table whose rows are looked at.
        rows: its rows, in declared types.
        table_domain: domain of the table.
        name: of the workflow.
        label: a column that says of some rows whether they are anomalies; nothing is learnt from it.
        time: the column that says when a row is asked about; the table's event time unless given. Without either the table is static.
        positive: the value of the label that is an anomaly.
        pipeline: instead of `anomaly`.

    Raises:
        DataError: a column isn't there or can't be used so, or there are too few rows.
    """
    when = asked_at(table, rows, time)
    if len(rows) < LEAST_ROWS:
        raise DataError(f"{table.name} has {len(rows)} rows; wanted {LEAST_ROWS} at least to tell what is ordinary")
    nothing = LabelProfile(
        "anomaly_detection",
        "",
        ("label", Column(type="string")),
        np.zeros(len(rows)),
        "no label: anomalies are what is unlike the other rows",
    )
    judged = profile_label(rows, table.columns, label, task="binary_classification", positive=positive) if label else None
    features = profile_features(rows, table.columns, nothing, without={*table.keys, *([when] if when else [])}, labelled_by=label or "")
    plan = _AnomalyPlan(table, rows, f"{table_domain}.{table.name}", name, label or "", when, nothing, features, pipeline)
    if not plan.taken and not plan.calendar:
        raise DataError(f"no column of {table.name} can be an input: {why_none(table, features, when, label)}")
    files = {f"{name}_inputs/view.sql": plan.inputs_sql(), f"{name}_inputs/defs.yaml": plan.inputs_yaml()}
    if judged is not None:
        plan.judged = plan.what = judged
        files |= {f"{name}_outcomes/view.sql": plan.outcomes_sql(), f"{name}_outcomes/defs.yaml": plan.outcomes_yaml()}
    files |= {f"{name}/spine.sql": plan.spine_sql(), f"{name}/defs.yaml": plan.workflow_yaml()}
    told = f"{len(plan.taken) + len(plan.calendar)} inputs, {sum(not f.taken for f in features)} columns left out"
    return WorkflowDraft(files, [nothing.reason, told, *plan.notes])


class _AnomalyPlan(_Plan):
    """The plan of any workflow, but for what there is no label for."""

    judged: LabelProfile | None = None

    def _static_moment(self, place: str) -> tuple[str, str]:
        return place, ""

    def workflow_yaml(self) -> str:
        asked = f"asked at {self.when}" if self.when else "static: the order of the rows is a shuffled one, not time"
        label: list[str] = [
            to_comment(1, "label: {view: …, column: …} of rows that somebody has looked at would judge the model; it learns from none.")
        ]
        if self.judged is not None:
            label = [
                to_line(
                    1, "label", {"view": f"{self.name}_outcomes", "column": self.judged.column[0]}, "only judges: nothing is learnt from it"
                )
            ]
        planted = "of anomalies that are planted among the rows of the test window"
        lines = [
            to_comment(0, f"Drafted from {self.source}: rows that are unlike the others."),
            "type: platform_assets.components.MLWorkflow",
            "attributes:",
            to_line(1, "name", self.name),
            to_line(1, "description", f"Which rows of {self.table.name} are unlike the others ({asked})?"),
            to_line(1, "task", "anomaly_detection"),
            to_line(1, "spine", "spine.sql"),
            to_line(1, "keys", list(self.table.keys)),
            *label,
            "  features:",
            to_line(2, f"{self.name}_inputs", "*"),
            to_line(1, "model", {"pipeline": self.pipeline or PIPELINE}),
            to_line(1, "anomaly", {"alert_rate": ALERT_RATE}, "so many ordinary rows may be flagged: as many as somebody can look at"),
            to_line(1, "split", self.split, "windows of all rows, labelled or not"),
            to_line(1, "evaluation", self._evaluation("roc_auc"), "; ".join(filter(None, (planted, self.cluster_why)))),
            "  gates:",
            to_line(2, "roc_auc", {"min": 0.6}, "a coin has 0.5: raise it to what the model must be worth"),
            to_line(2, "champion", {"max_drop": 0.02}),
        ]
        if self.when and self.table.partitions:
            lines.append(to_line(1, "partitions", self._partitions()))
        lines += [to_line(1, "batch", {}), to_line(1, "online", {}), to_line(1, "retrain", {"causes": ["data"], "cooldown": "1d"})]
        return "\n".join(lines) + "\n"
