"""What is published: the name of a table, the state of each of its partitions, and the version that has passed its checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from lakeloop.errors import NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.records.base import StateRecord
from lakeloop.spec.partitions import is_partition
from lakeloop.spec.tables import Partitions

WHOLE = "whole"
"""The one partition of an unpartitioned table."""
UNDATED = "undated"
"""Where rows stand whose event time can't be read or lies outside the partitions; only raw and quarantine have it."""
RETIRED = "retired"
"""In the value of the last state of a partition that a table has no more: its rows went with that commit."""


@dataclass(frozen=True, order=True)
class TableKey:
    """`[stage, domain, name]`: asset key, path under the lake root, and name everywhere else."""

    stage: str
    domain: str
    name: str

    @property
    def path(self) -> str:
        """Below the lake's root."""
        return f"{self.stage}/{self.domain}/{self.name}"

    def __str__(self) -> str:
        return self.path


Stored = Mapping[str, Any]
"""What a stage recorded, as JSON: nobody looks into it but `lakeloop.records`."""
V_co = TypeVar("V_co", bound=Stored | StateRecord, covariant=True)
R = TypeVar("R", bound=StateRecord)


@dataclass(frozen=True)
class PartitionState(Generic[V_co]):
    """What was last published for one partition: the newest row of `reports/verdicts` for it.

    Attributes:
        partition: its key, or `whole`.
        fingerprint: of all that it was made from.
        version: the Delta version, or -1 for assets that live in MLflow.
        rows: that it has.
        suite_hash: of the expectations that it passed.
        value: what a consumer needs beside the rows: a stage's record, or that as stored.
        run_id: Dagster's run.
        at: when it was published.
    """

    partition: str
    fingerprint: str
    version: int = -1
    rows: int = 0
    suite_hash: str = ""
    value: V_co = field(default_factory=dict)  # type: ignore[assignment]  # a state without a record has an empty one
    run_id: str = ""
    at: datetime | None = None

    def typed(self, kind: type[R]) -> PartitionState[R]:
        """The same state with its stage's record, read from what is stored.

        Raises:
            DataError: what is stored lacks something that the record needs.
        """
        value = self.value
        return replace(self, value=value if isinstance(value, kind) else kind.from_record(value))  # type: ignore[arg-type, return-value]


class Definition(Protocol):
    """A definition with its place; only the domain and name count here."""

    @property
    def id(self) -> tuple[str, str]:
        """Its domain and name."""


class States(dict[TableKey, Mapping[str, PartitionState[Any]]]):
    """The last published state of every partition of every table, by table and partition."""

    def of(self, key: TableKey) -> Mapping[str, PartitionState[Any]]:
        """The states of a table by partition, as stored; empty where nothing is published."""
        return self.get(key, {})

    def partition(self, kind: type[R], definition: Definition, name: str) -> PartitionState[R] | None:
        """One partition of a definition's stage, which is the one that records a `kind`; None where nothing is published."""
        state = self.of(TableKey(kind.stage, *definition.id)).get(name)
        return None if state is None else state.typed(kind)

    def whole(self, kind: type[R], definition: Definition) -> PartitionState[R] | None:
        """The state of an unpartitioned stage; None where nothing is published."""
        return self.partition(kind, definition, WHOLE)

    def required(self, kind: type[R], definition: Definition, missing: str = "no published version") -> PartitionState[R]:
        """The state of an unpartitioned stage that another one can't do without.

        Raises:
            NotPublished: there is none; the message says that the stage has `missing`.
        """
        state = self.whole(kind, definition)
        if state is None:
            key = TableKey(kind.stage, *definition.id)
            raise NotPublished(f"{key} has {missing}; materialise {key} first")
        return state

    def partitions(self, kind: type[R], key: TableKey) -> dict[str, PartitionState[R]]:
        """The states of a table by partition with its stage's records."""
        return {name: state.typed(kind) for name, state in self.of(key).items()}


@dataclass(frozen=True)
class Published:
    """A version of a table that has passed its checks, with the state of each of its partitions."""

    key: TableKey
    version: int
    partitions: Mapping[str, PartitionState[Any]]

    @property
    def fingerprint(self) -> str:
        """One fingerprint of all partitions."""
        return fingerprint({name: state.fingerprint for name, state in self.partitions.items()})


def retired(spec: Partitions | None, published: Iterable[str]) -> list[str]:
    """Those of the published partitions that a table defined with `spec` doesn't have any more: of another grain, or outside start and end."""
    if spec is None:
        return sorted(name for name in published if name != WHOLE)
    return sorted(name for name in published if name != UNDATED and not is_partition(spec, name))
