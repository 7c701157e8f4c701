"""What a draft reads off a label: the task, when it is known, and columns that tell it by themselves, against SciPy and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn import metrics as sk

from lakeloop.drafting.label_profile import (
    LabelProfile,
    association,
    exclusion_reasons,
    find_known_time,
    moments_of,
    profile_features,
    profile_label,
)
from lakeloop.errors import DataError
from lakeloop.spec.tables import Column, TableSpec

NAN = math.nan
MOMENT = pa.timestamp("us", "UTC")
NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def profile(values: Sequence[Any], kind: str, *, personal: bool = False, **options: Any) -> LabelProfile:
    column = Column(type=kind, description="What came of it.", personal=personal or None)
    types = {
        "string": pa.string(),
        "integer": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp": MOMENT,
        "date": pa.date32(),
    }
    return profile_label(pa.table({"y": pa.array(values, types[kind])}), {"y": column}, "y", **options)


# The task.


@pytest.mark.parametrize(
    ("values", "kind", "options", "task", "sql", "numbers"),
    [
        ([True, False, None], "boolean", {}, "binary_classification", "y", [1, 0, NAN]),
        ([True, False], "boolean", {"positive": "false"}, "binary_classification", "y = false", [0, 1]),
        ([0, 1, None, 1], "integer", {}, "binary_classification", "y = 1", [0, 1, NAN, 1]),
        ([3, 7, 7], "integer", {}, "binary_classification", "y = 7", [0, 1, 1]),
        (["no", "yes", None], "string", {}, "binary_classification", "y = 'yes'", [0, 1, NAN]),
        (["No", " Yes"], "string", {}, "binary_classification", "y = ' Yes'", [0, 1]),
        (["a", "a", "b"], "string", {}, "binary_classification", "y = 'b'", [0, 0, 1]),  # the rarer
        (["b", "a"], "string", {}, "binary_classification", "y = 'a'", [0, 1]),  # as rare: by the alphabet
        (["a", "b", "c"], "string", {"positive": "b"}, "binary_classification", "y = 'b'", [0, 1, 0]),
        ([1, 2, 3], "integer", {"positive": "2"}, "binary_classification", "y = 2", [0, 1, 0]),
        (["it's", "a\\b", "it's"], "string", {"positive": "it's"}, "binary_classification", r"y = 'it\'s'", [1, 0, 1]),
        (["it's", "a\\b"], "string", {"positive": "a\\b"}, "binary_classification", r"y = 'a\\b'", [0, 1]),
        ([1, 2, 3, None], "integer", {}, "regression", "y", [1, 2, 3, NAN]),
        ([1.5, 2.5, 0.5], "double", {}, "regression", "y", [1.5, 2.5, 0.5]),
        ([0, 1, 1], "integer", {"task": "regression"}, "regression", "y", [0, 1, 1]),
        ([1.5, 2.5], "double", {"task": "quantile_regression"}, "quantile_regression", "y", [1.5, 2.5]),
        (["b", "a", "c", None], "string", {}, "multiclass_classification", "y", [1, 0, 2, NAN]),
        ([30, 10, 20], "integer", {"task": "multiclass_classification"}, "multiclass_classification", "y", [2, 0, 1]),
        (["a", "b"], "string", {"task": "multiclass_classification"}, "multiclass_classification", "y", [0, 1]),
    ],
)  # fmt: skip
def test_the_task_follows_from_the_values_and_what_is_asked_for(
    values: Sequence[Any], kind: str, options: dict[str, Any], task: str, sql: str, numbers: list[float]
) -> None:
    label = profile(values, kind, **options)
    assert (label.task, label.sql) == (task, sql)
    assert label.values == pytest.approx(numbers, nan_ok=True)
    name, column = label.column
    assert not column.nullable and not column.personal and column.source is None
    if task == "binary_classification":
        assert column.type == "boolean"
    else:
        assert (name, column.type, column.description) == ("y", kind, "What came of it.")


@pytest.mark.parametrize(
    ("values", "kind", "options", "name", "description", "reason"),
    [
        (["no", "yes"], "string", {}, "y_is_yes", "Whether y is yes.", "two outcomes: y is yes (by its meaning) in 50.0% of the labelled rows"),
        (
            ["a", "b", "a", None], "string", {}, "y_is_b", "Whether y is b.",
            "two outcomes: y is b (the rarer of its two values; --positive names the other) in 33.3% of the labelled rows",
        ),
        ([0, 1, 1, 1], "integer", {}, "y", "Whether y is 1.", "two outcomes: y is 1 (the larger of its two values) in 75.0% of the labelled rows"),
        ([True, False], "boolean", {}, "y", "What came of it.", "two outcomes: y is true (by its meaning) in 50.0% of the labelled rows"),
        (
            [False, True], "boolean", {"positive": "false"}, "y", "Whether y is false.",
            "two outcomes: y is false (as requested) in 50.0% of the labelled rows",
        ),
        (
            ["a", "b", "b", "c", "c"], "string", {}, "y", "What came of it.",
            "3 classes, from c (2 rows) to a (1); --positive predicts one of them",
        ),
        (
            [1, 2, 3], "integer", {}, "y", "What came of it.",
            "a number of 3 distinct values; with only 3 values it may be classes: --positive names one of them, --task "
            "multiclass_classification takes them all",
        ),
        (list(range(11)), "integer", {}, "y", "What came of it.", "a number of 11 distinct values"),
        ([0, 1], "integer", {"task": "regression"}, "y", "What came of it.", "as requested of 2 distinct values; with only 2 values it may be "
         "classes: --positive names one of them, --task multiclass_classification takes them all"),
    ],
)  # fmt: skip
def test_the_label_says_what_it_holds_and_why(
    values: Sequence[Any], kind: str, options: dict[str, Any], name: str, description: str, reason: str
) -> None:
    label = profile(values, kind, **options)
    assert (label.column[0], label.column[1].description, label.reason) == (name, description, reason)


TEXTS = [f"v{n}" for n in range(31)]


@pytest.mark.parametrize(
    ("values", "kind", "options", "message"),
    [
        ([1, 1], "integer", {}, "label: y has a single value in 2 rows: nothing to learn"),
        ([None], "string", {}, "label: y has no value in 1 rows: nothing to learn"),
        ([NOON], "timestamp", {}, "label: y is a timestamp; wanted a number, a text or a boolean"),
        ([date(2013, 1, 1)], "date", {}, "label: y is a date; wanted a number, a text or a boolean"),
        ([1, 2], "integer", {"task": "regresion"}, "task: found 'regresion'; did you mean 'regression'?"),
        (["a", "b"], "string", {"task": "regression"}, "task: regression takes a number, y is a string"),
        ([True, False], "boolean", {"task": "regression"}, "task: regression takes a number, y is a boolean"),
        ([1.5, 2.5], "double", {"task": "multiclass_classification"}, "task: multiclass_classification takes a text or an integer, y is a double"),
        (["a", "b"], "string", {"positive": "A"}, "positive: y has no value 'A';"),
        (TEXTS, "string", {}, "label: y has 31 values ("),
        ([1, 2, 3], "integer", {"task": "binary_classification"}, "label: y has 3 values (1, 2, 3); name the one to predict with --positive"),
        (["a", "b", "c"], "string", {"personal": True}, "label: y is personal, so its values can't be written down as classes; --positive predicts one of them"),
    ],
)  # fmt: skip
def test_a_label_that_cannot_be_learned_as_asked_is_refused(
    values: Sequence[Any], kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as refused:
        profile(values, kind, **options)
    assert str(refused.value).startswith(message)
    with pytest.raises(DataError, match="^label: no column 'why'"):
        profile_label(pa.table({"y": [1]}), {"y": Column(type="integer")}, "why")


# How well a column tells the label.

rng = np.random.default_rng(0)
TRUTH = rng.integers(0, 2, 200).astype(float)
SCORE = (TRUTH + rng.normal(0, 1, 200)).round(1)
LABEL = np.where(np.arange(200) % 10 == 0, NAN, TRUTH)
IS_KNOWN = ~np.isnan(LABEL)


def area(truth: np.ndarray, score: np.ndarray) -> float:
    return float(abs(2 * sk.roc_auc_score(truth, score) - 1))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", [pa.float64(), pa.int64(), pa.bool_()])
def test_for_two_classes_it_is_the_area_in_the_better_direction(sign: int, kind: pa.DataType) -> None:
    score = sign * (SCORE * 10).round() if kind != pa.bool_() else (sign * SCORE > sign * 0.5).astype(float)
    strength = association(pa.chunked_array([pa.array(score).cast(kind)]), LABEL, numbers=False)
    assert strength == pytest.approx(area(TRUTH[IS_KNOWN], score[IS_KNOWN]))


def test_for_numbers_it_is_the_rank_correlation_of_spearman_without_its_sign() -> None:
    number = np.where(IS_KNOWN, -np.exp(SCORE), NAN)
    strength = association(pa.chunked_array([SCORE[:90].tolist(), SCORE[90:].tolist()]), number, numbers=True)
    assert strength == pytest.approx(abs(stats.spearmanr(SCORE[IS_KNOWN], number[IS_KNOWN]).statistic)) == pytest.approx(1)
    noisy = np.where(IS_KNOWN, SCORE + rng.normal(0, 2, 200), NAN)
    wanted = abs(stats.spearmanr(SCORE[IS_KNOWN], noisy[IS_KNOWN]).statistic)
    assert association(pa.chunked_array([SCORE]), noisy, numbers=True) == pytest.approx(wanted)


def test_for_several_classes_it_is_the_one_that_it_tells_least() -> None:
    label = np.where(IS_KNOWN, np.arange(200) % 3, NAN)
    truth = label[IS_KNOWN]
    wanted = min(area(truth == one, SCORE[IS_KNOWN]) for one in range(3))
    assert association(pa.chunked_array([SCORE]), label, numbers=False) == pytest.approx(wanted)


def test_a_text_counts_by_the_mean_label_of_its_values_and_too_many_values_not_at_all() -> None:
    texts = [None if place % 7 == 3 else f"t{int(score)}" for place, score in enumerate(SCORE)]
    known = [(text or "", truth) for text, truth in zip(texts, LABEL, strict=True) if not math.isnan(truth)]
    means = {text: np.mean([truth for other, truth in known if other == text]) for text, _ in known}
    is_null = np.array([text is None for text in texts])[IS_KNOWN]
    wanted = max(area(TRUTH[IS_KNOWN], np.array([means[text] for text, _ in known])), area(TRUTH[IS_KNOWN], is_null))
    assert association(pa.chunked_array([texts]), LABEL, numbers=False) == pytest.approx(wanted)
    assert association(pa.chunked_array([[f"t{n}" for n in range(200)]]), LABEL, numbers=False) == 0


def test_that_a_value_is_missing_tells_the_label_too() -> None:
    values = [None if truth == 1 else 5.0 + place % 3 for place, truth in enumerate(TRUTH)]
    assert association(pa.chunked_array([values]), LABEL, numbers=False) == 1
    half = [None if place % 2 else score for place, score in enumerate(SCORE)]
    is_null = np.arange(200)[IS_KNOWN] % 2
    lowest = np.where(is_null == 1, SCORE.min() - 1, SCORE[IS_KNOWN])
    wanted = max(area(TRUTH[IS_KNOWN], lowest), area(TRUTH[IS_KNOWN], is_null))
    assert association(pa.chunked_array([half]), LABEL, numbers=False) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ([1.0] * 200, LABEL),
        ([None] * 200, LABEL),
        (SCORE.tolist(), np.where(np.arange(200) < 9, TRUTH, NAN)),  # too few labels
        (SCORE.tolist(), np.ones(200)),
    ],
)
def test_what_says_nothing_has_no_strength(values: list[float | None], label: np.ndarray) -> None:
    assert association(pa.chunked_array([values], pa.float64()), label, numbers=False) == 0


# The features.

COUNT = 60
FLAGS = np.arange(COUNT) % 2


@pytest.mark.parametrize(
    ("kind", "values", "note"),
    [
        ("date", [date(2013, 1, 1)] * COUNT, "a date is no number; derive one, such as the days between two times"),
        ("double", [None] * COUNT, "no row has a value"),
        ("double", [2.0] * COUNT, "one value in every row"),
        ("string", ["a"] * COUNT, "one value only"),
        ("string", [f"t{n}" for n in range(COUNT)], "60 different texts in 60 rows tell rows apart and nothing else"),
        ("string", [f"t{n // 2}" for n in range(COUNT)], ""),  # half as many texts as rows
        ("integer", list(range(COUNT)), "it counts the rows, in the order in which they stand: put it in if it is more than a number of the row"),
        ("integer", list(range(COUNT))[::-1], "it counts the rows, in the order in which they stand: put it in if it is more than a number of the row"),
        ("integer", [n + (n >= 30) + (n >= 50) for n in range(COUNT)], "it counts the rows, in the order in which they stand: put it in if it is more than a number of the row"),
        ("integer", [n + n // 10 for n in range(COUNT)], ""),  # a tenth of the steps are longer
        ("integer", [None, *range(1, COUNT)], ""),
        ("double", [1.5, float("-inf"), *[7.0, float("nan")] * 29], "infinite in 1 rows, which models don't take; derive one in the view: nullif(x, double('Infinity'))"),
        ("integer", [5, -(2**63), *[7, 9] * 29], "whole numbers beyond 2**53, which a model's doubles don't tell apart"),
        ("integer", [*range(COUNT - 1), 5], ""),
        ("double", (FLAGS * 1.0).tolist(), "says y by itself (1 of 1): put it in if it is known before it is asked for"),
    ],
)  # fmt: skip
def test_a_column_is_left_out_with_its_reason(kind: str, values: list[Any], note: str) -> None:
    types = {"string": pa.string(), "integer": pa.int64(), "double": pa.float64(), "date": pa.date32()}
    rows = pa.table({"y": FLAGS, "c": pa.array(values, types[kind])})
    columns = {"y": Column(type="integer"), "c": Column(type=kind, source=["c"])}
    label = profile_label(rows, columns, "y")
    (feature,) = profile_features(rows, columns, label, without={"id"}, labelled_by="y")
    assert (feature.name, feature.note, feature.is_used) == ("c", note, not note)
    assert feature.column.source is None and feature.column.nullable


def test_a_column_that_nearly_tells_the_label_is_used_and_pointed_out() -> None:
    label, hint = np.arange(400) % 2, np.arange(400) % 2 + 0.0
    hint[[0, 1]] = [1, 0]
    rows = pa.table({"y": label, "hint": hint, "name": ["x"] * 400, "few": ["a", "b"] * 200, "row": range(400)})
    columns = {
        "y": Column(type="integer"),
        "hint": Column(type="double"),
        "name": Column(type="string", personal=True),
        "few": Column(type="string"),
        "row": Column(type="integer", source=["__index_level_0__"]),
    }
    profiled = profile_label(rows, columns, "y")
    features = {feature.name: feature for feature in profile_features(rows, columns, profiled, without={"few"}, labelled_by="y")}
    assert list(features) == ["hint", "name", "row"]
    assert features["hint"].is_used
    assert features["hint"].note == "suspicious: says y nearly by itself (0.99 of 1); is it known before?"
    assert features["name"].note == "personal"
    assert features["row"].note == "pandas wrote it: the index of the rows, not what a row says of itself"
    table = TableSpec(
        name="t",
        description="t",
        source={"files": "x.csv"},
        keys=["few"],
        columns={**columns, "at": Column(type="timestamp", timezone="UTC")},
    )
    assert exclusion_reasons(table, list(features.values()), "at", "y") == (
        "y: the label; hint: suspicious: says y nearly by itself (0.99 of 1); is it known before?; name: personal; few: a key; "
        "row: pandas wrote it: the index of the rows, not what a row says of itself; at: the time of the prediction"
    )


# When the label is known.

TIMES = [NOON + n * DAY for n in range(6)]


@pytest.mark.parametrize(
    ("label", "closed", "delay", "column", "why"),
    [
        # A time that is there exactly where the label is, and never before the event.
        ([0, 1, 0, 1, NAN, NAN], [t + DAY for t in TIMES[:4]] + [None] * 2, 0, "closed", "closed has a value exactly where the label does"),
        (
            [0, 1, 0, 1, NAN, NAN],
            [t - DAY for t in TIMES[:4]] + [None] * 2,
            2,
            None,
            "the newest label is 2 days older than the newest row",
        ),
        ([0, 1, 0, 1, 1, NAN], [t + DAY for t in TIMES[:4]] + [None] * 2, 1, None, "the newest label is 1 days older than the newest row"),
        ([NAN, 1, 0, 1, 1, 1], [None] * 6, 0, None, "labels are known up to the newest at"),
        ([0, 1, 0, 1, 1, 1], TIMES, 0, None, "the data don't show how long after at the label is known"),
    ],
)
def test_a_label_is_known_at_a_time_of_its_own_or_after_the_days_that_lack_it(
    label: list[float], closed: list[datetime | None], delay: int, column: str | None, why: str
) -> None:
    rows = pa.table({"at": pa.array(TIMES, MOMENT), "closed": pa.array(closed, MOMENT), "day": pa.array([date(2013, 1, 1)] * 6)})
    columns = {"at": Column(type="timestamp"), "closed": Column(type="timestamp"), "day": Column(type="date")}
    known = find_known_time(rows, columns, "at", np.array(label, float))
    assert (known[0], known[1]) == (delay * DAY, column) and known[2].startswith(why)


@pytest.mark.parametrize(("hours", "days"), [(23, 0), (24, 1), (25, 2), (48, 2)])
def test_a_part_of_a_day_is_waited_for_as_a_whole_one(hours: int, days: int) -> None:
    rows = pa.table({"at": pa.array([NOON, NOON + timedelta(hours=hours)], MOMENT)})
    assert find_known_time(rows, {"at": Column(type="timestamp")}, "at", np.array([1, NAN]))[0] == days * DAY


def test_a_row_without_time_leaves_it_open_when_its_label_is_known() -> None:
    rows = pa.table({"at": pa.array([NOON, None, NOON + 3 * DAY], MOMENT)})
    assert find_known_time(rows, {"at": Column(type="timestamp")}, "at", np.array([1, 0, NAN]))[0] == timedelta(0)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([NOON, None], MOMENT),
        pa.array([NOON, None], pa.timestamp("s", "America/New_York")),
        pa.array([NOON.replace(tzinfo=None), None], pa.timestamp("ms")),
        pa.array([NOON, NOON], pa.timestamp("ns", "UTC")),
    ],
)
def test_moments_are_utc_microseconds_and_null_is_none(values: pa.Array) -> None:
    moments = moments_of(pa.table({"at": values}), "at")
    assert moments.dtype == np.dtype("datetime64[us]") and moments[0] == np.datetime64("2013-03-01T12:00")
    assert np.isnat(moments).tolist() == [False, values.null_count == 1]
