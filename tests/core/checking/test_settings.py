"""Mistakes that people make in a workflow's settings: each is told once, with its file, its line, its key and what was wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeloop.checking.project import load_checked
from tests.worlds.shop import make_shop

SPLIT = "split: {train: 60d, test: 20d, gap: 1d}"
GATES = "gates: {roc_auc: {min: 0.55}, champion: {max_drop: 0.05}}"


def problems(root: Path, old: str, new: str, file: str = "returns/defs.yaml") -> list[str]:
    """What is told of a shop once one of its files says something else."""
    defs = make_shop(root)
    path = defs / "shop" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    _, errors = load_checked(defs)
    return [str(error) for error in errors]


@pytest.mark.parametrize(
    ("old", "new", "key", "wanted"),
    [
        ('"0 2 * * *"', '"61 2 * * *"', "batch.schedule", "a minute from 0 to 59, found '61'"),
        ("{causes: [data]}", '{schedule: "@weakly"}', "retrain.schedule", "did you mean '@weekly'"),
        ("{causes: [data]}", "{cooldown: 1d}", "retrain", "never trained again"),
        ("{pipeline: linear}", "{pipeline: gradient_boosting, params: {max_itr: 60}}", "model.params.max_itr", "did you mean 'max_iter'"),
        ("{pipeline: linear}", "{pipeline: gradient_boosting, params: {max_iter: -5}}", "model.params.max_iter", "Got -5"),
        ("{pipeline: linear}", "{pipeline: gradient_boosting, params: {max_iter: many}}", "model.params.max_iter", "Got 'many'"),
        ("{pipeline: linear}", "{pipeline: linear, params: {c: 0.1}}", "model.params.c", "did you mean 'C'"),
        ("train: 60d", "train: 60", "split.train", "a duration with its unit, such as 60h or 60d, found 60"),
        ("train: 60d", "train: 0d", "split.train", "a window such as 30d, found 0s"),
        ("test: 20d", "test: 0d", "split.test", "a window such as 30d, found 0s"),
        ("train: 60d", "train: 900d", "split", "windows that fit into the partitions, which have 152d, found 921d"),
        ('history: "*"', "history: {columns: '*', max_age: 0h}", "features.history.max_age", "every value would be too old"),
        ('history: "*"', "history: {columns: '*', max_age: 6}", "features.history.max_age", "such as 6h or 6d, found 6"),
        ("min: 0.55", "min: 6", "gates.roc_auc.min", "between 0 and 1, found 6"),
        ("min: 0.55", "min: 0.9, max: 0.8", "gates.roc_auc", "min up to max, found 0.9 and 0.8"),
        (GATES, "gates: {log_loss: {max: -1}}", "gates.log_loss.max", "at least 0, found -1"),
        ("max_drop: 0.05", "max_drop: 5", "gates.champion.max_drop", "no model loses 5"),
        ("[order_id, customer]", "[order_id, customer, order_id]", "keys.2", "'order_id' is listed twice"),
    ],
)
def test_a_mistake_is_told_at_its_key(tmp_path: Path, old: str, new: str, key: str, wanted: str) -> None:
    (told,) = problems(tmp_path, old, new)
    file, line, rest = told.split(":", 2)
    assert file.endswith("returns/defs.yaml") and int(line) > 1
    assert rest.strip().startswith(f"{key}: ") and wanted in rest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{causes: [data]}", '{schedule: "@weekly"}'),
        ("gap: 1d", "gap: 14d"),
        ("{pipeline: linear}", "{pipeline: gradient_boosting, params: {max_iter: 60, learning_rate: 0.2}}"),
        ("min: 0.55", "min: 0.6, max: 0.99"),
        ('history: "*"', "history: {columns: '*', max_age: 6h}"),
    ],
)
def test_ordinary_settings_are_taken(tmp_path: Path, old: str, new: str) -> None:
    assert problems(tmp_path, old, new) == []


def test_a_label_that_is_known_later_needs_a_gap(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, "gap: 1d", "gap: 0d")
    assert "split.gap: wanted how long it takes until a label is known (outcomes has delay: 2w), found 0s" in told


@pytest.mark.parametrize(
    "text",
    ["SELECT order_id, customer, FROM shop.orders", "SELECT order_id, count(*,) AS n FROM shop.orders GROUP BY order_id", "SELECT 1,"],
)
def test_a_comma_with_nothing_after_it_is_told(tmp_path: Path, text: str) -> None:
    told = problems(tmp_path, (make_shop(tmp_path) / "shop" / "basket" / "view.sql").read_text(), f"{text}\n", "basket/view.sql")
    assert "view.sql:1: wanted something after the comma, found" in told[0]
