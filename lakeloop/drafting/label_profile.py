"""A label and what could predict it, from typed rows: the task, when the label is known, and columns that say it by themselves."""

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
from lakeloop.spec.tables import Column, TableSpec, Task
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
SAYS_IT = 0.9999
"""A column that orders or separates the labels this well by itself holds the label, or was written after it."""
SUSPICIOUS = 0.98
"""From here on a column is pointed out: either a very good one, or one that is filled in with the label."""
MOST_CATEGORIES = 250
MOST_CLASSES = 30
"""A text with more values than this is asked about one value at a time, unless the task is given."""
MOST_OWN_SHARE = 0.5
"""A text with more distinct values than this share of the rows tells rows apart and nothing else."""
COUNTING_ROWS = 20
"""In fewer rows a measure may grow by 1 from row to row."""
COUNTING_SHARE = 0.95
"""Of the steps from row to row that must be 1 where an integer counts the rows: some rows were dropped from a file since."""


@dataclass(frozen=True)
class LabelProfile:
    """What is predicted.

    Attributes:
        task: the task.
        sql: an expression over the table's columns that gives the label.
        column: name and declaration of the label in its view.
        values: the label per row as a number (of several classes the place), NaN where it isn't known.
        reason: why this task.
        positive: the value that counts as 1, for two classes.
        classes: of a classification in several.
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
    """A column as an input: whether it is taken, and what to say of it."""

    name: str
    column: Column
    taken: bool
    note: str = ""
    few_values: bool = False


def profile_label(
    rows: pa.Table, columns: Mapping[str, Column], label: str, *, task: str | None = None, positive: str | None = None
) -> LabelProfile:
    """Guess the task from a label's values.

    Raises:
        DataError: there is no such column, it has one value only, it is a time, or its values don't fit the task that was asked for.
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
    counted = {row["values"]: row["counts"] for row in pc.value_counts(values.drop_null()).to_pylist()}
    if len(counted) < 2:
        raise DataError(f"label: {label} has {'one value only' if counted else 'no value'} in {len(values)} rows: nothing to learn")
    wanted = None if task is None else TASKS[cast(Task, task)].label
    if wanted == "number" and declared.type not in ("integer", "double"):
        raise DataError(f"task: {task} takes a number, {label} is a {declared.type}")
    if positive is None and wanted == "number":
        return _number(label, declared, values, len(counted), "as asked for", cast(Task, task))
    if positive is None and wanted == "class":
        return _classes(label, declared, values, counted)
    if positive is not None or len(counted) == 2 or declared.type == "boolean":
        return _binary(label, declared, values, counted, positive)
    if task is None and declared.type == "string" and len(counted) <= MOST_CLASSES:
        return _classes(label, declared, values, counted)
    if task is None and declared.type != "string":
        return _number(label, declared, values, len(counted), "a number", "regression")
    common = ", ".join(map(str, sorted(counted, key=lambda v: -counted[v])[:8]))
    raise DataError(f"label: {label} has {len(counted)} values ({common}); name the one to ask for with --positive")


def _binary(label: str, declared: Column, values: pa.ChunkedArray, counted: Mapping[Any, int], positive: str | None) -> LabelProfile:
    shown = {("true" if v else "false") if isinstance(v, bool) else str(v): v for v in counted}
    if positive is not None and positive not in shown:
        raise DataError(f"positive: {label} has no value {positive!r}; {nearest(positive, shown)}")
    if positive is not None:
        text, why = positive, "as asked for"
    elif declared.type in ("integer", "double"):
        text, why = str(max(counted)), "the larger of its two values"
    else:
        affirmative = [t for t in shown if t.strip().lower() in AFFIRMATIVE]
        text = affirmative[0] if len(affirmative) == 1 else min(shown, key=lambda t: (counted[shown[t]], t))
        why = "by its meaning" if len(affirmative) == 1 else "the rarer of its two values; --positive names the other"
    wanted = shown[text]
    share = counted[wanted] / sum(counted.values())
    truth = np.array([np.nan if v is None else float(v == wanted) for v in values.to_pylist()])
    name = lake_name(f"{label}_is_{text}") if declared.type == "string" else label
    sql = sql_name(label)
    if declared.type != "boolean" or not wanted:
        literal = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" if declared.type == "string" else str(wanted).lower()
        sql = f"{sql_name(label)} = {literal}"
    description = f"Whether {label} is {text}." if not (declared.type == "boolean" and wanted) else declared.description or f"{label}."
    column = Column(type="boolean", nullable=False, description=description)
    reason = f"two outcomes: {label} is {text} ({why}) in {share:.1%} of the labelled rows"
    return LabelProfile("binary_classification", sql, (name, column), truth, reason, text)


