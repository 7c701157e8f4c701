"""Columns that look like an entity, over worlds whose truth is known: coins per person, measurements, categories, noise."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lakeloop.evaluation.entities import repeated_column
from lakeloop.evaluation.model_checks import Overlap, SeenColumn, check_entity_overlap
from tests.worlds.questions import BINARY

VISITS = 12


def column(values: np.ndarray) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


def a_coin_each(seed: int, people: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(people), VISITS))
    return who, rng.integers(0, 2, people)[who].astype(float)


@pytest.mark.parametrize("kind", ["whole numbers", "texts", "doubles"])
def test_a_coin_per_person_is_an_entity_whatever_its_type_and_name(kind: str) -> None:
    who, y = a_coin_each(0)
    values = {"whole numbers": who, "texts": np.array([f"P{each}" for each in who]), "doubles": who.astype(float)}[kind]
    entity = repeated_column("x", column(values), y)
    assert entity is not None and entity.is_entity and entity.entities == 300 and entity.agreement > 0.9
    assert "300 values in 3,600 rows" in entity.sentence


def test_what_a_measurement_says_by_its_size_makes_it_no_entity() -> None:
    rng = np.random.default_rng(1)
    age = rng.integers(18, 90, 5_000)
    y = (rng.random(5_000) < 1 / (1 + np.exp(-(age - 50) / 3))).astype(float)
    entity = repeated_column("age_no", column(age), y)
    assert entity is not None and not entity.is_entity and abs(entity.agreement) < 0.05


def test_noise_is_no_entity_in_one_of_three_hundred_worlds() -> None:
    rng = np.random.default_rng(2)
    columns = [repeated_column("id", column(rng.integers(0, 150, 1_200)), (rng.random(1_200) < 0.1).astype(float)) for _ in range(300)]
    assert not any(each.is_entity for each in columns if each)


def test_some_of_the_variance_makes_an_entity_of_a_column_that_is_called_one() -> None:
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(400), 10)
    y = rng.normal(0, 1, 400)[who] * 0.6 + rng.normal(0, 0.8, 4_000)
    customer, make = repeated_column("orders__customer_id", column(who), y), repeated_column("make", column(who), y)
    assert customer is not None and make is not None and customer.agreement == make.agreement
    assert customer.is_entity and not make.is_entity


def test_what_repeats_too_little_or_too_much_or_is_measured_is_not_looked_at() -> None:
    y = np.tile([0.0, 1.0], 500)
    for values in (np.arange(1_000), np.arange(1_000) % 5, np.linspace(0, 1, 1_000), np.tile(np.linspace(0, 1, 100), 10)):
        assert repeated_column("id", column(values), y) is None


def test_several_classes_belong_to_an_entity_too() -> None:
    who, _ = a_coin_each(4)
    classes = np.eye(3)[np.random.default_rng(5).integers(0, 3, 300)[who]]
    entity = repeated_column("x", column(who), classes)
    assert entity is not None and entity.is_entity


def test_entities_on_both_sides_are_found_where_rows_have_no_time() -> None:
    who, y = a_coin_each(6)
    entity = repeated_column("patient", column(who), y)
    assert entity is not None
    test, seen = np.arange(800), np.arange(800) < 790
    score = np.where(y[test] == 1, 0.9, 0.1)
    torn = Overlap(np.zeros(800, bool), False, ("patient",), (SeenColumn(entity, seen),))
    found = check_entity_overlap(BINARY, "roc_auc", torn, y[test], score, static=True)
    assert found.outcome == "found" and found.evidence["columns"] == ["patient"] and "99% of the test rows" in found.message
    all_known = Overlap(np.zeros(800, bool), False, ("patient",), (SeenColumn(entity, seen | True),))
    known = check_entity_overlap(BINARY, "roc_auc", all_known, y[test], score, static=False)
    assert known.outcome == "not_applicable" and "patient repeat by design (100% of the test rows)" in known.message
    apart = Overlap(np.zeros(800, bool), False, ("patient",), (SeenColumn(entity, ~seen & seen),), ("patient",))
    clean = check_entity_overlap(BINARY, "roc_auc", apart, y[test], score, static=True)
    assert clean.outcome == "clean" and "the label belongs to 1; rows are split by patient" in clean.message
