"""What a search leaves in `reports/*`: a row per trial, once, and a row per search."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from platform_assets.stages.evaluation_tables import BY

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project.project import Located
    from resources.lake.lake import Lake
    from resources.search.job import SearchJob
    from resources.search.study import Tally

STUDIES_TABLE, TRIALS_TABLE = "reports/studies", "reports/trials"
_TEXT, _NUMBER, _COUNT = "text", "number", "count"
_KEYS = {
    "domain": _TEXT,
    "workflow": _TEXT,
    "version": _TEXT,
    "segment": _TEXT,
    "slice": _TEXT,
    "window": _TEXT,
    "run_id": _TEXT,
    "study": _TEXT,
}
"""As in all report tables; a study comes before a model version, so that `version` is null."""
TABLES: Mapping[str, Mapping[str, str]] = {
    STUDIES_TABLE: {
        "search": _TEXT, "metric": _TEXT, "best_trial": _COUNT, "best_value": _NUMBER, "best": _TEXT, "own": _TEXT, "complete": _COUNT,
        "pruned": _COUNT, "failed": _COUNT, "lost": _COUNT, "seconds": _NUMBER, "before": _NUMBER, "after": _NUMBER, "gain": _NUMBER,
        "gain_low": _NUMBER, "gain_high": _NUMBER, "gain_rows": _COUNT, "gain_where": _TEXT,
    },
    TRIALS_TABLE: {"trial": _COUNT, "state": _TEXT, "metric": _TEXT, "value": _NUMBER, "params": _TEXT, "steps": _COUNT, "seconds": _NUMBER, "reason": _TEXT},
}  # fmt: skip


def trial_rows(located: Located[Any], job: SearchJob, found: Tally, *, run_id: str, at: datetime) -> list[dict[str, Any]]:
    """A row for each trial that came to an end of its own, in the order of their numbers; of the others only the count is kept."""
    from resources.search.study import reason_of

    rows = []
    for trial in sorted((*found.finished, *found.failed), key=lambda t: t.number):
        duration = trial.duration
        rows.append(
            {
                "domain": located.domain,
                "workflow": located.spec.name,
                "run_id": run_id,
                "study": job.study,
                "trial": trial.number,
                "state": {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower()),
                "metric": job.metric,
                "value": trial.value,
                "params": json.dumps(trial.params, sort_keys=True),
                "steps": len(trial.intermediate_values),
                "seconds": round(duration.total_seconds(), 3) if duration else None,
                "reason": reason_of(trial) if trial.state.name == "FAIL" else None,
                "at": at,
            }
        )
    return rows


def write_trials(lake: Lake, study: str, rows: Sequence[Mapping[str, Any]], *, written: Collection[int]) -> None:
    """Append the trials that aren't written yet; a second call with the same ones adds nothing."""
    new = [row for row in rows if row["trial"] not in written]
    if new:
        numbers = f"{new[0]['trial']}-{new[-1]['trial']}-{len(new)}"
        lake.append(TRIALS_TABLE, _table(TRIALS_TABLE, new), partition_by=BY, once=f"trials:{study}:{numbers}")


def write_study(lake: Lake, located: Located[Any], search: str, value: Mapping[str, Any], *, run_id: str, at: datetime) -> None:
    """Append what a search found; a second call with the same `search` adds nothing."""
    gain, counts = value["gain"], list(value["counts"].values())
    row = {
        "domain": located.domain, "workflow": located.spec.name, "run_id": run_id, "at": at, "search": search,
        **{name: value[name] for name in ("study", "metric", "best_trial", "best_value", "seconds")},
        **{name: json.dumps(value[name], sort_keys=True) for name in ("best", "own")},
        **dict(zip(("complete", "pruned", "failed", "lost"), counts, strict=True)),
        "before": gain["before"], "after": gain["after"], "gain": gain["difference"], "gain_low": gain["low"], "gain_high": gain["high"],
        "gain_rows": gain["rows"], "gain_where": gain["where"],
    }  # fmt: skip
    lake.append(STUDIES_TABLE, _table(STUDIES_TABLE, [row]), partition_by=BY, once=f"study:{search}")


def _table(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    kinds = {_TEXT: pa.string(), _NUMBER: pa.float64(), _COUNT: pa.int64()}
    columns = [(name, kinds[kind]) for name, kind in {**_KEYS, **TABLES[table]}.items()]
    schema = pa.schema([*columns, ("at", pa.timestamp("us", tz="UTC"))])
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
