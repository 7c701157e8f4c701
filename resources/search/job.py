"""One trial after another of a study, as any process can run them: from a job in plain values to finished trials."""

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
from lakeloop.training.frames import evenly_spaced, feature_frame, feature_kinds
from lakeloop.training.labels import label_numbers
from lakeloop.training.pipelines import most_rows
from resources.host.crash_points import crash_point
from resources.host.processes import identity
from resources.search.study import FOLD_STEPS, REASON, SURPLUS, WORKER, Direction, Tally, next_sampler, open_study, run_again, settle, tally

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from optuna import Study, Trial

    from resources.settings import Settings

POLL_S = 0.2
"""How often a worker looks whether a trial that others run has ended, when it may not begin another."""


@dataclass(frozen=True)
class SearchJob:
    """What a process needs to know to run trials of a study.

    Attributes:
        study: its name.
        direction: `maximize` or `minimize`.
        about: what it is of.
        lake: root of the lake.
        table: of the training set, and its Delta `version`.
        features: the model's inputs, in order.
        label: its column; likewise `time` and `split`.
        keys: the columns that rows are in the order of, within the same time.
        until: rows before it are searched on; of the training window all without it.
        model: as written in the workflow, and the `folder` of its definition.
        answer: what is answered.
        search: as written in the workflow.
        space: what is tried, in order.
        metric: what is searched for.
        gap_s: between what is fitted on and what is scored.
        threads: for each fit.
        personal: whether messages of libraries must be kept back.
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

    def to_json(self) -> str:
        """As a line of text."""
        return json.dumps({**asdict(self), "features": list(self.features), "keys": list(self.keys)})

    @classmethod
    def from_json(cls, text: str) -> SearchJob:
        """From a line of text."""
        stored = json.loads(text)
        return cls(**{**stored, "features": tuple(stored["features"]), "keys": tuple(stored["keys"])})

    def open(self, settings: Settings) -> Study:
        """Its study."""
        return open_study(settings, self.study, self.direction, Search.model_validate(self.search), dict(self.about))


class Trials:
    """The trials of a job, run one after another in this process.

    Args:
        job: what is searched.
        rows: the training set's rows, with the job's columns.
        settings: where the study is.
        worker: a number of its own among those that work at the same time.
        parallel: whether others do.

    Raises:
        DataError: a fold is empty.
    """

    def __init__(self, job: SearchJob, rows: pa.Table, settings: Settings, *, worker: int = 0, parallel: bool = False) -> None:

        self.job, self.worker, self.parallel = job, worker, parallel
        self.search, self.answer = Search.model_validate(job.search), Answer.from_record(job.answer)
        self.model = Model.model_validate(job.model)
        self.space = {name: Parameter.model_validate(values) for name, values in job.space.items()}
        self.kinds = feature_kinds(rows.schema, list(job.features))
        self.me = identity()
        frame, self.y = feature_frame(rows, list(job.features)), label_numbers(rows[job.label], self.answer)
        self.folds = time_folds(times_of(rows, job.time), self.search.folds, timedelta(seconds=job.gap_s))
        most = most_rows(self.model, self.answer, Path(job.folder))
        fits = [f.fit if most is None else f.fit[evenly_spaced(len(f.fit), most)] for f in self.folds]
        self.frames = [
            (frame.iloc[fit], self.y[fit], frame.iloc[f.score], self.y[f.score]) for fit, f in zip(fits, self.folds, strict=True)
        ]
        self.study = job.open(settings)
        self.number = self.position = -1
        self.interrupt: BaseException | None = None

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Run trials until the budget is used up, those included that died elsewhere in the meantime."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(self.job.threads):
            while not stop() and self._next():
                pass

    def wait(self) -> None:
        """Wait for the trials that others still run; those of dead workers don't count."""
        while self._settled().running:
            time.sleep(POLL_S)

    def _settled(self) -> Tally:
        found = tally(self.study.get_trials(deepcopy=False))
        if not found.running:
            return found
        settle(self.study, found.running)
        return tally(self.study.get_trials(deepcopy=False))

    def _next(self) -> bool:
        """Run the next trial, or wait where others run the last ones; False when the budget is used up."""
        found = self._settled()
        if self.search.exhausted_budget(found.ended, found.seconds):
            return False
        position = found.ended + len(found.running)
        used_up = self.search.trials is not None and position >= self.search.trials
        if used_up or (found.running and not self.parallel):  # a search of one worker is nobody else's in the meantime
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
            # This process was silent for so long that others took it for dead, and its trial is run again.
        return True

    def _is_running(self, number: int) -> bool:
        return any(trial.number == number for trial in tally(self.study.get_trials(deepcopy=False)).running)

    def _objective(self, trial: Trial) -> float:
        import optuna
        from optuna.exceptions import UpdateFinishedTrialError

        self.number = trial.number
        try:
            trial.set_user_attr(WORKER, self.me)
            if self._is_surplus(trial.number):
                trial.set_user_attr(SURPLUS, True)
                raise _Surplus
            params = draw(trial, self.space)
            crash_point("search.trial_drawn")
            value = self._tried(trial, params)
            crash_point("search.trial_scored")
            return value
        except (_Failed, _Surplus, optuna.TrialPruned, UpdateFinishedTrialError):
            raise
        except BaseException as error:  # not of the trial, but of the step, which ends with it; the trial is run again
            self.interrupt = error
            run_again(self.study, next(t for t in self.study.get_trials(deepcopy=True) if t.number == trial.number))
            raise

    def _tried(self, trial: Trial, params: Mapping[str, Any]) -> float:
        """The value of a trial; what its estimator raises is its failure, and is kept as the reason."""
        import optuna
        from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

        try:
            return self._value(trial, params)
        except (optuna.TrialPruned, StorageInternalError, UpdateFinishedTrialError):
            raise
        except Exception as error:
            trial.set_user_attr(REASON, self._reason(error)[:500])
            raise _Failed from error

    def _reason(self, error: Exception) -> str:

        own = isinstance(error, LakeloopError) and error.__cause__ is None  # else it tells what a library said
        told = message_of(error, hide=self.job.personal and not own)
        return told if isinstance(error, LakeloopError) or self.job.personal else f"{type(error).__name__}: {told}"

    def _is_surplus(self, number: int) -> bool:
        """Whether another worker took the last place of the budget at the same moment, or another run this trial's place or its parameters."""
        listed = self.study.get_trials(deepcopy=False)
        found = tally(listed)
        earlier = [trial for trial in found.running if trial.number < number]
        # Two that begin a study together may both queue the first trial.
        queued = next(trial for trial in listed if trial.number == number).system_attrs.get("fixed_params")
        if queued and any(t.system_attrs.get("fixed_params") == queued for t in (*found.finished, *found.failed, *earlier)):
            return True
        if not self.parallel:
            return found.ended + len(earlier) != self.position
        budget = self.search.trials
        return budget is not None and sum(t.number < number for t in (*found.finished, *found.failed)) + len(earlier) >= budget

    def _value(self, trial: Trial, params: Mapping[str, Any]) -> float:
        import optuna

        values: list[float] = []
        each = self.search.pruner.name == "WilcoxonPruner"  # which compares folds one by one, not their means

        def report(fold: int, rounds: int | None, value: float) -> None:
            step = FOLD_STEPS * (fold + 1) if rounds is None else FOLD_STEPS * fold + 1 + int(math.log2(rounds / FIRST_ROUNDS))
            trial.report(value if each else (sum(values) + value) / (fold + 1), step)
            if rounds is None:
                values.append(value)
                if fold + 1 == len(self.folds):
                    return
            if trial.should_prune():
                raise optuna.TrialPruned(f"in fold {fold + 1} of {len(self.folds)}")

        return cross_validate(
            lambda: build_unfitted(with_params(self.model, params), self.kinds, self.answer, Path(self.job.folder)),
            self.frames,
            self.answer,
            self.job.metric,
            report,
            rounds=self.search.pruner.name not in ("NopPruner", "WilcoxonPruner"),
        )


class _Failed(Exception):
    """What the estimator of a trial raised is its cause."""


class _Surplus(Exception):
    """A trial that was begun when the budget was used up already."""


def times_of(rows: pa.Table, column: str) -> np.ndarray:
    """A column of times as `datetime64[us]`, UTC."""
    times: np.ndarray = rows[column].to_numpy()
    return times.astype("datetime64[us]")


def searched_rows(rows: pa.Table, job: SearchJob) -> pa.Table:
    """The rows of a training set that are searched on."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = rows.filter(pc.equal(rows[job.split], "train"))
    if job.until is not None:
        rows = rows.filter(pa.array(times_of(rows, job.time) < np.datetime64(job.until, "us")))
    return rows
