"""YAML as a person would write it is read back as it was meant, whatever a source called its columns."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lakeloop.yaml_text import column_fields, to_comment, to_flow, to_line, to_one_line

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc:#-? {}[],", max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(PLAIN)
@example("\n")
@example(["a\nb", {"k\n": "\u2028\x85"}])
def test_a_value_stands_on_one_line_and_is_read_back(value: Any) -> None:
    text = to_flow(value)
    assert len(text.splitlines()) == 1
    assert yaml.safe_load(text) == value


@given(st.text("ab#\n\r\t:\u2028\x00é ", max_size=20))
def test_a_comment_never_ends_early(text: str) -> None:
    assert len(to_comment(1, text).splitlines()) == 1 and len(to_one_line(text).splitlines()) <= 1
    assert yaml.safe_load(to_line(0, "key", ["a: b", 1], text)) == {"key": ["a: b", 1]}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"description": "D.", "type": "double"}, {"type": "double", "description": "D."}),
        ({"type": "string", "nullable": True, "personal": False, "unit": None, "format": ""}, {"type": "string"}),
        ({"type": "string", "nullable": False, "personal": True}, {"type": "string", "nullable": False, "personal": True}),
        ({"source": ["A b"], "type": "date"}, {"type": "date", "source": "A b"}),
        ({"source": ["y", "m"], "type": "date"}, {"type": "date", "source": ["y", "m"]}),
    ],
)
def test_a_column_is_described_without_its_defaults_in_the_order_of_reading(column: dict[str, Any], message: dict[str, Any]) -> None:
    assert list(column_fields(column).items()) == list(message.items())