def _number(label: str, declared: Column, values: pa.ChunkedArray, distinct: int, why: str, task: Task) -> LabelProfile:
    truth = np.array([np.nan if v is None else float(v) for v in values.to_pylist()])
    hint = "--positive names one of them, --task multiclass_classification takes them all"
    few = f"; with {distinct} values only it may be classes: {hint}" if distinct <= 10 else ""
    column = declared.model_copy(update={"nullable": False, "source": None, "personal": False})
    return LabelProfile(task, sql_name(label), (label, column), truth, f"{why} of {distinct} distinct values{few}")


def _classes(label: str, declared: Column, values: pa.ChunkedArray, counted: Mapping[Any, int]) -> LabelProfile:
    if declared.type not in ("string", "integer"):
        raise DataError(f"task: multiclass_classification takes a text or an integer, {label} is a {declared.type}")
    if declared.personal:
        raise DataError(f"label: {label} is personal, so its values can't be written down as classes; --positive asks about one of them")
    classes = tuple(sorted(counted))
    order = {value: float(index) for index, value in enumerate(classes)}
    truth = np.array([np.nan if v is None else order[v] for v in values.to_pylist()])
    column = declared.model_copy(update={"nullable": False, "source": None, "personal": False})
    common, rare = max(counted, key=lambda v: (counted[v], str(v))), min(counted, key=lambda v: (counted[v], str(v)))
    reason = (
        f"{len(counted)} classes, from {common} ({counted[common]:,} rows) to {rare} ({counted[rare]:,}); --positive asks about one of them"
    )
    return LabelProfile("multiclass_classification", sql_name(label), (label, column), truth, reason, classes=classes)


def profile_features(
    rows: pa.Table, columns: Mapping[str, Column], label: LabelProfile, *, without: set[str], labelled_by: str
) -> list[Feature]:
    """Say of every other column whether it may be an input of the model, and what is suspicious about it.

    Args:
        rows: typed rows.
        columns: their declarations.
        label: what is predicted.
        without: keys and times.
        labelled_by: the label's own column.
    """
    found = []
    for name, column in columns.items():
        if name in without or name == labelled_by:
            continue
        declared = column.model_copy(update={"source": None, "format": None, "timezone": None, "nullable": True})
        distinct = len(rows[name].drop_null().unique())
        why_not = _unfit(column, distinct, len(rows)) or (_row_count(rows[name], column) if column.type == "integer" else "")
        if why_not:
            found.append(Feature(name, declared, False, why_not))
            continue
        strength = association(rows[name], label.values, numbers=TASKS[label.task].label == "number")
        said = f"{strength:.3f}".rstrip("0").rstrip(".")
        if strength >= SAYS_IT:
            found.append(
                Feature(
                    name, declared, False, f"says {labelled_by} by itself ({said} of 1): put it in if it is known before it is asked for"
                )
            )
        else:
            note = f"suspicious: says {labelled_by} nearly by itself ({said} of 1); is it known before?" if strength >= SUSPICIOUS else ""
            found.append(Feature(name, declared, True, note, few_values=column.type == "string" and 2 <= distinct <= 12))
    return found


def _unfit(column: Column, distinct: int, count: int) -> str:
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


def _row_count(values: pa.ChunkedArray, column: Column) -> str:
    """Why an integer is only the number of its row: on the order of a file a model learns what won't be there again."""
    if any(re.fullmatch(r"__index_level_\d+__", part) for part in column.source or ()):
        return "pandas wrote it: the index of the rows, not what a row says of itself"
    if values.null_count or len(values) < COUNTING_ROWS:
        return ""
    steps = np.diff(np.asarray(values.to_numpy()))
    counting = max(float(np.mean(steps == 1)), float(np.mean(steps == -1)))
    if counting >= COUNTING_SHARE and (bool((steps > 0).all()) or bool((steps < 0).all())):
        return "it counts the rows, in the order in which they stand: put it in if it is more than a number of the row"
    return ""


