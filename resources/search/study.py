"""An Optuna study of ours: made or found by its name, its dead workers noticed, its trials counted, the next one seeded."""

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
    from optuna.trial import FrozenTrial

Direction = Literal["minimize", "maximize"]
WORKER, REASON, SURPLUS = "worker", "reason", "surplus"
"""Attributes of a trial: the process that runs it, why it failed, and that it was begun when the budget was used up, so that it counts nowhere."""
FOLD_STEPS = 1000
"""A fold's end is reported at a multiple of this, its scores on the way in between."""
DIED = "its worker died"
_KEEP_THEIR_PLACE = ("BruteForceSampler", "GridSampler", "QMCSampler")
"""Samplers that keep in the study how far they are, and want one seed for all trials."""


@dataclass(frozen=True)
class Tally:
    """The trials of a study by what counts.

    Attributes:
        finished: complete or pruned.
        failed: by the estimator, or given up after their workers died too often; those that were run again aside.
        running: now.
        lost: their workers died; they are run again.
        seconds: in which at least one trial ran.
    """

    finished: tuple[FrozenTrial, ...]
    failed: tuple[FrozenTrial, ...]
    running: tuple[FrozenTrial, ...]
    lost: tuple[FrozenTrial, ...]
    seconds: float

    @property
    def ended(self) -> int:
        """Trials that came to an end of their own, which is what the budget counts."""
        return len(self.finished) + len(self.failed)


def open_study(settings: Settings, name: str, direction: Direction, search: Search, about: dict[str, Any]) -> Study:
    """The study of a name, made if there is none.

    Args:
        settings: where studies are kept.
        name: of the study.
        direction: `maximize` or `minimize`.
        search: has the pruner.
        about: what it is of, kept with it.

    Raises:
        Conflict: there is one of that name with another direction or about something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=study_storage(settings), study_name=name, direction=direction, load_if_exists=True, pruner=pruner_of(search)
    )
    # With load_if_exists Optuna itself ignores a direction that differs.
    if study.direction.name.lower() != direction:
        raise Conflict(f"the study {name} is there with direction {study.direction.name.lower()}, wanted {direction}; delete it")
    known = study.user_attrs.get("about")
    if known is None:
        study.set_user_attr("about", about)
    elif known != about:
        different = sorted(key for key in known.keys() | about.keys() if known.get(key) != about.get(key))
        raise Conflict(f"the study {name} is there with another {', '.join(different)}; delete it")
    return study


def tally(trials: Iterable[FrozenTrial]) -> Tally:
    """Count the trials of a study."""
    from optuna.trial import TrialState

    trials = list(trials)
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    found: dict[str, list[FrozenTrial]] = {"finished": [], "failed": [], "running": [], "lost": []}
    for trial in trials:
        if SURPLUS in trial.user_attrs:
            continue
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            found["finished"].append(trial)
        elif trial.state == TrialState.RUNNING:
            found["running"].append(trial)
        elif trial.state == TrialState.FAIL:
            counts = REASON in trial.user_attrs or len(trial.system_attrs.get("retry_history", ())) >= MOST_RETRIES
            found["failed" if counts and trial.number not in again else "lost"].append(trial)
    ran = [*found["finished"], *(trial for trial in found["failed"] if REASON in trial.user_attrs), *found["running"]]
    return Tally(**{name: tuple(listed) for name, listed in found.items()}, seconds=_seconds(ran))


def settle(study: Study, trials: Iterable[FrozenTrial]) -> None:
    """Fail the running trials whose workers are gone, and have them run again."""
    import optuna
    from optuna.exceptions import ExperimentalWarning
    from optuna.trial import TrialState

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    for trial in trials:
        if trial.state != TrialState.RUNNING:
            continue
        worker, begun = trial.user_attrs.get(WORKER), trial.datetime_start
        # One that died before it could say anything has no heartbeat either.
        silent = worker is None and begun is not None and datetime.now() - begun > timedelta(seconds=GRACE_S)
        if silent or (worker is not None and is_gone(worker)):
            run_again(study, trial)


def run_again(study: Study, trial: FrozenTrial) -> None:
    """Fail a running trial that nobody works on, and queue its parameters; nothing if somebody else did, or it was tried too often."""
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
    told = {name: value for name, value in trial.user_attrs.items() if name not in (WORKER, REASON)}
    trial.user_attrs = told
    retry(study, trial)


def next_sampler(search: Search, position: int, worker: int, parallel: bool) -> Any:
    """The sampler of the next trial.

    Each trial has its own seed, made of the search's and its position, so that a study that was interrupted goes on as if it hadn't been.
    """
    import optuna
    from optuna.exceptions import ExperimentalWarning

    cls, arguments = getattr(optuna.samplers, search.sampler.name), dict(search.sampler.arguments)
    known = inspect.signature(cls).parameters
    if "seed" in known:
        fixed = search.sampler.name in _KEEP_THEIR_PLACE
        text = f"{search.seed}" if fixed else f"{search.seed} {position} {worker}"
        arguments["seed"] = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    if parallel and "constant_liar" in known:
        arguments.setdefault("constant_liar", True)  # so that workers don't try the same at the same time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return cls(**arguments)


def pruner_of(search: Search) -> Any:
    """The pruner. The median pruner waits for the first fold's end unless told: a slow learner looks bad in its first rounds."""
    import optuna
    from optuna.exceptions import ExperimentalWarning

    arguments = dict(search.pruner.arguments)
    if search.pruner.name in ("MedianPruner", "PercentilePruner"):
        arguments.setdefault("n_warmup_steps", FOLD_STEPS - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return getattr(optuna.pruners, search.pruner.name)(**arguments)


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return str(trial.user_attrs.get(REASON) or DIED)


def best_of(study: Study, finished: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The best complete trial, the earliest of equals."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    return min(complete, key=lambda trial: (sign * float(trial.value or 0.0), trial.number), default=None)


def _seconds(trials: Sequence[FrozenTrial]) -> float:
    """The length of the union of the times at which trials ran."""
    total, until = 0.0, None
    spans = [(t.datetime_start, t.datetime_complete or datetime.now()) for t in trials if t.datetime_start is not None]
    for start, end in sorted(spans):
        begin = start if until is None else max(start, until)
        if end > begin:
            total += (end - begin).total_seconds()
            until = end
    return total
