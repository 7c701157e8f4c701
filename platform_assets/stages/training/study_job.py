"""What a search works on: the rows that it may see, the job that its processes share, and its first trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import DataError
from lakeloop.fingerprint import fingerprint
from lakeloop.metrics.table import metrics_of
from lakeloop.project.personal import has_personal_values
from lakeloop.records.training import TrainingSetState
from lakeloop.search.cross_validation import check_folds
from lakeloop.search.space import own_values, space_of
from lakeloop.spec.search import Search
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.model_code import model_source
from lakeloop.training.splits import Window
from platform_assets.stages.base import Platform, key_of
from platform_assets.stages.training.groups import group_columns, groups_of, split_times
from platform_assets.stages.training.training_set import LABEL, SPLIT
from resources.host.processes import available_cores
from resources.lake.published import States
from resources.search.job import SearchJob, Trials, parts_at, times_of
from resources.search.study import Tally, retry_dead_trials, retry_trial, tally

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project.project import Located

CODE_VERSION = "1"


@dataclass(frozen=True)
class SearchRows:
    """Rows of a training set, as a search takes them.

    Attributes:
        searched: those that are searched on.
        fit: those that the models are fitted on whose difference is the gain.
        unseen: those that the gain is measured on, which the search never sees.
        until: the searched rows are those of the training window before this time; all of them without it.
        where: which rows the unseen ones are, in words.
    """

    searched: pa.Table
    fit: pa.Table
    unseen: pa.Table
    until: str | None
    where: str


def search_of(located: Located[WorkflowSpec]) -> Search:
    """What a workflow that searches says of it."""
    assert located.spec.search is not None
    return located.spec.search


def metric_of(located: Located[WorkflowSpec]) -> str:
    """The metric that is searched for: the search's own, or the evaluation's primary one."""
    return search_of(located).metric or located.spec.evaluation.primary


def what_decides(states: States, located: Located[WorkflowSpec]) -> dict[str, Any]:
    """All that decides the trials of a study; its name is made from this.

    Raises:
        NotPublished: there is no training set.
    """
    spec, search = located.spec, search_of(located)
    return {
        "code": CODE_VERSION,
        "training set": str(states.required(TrainingSetState, located).fingerprint),
        "space": _space_record(located),
        "model": fingerprint(spec.model, spec.answer.record(), model_source(spec.model, located.folder)),
        "folds": search.folds,
        "metric": metric_of(located),
        "sampler": fingerprint(search.sampler, search.seed),
        "pruner": fingerprint(search.pruner),
    }


def search_rows(platform: Platform, located: Located[WorkflowSpec], states: States) -> SearchRows:
    """Read the training set, and set aside what the search must not see: the validation window, or the last part of the training window."""
    import pyarrow.compute as pc

    spec, training = located.spec, states.required(TrainingSetState, located)
    columns = list(dict.fromkeys([*training.value.feature_spec.names, *spec.keys, spec.predict_at, LABEL, SPLIT]))
    table = platform.lake.read(
        (key_of(TrainingSetState.stage, located), training.version), columns=columns, order=[spec.predict_at, *spec.keys]
    )
    train = table.filter(pc.equal(table[SPLIT], "train"))
    if "validation" in training.value.windows:
        window = Window(*(datetime.fromisoformat(end) for end in training.value.windows["validation"]))
        unseen = table.filter(pc.equal(table[SPLIT], "validation"))
        return SearchRows(train, train, unseen, None, f"the validation window, {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}")
    groups = groups_of(spec, train, training.value.feature_spec.names)
    at = split_times(spec, times_of(train, spec.predict_at), groups)
    parts = search_of(located).folds + 2
    edge = at.min() + (at.max() - at.min()) * (parts - 1) // parts
    gap = np.timedelta64(spec.split.gap // timedelta(microseconds=1), "us")
    earlier, later = (train.take(rows) for rows in parts_at(at, edge, spec.split.gap.total_seconds(), groups))
    where = f"the last of {parts} parts of the training window, from {edge.item():%Y-%m-%d} on"
    return SearchRows(earlier, earlier, later, str(edge - gap), where)


def job_and_trials(
    platform: Platform, located: Located[WorkflowSpec], states: States, rows: SearchRows, worker: int
) -> tuple[SearchJob, Trials]:
    """The job of a search, and its trials in this process.

    Raises:
        SpecError: a fold is empty or has one class only; with the file and the key.
    """
    job, search = _job(platform, located, states, rows.until), search_of(located)
    try:
        trials = Trials(job, rows.searched, platform.settings, worker=worker, parallel=search.workers * search.steps > 1)
        check_folds(trials.folds, trials.y, located.spec.answer, job.metric)
    except DataError as error:
        raise located.definition.error(str(error), "search", "folds") from error
    return job, trials


def _job(platform: Platform, located: Located[WorkflowSpec], states: States, until: str | None) -> SearchJob:
    """What each process of a search needs to know."""
    spec, search, training = located.spec, search_of(located), states.required(TrainingSetState, located)
    about, metric = what_decides(states, located), metric_of(located)
    workers_here = search.workers * min(search.steps, platform.settings.steps)
    return SearchJob(
        study=f"{platform.settings.mlflow_name(located.domain, spec.name)}.{fingerprint(about)}",
        direction="maximize" if metrics_of(spec.answer)[metric].greater_is_better else "minimize",
        about=about,
        lake=platform.lake.url,
        table=str(key_of(TrainingSetState.stage, located)),
        version=training.version,
        features=tuple(training.value.feature_spec.names),
        label=LABEL,
        time=spec.predict_at,
        keys=tuple(spec.keys),
        split=SPLIT,
        until=until,
        model=spec.model.model_dump(mode="json"),
        folder=str(located.folder.resolve()),
        answer=spec.answer.record(),
        search=search.model_dump(mode="json"),
        space=_space_record(located),
        metric=metric,
        gap_s=spec.split.gap.total_seconds(),
        threads=max(1, available_cores() // workers_here),
        personal=has_personal_values(platform.project, located),
        groups=group_columns(spec, training.value.feature_spec.names),
        static=spec.evaluation.static,
    )


def _space_record(located: Located[WorkflowSpec]) -> dict[str, Any]:
    """The space of a search as plain values, in order."""
    space = space_of(located.spec.model, located.spec.answer, search_of(located), located.folder)
    return {name: values.model_dump(mode="json") for name, values in space.items()}


def own_params(trials: Trials) -> dict[str, Any]:
    """What the searched parameters are without the search."""
    return own_values(trials.model, trials.answer, trials.space, Path(trials.job.folder))


def first_trials(search: Search, trials: Trials) -> None:
    """Queue the model's own parameters as the first trial; and what failed, if an earlier run was left with too little."""
    study = trials.study
    retry_dead_trials(study, study.get_trials(deepcopy=False))
    before = tally(study.get_trials(deepcopy=False))
    own = own_params(trials)
    if own:
        study.enqueue_trial(own, skip_if_exists=True)
    if search.exhausted_budget(before.ended, before.seconds) and too_few(search, before):
        for trial in before.failed:
            retry_trial(study, trial)


def least_finished(search: Search, trials: Tally) -> int:
    """How many of the trials have to finish, at least."""
    return max(1, math.ceil(search.least_finished * trials.ended))


def too_few(search: Search, trials: Tally) -> bool:
    """Whether fewer trials finished than the search asks for."""
    return len(trials.finished) < least_finished(search, trials)
