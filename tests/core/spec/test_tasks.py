"""What a model says of a row: names of columns, scores from raw answers, labels as numbers, and what a workflow file has to say for it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.checking.project import load_checked
from lakeloop.errors import DataError
from lakeloop.evaluation.decisions import Evidence, should_promote
from lakeloop.metrics.table import BESIDE, metrics_of
from lakeloop.spec.tasks import TASKS, Answer, to_scores
from lakeloop.spec.workflow import Gate
from lakeloop.training.comparison import compare_answers
from lakeloop.training.labels import label_numbers, label_values
from tests.worlds.places import ROOT
from tests.worlds.shop import make_shop

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))
QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))


@given(st.lists(st.one_of(st.text(max_size=60), st.integers()), min_size=2, max_size=8, unique=True))
def test_names_of_class_columns_are_plain_and_never_the_same(classes: list[str | int]) -> None:
    columns = list(Answer("multiclass_classification", classes=tuple(classes)).columns)
    assert len(set(columns)) == len(classes) + 1
    assert all(name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= 63 for name in columns)


def test_quantiles_are_named_by_their_digits_and_the_median_is_the_prediction() -> None:
    answer = Answer("quantile_regression", quantiles=(0.005, 0.05, 0.1, 0.5, 0.9, 0.975))
    assert list(answer.columns) == [
        "prediction",
        "prediction_q005",
        "prediction_q05",
        "prediction_q10",
        "prediction_q90",
        "prediction_q975",
    ]


def test_what_is_stored_with_a_model_gives_its_answer_back() -> None:
    for answer in (ABC, QUARTERS, Answer("regression"), Answer("multiclass_classification", classes=(3, 1))):
        assert Answer.from_record(answer.record()) == answer


def test_a_class_that_was_not_fitted_has_probability_zero_and_quantiles_are_put_in_order() -> None:
    assert to_scores([[0.25, 0.75]], ABC, [0, 2]).tolist() == [[0.25, 0, 0.75]]
    assert to_scores([[3.0, 1.0, 2.0]], QUARTERS).tolist() == [[1, 2, 3]]
    assert ABC.values(np.array([[0.2, 0.4, 0.4]]))["prediction"] == ["b"]
    with pytest.raises(DataError, match=r"wanted 3 numbers a row \(probability_a, .*shape \(1, 2\)"):
        to_scores([[0.5, 0.5]], ABC)


def test_labels_of_declared_classes_become_their_places_and_null_stays_unknown() -> None:
    labels = label_values(pa.chunked_array([["c", None, "a"]]), ABC)
    assert labels.to_pylist() == ["c", None, "a"]
    assert np.array_equal(label_numbers(labels, ABC), [2, np.nan, 0], equal_nan=True)
    whole = Answer("multiclass_classification", classes=(7, 3))
    assert label_numbers(label_values(pa.chunked_array([[3, 7]]), whole), whole).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "answer", "told"),
    [
        (["a", "bb", "bb"], ABC, "2 labels are of a class that isn't declared: 'bb'; did you mean 'b'"),
        ([1, 2], ABC, "the classes are strings, but the label is int64"),
        ([1.0, float("inf"), None], Answer("regression"), "1 of 2 labels are NaN or infinite"),
        ([0, 1, 2], Answer("binary_classification"), "wanted labels 0 and 1 for binary_classification, found 2"),
        (["x"], Answer("regression"), "wanted a label that is a number or a boolean, found string"),
    ],
)
def test_a_label_that_does_not_fit_is_named(values: list[object], answer: Answer, told: str) -> None:
    with pytest.raises(DataError) as error:
        label_values(pa.chunked_array([values]), answer)
    assert told in str(error.value)


def test_a_personal_label_is_not_named() -> None:
    with pytest.raises(DataError) as error:
        label_values(pa.chunked_array([["Ada"]]), ABC, personal=True)
    assert "Ada" not in str(error.value) and "isn't declared" in str(error.value)


def test_a_champion_is_compared_by_class_name_by_common_quantiles_or_not_at_all_with_a_reason() -> None:
    old = Answer("multiclass_classification", classes=("c", "a", "z"))
    compared = compare_answers(ABC, old)
    assert compared.convert is not None and compared.convert(np.array([[0.1, 0.2, 0.7]])).tolist() == [[0.2, 0.0, 0.1]]
    assert "it doesn't know b, so the probability of that is taken as 0" in compared.note and "its probability of z" in compared.note
    wide = Answer("quantile_regression", quantiles=(0.05, 0.25, 0.5, 0.75, 0.95))
    narrow = compare_answers(QUARTERS, wide)
    assert narrow.convert is not None and narrow.convert(np.array([[1.0, 2, 3, 4, 5]])).tolist() == [[2, 3, 4]]
    assert compare_answers(wide, QUARTERS).convert is None
    assert "another question (regression, not multiclass classification)" in compare_answers(ABC, Answer("regression")).note


def test_a_champion_that_answers_another_question_stands_in_nobodys_way_and_the_decision_says_so() -> None:
    skill = {"difference": 0.3, "error": 0.01, "degrees": 99, "rows": 100}
    evidence = Evidence("2", "log_loss", 0.5, {}, "1", None, skill, incomparable="it answers another question (regression)")
    decision = should_promote(candidate="2", champion="1", evidence=evidence, gates={"champion": Gate(max_drop=0.01)})
    assert decision.action == "promote" and "another question" in decision.reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"task: binary_classification": "task: multiclass_classification"},
            "label.column: multiclass_classification takes a text or an integer",
        ),
        ({"column: returned}": "column: returned, classes: [a, b]}"}, "label.classes: classes are for multiclass_classification"),
        ({"column: returned}": "column: returned, classes: [true, false]}"}, "wanted texts or integers, found a boolean: put true"),
        ({"column: returned}": "column: returned, classes: [a, a]}"}, "'a' is listed twice"),
        ({"{pipeline: linear}": "{pipeline: linear, calibrate: istonic}"}, "model.calibrate: found 'istonic'; did you mean 'isotonic'"),
        ({"column: returned}": "column: returned, classes: [a, 1]}"}, "wanted texts only or integers only"),
        ({"keys: [order_id, customer]": "keys: [order_id, customer]\n  quantiles: [0.1, 0.5]"}, "quantiles are for quantile_regression"),
        (
            {"keys: [order_id, customer]": "keys: [order_id, customer]\n  quantiles: [0.5, 0.1]"},
            "wanted increasing numbers between 0 and 1 with 0.5",
        ),
        ({"keys: [order_id, customer]": "keys: [order_id, customer]\n  quantiles: [0.1, 0.9]"}, "with 0.5 among them"),
        (
            {
                "task: binary_classification": "task: quantile_regression",
                "primary: roc_auc": "primary: coverage",
                "roc_auc: {min": "pinbal_loss: {max",
            },
            "no model can be chosen by coverage",
        ),
        ({"task: binary_classification": "task: quantile_regression"}, "no metric 'roc_auc' for quantile_regression"),
        ({"primary: roc_auc": "primary: macro_f1"}, "no metric 'macro_f1' for binary_classification"),
    ],
)
def test_what_a_workflow_file_says_of_its_task_is_checked_with_file_and_key(tmp_path: Path, change: dict[str, str], told: str) -> None:
    defs = make_shop(tmp_path)
    path = defs / "shop" / "returns" / "defs.yaml"
    text = path.read_text()
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    errors = [str(error) for error in load_checked(defs)[1]]
    assert any(told in error and "returns/defs.yaml" in error for error in errors), errors


def test_the_page_lists_the_metrics_of_each_task_and_those_that_only_gates_may_name() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| (`roc_auc`, .*|`mae`, .*) \|$", page, re.M)
    assert {task for task, _ in listed} == {"binary_classification", "regression", "forecasting", "anomaly_detection"}
    for task, text in listed:
        deciding, _, gates = text.partition("; gates only: ")
        known = metrics_of(task)
        assert re.findall(r"`(\w+)`", deciding) == [name for name, metric in known.items() if metric.decides]
        assert re.findall(r"`(\w+)`", gates) == [*(n for n, metric in known.items() if not metric.decides), *BESIDE.get(task, {})]


def test_every_task_has_what_the_table_says_of_it() -> None:
    from lakeloop.metrics.table import METRICS
    from lakeloop.report.task_sections import SECTIONS

    for task, kind in TASKS.items():
        assert METRICS[task][kind.primary].decides
        assert METRICS[task][kind.loss].rows is not None
        assert set(kind.sections) <= set(SECTIONS) and set(kind.beside) <= set(METRICS[task])


def test_a_training_window_of_one_class_is_refused_with_file_and_key_and_a_class_that_is_absent_is_told(tmp_path: Path) -> None:
    from dataclasses import replace

    from lakeloop.errors import SpecError
    from platform_assets.stages.training.models import _absent_classes

    located = load_checked(make_shop(tmp_path))[0].workflows[("shop", "returns")]
    assert _absent_classes(located, np.array([0.0, 1.0])) == ""
    with pytest.raises(SpecError, match=r"returns/defs\.yaml:\d+: split\.train: every row of the training window is of one class, 1"):
        _absent_classes(located, np.array([1.0, 1.0]))
    with pytest.raises(SpecError, match=r"split\.train: no row with a label"):
        _absent_classes(located, np.array([]))
    label = located.spec.label.model_copy(update={"classes": ["a", "b", "c"]})
    spec = located.spec.model_copy(update={"task": "multiclass_classification", "label": label})
    assert _absent_classes(replace(located, spec=spec), np.array([0.0, 2.0])) == "b"


def test_the_endpoint_answers_integers_as_integers_and_what_is_not_finite_as_null() -> None:
    from resources.serving.codec import encode_v1, encode_v2

    whole = Answer("multiclass_classification", classes=(7, 3))
    scores = np.array([[0.25, 0.75], [1.0, 0.0]])
    assert encode_v1(scores, whole, "m", "1")["predictions"][0] == {"prediction": 3, "probability_7": 0.25, "probability_3": 0.75}
    first, second, _ = encode_v2(scores, whole, "m", "1")["outputs"]
    assert first == {"name": "prediction", "shape": [2], "datatype": "INT64", "data": [3, 7]} and second["datatype"] == "FP64"
    assert encode_v1(np.array([1.5, np.nan]), Answer("regression"), "m", "1")["predictions"] == [1.5, None]
