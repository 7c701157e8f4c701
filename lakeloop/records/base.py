"""A record that is kept as JSON: written by its fields, read back with what an older version didn't write left at its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self

from lakeloop.errors import DataError


@dataclass(frozen=True)
class Record:
    """A frozen record with a JSON form.

    Fields hold JSON values, tuples in place of lists, or other records; a record that holds others builds them in `from_record`. A field whose
    default is None is left out of the JSON while it is None, unless it is one of those `written_as_null`.
    """

    written_as_null: ClassVar[frozenset[str]] = frozenset()

    def record(self) -> dict[str, Any]:
        """Plain JSON values by field."""
        left_out = {each.name for each in fields(self) if each.default is None} - self.written_as_null
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _plain(value) for name, value in values.items() if value is not None or name not in left_out}

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The record of some JSON values; keys that this version doesn't know are ignored.

        Raises:
            DataError: a key without a default is missing.
        """
        missing = [
            each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING and each.name not in values
        ]
        if missing:
            raise DataError(f"a stored {cls.__name__} has no {', '.join(missing)}; found {', '.join(sorted(values)) or 'nothing'}")
        return cls(**{each.name: _frozen(values[each.name]) for each in fields(cls) if each.name in values})


Checks = Mapping[str, tuple[Any, ...]]
"""Outcome and message by check name, for gates also severity and observed value."""


@dataclass(frozen=True)
class StateRecord(Record):
    """What a stage records of a publication."""

    stage: ClassVar[str]
    """The first part of the stage's asset key."""


@dataclass(frozen=True, kw_only=True)
class CheckedState(StateRecord):
    """What a stage with checks records of a publication: how they came out, and more."""

    checks: Checks = field(default_factory=dict)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.record()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
