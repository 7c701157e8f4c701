"""Errors: where, what, and what could have been meant."""

from __future__ import annotations

import pytest

from lakeloop.errors import DataError, SpecError, SpecErrors, nearest


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "wanted it"),
        ({"file": "a.yaml"}, "a.yaml: wanted it"),
        ({"file": "a.yaml", "line": 3}, "a.yaml:3: wanted it"),
        ({"file": "a.yaml", "line": 3, "key": "x.y"}, "a.yaml:3: x.y: wanted it"),
        ({"key": "x.y"}, "x.y: wanted it"),
    ],
)
def test_a_definition_s_error_begins_with_the_place_as_far_as_it_is_known(more: dict[str, str], text: str) -> None:
    assert str(SpecError("wanted it", **more)) == text  # type: ignore[arg-type]


def test_several_errors_are_one_a_line_between_heading_and_closing() -> None:
    errors = [SpecError("one", file="a.yaml", line=1), SpecError("two", key="k")]
    both = SpecErrors(errors, "wrong:", "mend it")
    assert str(both) == "wrong:\na.yaml:1: one\nk: two\nmend it" and both.errors == tuple(errors)
    assert str(SpecErrors(errors[:1])) == "a.yaml:1: one"


def test_what_a_library_said_is_kept_apart_from_the_message() -> None:
    error = DataError("orders: no answer", detail=ValueError("no integer: ann@x.org"))
    assert str(error) == "orders: no answer: no integer: ann@x.org"
    assert (error.message, error.detail) == ("orders: no answer", "no integer: ann@x.org")
    assert str(DataError("alone")) == "alone"


@pytest.mark.parametrize(
    ("name", "available", "text"),
    [
        ("late_shar", ["mean_delay", "late_share", "late_share"], "did you mean 'late_share'? Available: late_share, mean_delay"),
        ("zzz", ["b", "a"], "Available: a, b"),
        ("a", [], "nothing is available"),
    ],
)
def test_the_nearest_name_is_suggested_and_none_that_is_far(name: str, available: list[str], text: str) -> None:
    assert nearest(name, available) == text


def test_of_many_names_some_are_listed_and_all_are_counted() -> None:
    text = nearest("zz", [f"n{number:02d}" for number in range(30)])
    assert text == f"Available: {', '.join(f'n{number:02d}' for number in range(20))}, … (30 in all)"
