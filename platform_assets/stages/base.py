"""What every stage shares: what it may use (`Platform`), what it gives back (`StageResult`), and the keys of tables."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resources.lake.lake import Lake
from resources.lake.published import States, TableKey
from resources.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakeloop.project.project import Located, Project, TableRef
    from lakeloop.rows.verdicts import Verdict
    from resources.spark.sessions import SparkResource
    from resources.tracking.runs import Tracking


@dataclass
class Platform:
    """The outside world as a stage sees it. `run_id` is Dagster's; `log` takes progress lines; `config` is what the run was given for the stage."""

    settings: Settings
    project: Project
    lake: Lake
    spark_resource: SparkResource
    tracking: Tracking
    run_id: str = ""
    run_tags: Mapping[str, str] = field(default_factory=dict)
    log: Any = field(default_factory=lambda: logging.getLogger("lakeloop"))
    config: Mapping[str, Any] = field(default_factory=dict)

    def is_large(self, states: States, keys: Iterable[TableKey], more: int = 0) -> bool:
        """Whether so many rows are read that the work leaves this process: all rows published of some tables, and `more`."""
        rows = more + sum(state.rows for key in keys for state in states.get(key, {}).values())
        return rows >= self.settings.spark_rows

    def spark(self, domain: str, *, large: bool = False) -> SparkSession:
        """The Spark session of a domain."""
        return self.spark_resource.session(domain, "large" if large else "small")

    def engine_version(self, domain: str) -> str:
        """What computes the views of a domain, with its version: values of another one may differ."""
        return self.spark_resource.version(domain)


@dataclass(frozen=True)
class StageResult:
    """What a stage did.

    Attributes:
        fingerprint: of all that was asked for; the data version in Dagster.
        fresh: nothing was stale, nothing was done.
        rows: rows published now, or standing there already.
        verdict: of the checks; None where the stage has none.
        checks: compact outcome per check name, as kept with the publication: [outcome, message].
        refused: why nothing was published, if so.
        metadata: for Dagster.
    """

    fingerprint: str
    fresh: bool = False
    rows: int | None = None
    verdict: Verdict | None = None
    checks: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    refused: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def key_of(stage: str, located: Located[Any]) -> TableKey:
    """The key of a stage of a table, view or workflow."""
    return TableKey(stage, located.domain, located.spec.name)


def input_key(ref: TableRef) -> TableKey:
    """Where rows that a query reads stand: `validated`, `features`, or another stage."""
    return TableKey(ref.stage, ref.domain, ref.name)
