"""A model's feature spec, what it looks up in plain values, compared with another one. The lookups themselves are in `platform_assets`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lookup_rules(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each input of a model the rule by which it is looked up: the column, and what the spec says of its view.

    >>> lookup_rules({"views": [{"name": "planes", "max_age": None, "columns": {"seats": "planes__seats"}}]})
    {'planes__seats': {'name': 'planes', 'max_age': None, 'column': 'seats'}}
    """
    return {
        output: {**{name: value for name, value in view.items() if name != "columns"}, "column": column}
        for view in spec["views"]
        for column, output in view["columns"].items()
    }


def same_lookups(spec: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether all that one spec looks up is looked up by the other too: under the same name, from the same column, by the same rule."""
    own, others = lookup_rules(spec), lookup_rules(other)
    return all(others.get(output) == rule for output, rule in own.items())
