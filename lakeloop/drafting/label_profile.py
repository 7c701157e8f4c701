"""A label and its possible features, from typed rows: the task, when the label is known, and columns that predict it by themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from lakeloop.drafting.column_names import lake_name
from lakeloop.drafting.sql import sql_name
from lakeloop.errors import DataError, nearest
from lakeloop.rows.types import EXACT_INTEGERS, to_doubles
from lakeloop.spec.tables import Column, TableSpec, Task, is_number_type
from lakeloop.spec.tasks import TASKS

if TYPE_CHECKING:
    import pyarrow as pa

AFFIRMATIVE = (
    "true",
    "yes",
    "y",
    "1",
    "positive",
    "pos",
    "malignant",
    "bad",
    "default",
    "churned",
    "fraud",
    "spam",
    "survived",
    "dead",
    "failed",
    "returned",
)
LEAKING = 0.9999
"""A column that orders or separates the labels this well by itself holds the label, or was written after it."""
SUSPICIOUS = 0.98
"""From this value on a column is pointed out: it is either a very good one, or filled in together with the label."""
MOST_CATEGORIES = 250
MOST_CLASSES = 30
"""A text with more values than this is predicted one value at a time, unless the task is given."""
MOST_OWN_SHARE = 0.5
"""A text with more distinct values than this share of the rows only identifies rows."""
COUNTING_ROWS = 20
"""In fewer rows a measurement may happen to grow by 1 from row to row."""
COUNTING_SHARE = 0.95
"""Share of the steps from row to row that must be 1 where an integer counts the rows; some rows may have been dropped since."""


@dataclass(frozen=True)
class LabelProfile:
    """A label and its task.

    Attributes:
        task: the task.
        sql: an expression over the table's columns that computes the label.
        column: name and declaration of the label in its view.
        values: the label per row as a number (for several classes the position), NaN where it is unknown.
        reason: why this task.
        positive: the value that counts as 1, for two classes.
        classes: of a multiclass classification.
    """

    task: Task
    sql: str
    column: tuple[str, Column]
    values: np.ndarray
    reason: str
    positive: str | None = None
    classes: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Feature:
    """A column as a possible input: whether it is used, and a note on it."""

    name: str
    column: Column
    is_used: bool
    note: str = ""
    few_values: bool = False


def profile_label(
    rows: pa.Table, columns: Mapping[str, Column], label: str, *, task: str | None = None, positive: str | None = None
) -> LabelProfile:
    """Guess the task from a label's values.

    Raises:
        DataError: there is no such column, it has a single value, it is a time, or its values don't fit the requested task.
    """
    import pyarrow.compute as pc

    if label not in columns:
        raise DataError(f"label: no column {label!r}; {nearest(label, columns)}")
    if task is not None and task not in get_args(Task):
        raise DataError(f"task: found {task!r}; {nearest(task, get_args(Task))}")
    declared = columns[label]
    if declared.type in ("date", "timestamp"):
        raise DataError(f"label: {label} is a {declared.type}; wanted a number, a text or a boolean")
    values = rows[label]
    counts = {row["values"]: row["counts"] for row in pc.value_counts(values.drop_null()).to_pylist()}
    if len(counts) < 2:
        raise DataError(f"label: {label} has {'a single value' if counts else 'no value'} in {len(values)} rows: nothing to learn")
    kind = None if task is None else TASKS[cast(Task, task)].label
    if kind == "number" and not is_number_type(declared.type):
        raise DataError(f"task: {task} takes a number, {label} is a {declared.type}")
    if positive is None and kind == "number":
        return _number(label, declared, values, len(counts), "as requested", cast(Task, task))
    if positive is None and kind == "class":
        return _classes(label, declared, values, counts)
    if positive is not None or len(counts) == 2 or declared.type == "boolean":
        return _binary(label, declared, values, counts, positive)
    if task is None and declared.type == "string" and len(counts) <= MOST_CLASSES:
        return _classes(label, declared, values, counts)
    if task is None and declared.type != "string":
        return _number(label, declared, values, len(counts), "a number", "regression")
    common = ", ".join(map(str, sorted(counts, key=lambda v: -counts[v])[:8]))
    raise DataError(f"label: {label} has {len(counts)} values ({common}); name the one to predict with --positive")


def _binary(label: str, declared: Column, values: pa.ChunkedArray, counts: Mapping[Any, int], positive: str | None) -> LabelProfile:
    shown = {("true" if v else "false") if isinstance(v, bool) else str(v): v for v in counts}
    if positive is not None and positive not in shown:
        raise DataError(f"positive: {label} has no value {positive!r}; {nearest(positive, shown)}")
    if positive is not None:
        text, why = positive, "as requested"
    elif is_number_type(declared.type):
        text, why = str(max(counts)), "the larger of its two values"
    else:
        affirmative = [t for t in shown if t.strip().lower() in AFFIRMATIVE]
        text = affirmative[0] if len(affirmative) == 1 else min(shown, key=lambda t: (counts[shown[t]], t))
        why = "by its meaning" if len(affirmative) == 1 else "the rarer of its two values; --positive names the other"
    positive_value = shown[text]
    share = counts[positive_value] / sum(counts.values())
    truth = np.array([np.nan if v is None else float(v == positive_value) for v in values.to_pylist()])
    name = lake_name(f"{label}_is_{text}") if declared.type == "string" else label
    sql = sql_name(label)
    if declared.type != "boolean" or not positive_value:
        literal = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" if declared.type == "string" else str(positive_value).lower()
        sql = f"{sql_name(label)} = {literal}"
    description = (
        f"Whether {label} is {text}." if not (declared.type == "boolean" and positive_value) else declared.description or f"{label}."
    )
    column = Column(type="boolean", nullable=False, description=description)
    reason = f"two outcomes: {label} is {text} ({why}) in {share:.1%} of the labelled rows"
    return LabelProfile("binary_classification", sql, (name, column), truth, reason, text)


def _number(label: str, declared: Column, values: pa.ChunkedArray, distinct: int, why: str, task: Task) -> LabelProfile:
    truth = np.array([np.nan if v is None else float(v) for v in values.to_pylist()])
    hint = "--positive names one of them, --task multiclass_classification takes them all"
    few = f"; with only {distinct} values it may be classes: {hint}" if distinct <= 10 else ""
    column = declared.model_copy(update={"nullable": False, "source": None, "personal": False})
    return LabelProfile(task, sql_name(label), (label, column), truth, f"{why} of {distinct} distinct values{few}")


def _classes(label: str, declared: Column, values: pa.ChunkedArray, counts: Mapping[Any, int]) -> LabelProfile:
    if declared.type not in ("string", "integer"):
        raise DataError(f"task: multiclass_classification takes a text or an integer, {label} is a {declared.type}")
    if declared.personal:
        raise DataError(f"label: {label} is personal, so its values can't be written down as classes; --positive predicts one of them")
    classes = tuple(sorted(counts))
    order = {value: float(index) for index, value in enumerate(classes)}
    truth = np.array([np.nan if v is None else order[v] for v in values.to_pylist()])
    column = declared.model_copy(update={"nullable": False, "source": None, "personal": False})
    common, rare = max(counts, key=lambda v: (counts[v], str(v))), min(counts, key=lambda v: (counts[v], str(v)))
    reason = f"{len(counts)} classes, from {common} ({counts[common]:,} rows) to {rare} ({counts[rare]:,}); --positive predicts one of them"
    return LabelProfile("multiclass_classification", sql_name(label), (label, column), truth, reason, classes=classes)


def profile_features(
    rows: pa.Table, columns: Mapping[str, Column], label: LabelProfile, *, without: set[str], labelled_by: str
) -> list[Feature]:
    """Decide for every other column whether it may be an input of the model, and note what is suspicious about it.

    Args:
        rows: typed rows.
        columns: their declarations.
        label: what is predicted.
        without: keys and times.
        labelled_by: the label's own column.
    """
    features = []
    for name, column in columns.items():
        if name in without or name == labelled_by:
            continue
        declared = column.model_copy(update={"source": None, "format": None, "timezone": None, "nullable": True})
        distinct = len(rows[name].drop_null().unique())
        reason = _exclusion_reason(column, distinct, len(rows)) or _number_reason(rows[name], column)
        if reason:
            features.append(Feature(name, declared, False, reason))
            continue
        strength = association(rows[name], label.values, numbers=TASKS[label.task].label == "number")
        figure = f"{strength:.3f}".rstrip("0").rstrip(".")
        if strength >= LEAKING:
            features.append(
                Feature(
                    name, declared, False, f"says {labelled_by} by itself ({figure} of 1): put it in if it is known before it is asked for"
                )
            )
        else:
            note = f"suspicious: says {labelled_by} nearly by itself ({figure} of 1); is it known before?" if strength >= SUSPICIOUS else ""
            features.append(Feature(name, declared, True, note, few_values=column.type == "string" and 2 <= distinct <= 12))
    return features


def _exclusion_reason(column: Column, distinct: int, count: int) -> str:
    if column.personal:
        return "personal"
    if column.type in ("date", "timestamp"):
        return f"a {column.type} is no number; derive one, such as the days between two times"
    if distinct == 0:
        return "no row has a value"
    if distinct == 1:
        return "one value in every row" if column.type != "string" else "one value only"
    if column.type == "string" and distinct > max(MOST_CATEGORIES, MOST_OWN_SHARE * count):
        return f"{distinct:,} different texts in {count:,} rows tell rows apart and nothing else"
    if column.type == "string" and count >= 40 and distinct > MOST_OWN_SHARE * count:
        return f"{distinct:,} different texts in {count:,} rows tell rows apart and nothing else"
    return ""


def _number_reason(values: pa.ChunkedArray, column: Column) -> str:
    """Why a number is no input; empty where it may be one, or is none."""
    import pyarrow.compute as pc

    if column.type == "double":
        infinite = pc.sum(pc.is_inf(values)).as_py() or 0
        return (
            f"infinite in {infinite:,} rows, which models don't take; derive one in the view: nullif(x, double('Infinity'))"
            if infinite
            else ""
        )
    if column.type != "integer":
        return ""
    extent = pc.min_max(values)
    if max(abs(extent["min"].as_py()), abs(extent["max"].as_py())) > EXACT_INTEGERS:
        return "whole numbers beyond 2**53, which a model's doubles don't tell apart"
    return _counter_reason(values, column)


def _counter_reason(values: pa.ChunkedArray, column: Column) -> str:
    """Why an integer is only the number of its row, empty where it isn't: a model would learn the order of one file."""
    if any(re.fullmatch(r"__index_level_\d+__", part) for part in column.source or ()):
        return "pandas wrote it: the index of the rows, not what a row says of itself"
    if values.null_count or len(values) < COUNTING_ROWS:
        return ""
    steps = np.diff(np.asarray(values.to_numpy()))
    share = max(float(np.mean(steps == 1)), float(np.mean(steps == -1)))
    if share >= COUNTING_SHARE and (bool((steps > 0).all()) or bool((steps < 0).all())):
        return "it counts the rows, in the order in which they stand: put it in if it is more than a number of the row"
    return ""


