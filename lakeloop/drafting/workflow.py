"""A workflow drafted from a table: a view of the inputs, one of the label and perhaps one of its history, a spine, and the workflow itself."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.drafting.cluster import day_cluster
from lakeloop.drafting.groups import find_group
from lakeloop.drafting.label_profile import (
    MOST_CATEGORIES,
    Feature,
    LabelProfile,
    exclusion_reasons,
    find_known_time,
    moments_of,
    profile_features,
    profile_label,
)
from lakeloop.drafting.made_of import without_what_made_it
from lakeloop.drafting.models.gates import draft_gates
from lakeloop.drafting.models.pipeline_choice import choose_pipeline, trial_rows
from lakeloop.drafting.row_order import RowOrder, find_row_order
from lakeloop.drafting.sql import select, sql_name
from lakeloop.errors import DataError, nearest
from lakeloop.evaluation.decisions import LEAK_GATE
from lakeloop.spec.clocks import to_local
from lakeloop.spec.steps import local_sql
from lakeloop.spec.tables import Column, TableSpec, render_duration
from lakeloop.spec.tasks import QUANTILES, TASKS, Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.pipelines import check_model
from lakeloop.yaml_text import column_fields, to_comment, to_line

if TYPE_CHECKING:
    import pyarrow as pa

STATIC_DAYS = 100
"""Rows of a table without times are spread over this many days in a fixed, shuffled order, so that a day is one row in a hundred."""
ORDERED_SECONDS = 3_600
"""Rows without times that stand in the order of time are an hour apart: a day of the windows is 24 rows."""
_EPOCH = 946_684_800
"""2000-01-01 00:00 UTC, in seconds: the first of those days."""
STATIC_WORDS = "static: rows have no time, so their order is shuffled and no change over time is measured"
TEST_SHARE = 0.2
FEW_ROWS, MANY_ROWS = 2_000, 20_000
"""With fewer rows than the first, where pipelines can't be compared, a linear model is drafted; from the second on trees have their default leaves."""
LEAST_ROWS = 50
"""Labelled rows that a workflow needs."""


@dataclass(frozen=True)
class WorkflowDraft:
    """Files by path below the domain's folder, and notes for the person who drafts."""

    files: dict[str, str]
    notes: list[str]


def draft_workflow(
    table: TableSpec,
    rows: pa.Table,
    *,
    table_domain: str,
    name: str,
    label: str,
    time: str | None = None,
    task: str | None = None,
    positive: str | None = None,
    pipeline: str | None = None,
    shuffled: bool = False,
) -> WorkflowDraft:
    """Draft a workflow that predicts a label.

    Args:
        table: the table that holds label and features.
        rows: its rows, in declared types.
        table_domain: domain of the table.
        name: of the workflow.
        label: the column to predict.
        time: the column of the time of the prediction; the table's event time by default. Without either the table is static.
        task: instead of a guess.
        positive: the value of the label that counts as 1.
        pipeline: instead of the one that suits task and number of rows.
        shuffled: rows without times are drawn at random, though they may stand in the order of time.

    Raises:
        DataError: a column doesn't exist or doesn't fit, or there are too few rows.
    """
    when = prediction_time(table, rows, time)
    if label in table.keys:
        raise DataError(f"label: {label} is a key of {table.name}; wanted a column that isn't known beforehand")
    profile = profile_label(rows, table.columns, label, task=task, positive=positive)
    labelled = int((~np.isnan(profile.values)).sum())
    if labelled < LEAST_ROWS:
        raise DataError(f"label: {label} is known in {labelled} rows; wanted at least {LEAST_ROWS} for training and evaluation")
    features = profile_features(rows, table.columns, profile, without={*table.keys, *([when] if when else [])}, labelled_by=label)
    features = without_what_made_it(features, rows, profile, labelled_by=label)
    if pipeline is not None:
        check_model(Model(pipeline=pipeline), profile.task)
    order = None if when or shuffled else find_row_order(table, rows)
    plan = WorkflowPlan(table, rows, f"{table_domain}.{table.name}", name, label, when, profile, features, pipeline, order)
    suspicious = [f"{f.name}: {f.note}" for f in features if any(how in f.note for how in ("by itself", "by its absence", "together with"))]
    return WorkflowDraft(plan.files(), [profile.reason, plan.summary(), *plan.notes, *suspicious])


