"""Checks that no list names anything twice: the second is a slip, and what was meant in its place is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lakeloop.errors import SpecError
from lakeloop.project.project import Located
from lakeloop.spec.tables import TableSpec, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec

Place = tuple[str | int, ...]


def check_lists(located: Located[Any]) -> Iterator[SpecError]:
    """Tell of each item that a list of a definition has a second time."""
    for place, items in _lists(located.spec):
        for index, item in enumerate(items):
            if item in items[:index]:
                yield located.definition.error(f"{_shown(item)} is listed twice", *place, index)


def _lists(spec: Any) -> Iterator[tuple[Place, list[Any]]]:
    yield ("keys",), spec.keys
    if isinstance(spec, (TableSpec, ViewSpec)):
        yield ("expectations",), [each.model_dump(exclude={"severity", "quarantine"}) for each in spec.expectations]
    if isinstance(spec, ViewSpec):
        yield ("inputs",), spec.inputs
        for name, sources in spec.lineage.items():
            yield ("lineage", name), sources
    if isinstance(spec, WorkflowSpec):
        for name, selection in spec.features.items():
            yield ("features", name), selection.columns
        yield ("evaluation", "slices"), spec.evaluation.slices
        yield ("split", "group"), spec.split.group or []
        yield ("forecast", "series"), spec.forecast.series if spec.forecast else []
        yield ("retrain", "causes"), list(spec.retrain.causes) if spec.retrain else []
        yield ("model", "trusted_types"), spec.model.trusted_types
        for suite, expectations in spec.expectations.items():
            yield ("expectations", suite), [each.model_dump(exclude={"severity", "quarantine"}) for each in expectations]


def _shown(item: Any) -> str:
    return f"this {item['type']}" if isinstance(item, dict) else repr(item)
