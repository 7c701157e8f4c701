"""What a commit says of itself, its rows in `reports/verdicts`, and the states that are read from those."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.records.base import StateRecord
from resources.lake.published import RETIRED, PartitionState, States, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

VERDICTS = "reports/verdicts"
MADE_OF = "made_of"
"""In the value of a state: the parts of its fingerprint. Versions that don't know it ignore it."""


def verdicts_schema() -> pa.Schema:
    """The columns of the table."""
    import pyarrow as pa

    text = ("stage", "domain", "name", "partition", "fingerprint", "suite_hash", "value", "run_id")
    return pa.schema(
        [pa.field(name, pa.string(), nullable=False) for name in text]
        + [
            pa.field("version", pa.int64(), nullable=False),
            pa.field("rows", pa.int64(), nullable=False),
            pa.field("passed", pa.bool_(), nullable=False),
            pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        ]
    )


def states_of(rows: pa.Table) -> States:
    """The last published state of every partition of every table; without retired ones.

    Args:
        rows: of the table of verdicts, in any order.
    """
    import pyarrow.compute as pc

    rows = rows.filter(pc.field("passed"))
    order = pc.sort_indices(rows, sort_keys=[("at", "ascending"), ("version", "ascending")])
    states: dict[TableKey, dict[str, PartitionState[Any]]] = {}
    for row in rows.take(order).to_pylist():
        states.setdefault(TableKey(row["stage"], row["domain"], row["name"]), {})[row["partition"]] = _state_of(row)
    return States(
        {key: {name: state for name, state in partitions.items() if not state.value.get(RETIRED)} for key, partitions in states.items()}
    )


def past_states(rows: pa.Table) -> list[PartitionState[Any]]:
    """Every state that was published, retired ones too, the first one first.

    Args:
        rows: of the table of verdicts that are of one table, in any order.
    """
    return [_state_of(row) for row in rows.sort_by([("at", "ascending"), ("version", "ascending")]).to_pylist() if row["passed"]]


def _state_of(row: Mapping[str, Any]) -> PartitionState[Any]:
    value = json.loads(row["value"])
    return PartitionState(
        partition=row["partition"],
        fingerprint=Fingerprint(row["fingerprint"], value.pop(MADE_OF, None)),
        version=row["version"],
        rows=row["rows"],
        suite_hash=row["suite_hash"],
        value=value,
        run_id=row["run_id"],
        at=row["at"],
    )


def newest(states: Mapping[str, PartitionState[Any]]) -> int:
    """The version of the newest state, -1 without any."""
    return max((state.version for state in states.values()), default=-1)


def note_of(
    states: Sequence[PartitionState[Any]], run_id: str, before: Mapping[str, PartitionState[Any]], retire: Sequence[str] = ()
) -> dict[str, Any]:
    """What a commit says of itself, as JSON can hold it.

    Its time is after those of the states before it, whatever the clock says meanwhile: by it states are put in order.

    Args:
        states: what is published, one a partition.
        run_id: Dagster's run.
        before: the table's states that it comes after.
        retire: partitions whose states end.
    """
    states = [*states, *(PartitionState(name, "", value={RETIRED: True}) for name in retire)]
    names = ("partition", "version", "rows", "suite_hash")
    listed = [
        {**{name: getattr(state, name) for name in names}, "fingerprint": str(state.fingerprint), "value": _stored(state)}
        for state in states
    ]
    last = max((state.at for state in before.values() if state.at is not None), default=datetime.min.replace(tzinfo=UTC))
    at = max(datetime.now(UTC), last + timedelta(microseconds=1))
    same = fingerprint([(s.partition, s.fingerprint) for s in states], {name: [s.fingerprint, str(s.at)] for name, s in before.items()})
    return {"states": listed, "run_id": run_id, "at": at.isoformat(), "id": same}


def _stored(state: PartitionState[Any]) -> dict[str, Any]:
    """What a stage recorded, and the parts of the fingerprint where they are known."""
    value = state.value.record() if isinstance(state.value, StateRecord) else dict(state.value)
    parts = state.fingerprint.parts if isinstance(state.fingerprint, Fingerprint) else None
    return {**value, MADE_OF: dict(parts)} if parts is not None else value


def rows_of(key: TableKey, note: Mapping[str, Any], version: int | None = None) -> pa.Table:
    """The verdicts of a note, all of them at a version that has been committed, or each at its own."""
    import pyarrow as pa

    moment = datetime.fromisoformat(note["at"])
    rows = [
        {
            "stage": key.stage,
            "domain": key.domain,
            "name": key.name,
            "partition": s["partition"],
            "fingerprint": s["fingerprint"],
            "suite_hash": s["suite_hash"],
            "value": json.dumps(s["value"], sort_keys=True),
            "run_id": note["run_id"],
            "version": s["version"] if version is None else version,
            "rows": s["rows"],
            "passed": True,
            "at": moment,
        }
        for s in note["states"]
    ]
    return pa.Table.from_pylist(rows, schema=verdicts_schema())