def prediction_time(table: TableSpec, rows: pa.Table, time: str | None) -> str | None:
    """The column of the time of the prediction: the one that is named, or the table's event time; None for a static table.

    Raises:
        DataError: there is no such column, it is no time, or some rows have no value.
    """
    when = time or table.event_time
    if when is None:
        return None
    if when not in table.columns:
        raise DataError(f"time: no column {when!r}; {nearest(when, table.columns)}")
    if table.columns[when].type not in ("date", "timestamp"):
        raise DataError(f"time: wanted a timestamp or date, {when} is a {table.columns[when].type}")
    if rows[when].null_count:
        raise DataError(f"time: {when} is missing in {rows[when].null_count} of {len(rows)} rows, so they could not be predicted")
    return when


class WorkflowPlan:
    """The decisions that the files of a workflow share, and their texts.

    Raises:
        DataError: no column can be an input, or all labelled rows have the same time.
    """

    def __init__(
        self,
        table: TableSpec,
        rows: pa.Table,
        source: str,
        name: str,
        label: str,
        when: str | None,
        profile: LabelProfile,
        features: Sequence[Feature],
        pipeline: str | None = None,
        order: RowOrder | None = None,
    ) -> None:
        self.pipeline, self.order = pipeline, order
        self.table, self.rows, self.source, self.name, self.label, self.when, self.profile = table, rows, source, name, label, when, profile
        self.task = profile.task
        self.group = find_group(table, rows, profile, without={label, *([when] if when else [])}, in_time=self._is_in_time)
        self.inputs = [f for f in features if f.is_used and f.name != self.group.column]
        self.left_out = [f for f in features if not f.is_used and f.name != self.group.column]
        self.notes: list[str] = [note for note in (self.group.reason, *self.group.notes) if note]
        if order is not None:
            self.notes.append(
                f"rows stand in the order of time ({order.reason}): the newest fifth is the test; "
                "where they don't depend on each other, draft with --shuffled true"
            )
        self.entity = [key for key in table.keys if key != when] if when in table.keys else []
        if self._known_late():
            self.notes.append(f"{self._known_late()}: known_delay: ignored (until then lakeloop check refuses the workflow)")
        self.derived = [*self._group_inputs(), *self._calendar_inputs()]
        if not self.inputs and not self.derived:
            raise DataError(f"no column of {table.name} can be an input: {exclusion_reasons(table, features, when, label or None)}")
        self.delay, self.known_at, self.known_reason = (
            find_known_time(rows, table.columns, when, profile.values) if when else (timedelta(0), None, "")
        )
        self.cluster, self.cluster_reason = dict[str, str](), ""
        self.trained_until: np.datetime64 | None = None
        self.split, self.split_reason = self._choose_split()
        self.has_history = (
            bool(self.entity) and profile.column[1].type != "string" and len(rows) >= 2 * len(rows.group_by(self.entity).aggregate([]))
        )

    @property
    def _is_in_time(self) -> bool:
        """Whether rows have a time, or an order that stands for it."""
        return self.when is not None or self.order is not None

    def _moments(self) -> np.ndarray | None:
        """When each row is asked, or its place in the order of rows as a time; None where rows have neither."""
        if self.when is not None:
            return moments_of(self.rows, self.when)
        if self.order is None:
            return None
        return np.asarray(np.datetime64(_EPOCH, "s") + self.rows[self.order.column].to_numpy().astype("timedelta64[s]") * ORDERED_SECONDS)

    def files(self) -> dict[str, str]:
        """The text of every file, by path below the domain's folder."""
        texts = {f"{self.name}_inputs/view.sql": self.inputs_sql(), f"{self.name}_inputs/defs.yaml": self.inputs_yaml()}
        texts |= self._outcome_files()
        if self.has_history:
            texts |= {f"{self.name}_history/view.sql": self.history_sql(), f"{self.name}_history/defs.yaml": self.history_yaml()}
        return texts | {f"{self.name}/spine.sql": self.spine_sql(), f"{self.name}/defs.yaml": self.workflow_yaml()}

    def _outcome_files(self) -> dict[str, str]:
        return {f"{self.name}_outcomes/view.sql": self.outcomes_sql(), f"{self.name}_outcomes/defs.yaml": self.outcomes_yaml()}

    def summary(self) -> str:
        """The numbers of inputs and of columns left out, in words."""
        inputs = len(self.inputs) + len(self.derived) + self.has_history
        return f"{inputs} {'input' if inputs == 1 else 'inputs'}, {len(self.left_out)} {'column' if len(self.left_out) == 1 else 'columns'} left out"

    # Views

    def inputs_sql(self) -> str:
        moment = f"at {self.when}" if self.when else "when it is asked"
        remarks = [f"What a row of {self.source} says of itself. All of it is taken as known {moment}: take out what is filled in later."]
        remarks += [f"Left out: {f.name}: {f.note}." for f in self.left_out]
        selected = [(sql_name(key), "") for key in self.table.keys]
        selected += [(f"{expression} AS {name}", "") for name, expression, _ in self.derived]
        selected += [(sql_name(f.name), f.note) for f in self.inputs]
        return select(selected, self.source, remarks=remarks)

    def inputs_yaml(self) -> str:
        lines = [
            "type: platform_assets.components.FeatureView",
            "attributes:",
            to_line(1, "name", f"{self.name}_inputs"),
            to_line(1, "description", f"The inputs of {self.name}: a row of {self.table.name} at its prediction."),
            to_line(1, "sql", "view.sql"),
            to_line(1, "keys", list(self.table.keys)),
            to_comment(1, "No event time: the values of a row at its prediction belong to it, and are looked up by its key."),
            *([to_comment(1, f"{self._known_late()}: known_delay: ignored")] if self._known_late() else []),
            "  columns:",
        ]
        lines += [to_line(2, name, column_fields(column.model_dump())) for name, _, column in self.derived]
        lines += [to_line(2, f.name, column_fields(f.column.model_dump()), f.note) for f in self.inputs]
        return "\n".join(lines) + "\n"

    def _known_late(self) -> str:
        """What has to be confirmed where a row is complete only some time after it is asked about; empty where it is complete at once."""
        if not self.when or not self.table.known_delay:
            return ""
        delay = render_duration(self.table.known_delay)
        return f"a row of {self.table.name} is complete only {delay} after {self.when}; where all of these are known at {self.when}, say so in {self.name}_inputs"

    def history_sql(self) -> str:
        """The view of earlier labels of the same entity."""
        assert self.when is not None
        selected = [*map(sql_name, self.entity), self._moment(self.when, self._time_name())]
        if self.known_at:
            selected.append(f"{sql_name(self.known_at)} AS outcome_known_at")
        selected.append(f"{self.profile.sql} AS {self._last()}")
        return select(selected, self.source, where=f"{sql_name(self.label)} IS NOT NULL")

    def history_yaml(self) -> str:
        """The definition of the view of earlier labels."""
        _, column = self.profile.column
        availability: tuple[str, Any, str] = ("known_at", "outcome_known_at", self.known_reason)
        if not self.known_at:
            availability = (
                "delay",
                render_duration(max(self.delay, timedelta(seconds=1))),
                self.known_reason if self.delay else "a row never sees its own outcome",
            )
        lines = [
            "type: platform_assets.components.FeatureView",
            "attributes:",
            to_line(1, "name", f"{self.name}_history"),
            to_line(1, "description", f"The last known {self.label}, by {' and '.join(self.entity)}."),
            to_line(1, "sql", "view.sql"),
            to_line(1, "keys", self.entity),
            to_line(1, "event_time", self._time_name()),
            to_line(1, *availability),
            *([to_line(1, "partitions", self._partitions())] if self.table.partitions else []),
            "  columns:",
            to_line(
                2,
                self._last(),
                column_fields(column.model_copy(update={"nullable": True, "description": f"{self.label} before."}).model_dump()),
            ),
        ]
        return "\n".join(lines) + "\n"

    def _last(self) -> str:
        return f"last_{self.profile.column[0]}"[:63]

    def outcomes_sql(self) -> str:
        name, _ = self.profile.column
        value = self.profile.sql if self.profile.sql == sql_name(name) else f"{self.profile.sql} AS {sql_name(name)}"
        selected = [*map(sql_name, self.table.keys)]
        if self.when:
            selected.append(self._moment(self.when, self._time_name()))
        if self.known_at:
            selected.append(f"{sql_name(self.known_at)} AS outcome_known_at")
        return select([*selected, value], self.source, where=f"{sql_name(self.label)} IS NOT NULL")

    def outcomes_yaml(self) -> str:
        name, column = self.profile.column
        lines = [
            "type: platform_assets.components.FeatureView",
            "attributes:",
            to_line(1, "name", f"{self.name}_outcomes"),
            to_line(1, "description", f"The label of {self.name}: {self.label} of {self.table.name}."),
            to_line(1, "sql", "view.sql"),
            to_line(1, "keys", list(self.table.keys)),
        ]
        if self.when:
            lines.append(to_line(1, "event_time", self._time_name()))
            if self.known_at:
                lines.append(to_line(1, "known_at", "outcome_known_at", self.known_reason))
            else:
                lines.append(to_line(1, "delay", render_duration(self.delay) if self.delay else "0d", self.known_reason))
            if self.table.partitions:
                lines.append(to_line(1, "partitions", self._partitions()))
        lines += ["  columns:", to_line(2, name, column_fields(column.model_dump()), self.profile.reason)]
        return "\n".join(lines) + "\n"

    # Workflow

    def spine_sql(self) -> str:
        keys = [*map(sql_name, self.table.keys)]
        if self.when:
            remark = f"Who is asked about, and when: every row of {self.source}, at its {self.when}."
            return select([*keys, self._moment(self.when, "predict_at")], self.source, remarks=[remark])
        if self.order is not None:
            place = f"timestamp_seconds({_EPOCH} + {sql_name(self.order.column)} * {ORDERED_SECONDS}) AS predict_at"
            remarks = [
                f"Nothing in the table says when a row happened, and the rows stand in the order of time: {self.order.reason}. Instead of a",
                "time each row has its place in this order, an hour a row from 2000-01-01 on, so that later rows are predicted by earlier ones.",
            ]
            return select([*keys, place], self.source, remarks=remarks)
        hashed = f"concat_ws('-', {', '.join(f'CAST({key} AS STRING)' for key in keys)})"
        by, selected = "its key", list(keys)
        if self.group.column is not None:
            group = sql_name(self.group.column)
            by = f"its {self.group.column}, so that rows of one {self.group.column} are in one window"
            if self.rows[self.group.column].null_count:
                hashed = f"coalesce(CAST({group} AS STRING), {hashed})"
                group = f"{hashed} AS {group}"
            else:
                hashed = f"CAST({group} AS STRING)"
            selected = list(dict.fromkeys([*keys, group]))
        position = f"CAST(conv(substr(md5({hashed}), 1, 8), 16, 10) AS BIGINT) * {STATIC_DAYS * 86_400} DIV {2**32}"
        moment, remark = self._static_moment(f"timestamp_seconds({_EPOCH} + {position})")
        remarks = [
            f"Nothing in the table says when a row happened. Instead of a time each row has a place in a fixed, shuffled order: a hash of {by},",
            f"spread over {STATIC_DAYS} days from 2000-01-01 on, so that a day of the windows is one row in {STATIC_DAYS}, and a row keeps its place",
            f"whatever is added.{remark}",
        ]
        return select([*selected, f"{moment} AS predict_at"], self.source, remarks=remarks)

    def spine_keys(self) -> list[str]:
        """The keys of the spine: those of the table, and the column that rows are split by."""
        return list(dict.fromkeys([*self.table.keys, *([self.group.column] if self.group.column else [])]))

    def _static_moment(self, position: str) -> tuple[str, str]:
        """The SQL of the time of a row of a static table at a shuffled position, and a remark on it."""
        last = f"timestamp_seconds({_EPOCH + STATIC_DAYS * 86_400})"
        remark = " Rows without a label stand after all others: they are predicted, and never trained on."
        return f"CASE WHEN {sql_name(self.label)} IS NULL THEN {last} ELSE {position} END", remark

    def workflow_yaml(self) -> str:
        when = f"asked at {self.when}" if self.when else STATIC_WORDS
        if self.order is not None:
            when = "rows have no time, and stand in its order: predict_at is a row's place, an hour a row from 2000-01-01 on"
        classes = {"classes": list(self.profile.classes)} if self.profile.classes else {}
        model, why, baseline = self._choose_model()
        lines = [
            to_comment(0, f"Drafted from {self.source}, label {self.label}: {self.profile.reason}."),
            "type: platform_assets.components.MLWorkflow",
            "attributes:",
            to_line(1, "name", self.name),
            to_line(1, "description", f"{self._question()} ({when})."),
            to_line(1, "task", self.profile.task),
            to_line(1, "spine", "spine.sql"),
            to_line(1, "keys", self.spine_keys()),
            to_line(1, "label", {"view": f"{self.name}_outcomes", "column": self.profile.column[0], **classes}),
            *(
                [to_line(1, "quantiles", list(QUANTILES), "the median, and an interval of 90%")]
                if self.task == "quantile_regression"
                else []
            ),
            "  features:",
            to_line(2, f"{self.name}_inputs", "*"),
            *([to_line(2, f"{self.name}_history", "*")] if self.has_history else []),
            to_line(1, "model", model, why),
            to_line(1, "split", {**self.split, **({"group": self.group.column} if self.group.column else {})}, self.split_reason),
            to_line(1, "evaluation", self._evaluation(TASKS[self.profile.task].primary), self.cluster_reason),
            "  gates:",
            to_line(2, LEAK_GATE, {"max": 0}, "a score that rests on a leak is no reason to release"),
            *draft_gates(self.task, self.profile.values[~np.isnan(self.profile.values)], baseline),
        ]
        if self.when and self.table.partitions:
            lines.append(to_line(1, "partitions", self._partitions()))
        lines += [to_line(1, "batch", {}), to_line(1, "online", {}), to_line(1, "retrain", {"causes": ["data"], "cooldown": "1d"})]
        return "\n".join(lines) + "\n"

    def _evaluation(self, primary: str) -> dict[str, Any]:
        slices = [f.name for f in self.inputs if f.few_values][:2]
        return {
            "primary": primary,
            **self.cluster,
            **({"slices": slices} if slices else {}),
            **({} if self._is_in_time else {"static": True}),
        }

    def _question(self) -> str:
        words = " ".join(self.label.split("_"))
        if self.profile.positive is not None:
            return f"Is {words} {self.profile.positive}?" if self.table.columns[self.label].type != "boolean" else f"Is it so: {words}?"
        return f"What is {words}?"

    def _candidates(self) -> list[dict[str, Any]]:
        """Ready-made pipelines for so many rows, the simplest first."""
        count = len(self.rows)
        trees: dict[str, Any] = {"pipeline": "gradient_boosting"}
        if count < MANY_ROWS and self.task == "quantile_regression":
            # Few trees: the outer quantiles overfit first.
            trees["params"] = {"max_iter": 40, "learning_rate": 0.05, "min_samples_leaf": 30}
        elif count < MANY_ROWS:
            trees["params"] = {"min_samples_leaf": 20}
        return [{"pipeline": "linear"}, trees]

    def _choose_model(self) -> tuple[dict[str, Any], str, Mapping[str, float]]:
        """The model, why, and the metrics of the simplest one where pipelines were tried."""
        linear, trees = self._candidates()
        if self.pipeline is not None:
            requested = trees if self.pipeline == trees["pipeline"] else {"pipeline": self.pipeline}
            return requested, "as requested", {}
        names, calendar = self._trial_columns()
        at = self._moments()
        label = np.where(self._is_trained_on(at), self.profile.values, np.nan)
        answer = Answer(self.task, tuple(self.profile.classes), QUANTILES if self.task == "quantile_regression" else ())
        choice = choose_pipeline(
            trial_rows(self.rows, names, calendar, label, at, self.group.column), answer, TASKS[self.task].primary, [linear, trees]
        )
        if choice is not None:
            history = "; without the history" if self.has_history else ""
            if choice.doubt:
                self.notes.append(f"{choice.doubt}{history}")
            return dict(choice.model), f"{choice.reason}{history}", choice.baseline
        if len(self.rows) < FEW_ROWS:
            return linear, f"{len(self.rows):,} rows are too few to compare pipelines; the alternative is gradient_boosting", {}
        return trees, "too few rows of the training window to compare it with linear", {}

    def _trial_columns(self) -> tuple[list[str], dict[str, np.ndarray]]:
        """Columns that the model reads, and those that the view makes from the time."""
        groups = [key for key in self.entity if any(name == f"{key}_group" for name, _, _ in self.derived)]
        calendar = {name: values for name, _, _, values in self._calendar()} if self.when else {}
        return [*groups, *(f.name for f in self.inputs)], calendar

    def _is_trained_on(self, at: np.ndarray | None) -> np.ndarray:
        """Which rows lie in the training window; of a static table those that the hash of the key puts there."""
        if at is not None and self.trained_until is not None:
            return np.asarray(at <= self.trained_until)
        share = int(self.split["train"].removesuffix("d")) / STATIC_DAYS
        hashed = [self.group.column] if self.group.column else self.table.keys
        keys = zip(*(self.rows[key].to_pylist() for key in hashed), strict=True)
        hashes = (hashlib.md5("-".join(map(str, key)).encode(), usedforsecurity=False).hexdigest()[:8] for key in keys)
        return np.array([int(each, 16) / 2**32 < share for each in hashes])

    # Time

    def _partitions(self) -> dict[str, Any]:
        assert self.table.partitions is not None
        return self.table.partitions.model_dump(exclude_none=True, exclude_defaults=True)

    def _time_name(self) -> str:
        """The name of the event time in a view; the same as in the table, except for a key of days that becomes a timestamp."""
        assert self.when is not None
        return f"{self.when}_at" if self.table.columns[self.when].type == "date" and self.when in self.table.keys else self.when

    def _moment(self, column: str, name: str) -> str:
        plain = sql_name(column)
        value = f"CAST({plain} AS TIMESTAMP)" if self.table.columns[column].type == "date" else plain
        return value if value == name else f"{value} AS {sql_name(name)}"

    def _group_inputs(self) -> list[tuple[str, str, Column]]:
        """Parts of the key that many rows share, as inputs: (name, SQL, declaration)."""
        inputs = []
        for key in self.entity:
            column = self.table.columns[key]
            distinct = len(self.rows[key].unique())
            if column.type == "string" and 1 < distinct <= MOST_CATEGORIES and distinct * 10 <= len(self.rows):
                inputs.append((f"{key}_group", sql_name(key), Column(type="string", description=column.description)))
        return inputs

    def _calendar_inputs(self) -> list[tuple[str, str, Column]]:
        """Numbers from the calendar of the time: (name, SQL, declaration)."""
        return [(name, sql, Column(type="integer", description=text)) for name, sql, text, _ in self._calendar()] if self.when else []

    def _calendar(self) -> list[tuple[str, str, str, np.ndarray]]:
        """Numbers from the calendar of the time that vary: name, SQL, description, and the number of each row."""
        assert self.when is not None
        zone = self.table.zone_of(self.when)
        moments = to_local(moments_of(self.rows, self.when), zone)
        local, where = local_sql(sql_name(self.when), zone), f", in {zone}" if zone else ""
        span = moments.max() - moments.min()
        stem = self.when.removesuffix("_at")
        hours, days = moments.astype("datetime64[h]").astype(int) % 24, moments.astype("datetime64[D]").astype(int)
        inputs = []
        if len(np.unique(hours)) > 1:
            inputs.append((f"{stem}_hour", f"hour({local})", f"Hour of the day, {zone or 'UTC'}.", hours))
        if span >= np.timedelta64(14, "D") and len(np.unique(days % 7)) > 1:
            weekdays = (days + 4) % 7 + 1  # 1970-01-01 was a Thursday
            inputs.append((f"{stem}_weekday", f"dayofweek({local})", f"1 is Sunday, 7 is Saturday{where}.", weekdays))
        if span >= np.timedelta64(540, "D"):
            months = moments.astype("datetime64[M]").astype(int) % 12 + 1
            inputs.append((f"{stem}_month", f"month({local})", f"Month of the year{where}.", months))
        return [each for each in inputs if each[0] not in self.table.columns]

    def _choose_split(self) -> tuple[dict[str, str], str]:
        """Windows that cover the whole history, with the newest fifth of the labelled rows as the test."""
        placed = self._moments()
        if placed is None:
            test = round(STATIC_DAYS * TEST_SHARE)
            return (
                {
                    "train": f"{STATIC_DAYS - test}d",
                    "test": f"{test}d",
                },
                f"shares, not time: one day is one row in {STATIC_DAYS}, drawn by a hash of {'its ' + self.group.column if self.group.column else 'the key'}",
            )
        is_labelled = ~np.isnan(self.profile.values)
        moments = np.sort(placed[is_labelled])
        first, newest = moments[0], moments[-1]
        border = moments[min(int(len(moments) * (1 - TEST_SHARE)), len(moments) - 1)]
        span = (newest - first) / np.timedelta64(1, "s")
        if span <= 0:
            raise DataError(f"time: every labelled row has the same {self.when}; remove the event time from the table to make it static")
        unit, letter = next((u, n) for u, n in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")) if span >= 20 * u or n == "s")
        test = max(math.ceil((newest - border) / np.timedelta64(1, "s") / unit), 1)
        gap = min(math.ceil(self.delay.total_seconds() / unit), max(int(span / unit) // 5, 0))
        train = max(math.ceil(span / unit) - test - gap + 1, 1)
        split = {"train": f"{train}{letter}", "test": f"{test}{letter}", **({"gap": f"{gap}{letter}"} if gap else {})}
        begin, last = newest - np.timedelta64((test + gap) * unit, "s"), newest - np.timedelta64(test * unit, "s")
        self.trained_until = begin
        train_rows, test_rows = int((moments <= begin).sum()), int((moments > last).sum())
        self.cluster, self.cluster_reason = day_cluster(moments[moments > last])
        if self.order is not None and self.cluster:
            self.cluster_reason = (
                f"{round(86_400 / ORDERED_SECONDS)} rows in a row count as one, since rows near each other in time depend on each other"
            )
        elif self.order is not None:
            self.cluster_reason = "rows near each other in time may depend on each other, so the intervals may be too narrow"
        if TASKS[self.task].label != "number":
            labels, at = self.profile.values[is_labelled], placed[is_labelled]
            self._note_absent_classes("test", labels[at > last])
            self._note_absent_classes("training", labels[at <= begin])
        reason = f"all labelled rows: {train_rows:,} for training, the newest {test_rows:,} for the test"
        return split, f"{reason}, between them the {render_duration(self.delay)} until labels are known" if gap else reason

    def _note_absent_classes(self, window: str, labels: np.ndarray) -> None:
        present = np.unique(labels)
        if len(present) < 2:
            self.notes.append(f"the {window} window has a single outcome: choose other windows, or no model can be evaluated")
        elif self.profile.classes and len(present) < len(self.profile.classes):
            absent = [str(label) for position, label in enumerate(self.profile.classes) if position not in present]
            self.notes.append(f"the {window} window has no row of {', '.join(absent)}: choose other windows if it matters")
