"""What a version changed from the one before it."""

from __future__ import annotations

from typing import Any

import pytest

from lakeloop.report.changes import compare_facts


def test_what_changed_tells_what_was_gained_lost_and_altered() -> None:
    told = {
        (c.what, c.before, c.after) for c in compare_facts({"f": ["a", "b"], "m": {"x": 1}}, {"f": ["b", "c"], "m": {"x": 2, "y": 0.5}})
    }
    assert told == {("f", "a", "c"), ("m: x", "1", "2"), ("m: y", "", "0.5")}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, []),
        ({"rows": 1}, {"rows": 1}, []),
        ({"features": ["a", "b"]}, {"features": ["b", "a"]}, []),  # another order is no change
        ({"rows": 1000}, {"rows": 1200}, [("rows", "1,000", "1,200")]),
        ({"score": 0.123456}, {"score": 0.2}, [("score", "0.1235", "0.2")]),
        ({"code": True}, {"code": False}, [("code", "True", "False")]),
        ({"model": {"a": {"x": 1}}}, {"model": {}}, [("model: a: x", "1", "")]),
        ({"gone": "x"}, {"new": "y"}, [("new", "", "y"), ("gone", "x", "")]),
        ({"features": None}, {"features": ["a"]}, [("features", "", "a")]),
    ],
)
def test_facts_are_compared_by_their_kind(before: dict[str, Any], now: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert [(change.what, change.before, change.after) for change in compare_facts(before, now)] == expected