def exclusion_reasons(table: TableSpec, features: Sequence[Feature], when: str | None, label: str | None) -> str:
    """Why each column of a table is no input, in a sentence."""
    reasons = {**dict.fromkeys(table.keys, "a key"), **({when: "the time of the prediction"} if when else {})}
    reasons |= {label: "the label"} if label else {}
    reasons |= {f.name: f.note for f in features}
    return "; ".join(f"{name}: {reasons[name]}" for name in table.columns if name in reasons)


def association(values: pa.ChunkedArray, label: np.ndarray, *, numbers: bool) -> float:
    """How well one column predicts the label by itself, from 0 to 1 (perfectly); nulls are a value of their own.

    For two classes it is the area under the ROC curve in the better direction, scaled to 0..1; for several classes the smallest of each
    against the rest; for numbers the absolute value of Spearman's correlation. Each value of a text is replaced by its mean label.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_known = ~np.isnan(label)
    if is_known.sum() < 10:
        return 0.0
    classes = np.unique(label[is_known])
    if not numbers and len(classes) > 2:
        return min(association(values, np.where(is_known, label == one, np.nan), numbers=False) for one in classes)
    truth = label[is_known]
    missing = np.asarray(pc.is_null(values))[is_known]
    scores = []
    if pa.types.is_string(values.type):
        codes = np.asarray(pc.fill_null(values, "").combine_chunks().dictionary_encode().indices)[is_known]
        totals, counts = np.bincount(codes, truth), np.bincount(codes)
        if len(counts) * 5 > len(truth):
            return 0.0  # few rows per value: each mean is little more than the rows' own label
        scores.append((totals / np.maximum(counts, 1))[codes])
    else:
        doubles = pc.cast(
            pc.fill_null(
                to_doubles(values) if not pa.types.is_boolean(values.type) else values.cast(pa.int8()),
                np.nan if not pa.types.is_boolean(values.type) else -1,
            ),
            pa.float64(),
        )
        number = np.asarray(doubles)[is_known]
        scores.append(np.where(missing, np.nanmin(number) - 1 if (~missing).any() else 0.0, number))
    if missing.any() and not missing.all():
        scores.append(missing.astype(float))
    return max(_strength(score, truth, numbers=numbers) for score in scores)


def _strength(score: np.ndarray, truth: np.ndarray, *, numbers: bool) -> float:
    score_ranks, truth_ranks = _ranks(score), _ranks(truth)
    if score_ranks.std() == 0 or truth_ranks.std() == 0:
        return 0.0
    if numbers:
        return float(abs(np.corrcoef(score_ranks, truth_ranks)[0, 1]))
    is_positive = truth == truth.max()
    n1, n0 = is_positive.sum(), (~is_positive).sum()
    auc = (score_ranks[is_positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
    return float(abs(2 * auc - 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def find_known_time(rows: pa.Table, columns: Mapping[str, Column], time: str, label: np.ndarray) -> tuple[timedelta, str | None, str]:
    """Find when labels become known: a delay after the event time, or the column that holds the time; and why."""
    import pyarrow.compute as pc

    moments = moments_of(rows, time)
    is_known = ~np.isnan(label)
    for name, column in columns.items():
        if name == time or column.type != "timestamp":
            continue
        other = moments_of(rows, name)
        is_present = ~np.isnat(other)
        if bool((is_present == is_known).all()) and not is_known.all() and bool((other[is_known] >= moments[is_known]).all()):
            return timedelta(0), name, f"{name} has a value exactly where the label does, and never before {time}"
    if pc.any(pc.is_null(rows[time])).as_py() or is_known.all():
        return timedelta(0), None, f"the data don't show how long after {time} the label is known: set it here if it isn't at once"
    last, newest = moments[is_known].max(), moments.max()
    days_without = (newest - last) / np.timedelta64(1, "D")
    if days_without >= 1:
        days = int(np.ceil(days_without))
        return timedelta(days=days), None, f"the newest label is {days} days older than the newest row"
    return timedelta(0), None, f"labels are known up to the newest {time}; set the delay here if they come later"


def moments_of(rows: pa.Table, name: str) -> np.ndarray:
    """A time column as `datetime64[us]`, NaT for null."""
    import pyarrow as pa

    values = rows[name]
    if pa.types.is_timestamp(values.type) and values.type.tz:
        values = values.cast(pa.timestamp("us", tz=values.type.tz)).cast(pa.int64())
        return (
            np.asarray(values.to_numpy(zero_copy_only=False)).astype("datetime64[us]") if values.null_count == 0 else _nat_for_null(values)
        )
    return np.asarray(values.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)).astype("datetime64[us]")


def _nat_for_null(values: pa.ChunkedArray) -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(values, np.iinfo(np.int64).min)).astype("datetime64[us]")
