"""Fingerprints: the same for the same, another for everything else; what they are is kept in states for ever."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.fingerprint import content_hash, day_hashes, fingerprint
from lakeloop.spec.workflow import Costs

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_fingerprints_of_stored_states_stay_what_they_are() -> None:
    """A change here makes everything stale that any release has materialised."""
    assert fingerprint() == "4f53cda18c2baa0c"
    assert fingerprint("a", {"b": [1, 2.5, None, True], "ä": "é"}) == "c70e534862ab7a19"
    assert content_hash(pa.table({"a": [1, 2], "b": ["x", None]})) == "2e6cfbcf84120454"
    assert day_hashes(pa.table({"d": [date(2024, 3, 1)], "v": [1]}), "d") == {"2024-03-01": "1-18f6bebf0fd7cbc9"}


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_the_order_of_keys_says_nothing(value: dict[str, Any]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))


@given(JSON, JSON)
def test_the_order_of_parts_counts(a: Any, b: Any) -> None:
    if repr(a) != repr(b):
        assert fingerprint(a, b) != fingerprint(b, a)
    assert fingerprint(a, b) != fingerprint([a, b])


def test_a_spec_is_its_values_a_tuple_a_list_and_anything_else_refused() -> None:
    assert fingerprint(Costs(false_positive=1, false_negative=2)) == fingerprint({"false_positive": 1.0, "false_negative": 2.0})
    assert fingerprint((1, 2)) == fingerprint([1, 2]) and fingerprint({1: "a"}) == fingerprint({"1": "a"})
    for value in (date(2024, 1, 1), {1, 2}, b"x", object()):
        with pytest.raises(TypeError, match="can't fingerprint a "):
            fingerprint(value)


def test_content_counts_names_types_and_order_but_not_how_rows_are_chunked() -> None:
    rows = pa.table({"a": pa.array([1, 2, None, 4]), "b": ["x", "", None, "y"]})
    chunked = pa.concat_tables([rows.slice(0, 1), rows.slice(1, 0), rows.slice(1)])
    assert content_hash(chunked) == content_hash(rows) == content_hash(rows.replace_schema_metadata({"k": "v"}))
    longer = pa.concat_tables([rows.slice(3), rows]).slice(1)
    assert content_hash(longer) == content_hash(rows)
    others = [
        rows.rename_columns(["a", "c"]),
        rows.set_column(0, "a", rows["a"].cast(pa.int32())),
        rows.take([1, 0, 2, 3]),
        rows.slice(0, 3),
    ]
    assert len({content_hash(other) for other in (rows, *others)}) == 5


def test_prints_of_days_tell_the_days_that_changed_whatever_the_order_of_rows() -> None:
    days = [date(2024, 3, 1), date(2024, 3, 1), date(2024, 3, 2)]
    one = day_hashes(pa.table({"d": days, "v": [1, 2, 3]}), "d")
    assert one == day_hashes(pa.table({"d": days[::-1], "v": [3, 2, 1]}), "d")
    assert one == day_hashes(pa.table({"d": days, "v": [1, 2, 3], "_row": [7, 8, 9]}), "d")
    changed = day_hashes(pa.table({"d": days, "v": [1, 1, 3]}), "d")
    assert list(one) == ["2024-03-01", "2024-03-02"] and [day for day in one if one[day] != changed[day]] == ["2024-03-01"]
    # A row that stands twice isn't as if it stood once.
    assert day_hashes(pa.table({"d": days[:2], "v": [1, 1]}), "d") != day_hashes(pa.table({"d": days[:1], "v": [1]}), "d")
