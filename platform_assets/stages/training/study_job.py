"""What a search works on: the rows that it may see, the job that its processes share, and its first trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.project.personal import has_personal_values
from lakeloop.records.features import FeatureSpec
from lakeloop.spec.search import Search
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.model_code import model_source
from platform_assets.stages.base import Platform, key_of
from platform_assets.stages.training.training_set import LABEL, SPLIT
from resources.lake.published import WHOLE, PartitionState, States

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project.project import Located
    from resources.search.job import SearchJob, Trials
    from resources.search.study import Tally

CODE_VERSION = "1"


@dataclass(frozen=True)
class SearchRows:
    """Rows of the training set: those that are searched on, those to fit on for the gain, and those that the search never sees."""

    searched: pa.Table
    fit: pa.Table
    unseen: pa.Table
    until: str | None
    where: str


def training_state(states: States, located: Located[WorkflowSpec]) -> PartitionState:
    """What is published of a workflow's training set.

    Raises:
        NotPublished: nothing.
    """
    key = key_of("training_sets", located)
    if WHOLE not in states.get(key, {}):
        raise NotPublished(f"{key} has no published version; materialise {key} first")
    return states[key][WHOLE]


def what_decides(states: States, located: Located[WorkflowSpec]) -> dict[str, Any]:
    """All that decides the trials of a study; its name is made from this.

    Raises:
        NotPublished: there is no training set.
    """
    from lakeloop.search.space import space_of

    spec = located.spec
    assert spec.search is not None
    said = spec.search
    return {
        "code": CODE_VERSION,
        "training set": training_state(states, located).fingerprint,
        "space": {name: values.model_dump(mode="json") for name, values in space_of(spec.model, spec.answer, said, located.folder).items()},
        "model": fingerprint(spec.model, spec.answer.record(), model_source(spec.model, located.folder)),
        "folds": said.folds,
        "metric": said.metric or spec.evaluation.primary,
        "sampler": fingerprint(said.sampler, said.seed),
        "pruner": fingerprint(said.pruner),
    }


def search_rows(platform: Platform, located: Located[WorkflowSpec], states: States) -> SearchRows:
    """Read the training set, and set aside what the search must not see: the validation window, or the last part of the training window."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeloop.training.splits import Window
    from resources.search.job import times_of

    spec, training = located.spec, training_state(states, located)
    assert spec.search is not None
    names = FeatureSpec.from_record(training.value["feature_spec"]).names
    columns = list(dict.fromkeys([*names, *spec.keys, spec.predict_at, LABEL, SPLIT]))
    table = platform.lake.read((key_of("training_sets", located), training.version), columns=columns, order=[spec.predict_at, *spec.keys])
    train = table.filter(pc.equal(table[SPLIT], "train"))
    if "validation" in training.value["windows"]:
        window = Window(*(datetime.fromisoformat(end) for end in training.value["windows"]["validation"]))
        unseen = table.filter(pc.equal(table[SPLIT], "validation"))
        return SearchRows(train, train, unseen, None, f"the validation window, {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}")
    at = times_of(train, spec.predict_at)
    parts = spec.search.folds + 2
    edge = at.min() + (at.max() - at.min()) * (parts - 1) // parts
    gap = np.timedelta64(spec.split.gap // timedelta(microseconds=1), "us")
    earlier, later = train.filter(pa.array(at < edge - gap)), train.filter(pa.array(at >= edge))
    where = f"the last of {parts} parts of the training window, from {edge.item():%Y-%m-%d} on"
    return SearchRows(earlier, earlier, later, str(edge - gap), where)


def job_and_trials(
    platform: Platform, located: Located[WorkflowSpec], states: States, rows: SearchRows, worker: int
) -> tuple[SearchJob, Trials]:
    """The job of a search, and its trials in this process.

    Raises:
        SpecError: a fold is empty or has one class only; with the file and the key.
    """
    from lakeloop.metrics.table import metrics_of
    from lakeloop.search.cross_validation import check_folds
    from lakeloop.search.space import space_of
    from resources.host.processes import available_cores
    from resources.search.job import SearchJob, Trials

    spec, training = located.spec, training_state(states, located)
    assert spec.search is not None
    said, about = spec.search, what_decides(states, located)
    metric = said.metric or spec.evaluation.primary
    here = said.workers * min(said.steps, platform.settings.steps)
    job = SearchJob(
        study=f"{platform.settings.mlflow_name(located.domain, spec.name)}.{fingerprint(about)}",
        direction="maximize" if metrics_of(spec.answer)[metric].greater_is_better else "minimize",
        about=about,
        lake=platform.lake.url,
        table=str(key_of("training_sets", located)),
        version=training.version,
        features=tuple(FeatureSpec.from_record(training.value["feature_spec"]).names),
        label=LABEL,
        time=spec.predict_at,
        keys=tuple(spec.keys),
        split=SPLIT,
        until=rows.until,
        model=spec.model.model_dump(mode="json"),
        folder=str(located.folder.resolve()),
        answer=spec.answer.record(),
        search=said.model_dump(mode="json"),
        space={name: values.model_dump(mode="json") for name, values in space_of(spec.model, spec.answer, said, located.folder).items()},
        metric=metric,
        gap_s=spec.split.gap.total_seconds(),
        threads=max(1, available_cores() // here),
        personal=has_personal_values(platform.project, located),
    )
    try:
        trials = Trials(job, rows.searched, platform.settings, worker=worker, parallel=said.workers * said.steps > 1)
        check_folds(trials.folds, trials.y, spec.answer, metric)
    except DataError as error:
        raise located.definition.error(str(error), "search", "folds") from error
    return job, trials


def first_trials(said: Search, trials: Trials) -> None:
    """Queue the model's own parameters as the first trial; and what failed, if an earlier run was left with too little."""
    from lakeloop.search.space import own_values
    from resources.search.study import run_again, settle, tally

    study = trials.study
    settle(study, study.get_trials(deepcopy=False))
    listed = study.get_trials(deepcopy=False)
    own = own_values(trials.model, trials.answer, trials.space, Path(trials.job.folder))
    if own:
        study.enqueue_trial(own, skip_if_exists=True)
    found = tally(listed)
    if said.exhausted_budget(found.ended, found.seconds) and too_few(said, found):
        for trial in found.failed:
            run_again(study, trial)


def too_few(said: Search, found: Tally) -> bool:
    """Whether fewer trials finished than the search asks for."""
    return len(found.finished) < max(1, math.ceil(said.least_finished * found.ended))
