"""What is published: the name of a table, the state of each of its partitions, and the version that has passed its checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

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


@dataclass(frozen=True)
class PartitionState:
    """What was last published for one partition: the newest row of `reports/verdicts` for it.

    `version` is the Delta version, or -1 for assets that live in MLflow; `value` is what a consumer needs beside the rows.
    """

    partition: str
    fingerprint: str
    version: int = -1
    rows: int = 0
    suite_hash: str = ""
    value: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Published:
    """A version of a table that has passed its checks, with the state of each of its partitions."""

    key: TableKey
    version: int
    partitions: Mapping[str, PartitionState]

    @property
    def fingerprint(self) -> str:
        """One fingerprint of all partitions."""
        from lakeloop.fingerprint import fingerprint

        return fingerprint({name: state.fingerprint for name, state in self.partitions.items()})


def retired(spec: Partitions | None, published: Iterable[str]) -> list[str]:
    """Those of the published partitions that a table defined with `spec` doesn't have any more: of another grain, or outside start and end."""
    if spec is None:
        return sorted(name for name in published if name != WHOLE)
    return sorted(name for name in published if name != UNDATED and not is_partition(spec, name))
