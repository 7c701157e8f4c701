"""Codes of entities: equal where the keys are equal on both sides, however the rows are encoded, cut or ordered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.rows.entity_codes import entity_codes

WORDS = st.lists(st.none() | st.sampled_from(["a", "b", "c"]), max_size=12)
NUMBERS = st.lists(st.none() | st.integers(0, 3), max_size=12)


def shaped(values: list[Any], kind: pa.DataType, how: str) -> pa.ChunkedArray:
    """The values in one of the ways that they may come in."""
    array = pa.array(values, kind)
    if how == "dictionary":
        return pa.chunked_array([array.dictionary_encode()])
    if how == "chunks":
        return pa.chunked_array([array.slice(0, len(values) // 2), array.slice(len(values) // 2)], type=kind)
    if how == "wide":
        return pa.chunked_array([array.cast(pa.large_string() if pa.types.is_string(kind) else pa.int32())])
    return pa.chunked_array([array], type=kind)


WAYS = st.sampled_from(["plain", "dictionary", "chunks", "wide"])


def same_entities(left: np.ndarray, right: np.ndarray, spine: list[Any], rows: list[Any]) -> None:
    """Whether codes are equal exactly where keys are, and -1 where a key is null or only the spine's."""
    missing = [key is None or None in key for key in rows]
    assert [code == -1 for code in right] == missing
    assert [code == -1 for code in left] == [key is None or None in key or key not in rows for key in spine]
    for a, code in zip(spine, left, strict=True):
        for b, other in zip(rows, right, strict=True):
            if code >= 0 and other >= 0:
                assert (a == b) == (code == other)


@given(WORDS, NUMBERS, WORDS, NUMBERS, WAYS, WAYS)
def test_codes_of_two_keys_are_equal_exactly_where_both_keys_are(
    words: list[Any], numbers: list[Any], others: list[Any], counts: list[Any], one: str, two: str
) -> None:
    n, m = min(len(words), len(numbers)), min(len(others), len(counts))
    spine = pa.table({"w": shaped(words[:n], pa.string(), one), "n": shaped(numbers[:n], pa.int64(), two)})
    rows = pa.table({"w": shaped(others[:m], pa.string(), two), "n": shaped(counts[:m], pa.int64(), one)})
    left, right = entity_codes(spine, rows, ["w", "n"], "rows")
    same_entities(left, right, list(zip(words[:n], numbers[:n], strict=True)), list(zip(others[:m], counts[:m], strict=True)))


@given(st.lists(st.sampled_from("abcd"), max_size=5, unique=True), st.integers(4, 9))
def test_rows_in_long_runs_get_codes_that_rise_with_them(order: list[str], run: int) -> None:
    names = [name for name in order for _ in range(run)]
    rows = pa.table({"w": pa.array(names, pa.string()), "n": pa.array([1] * len(names), pa.int64())})
    spine = pa.table({"w": pa.array([*order, "z"]), "n": pa.array([1] * (len(order) + 1), pa.int64())})
    left, right = entity_codes(spine, rows, ["w", "n"], "rows")
    assert np.all(np.diff(right) >= 0) and left.tolist() == [*range(len(order)), -1]


def test_many_keys_never_overflow() -> None:
    values = pa.array(range(2000))
    table = pa.table({f"k{place}": values for place in range(8)})
    left, right = entity_codes(table, table.slice(0, 1000), list(table.column_names), "rows")
    assert left.tolist() == [*range(1000), *[-1] * 1000] and right.tolist() == [*range(1000)]


def test_moments_are_the_same_in_any_zone() -> None:
    moment = datetime(2024, 3, 31, 1, tzinfo=UTC)
    spine = pa.table({"k": pa.array([moment], pa.timestamp("us", tz="UTC"))})
    rows = pa.table({"k": pa.array([moment], pa.timestamp("ms", tz="Europe/Berlin"))})
    assert [codes.tolist() for codes in entity_codes(spine, rows, ["k"], "rows")] == [[0], [0]]


@pytest.mark.parametrize(
    ("spine", "rows", "message"),
    [
        (pa.array(["1"]), pa.array([1]), "rows: the key 'k' is int64 there and string in the spine"),
        (pa.array([1.0]), pa.array([1.0]), "the key 'k' is double: wanted a string, an integer, a date or a timestamp"),
        (pa.array([datetime(2024, 1, 1)]), pa.array([datetime(2024, 1, 1, tzinfo=UTC)]), "the key 'k' is timestamp"),
    ],
)
def test_keys_of_two_types_or_of_fractions_are_refused(spine: pa.Array, rows: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        entity_codes(pa.table({"k": spine}), pa.table({"k": rows}), ["k"], "rows")
