"""The trials of a study, run one after another by any process: from a job in plain values to finished trials."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import LakeloopError
from lakeloop.masking import message_of
from lakeloop.search.cross_validation import FIRST_ROUNDS, cross_validate, time_folds
from lakeloop.search.space import build_unfitted, draw, with_params
from lakeloop.spec.search import Parameter, Search
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import seen_features
from lakeloop.training.frames import evenly_spaced, feature_frame, feature_kinds
from lakeloop.training.groups import group_hashes, place_groups, without_groups_of
from lakeloop.training.labels import label_numbers
from lakeloop.training.pipelines import most_rows
from resources.host.crash_points import crash_point
from resources.host.processes import identity
from resources.search.study import (
    FOLD_STEPS,
    REASON,
    SURPLUS,
    WORKER,
    Direction,
    Tally,
    next_sampler,
    open_study,
    retry_dead_trials,
    retry_trial,
    tally,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from optuna import Study, Trial

    from resources.settings import Settings

POLL_S = 0.2
"""How often a worker that may not start another trial checks whether those of other workers have ended."""


@dataclass(frozen=True)
class SearchJob:
    """What a process has to know to run trials of a study.

    Attributes:
        study: its name.
        direction: `maximize` or `minimize`.
        about: what the study depends on.
        lake: root of the lake.
        table: of the training set, and its Delta `version`.
        features: the model's inputs, in order.
        label: its column; likewise `time` and `split`.
        keys: the columns that order rows of the same time.
        until: the search uses rows before this time; all of the training window if None.
        model: as the workflow defines it, and the `folder` of its definition.
        answer: what the model predicts.
        search: as the workflow defines it.
        space: the parameters to try, in order.
        metric: to optimize.
        gap_s: seconds between the rows that a fold fits on and those that it scores.
        threads: for each fit.
        personal: whether messages of libraries must be withheld.
        groups: columns whose rows stay together.
        static: whether rows have no time, so that a group is placed as a whole.
    """

    study: str
    direction: Direction
    about: Mapping[str, Any]
    lake: str
    table: str
    version: int
    features: tuple[str, ...]
    label: str
    time: str
    keys: tuple[str, ...]
    split: str
    until: str | None
    model: Mapping[str, Any]
    folder: str
    answer: Mapping[str, Any]
    search: Mapping[str, Any]
    space: Mapping[str, Any]
    metric: str
    gap_s: float
    threads: int
    personal: bool
    groups: tuple[str, ...] = ()
    static: bool = False

    def to_json(self) -> str:
        """The job as a line of text."""
        return json.dumps({**asdict(self), "features": list(self.features), "keys": list(self.keys), "groups": list(self.groups)})

    @classmethod
    def from_json(cls, text: str) -> SearchJob:
        """A job from a line of text."""
        stored = json.loads(text)
        return cls(**{**stored, **{name: tuple(stored[name]) for name in ("features", "keys", "groups")}})

    def open(self, settings: Settings) -> Study:
        """Open its study."""
        return open_study(settings, self.study, self.direction, Search.model_validate(self.search), dict(self.about))


class Trials:
    """The trials of a job, run one after another in this process.

    Args:
        job: whose trials.
        rows: of the training set, with the job's columns.
        settings: say where the study is.
        worker: a number that no other worker has at the same time.
        parallel: whether there are other workers.

    Raises:
        DataError: a fold is empty.
    """

    def __init__(self, job: SearchJob, rows: pa.Table, settings: Settings, *, worker: int = 0, parallel: bool = False) -> None:
        self.job, self.worker, self.parallel = job, worker, parallel
        self.search, self.answer = Search.model_validate(job.search), Answer.from_record(job.answer)
        self.model = Model.model_validate(job.model)
        self.space = {name: Parameter.model_validate(values) for name, values in job.space.items()}
        self.kinds = feature_kinds(rows.schema, list(job.features))
        self.process = identity()
        frame, self.y = feature_frame(rows, list(job.features)), label_numbers(rows[job.label], self.answer)
        groups = groups_of(rows, job)
        self.folds = time_folds(split_times(rows, job, groups), self.search.folds, timedelta(seconds=job.gap_s), groups)
        most = most_rows(self.model, self.answer, Path(job.folder))
        fits = [f.fit if most is None else f.fit[evenly_spaced(len(f.fit), most)] for f in self.folds]
        self.frames = [
            (frame.iloc[fit], self.y[fit], frame.iloc[f.score], self.y[f.score]) for fit, f in zip(fits, self.folds, strict=True)
        ]
        self.study = job.open(settings)
        self.number = self.position = -1
        self.interrupt: BaseException | None = None

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Run trials until the budget is used up, including those that died elsewhere in the meantime."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(self.job.threads):
            while not stop() and self._run_next():
                pass

    def wait(self) -> None:
        """Wait for the trials that others still run; those of dead workers don't count."""
        while self._count().running:
            time.sleep(POLL_S)

    def _count(self) -> Tally:
        """Count the study's trials, after those of dead workers were queued again."""
        counted = tally(self.study.get_trials(deepcopy=False))
        if not counted.running:
            return counted
        retry_dead_trials(self.study, counted.running)
        return tally(self.study.get_trials(deepcopy=False))

    def _run_next(self) -> bool:
        """Run the next trial, or wait where others run the last ones; False when the budget is used up."""
        counted = self._count()
        if self.search.exhausted_budget(counted.ended, counted.seconds):
            return False
        position = counted.ended + len(counted.running)
        is_used_up = self.search.trials is not None and position >= self.search.trials
        if is_used_up or (counted.running and not self.parallel):  # with one worker no other may run trials in the meantime
            time.sleep(POLL_S)
            return True
        self.position = position
        self.study.sampler = next_sampler(self.search, position, self.worker, self.parallel)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.study.optimize(self._objective, n_trials=1, catch=(Exception,))
        except Exception:
            if self.interrupt is not None:
                raise self.interrupt from None
            if self._is_running(self.number):
                raise
            # This process sent no heartbeat for so long that others took it for dead and queued its trial again.
        return True

    def _is_running(self, number: int) -> bool:
        return any(trial.number == number for trial in tally(self.study.get_trials(deepcopy=False)).running)

    def _objective(self, trial: Trial) -> float:
        import optuna
        from optuna.exceptions import UpdateFinishedTrialError

        self.number = trial.number
        try:
            trial.set_user_attr(WORKER, self.process)
            if self._is_surplus(trial.number):
                trial.set_user_attr(SURPLUS, True)
                raise _Surplus
            params = draw(trial, self.space)
            crash_point("search.trial_drawn")
            value = self._score_or_fail(trial, params)
            crash_point("search.trial_scored")
            return value
        except (_Failed, _Surplus, optuna.TrialPruned, UpdateFinishedTrialError):
            raise
        except BaseException as error:  # the step's error, not the trial's: the step ends, and the trial is queued again
            self.interrupt = error
            retry_trial(self.study, next(t for t in self.study.get_trials(deepcopy=True) if t.number == trial.number))
            raise

    def _score_or_fail(self, trial: Trial, params: Mapping[str, Any]) -> float:
        """Score a trial; an error of its estimator is stored as the reason of its failure."""
        import optuna
        from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

        try:
            return self._score(trial, params)
        except (optuna.TrialPruned, StorageInternalError, UpdateFinishedTrialError):
            raise
        except Exception as error:
            trial.set_user_attr(REASON, self._reason(error)[:500])
            raise _Failed from error

    def _reason(self, error: Exception) -> str:
        """The reason of a failure, without what a library may have said about personal values."""
        is_own = isinstance(error, LakeloopError) and error.__cause__ is None  # otherwise it repeats a library's message
        message = message_of(error, hide=self.job.personal and not is_own)
        return message if isinstance(error, LakeloopError) or self.job.personal else f"{type(error).__name__}: {message}"

    def _is_surplus(self, number: int) -> bool:
        """Whether another worker took the budget's last place at the same moment, or another run took this trial's place or parameters."""
        trials = self.study.get_trials(deepcopy=False)
        counted = tally(trials)
        earlier = [trial for trial in counted.running if trial.number < number]
        # Two processes that start a study together may both queue the first trial.
        queued = next(trial for trial in trials if trial.number == number).system_attrs.get("fixed_params")
        if queued and any(t.system_attrs.get("fixed_params") == queued for t in (*counted.finished, *counted.failed, *earlier)):
            return True
        if not self.parallel:
            return counted.ended + len(earlier) != self.position
        budget = self.search.trials
        return budget is not None and sum(t.number < number for t in (*counted.finished, *counted.failed)) + len(earlier) >= budget

    def _score(self, trial: Trial, params: Mapping[str, Any]) -> float:
        """Score parameters by cross-validation, and report each fold to the pruner."""
        import optuna

        values: list[float] = []
        compares_folds = self.search.pruner.name == "WilcoxonPruner"  # others compare the mean of the folds so far

        def report(fold: int, rounds: int | None, value: float) -> None:
            step = FOLD_STEPS * (fold + 1) if rounds is None else FOLD_STEPS * fold + 1 + int(math.log2(rounds / FIRST_ROUNDS))
            trial.report(value if compares_folds else (sum(values) + value) / (fold + 1), step)
            if rounds is None:
                values.append(value)
                if fold + 1 == len(self.folds):
                    return
            if trial.should_prune():
                raise optuna.TrialPruned(f"in fold {fold + 1} of {len(self.folds)}")

        return cross_validate(
            lambda rows: build_unfitted(
                with_params(self.model, params), seen_features(self.kinds, rows), self.answer, Path(self.job.folder)
            ),
            self.frames,
            self.answer,
            self.job.metric,
            report,
            rounds=self.search.pruner.name not in ("NopPruner", "WilcoxonPruner"),
        )


