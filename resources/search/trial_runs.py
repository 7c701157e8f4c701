"""Trials as MLflow runs nested under the run of their Dagster run.

The process that leads the search writes them, from what the study holds of trials that have ended: three requests each, while other trials run.
So a worker needs no MLflow, and one that is killed leaves no open run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from resources.host.crash_points import crash_point
from resources.search.job import SearchJob
from resources.search.study import REASON, WORKER, reason_of, tally
from resources.tracking.tags import REASON_TAG, STUDY_TAG, TRIAL_STATE_TAG, TRIAL_TAG

if TYPE_CHECKING:
    from datetime import datetime

    from optuna.trial import FrozenTrial

    from resources.settings import Settings
    from resources.tracking.runs import RunHandle

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
"""As in MLflow's own storage for Optuna (mlflow.optuna.storage)."""
_PAUSE_S = 1.0


class TrialRuns:
    """Writes the trials that end while its `with` block lasts, and the rest at its end; after an interruption the next run does that.

    Args:
        job: whose trials.
        run: the parent of their runs.
        settings: say where the study is.
        log: for warnings.
    """

    def __init__(self, job: SearchJob, run: RunHandle, settings: Settings, log: logging.Logger) -> None:
        self.job, self.run, self.settings, self.log = job, run, settings, log
        self.written = self._written_before()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> TrialRuns:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.done.set()
        self.thread.join()
        if kind is None or issubclass(kind, Exception):
            self.write(self.job.open(self.settings).get_trials(deepcopy=False))

    def write(self, trials: Iterable[FrozenTrial]) -> None:
        """Write the trials that have ended and aren't written yet."""
        counted = tally(trials)
        for trial in sorted((*counted.finished, *counted.failed, *counted.lost), key=lambda t: t.number):
            if trial.number not in self.written and (WORKER in trial.user_attrs or REASON in trial.user_attrs):
                self._write(trial)
                self.written.add(trial.number)

    def _write(self, trial: FrozenTrial) -> None:
        from mlflow.entities import Metric, Param, RunTag

        client, started, ended = self.run.client, _millis(trial.datetime_start), _millis(trial.datetime_complete)
        tags = {
            "mlflow.parentRunId": self.run.run_id,
            "mlflow.runName": f"trial {trial.number}",
            STUDY_TAG: self.job.study,
            TRIAL_TAG: str(trial.number),
        }
        outcome = {TRIAL_STATE_TAG: trial.state.name.lower()} | ({REASON_TAG: reason_of(trial)} if trial.state.name == "FAIL" else {})
        run_id = client.create_run(self.run.experiment_id, start_time=started, tags=tags).info.run_id
        crash_point("search.trial_run_open")
        metrics = [Metric(f"{self.job.metric}_so_far", value, ended, step) for step, value in sorted(trial.intermediate_values.items())]
        if trial.value is not None:
            metrics.append(Metric(self.job.metric, trial.value, ended, 0))
        client.log_batch(
            run_id,
            metrics=metrics,
            params=[Param(name, str(value)[:500]) for name, value in trial.params.items()],
            tags=[RunTag(name, value) for name, value in outcome.items()],
        )
        client.set_terminated(run_id, STATUS[trial.state.name], ended)

    def _written_before(self) -> set[int]:
        """The trials that were written, by this Dagster run or an earlier one; runs that a crash left incomplete are deleted."""
        client, numbers, token = self.run.client, set(), None
        while True:
            page = client.search_runs(
                [self.run.experiment_id], f"tags.`{STUDY_TAG}` = '{self.job.study}'", page_token=token, max_results=1000
            )
            for run in page:
                if TRIAL_STATE_TAG not in run.data.tags:
                    client.delete_run(run.info.run_id)
                    continue
                numbers.add(int(run.data.tags[TRIAL_TAG]))
                if run.info.status == "RUNNING":
                    client.set_terminated(run.info.run_id, STATUS[run.data.tags[TRIAL_STATE_TAG].upper()])
            token = page.token
            if not token:
                return numbers

    def _follow(self) -> None:
        study = self.job.open(self.settings)
        while not self.done.wait(_PAUSE_S):
            try:
                self.write(study.get_trials(deepcopy=False))
            except Exception as error:  # the server may be away; the end of the search writes the rest, or fails
                self.log.warning(f"trials can't be written to MLflow yet: {type(error).__name__}")


def _millis(moment: datetime | None) -> int:
    """An Optuna time (local, without a zone) in milliseconds since 1970."""
    return int((moment.timestamp() if moment else time.time()) * 1000)
