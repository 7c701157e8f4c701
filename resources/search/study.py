"""Optuna studies: opened by name, trials of dead workers retried, trials counted, the next one seeded."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import Conflict
from lakeloop.spec.search import Search
from resources.host.processes import is_gone
from resources.search.storage import GRACE_S, MOST_RETRIES, study_storage
from resources.settings import Settings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Direction = Literal["minimize", "maximize"]
WORKER, REASON, SURPLUS = "worker", "reason", "surplus"
"""Attributes of a trial: the process that runs it, why it failed, and that it exceeds the budget, so that it isn't counted."""
FOLD_STEPS = 1000
"""The end of a fold is reported at a multiple of this step, its intermediate scores at steps in between."""
DIED = "its worker died"
_STORE_THEIR_POSITION = ("BruteForceSampler", "GridSampler", "QMCSampler")
"""Samplers that store their position in the study, and need the same seed for all trials."""


@dataclass(frozen=True)
class Tally:
    """The trials of a study by outcome.

    Attributes:
        finished: complete or pruned.
        failed: by the estimator, or given up after their workers died too often; without those that were run again.
        running: at present.
        lost: their workers died; they are run again.
        seconds: during which at least one trial ran.
    """

    finished: tuple[FrozenTrial, ...]
    failed: tuple[FrozenTrial, ...]
    running: tuple[FrozenTrial, ...]
    lost: tuple[FrozenTrial, ...]
    seconds: float

    @property
    def ended(self) -> int:
        """The number of finished and failed trials, which the budget limits."""
        return len(self.finished) + len(self.failed)


def open_study(settings: Settings, name: str, direction: Direction, search: Search, about: dict[str, Any]) -> Study:
    """Open a study by name, created if there is none.

    Args:
        settings: say where studies are stored.
        name: of the study.
        direction: `maximize` or `minimize`.
        search: has the pruner.
        about: what the study depends on, stored with it.

    Raises:
        Conflict: there is one of that name with another direction, or that depends on something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=study_storage(settings), study_name=name, direction=direction, load_if_exists=True, pruner=pruner_of(search)
    )
    # With load_if_exists Optuna ignores a different direction.
    if study.direction.name.lower() != direction:
        raise Conflict(f"the study {name} exists with direction {study.direction.name.lower()}, wanted {direction}; delete it")
    known = study.user_attrs.get("about")
    if known is None:
        study.set_user_attr("about", about)
    elif known != about:
        different = sorted(key for key in known.keys() | about.keys() if known.get(key) != about.get(key))
        raise Conflict(f"the study {name} exists with another {', '.join(different)}; delete it")
    return study


def tally(trials: Iterable[FrozenTrial]) -> Tally:
    """Count the trials of a study by outcome."""
    from optuna.trial import TrialState

    trials = list(trials)
    retried = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    finished: list[FrozenTrial] = []
    failed: list[FrozenTrial] = []
    running: list[FrozenTrial] = []
    lost: list[FrozenTrial] = []
    for trial in trials:
        if SURPLUS in trial.user_attrs:
            continue
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            finished.append(trial)
        elif trial.state == TrialState.RUNNING:
            running.append(trial)
        elif trial.state == TrialState.FAIL:
            is_final = REASON in trial.user_attrs or len(trial.system_attrs.get("retry_history", ())) >= MOST_RETRIES
            (failed if is_final and trial.number not in retried else lost).append(trial)
    ran = [*finished, *(trial for trial in failed if REASON in trial.user_attrs), *running]
    return Tally(tuple(finished), tuple(failed), tuple(running), tuple(lost), seconds=_seconds(ran))


def retry_dead_trials(study: Study, trials: Iterable[FrozenTrial]) -> None:
    """Fail the running trials whose workers have ended, and queue them again."""
    import optuna
    from optuna.exceptions import ExperimentalWarning
    from optuna.trial import TrialState

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    for trial in trials:
        if trial.state != TrialState.RUNNING:
            continue
        worker, started = trial.user_attrs.get(WORKER), trial.datetime_start
        # A worker that died before it stored its name sent no heartbeat either.
        is_silent = worker is None and started is not None and datetime.now() - started > timedelta(seconds=GRACE_S)
        if is_silent or (worker is not None and is_gone(worker)):
            retry_trial(study, trial)


def retry_trial(study: Study, trial: FrozenTrial) -> None:
    """Fail a running trial that no worker runs, and queue its parameters again, unless another process did or it was tried too often."""
    from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
    from optuna.storages import RetryHeartbeatStaleTrialCallback
    from optuna.trial import TrialState

    if trial.state == TrialState.RUNNING:
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):  # another worker was first
            return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        retry = RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES)
    trial.user_attrs = {name: value for name, value in trial.user_attrs.items() if name not in (WORKER, REASON)}
    retry(study, trial)


def next_sampler(search: Search, position: int, worker: int, parallel: bool) -> BaseSampler:
    """Create the sampler of the next trial.

    Each trial has its own seed, computed from the search's seed and its position, so that an interrupted study continues as if it hadn't been.
    """
    import optuna
    from optuna.exceptions import ExperimentalWarning

    cls, arguments = getattr(optuna.samplers, search.sampler.name), dict(search.sampler.arguments)
    accepted = inspect.signature(cls).parameters
    if "seed" in accepted:
        has_one_seed = search.sampler.name in _STORE_THEIR_POSITION
        text = f"{search.seed}" if has_one_seed else f"{search.seed} {position} {worker}"
        arguments["seed"] = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    if parallel and "constant_liar" in accepted:
        arguments.setdefault("constant_liar", True)  # so that workers don't try the same parameters at the same time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler: BaseSampler = cls(**arguments)
    return sampler


def pruner_of(search: Search) -> BasePruner:
    """Create the pruner. By default the median pruner waits for the end of the first fold, since a slow learner scores badly at first."""
    import optuna
    from optuna.exceptions import ExperimentalWarning

    arguments = dict(search.pruner.arguments)
    if search.pruner.name in ("MedianPruner", "PercentilePruner"):
        arguments.setdefault("n_warmup_steps", FOLD_STEPS - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        pruner: BasePruner = getattr(optuna.pruners, search.pruner.name)(**arguments)
    return pruner


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return str(trial.user_attrs.get(REASON) or DIED)


def best_of(study: Study, finished: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The best complete trial, the earliest of several equals; None where there is none."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    return min(complete, key=lambda trial: (sign * float(trial.value or 0.0), trial.number), default=None)


def _seconds(trials: Sequence[FrozenTrial]) -> float:
    """The seconds during which at least one of the trials ran."""
    total, until = 0.0, None
    spans = [(t.datetime_start, t.datetime_complete or datetime.now()) for t in trials if t.datetime_start is not None]
    for start, end in sorted(spans):
        counted_from = start if until is None else max(start, until)
        if end > counted_from:
            total += (end - counted_from).total_seconds()
            until = end
    return total
