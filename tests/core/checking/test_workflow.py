"""What a workflow names exists and fits: each mistake in a small shop is told once, by its key, its line and the nearest match."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeloop.checking.workflow import check_workflow
from lakeloop.errors import SpecError
from lakeloop.project.project import load_project
from tests.worlds.shop import make_shop

QUARTERS = "keys: [order_id, customer]\n  quantiles: [0.25, 0.5, 0.75]"


@pytest.fixture
def defs(tmp_path: Path) -> Path:
    return make_shop(tmp_path)


def edit(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def errors_of(defs: Path, changes: dict[str, str], others: dict[str, dict[str, str]]) -> list[SpecError]:
    edit(defs / "shop" / "returns" / "defs.yaml", changes)
    for name, edits in others.items():
        edit(defs / "shop" / name, edits)
    project, unreadable = load_project(defs)
    assert not unreadable, unreadable
    return check_workflow(project, project.workflows[("shop", "returns")])


def test_the_shop_is_good(defs: Path) -> None:
    assert errors_of(defs, {}, {}) == []


LABEL = "label: {view: outcomes, column: returned}"
SEVERAL = "multiclass_classification takes a text or an integer, and its classes"
TO_CLASSES = {"task: binary_classification": "task: multiclass_classification", "primary: roc_auc": "primary: log_loss"}
LABELS = {"boolean, nullable: false": "string, nullable: false"}


@pytest.mark.parametrize(
    ("changes", "others", "key", "message"),
    [
        # The spine.
        ({}, {"returns/spine.sql": {"AS predict_at": "AS asked_at"}}, "predict_at", "spine.sql has no column 'predict_at'; did you mean 'asked_at'? Available: asked_at, customer, order_id"),
        ({}, {"returns/spine.sql": {"customer,": ""}}, "keys", "spine.sql has no column 'customer'; Available: order_id, predict_at"),
        ({}, {"returns/spine.sql": {"customer,": "customer, items AS customer,"}}, "keys", "spine.sql has 2 columns 'customer'; wanted one; give the others names of their own"),
        # The label.
        ({"view: outcomes": "view: outcome"}, {}, "label.view", "no feature view 'outcome'; did you mean 'outcomes'? Available: basket, history, outcomes"),
        ({"view: outcomes": "view: orders"}, {}, "label.view", "no feature view 'orders'; Available: basket, history, outcomes"),
        ({"column: returned": "column: return"}, {}, "label.column", "outcomes has no column 'return'; did you mean 'returned'? Available: returned"),
        ({"column: returned}": "column: returned, classes: [a, b]}"}, {}, "label.classes", "classes are for multiclass_classification, this is a binary_classification"),
        ({}, {"outcomes/defs.yaml": LABELS}, "label.column", f"binary_classification takes a number or a boolean, outcomes.returned is a string; {SEVERAL}"),
        ({**TO_CLASSES, "gates: {roc_auc: {min: 0.55}, ": "gates: {"}, {}, "label.column", f"{SEVERAL}, outcomes.returned is a boolean"),
        (
            {**TO_CLASSES, "gates: {roc_auc: {min: 0.55}, ": "gates: {"}, {"outcomes/defs.yaml": LABELS}, "label.classes",
            "wanted the classes of outcomes.returned, two at least, such as classes: [small, large]; found none",
        ),
        (
            {**TO_CLASSES, "gates: {roc_auc: {min: 0.55}, ": "gates: {", "column: returned}": "column: returned, classes: [a]}"},
            {"outcomes/defs.yaml": LABELS}, "label.classes",
            "wanted the classes of outcomes.returned, two at least, such as classes: [small, large]; found 1",
        ),
        (
            {**TO_CLASSES, "gates: {roc_auc: {min: 0.55}, ": "gates: {", "column: returned}": "column: returned, classes: [1, 2]}"},
            {"outcomes/defs.yaml": LABELS}, "label.classes", "the classes are integers, outcomes.returned is a string",
        ),
        # The features.
        ({'history: "*"': 'histry: "*"'}, {}, "features.histry", "no table or view 'histry'; did you mean 'history'? Available: basket, history, orders, outcomes"),
        ({"basket: [items, amount_eur]": "basket: [item]"}, {}, "features.basket", "basket has no column 'item'; did you mean 'items'? Available: amount_eur, items"),
        ({"basket: [items, amount_eur]": "outcomes: [returned]"}, {}, "features.outcomes", "outcomes holds the label: its columns would leak it into the features"),
        ({"basket: [items, amount_eur]": "orders: [order_id]"}, {}, "features.orders", "orders.order_id is a key, which can't be an input of a model; derive a number in a view"),
        ({"basket: [items, amount_eur]": "orders: [ordered_at]"}, {}, "features.orders", "orders.ordered_at is a timestamp, which can't be an input of a model; derive a number in a view"),
        ({"basket: [items, amount_eur]": "basket: {columns: [items], max_age: 3d}"}, {}, "features.basket.max_age", "basket is static (it has no event time), so its values have no age"),
        ({"basket: [items, amount_eur]": "basket: [items]\n    shop.basket: [items]"}, {}, "features.shop.basket", "shop.basket.items and basket.items would both be called basket__items"),
        # Evaluation.
        ({"primary: roc_auc": "primary: roc_auk"}, {}, "evaluation.primary", "no metric 'roc_auk' for binary_classification; did you mean 'roc_auc'?"),
        ({"primary: roc_auc}": "primary: roc_auc, slices: [items, item]}"}, {}, "evaluation.slices.1", "no key or feature 'item'; did you mean 'items'? Available: amount_eur, customer, items, last_amount_eur, last_items, order_id"),
        ({"primary: roc_auc}": "primary: roc_auc, cluster: customers}"}, {}, "evaluation.cluster", "no key or feature 'customers'; did you mean 'customer'?"),
        ({"keys: [order_id, customer]": QUARTERS}, {}, "quantiles", "quantiles are for quantile_regression, this is a binary_classification"),
        # Gates.
        ({"{roc_auc: {min": "{roc_auk: {min"}, {}, "gates.roc_auk", "no metric 'roc_auk' for binary_classification; did you mean 'roc_auc'?"),
        ({"{min: 0.55}": "{}"}, {}, "gates.roc_auc", "wanted min or max, or both, found neither"),
        ({"{min: 0.55}": "{min: 0.5, max_drop: 0.1}"}, {}, "gates.roc_auc.max_drop", "this is for the gate `champion`; bound a metric by min and max"),
        ({"{max_drop: 0.05}": "{max_drop: 0.05, min: 0.5}"}, {}, "gates.champion.min", "this bounds a metric; the gate `champion` has max_drop and error_rate"),
        # The model.
        ({"{pipeline: linear}": "{pipeline: linea}"}, {}, "model.pipeline", "no pipeline 'linea'; did you mean 'linear'?"),
        ({"{pipeline: linear}": "{pipeline: own.py}"}, {}, "model.pipeline", "no file 'own.py' beside the definition; nothing is available"),
        (
            {"task: binary_classification": "task: regression", "primary: roc_auc": "primary: mae", "gates: {roc_auc: {min: 0.55}, ": "gates: {", "{pipeline: linear}": "{pipeline: linear, calibrate: true}"},
            {}, "model.calibrate", "this is for a pipeline or an estimator that classifies, this is a regression",
        ),
        # Expectations.
        (
            {"  batch:": "  expectations:\n    training_set:\n      - expect_column_to_exist: {column: lable}\n  batch:"},
            {}, "expectations.training_set.0.expect_column_to_exist", "no column 'lable'; did you mean 'label'?",
        ),
        (
            {"  batch:": "  expectations:\n    predictions:\n      - expect_column_to_exist: {column: split}\n  batch:"},
            {}, "expectations.predictions.0.expect_column_to_exist", "no column 'split';",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_its_key_with_the_nearest_match(
    defs: Path, changes: dict[str, str], others: dict[str, dict[str, str]], key: str, message: str
) -> None:
    errors = errors_of(defs, changes, others)
    assert [error.key for error in errors] == [key], errors
    (error,) = errors
    assert error.message == message if message[-1] not in "?;" else error.message.startswith(message), error.message
    line = (defs / "shop" / "returns" / "defs.yaml").read_text().splitlines()[(error.line or 0) - 1]
    assert error.file.endswith("shop/returns/defs.yaml")
    names = [part for part in key.split(".") if not part.isdigit()]
    assert any(name in line for name in names[-2:]) or key == "predict_at"


def test_a_key_that_the_spine_lacks_is_told_of_the_label_and_of_each_feature(defs: Path) -> None:
    errors = errors_of(defs, {"keys: [order_id, customer]": "keys: [customer]"}, {})
    assert [(error.key, error.message) for error in errors] == [
        ("keys", "the label is keyed by 'order_id', which the spine's keys lack; Available: customer"),
        ("features.basket", "basket is keyed by 'order_id', which the spine's keys lack; Available: customer"),
    ]


def test_a_key_may_not_be_called_like_a_column_of_the_predictions(defs: Path) -> None:
    errors = errors_of(
        defs,
        {"keys: [order_id, customer]": "keys: [order_id, customer, prediction]"},
        {"returns/spine.sql": {"customer,": "customer, items AS prediction,"}},
    )
    assert [(error.key, error.message) for error in errors] == [
        ("keys", "a column of the predictions is called prediction; rename the key in the spine and its views")
    ]


@pytest.mark.parametrize(
    ("costs", "told"), [("{false_positive: 1, false_negative: 5}", False), ("{false_positive: 1, false_negative: 5}", True)]
)
def test_costs_are_for_a_binary_classification(defs: Path, costs: str, told: bool) -> None:
    changes = {"primary: roc_auc}": f"primary: {'mae' if told else 'roc_auc'}, costs: {costs}}}"}
    if told:
        changes |= {"task: binary_classification": "task: regression", "gates: {roc_auc: {min: 0.55}, ": "gates: {"}
    errors = errors_of(defs, changes, {})
    assert [(error.key, error.message) for error in errors] == (
        [("evaluation.costs", "costs are for a binary classification, this is a regression")] if told else []
    )


FORECAST = {
    "task: binary_classification": "task: forecasting",
    "primary: roc_auc": "primary: mae",
    "gates: {roc_auc: {min: 0.55}, ": "gates: {",
    "{pipeline: linear}": "{pipeline: forecasting}",
    "keys: [order_id, customer]": "keys: [order_id, customer, target_at, days_ahead]",
}
SPINE = {"customer,": "customer, ordered_at AS target_at, items AS days_ahead,"}
SETTINGS = {"series": "[customer]", "every": "1d", "horizon": "7", "target": "target_at", "ahead": "days_ahead", "naive": "items"}


@pytest.mark.parametrize(
    ("settings", "gap", "wanted"),
    [
        ({}, "21d", []),  # seven days, and the fourteen after which the label is known
        (
            {}, "20d",
            [("split.gap", "wanted at least 3w (the horizon of 7 steps of 1d and the label's delay of 2w), found 20d: the model would learn from values of the next window")],
        ),
        ({"horizon": "6"}, "20d", []),
        ({"series": "[customer, custmer]"}, "21d", [("forecast.series.1", "no key 'custmer'; did you mean 'customer'? Available: customer, days_ahead, order_id, target_at")]),
        ({"target": "targt_at"}, "21d", [("forecast.target", "no key 'targt_at'; did you mean 'target_at'? Available: customer, days_ahead, order_id, target_at")]),
        ({"ahead": "items"}, "21d", [("forecast.ahead", "no key 'items'; Available: customer, days_ahead, order_id, target_at")]),
        ({"naive": "item"}, "21d", [("forecast.naive", "no feature 'item'; did you mean 'items'? Available: amount_eur, items, last_amount_eur, last_items")]),
    ],
)  # fmt: skip
def test_a_forecast_names_keys_and_a_feature_and_the_gap_covers_its_horizon(
    defs: Path, settings: dict[str, str], gap: str, wanted: list[tuple[str, str]]
) -> None:
    written = ", ".join(f"{name}: {value}" for name, value in {**SETTINGS, **settings}.items())
    changes = {**FORECAST, "gap: 1d": f"gap: {gap}", "  split:": f"  forecast: {{{written}}}\n  split:"}
    errors = errors_of(defs, changes, {"returns/spine.sql": SPINE})
    assert [(error.key, error.message) for error in errors] == wanted


def test_a_view_that_counts_as_known_always_over_rows_that_are_known_later_is_refused_with_the_gate_on_leaks(defs: Path) -> None:
    orders, basket = "orders/defs.yaml", "basket/defs.yaml"
    delayed = {"  event_time: ordered_at\n": "  event_time: ordered_at\n  known_delay: 2d\n"}
    gated = {"gates: {roc_auc": "gates: {leaks: {max: 0}, roc_auc"}
    assert errors_of(defs, {}, {orders: delayed}) == [], "projects of before the gate have such views"
    (error,) = errors_of(defs, gated, {})
    assert str(error.file).endswith("shop/basket/defs.yaml") and error.line
    assert "of shop.orders, which it reads, a row is known only 2d after its event" in str(error)
    assert "`event_time: ordered_at`" in str(error) and "`known_delay: ignored`" in str(error)
    assert errors_of(defs, {}, {basket: {"  keys: [order_id]\n": "  keys: [order_id]\n  known_delay: ignored\n"}}) == []
    assert errors_of(defs, {}, {basket: {"  known_delay: ignored\n": ""}}) != []
    held = {"  keys: [order_id]\n": "  keys: [order_id]\n  event_time: ordered_at\n"}
    text = {"SELECT order_id,": "SELECT order_id, ordered_at,"}
    assert errors_of(defs, {}, {basket: held, "basket/view.sql": text}) == []
