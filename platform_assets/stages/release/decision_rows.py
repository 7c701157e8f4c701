"""Rows of `reports/decisions`: what was decided on a version, by whom, and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeloop.records.release import ReleaseState
from resources.lake.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

DECISIONS_TABLE = "reports/decisions"
_TEXTS = ("domain", "workflow", "action", "candidate", "version_before", "version_after", "reason", "evidence", "who", "run_id")


def append_decision(lake: Lake, row: Mapping[str, Any], at: datetime, *, once: str) -> None:
    """Append a row, at most once under an id.

    Args:
        lake: that has the table.
        row: the texts of the row by column; those that are left out are null.
        at: when it was decided.
        once: the id.
    """
    import pyarrow as pa

    rows = pa.Table.from_pylist([{**row, "at": at}], schema=decisions_schema())
    lake.append(DECISIONS_TABLE, rows, partition_by=["domain", "workflow"], once=once)


def decisions_schema() -> pa.Schema:
    """The columns of the table."""
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in _TEXTS] + [("at", pa.timestamp("us", tz="UTC"))])


def read_decisions(lake: Lake, domain: str, workflow: str) -> list[dict[str, Any]]:
    """The rows of a workflow, the first decision first."""
    table = lake.open(DECISIONS_TABLE)
    if table is None:
        return []
    rows = table.to_pyarrow_table(filters=[("domain", "=", domain), ("workflow", "=", workflow)])
    listed: list[dict[str, Any]] = rows.sort_by("at").to_pylist()
    return listed


def next_moment(before: ReleaseState | None) -> datetime:
    """Now, but after the decision before: decisions are in the order of the releases, whatever the clock says meanwhile."""
    now = datetime.now(UTC)
    if before is None or before.decided_at is None:
        return now
    return max(now, datetime.fromisoformat(before.decided_at) + timedelta(microseconds=1))
