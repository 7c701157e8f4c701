"""What a workflow file says of its task, checked with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeloop.checking.project import load_checked
from lakeloop.spec.tasks import Answer
from tests.worlds.shop import make_shop

QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))


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
