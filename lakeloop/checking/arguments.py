"""Checks of what expectations are given: arguments that must be there, and values that Great Expectations would fail on or never meet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from lakeloop.checking.expectation_names import EXPECTATIONS
from lakeloop.spec.tables import Expectation

NEEDED = (
    "column", "column_A", "column_B", "column_list", "column_set", "value_set", "value_pairs_set", "regex", "regex_list", "like_pattern",
    "like_pattern_list", "strftime_format", "json_schema", "type_", "type_list", "quantile_ranges", "sum_total",
)  # fmt: skip
"""Arguments without which an expectation that has them can't run."""
_LISTS = ("column_list", "value_set", "value_pairs_set", "regex_list", "like_pattern_list", "type_list")
_COUNTS = ("expect_table_row_count", "expect_table_column_count", "expect_column_value_lengths", "expect_column_unique_value_count")
"""What these bound is a number of rows, columns, letters or values."""
Problem = tuple[str, str]
"""The argument, which may be missing, and what is wrong."""


def check_arguments(expectation: Expectation) -> Iterator[Problem]:
    """Tell what is wrong with the arguments of an expectation that exists."""
    known, given = EXPECTATIONS[expectation.type], expectation.kwargs
    for name in NEEDED:
        if name in known and given.get(name) is None:
            yield "", f"wanted {name}, which {expectation.type} needs"
    for name in given.keys() & {*_LISTS}:
        problem = _problem_of_list(name, given[name])
        if problem:
            yield name, problem
    if "mostly" in given and not (_is_number(given["mostly"]) and 0 < given["mostly"] <= 1):
        yield "mostly", f"wanted a share above 0 and up to 1, such as 0.99, found {given['mostly']!r}"
    for name in ("regex", "strftime_format", "like_pattern"):
        if name in given and not isinstance(given[name], str):
            yield name, f"wanted text, found {given[name]!r}"
    if isinstance(given.get("regex"), str):
        try:
            re.compile(given["regex"])
        except re.error as error:
            yield "regex", f"wanted a regular expression, found {given['regex']!r}: {error}"
    yield from _check_bounds(expectation.type, known, given)


def _problem_of_list(name: str, value: Any) -> str:
    if not isinstance(value, list) or not value:
        return f"wanted a list, found {value!r}"
    if name == "value_set" and any(isinstance(each, (list, dict)) for each in value):
        return f"wanted a list of values, found {value!r}"
    twice = next((each for place, each in enumerate(value) if each in value[:place]), None)
    return "" if twice is None else f"{twice!r} is listed twice"


def _check_bounds(kind: str, known: tuple[str, ...], given: Mapping[str, Any]) -> Iterator[Problem]:
    bounds = {name: given[name] for name in ("min_value", "max_value", "value") if name in known and given.get(name) is not None}
    if not bounds and {"min_value", "max_value"} <= {*known} and kind.endswith("_between"):
        yield "", "wanted min_value or max_value, or both, found neither"
    if "value" in known and kind.endswith("_equal") and "value" not in bounds:
        yield "", f"wanted value, which {kind} needs"
    for name, value in bounds.items():
        if isinstance(value, (list, dict, bool)):
            yield name, f"wanted one value, found {value!r}"
        elif kind.startswith(_COUNTS) and not (isinstance(value, int) and value >= 0):
            yield name, f"wanted a whole number from 0 on, found {value!r}"
    low, high = bounds.get("min_value"), bounds.get("max_value")
    is_alike = (_is_number(low) and _is_number(high)) or (isinstance(low, date) and type(low) is type(high))
    if is_alike and low is not None and high is not None and low > high:
        yield "min_value", f"wanted min_value up to max_value, found {low} and {high}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
