"""What a search leaves in `reports/*`: a row per trial, once, and a row per search."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from platform_assets.stages.report_rows import COUNT, NUMBER, TEXT, append_report
from resources.search.study import Tally, reason_of

if TYPE_CHECKING:
    from lakeloop.project.project import Located
    from lakeloop.records.training import StudyState
    from resources.lake.lake import Lake
    from resources.search.job import SearchJob

STUDIES_TABLE, TRIALS_TABLE = "reports/studies", "reports/trials"
TABLES: Mapping[str, Mapping[str, str]] = {
    STUDIES_TABLE: {
        "study": TEXT, "search": TEXT, "metric": TEXT, "best_trial": COUNT, "best_value": NUMBER, "best": TEXT, "own": TEXT, "complete": COUNT,
        "pruned": COUNT, "failed": COUNT, "lost": COUNT, "seconds": NUMBER, "before": NUMBER, "after": NUMBER, "gain": NUMBER,
        "gain_low": NUMBER, "gain_high": NUMBER, "gain_rows": COUNT, "gain_where": TEXT,
    },
    TRIALS_TABLE: {"study": TEXT, "trial": COUNT, "state": TEXT, "metric": TEXT, "value": NUMBER, "params": TEXT, "steps": COUNT, "seconds": NUMBER, "reason": TEXT},
}  # fmt: skip


def trial_rows(located: Located[Any], job: SearchJob, trials: Tally, *, run_id: str, at: datetime) -> list[dict[str, Any]]:
    """A row for each trial that came to an end of its own, in the order of their numbers; of the others only the count is kept."""
    rows = []
    for trial in sorted((*trials.finished, *trials.failed), key=lambda t: t.number):
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
        append_report(lake, TRIALS_TABLE, TABLES[TRIALS_TABLE], new, once=f"trials:{study}:{numbers}")


def write_study(lake: Lake, located: Located[Any], search: str, study: StudyState, *, run_id: str, at: datetime) -> None:
    """Append what a search found; a second call with the same `search` adds nothing."""
    gain = study.gain
    row = {
        "domain": located.domain, "workflow": located.spec.name, "run_id": run_id, "at": at, "search": search,
        "study": study.study, "metric": study.metric, "best_trial": study.best_trial, "best_value": study.best_value, "seconds": study.seconds,
        "best": json.dumps(study.best, sort_keys=True), "own": json.dumps(study.own, sort_keys=True),
        **dict(zip(("complete", "pruned", "failed", "lost"), study.counts.values(), strict=True)),
        "before": gain["before"], "after": gain["after"], "gain": gain["difference"], "gain_low": gain["low"], "gain_high": gain["high"],
        "gain_rows": gain["rows"], "gain_where": gain["where"],
    }  # fmt: skip
    append_report(lake, STUDIES_TABLE, TABLES[STUDIES_TABLE], [row], once=f"study:{search}")