class _Failed(Exception):
    """The failure of a trial; its cause is the error of its estimator."""


class _Surplus(Exception):
    """A trial that was started although the budget was used up."""


def times_of(rows: pa.Table, column: str) -> np.ndarray:
    """A column of times as `datetime64[us]`, UTC."""
    times: np.ndarray = rows[column].to_numpy()
    return times.astype("datetime64[us]")


def groups_of(rows: pa.Table, job: SearchJob) -> np.ndarray | None:
    """The group of each row, see `lakeloop.training.groups`; None where rows have none."""
    return group_hashes([rows[column] for column in job.groups]) if job.groups else None


def split_times(rows: pa.Table, job: SearchJob, groups: np.ndarray | None) -> np.ndarray:
    """The times that rows are split by: their own, or of rows without a time those of their group."""
    at = times_of(rows, job.time)
    return place_groups(at, groups) if groups is not None and job.static else at


def select_rows(rows: pa.Table, job: SearchJob) -> pa.Table:
    """Select the rows of a training set that the search uses."""
    import numpy as np
    import pyarrow.compute as pc

    rows = rows.filter(pc.equal(rows[job.split], "train"))
    if job.until is None:
        return rows
    groups, until = groups_of(rows, job), np.datetime64(job.until, "us")
    earlier, _ = parts_at(split_times(rows, job, groups), until + np.timedelta64(round(job.gap_s * 1e6), "us"), job.gap_s, groups)
    return rows.take(earlier)


def parts_at(at: np.ndarray, edge: np.datetime64, gap_s: float, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the rows before an edge and its gap that are of no group of the later rows, and of those from the edge on."""
    import numpy as np

    later = np.flatnonzero(at >= edge)
    return without_groups_of(np.flatnonzero(at < edge - np.timedelta64(round(gap_s * 1e6), "us")), later, groups), later