def why_none(table: TableSpec, features: Sequence[Feature], when: str | None, label: str | None) -> str:
    """Of every column of a table, why it is no input."""
    told = {**dict.fromkeys(table.keys, "a key"), **({when: "the time at which it is asked"} if when else {})}
    told |= {label: "the label"} if label else {}
    told |= {f.name: f.note for f in features}
    return "; ".join(f"{name}: {told[name]}" for name in table.columns if name in told)


def association(values: pa.ChunkedArray, label: np.ndarray, *, numbers: bool) -> float:
    """How well one column says the label by itself, from 0 to 1 (1: entirely), nulls counted as a value of their own.

    For two classes it is the area under the ROC curve of the better direction, stretched to 0..1, for several the least of each against the
    rest; for numbers Spearman's correlation, absolute. A text counts by the mean label of each of its values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    known = ~np.isnan(label)
    if known.sum() < 10:
        return 0.0
    places = np.unique(label[known])
    if not numbers and len(places) > 2:
        return min(association(values, np.where(known, label == place, np.nan), numbers=False) for place in places)
    truth = label[known]
    missing = np.asarray(pc.is_null(values))[known]
    scores = []
    if pa.types.is_string(values.type):
        codes = np.asarray(pc.fill_null(values, "").combine_chunks().dictionary_encode().indices)[known]
        totals, counts = np.bincount(codes, truth), np.bincount(codes)
        if len(counts) * 5 > len(truth):
            return 0.0  # a few rows a value: each value's mean is its own rows' label
        scores.append((totals / np.maximum(counts, 1))[codes])
    else:
        plain = pc.cast(
            pc.fill_null(
                values.cast(pa.float64()) if not pa.types.is_boolean(values.type) else values.cast(pa.int8()),
                np.nan if not pa.types.is_boolean(values.type) else -1,
            ),
            pa.float64(),
        )
        number = np.asarray(plain)[known]
        scores.append(np.where(missing, np.nanmin(number) - 1 if (~missing).any() else 0.0, number))
    if missing.any() and not missing.all():
        scores.append(missing.astype(float))
    return max(_strength(score, truth, numbers=numbers) for score in scores)


def _strength(score: np.ndarray, truth: np.ndarray, *, numbers: bool) -> float:
    a, b = _ranks(score), _ranks(truth)
    if a.std() == 0 or b.std() == 0:
        return 0.0
    if numbers:
        return float(abs(np.corrcoef(a, b)[0, 1]))
    positives = truth == truth.max()
    n1, n0 = positives.sum(), (~positives).sum()
    auc = (a[positives].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
    return float(abs(2 * auc - 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def known_after(rows: pa.Table, columns: Mapping[str, Column], time: str, label: np.ndarray) -> tuple[timedelta, str | None, str]:
    """When labels are known: a delay after the event time, or the column that holds the moment; and why."""
    import pyarrow.compute as pc

    moments = moments_of(rows, time)
    known = ~np.isnan(label)
    for name, column in columns.items():
        if name == time or column.type != "timestamp":
            continue
        other = moments_of(rows, name)
        present = ~np.isnat(other)
        if bool((present == known).all()) and not known.all() and bool((other[known] >= moments[known]).all()):
            return timedelta(0), name, f"{name} is there exactly where the label is, and never before {time}"
    if pc.any(pc.is_null(rows[time])).as_py() or known.all():
        return timedelta(0), None, f"nothing in the data says how long after {time} the label is known: say so here if it is not at once"
    last, newest = moments[known].max(), moments.max()
    silent = (newest - last) / np.timedelta64(1, "D")
    if silent >= 1:
        days = int(np.ceil(silent))
        return timedelta(days=days), None, f"the newest label is {days} days older than the newest row"
    return timedelta(0), None, f"labels are there up to the newest {time}; say so here if they come later"


def moments_of(rows: pa.Table, name: str) -> np.ndarray:
    """A time column as `datetime64[us]`, NaT for null."""
    import pyarrow as pa

    values = rows[name]
    if pa.types.is_timestamp(values.type) and values.type.tz:
        values = values.cast(pa.timestamp("us", tz=values.type.tz)).cast(pa.int64())
        return np.asarray(values.to_numpy(zero_copy_only=False)).astype("datetime64[us]") if values.null_count == 0 else _with_nulls(values)
    return np.asarray(values.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)).astype("datetime64[us]")


def _with_nulls(values: pa.ChunkedArray) -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(values, np.iinfo(np.int64).min)).astype("datetime64[us]")
