"""`reports/checks`: what every expectation said of every batch, as rows across all tables, views, training sets and predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from platform_assets.stages.base import Platform
from resources.lake.published import PartitionState, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.rows.verdicts import Verdict

CHECKS_TABLE = "reports/checks"
_TEXT = (
    "stage", "domain", "name", "partitions", "check", "expectation", "severity", "outcome", "wanted", "observed", "message", "fingerprint",
    "run_id",
)  # fmt: skip


def report_checks(
    platform: Platform,
    key: TableKey,
    verdict: Verdict,
    partitions: Sequence[str],
    fingerprint: str,
    *,
    done: Mapping[str, PartitionState[Any]],
    published: bool,
) -> None:
    """Add a verdict's results, before the batch that they are about is committed.

    A batch that is published has its rows once, however often its step is begun; one that is refused has them once per run.

    Args:
        platform: lake and run.
        key: the table.
        verdict: of the batch; nothing is written for one without results.
        partitions: of the batch.
        fingerprint: of all that was asked for.
        done: what the table's partitions were before.
        published: whether the batch is let through.
    """
    import pyarrow as pa

    if not verdict.results:
        return
    now = datetime.now(UTC)
    rows = [
        {
            "stage": key.stage, "domain": key.domain, "name": key.name,
            "partitions": partitions[0] if len(partitions) == 1 else f"{partitions[0]}...{partitions[-1]}",
            "check": r.name, "expectation": r.expectation_type, "severity": r.severity, "outcome": r.outcome, "wanted": r.wanted,
            "observed": json.dumps(r.observed, default=str), "message": r.message, "fingerprint": fingerprint, "run_id": platform.run_id,
            "unexpected_count": r.unexpected_count, "unexpected_share": r.unexpected_share, "published": published, "at": now,
        }
        for r in verdict.results
    ]  # fmt: skip
    before = max((state.version for state in done.values()), default=-1)
    once = f"checks:{key}:{fingerprint}:{before}" + ("" if published else f":{platform.run_id}")
    platform.lake.append(
        CHECKS_TABLE, pa.Table.from_pylist(rows, schema=checks_schema()), partition_by=["stage", "domain", "name"], once=once
    )


def checks_schema() -> pa.Schema:
    """The columns of the table."""
    import pyarrow as pa

    numbers = [("unexpected_count", pa.int64()), ("unexpected_share", pa.float64()), ("published", pa.bool_())]
    return pa.schema([*[(name, pa.string()) for name in _TEXT], *numbers, ("at", pa.timestamp("us", tz="UTC"))])
