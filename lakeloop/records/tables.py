"""What the stages of tables and views record: sources, validated tables, feature views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

from lakeloop.records.base import CheckedState


class Landing(NamedTuple):
    """The current landing of a file in a partition: its name, the hash of its content, its rows."""

    name: str
    content: str
    rows: int


@dataclass(frozen=True)
class SourceState(CheckedState):
    """What has landed of a table's source.

    Attributes:
        files: content hash of each file, or the position up to which a database has been read.
        current: the current landing by file and partition.
        next: the number of the next landing.
        checks: of the newest landing.
        how: the fingerprint of how the source is read.
        columns: the columns that the source began with.
        new_columns: those that it has brought since and nobody has declared.
        empty: declared columns that have had no value yet.
        vanished: by file and partition, when the file lost its rows there (ISO 8601).
        emptied: by file and partition the landings in which the file had lost its rows there, each with its number and time (ISO 8601); None
            where there was none.
        probe: what a database showed before it was read.
        partitions: the fingerprint of how rows are cut into partitions.
        first, last: the first landing that counts as history, and the newest (ISO 8601).
    """

    stage: ClassVar[str] = "raw"

    files: Mapping[str, str] = field(default_factory=dict)
    current: Mapping[str, Mapping[str, Landing]] = field(default_factory=dict)
    next: int = 0
    how: str | None = None
    columns: tuple[str, ...] = ()
    new_columns: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    vanished: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    emptied: Mapping[str, Mapping[str, tuple[tuple[int, str], ...]]] | None = None
    probe: Mapping[str, str] | None = None
    partitions: str | None = None
    first: str | None = None
    last: str | None = None

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The state of some JSON values; see `Record.from_record`."""
        current = {
            label: {partition: Landing(*entry) for partition, entry in partitions.items()}
            for label, partitions in values.get("current", {}).items()
        }
        return replace(super().from_record(values), current=current)


@dataclass(frozen=True)
class TableState(CheckedState):
    """A validated table's partition.

    Attributes:
        checks: of the batch.
        live: rows that landed after the bulk load; None for an adopted table.
        days: a hash per day of a month, for views that reach back over its border.
        url: of an adopted table, where it is.
    """

    stage: ClassVar[str] = "validated"

    live: int | None = None
    days: Mapping[str, str] | None = None
    url: str | None = None


@dataclass(frozen=True)
class ViewState(CheckedState):
    """A feature view's partition.

    Attributes:
        checks: of the batch.
        definition: the fingerprint of what the view computes.
        meaning: the fingerprint of what its values mean, which releases cite; None before there were citations.
        version: of the view.
        kept: the Delta version at which each earlier version of the view stands.
        changed: whether a value was corrected or retracted since it was first known.
        days: a hash per day of a month, for views that reach back over its border.
        read_until: by input the newest landing that was there when it was read (ISO 8601); None where that wasn't recorded.
        read_as: the fingerprint of how the rows of its input tables are read; None where that wasn't recorded.
        kept_since: from when on its history is the values as they were known (ISO 8601); before that the rules of times alone say when a value
            was known. None where that wasn't recorded.
        engine: what computed it, with its version; None where that wasn't recorded.
    """

    stage: ClassVar[str] = "features"

    definition: str | None = None
    meaning: str | None = None
    version: int = 1
    kept: Mapping[str, int] = field(default_factory=dict)
    changed: bool = False
    days: Mapping[str, str] | None = None
    read_until: Mapping[str, str] | None = None
    read_as: str | None = None
    kept_since: str | None = None
    engine: str | None = None
