"""studies: the hyperparameters of a workflow's model, searched by Optuna on the training window, and what that gained.

The study is named after all that decides its trials, so that a run that is repeated, or has a larger budget, goes on where the last one ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.spec.search import Search
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.metadata import figures, markdown_table
from platform_assets.stages.stage import Helper, Stage
from platform_assets.stages.training.study_job import (
    CODE_VERSION,
    SearchRows,
    first_trials,
    job_and_trials,
    search_rows,
    too_few,
    training_state,
    what_decides,
)
from platform_assets.stages.training.study_tables import trial_rows, write_study, write_trials
from platform_assets.stages.training.training_set import LABEL
from resources.host.crash_points import crash_point
from resources.lake.published import WHOLE, PartitionState, States

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from lakeloop.project.project import Located
    from lakeloop.search.gain import Gain
    from resources.search.job import SearchJob, Trials
    from resources.search.study import Tally
    from resources.tracking.runs import RunHandle

SHOWN_TRIALS = 50
"""Of the trial table in Dagster, the best ones; all of them are in `reports/trials`."""


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a search: its training set, what is searched, and how long.

    Raises:
        NotPublished: there is no training set.
    """
    spec = located.spec
    assert spec.search is not None
    return fingerprint(
        what_decides(states, located), spec.search.trials, spec.search.minutes, spec.search.least_finished, spec.evaluation.cluster
    )


def params_of(states: States, located: Located[WorkflowSpec]) -> dict[str, Any]:
    """The best parameters that the search of a workflow found; none where it doesn't search.

    Raises:
        NotPublished: it does, and hasn't yet.
    """
    return dict(_state(states, located).value["best"]) if located.spec.search is not None else {}


def found_by(states: States, located: Located[WorkflowSpec]) -> dict[str, Any]:
    """What an evaluation tells of the search of a workflow."""
    value = _state(states, located).value
    return {name: value[name] for name in ("study", "metric", "best", "own", "best_value", "counts", "gain")}


def fingerprint_of(states: States, located: Located[WorkflowSpec]) -> list[str]:
    """What a model's fingerprint has of its search.

    Raises:
        NotPublished: it searches, and hasn't yet.
    """
    return [_state(states, located).fingerprint] if located.spec.search is not None else []


def search(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Run the trials that are missing, here, in processes of this step, and beside other steps; then measure what they gained.

    Raises:
        NotPublished: there is no training set.
        SpecError: a fold is empty or has one class only, or too few trials were left; with the file and the key.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from resources.search.study import best_of, tally

    spec, key = located.spec, key_of("studies", located)
    states = platform.lake.states()
    wanted = expected(states, located)
    done = states.get(key, {}).get(WHOLE)
    if done and done.fingerprint == wanted:
        return StageResult(wanted, fresh=True, rows=done.rows, metadata={"study": done.value["study"]})
    assert spec.search is not None
    rows = search_rows(platform, located, states)
    job, trials = job_and_trials(platform, located, states, rows, worker=0)
    study = trials.study
    first_trials(spec.search, trials)
    with platform.tracking.run(platform, located.domain, spec.name) as run:
        _run(platform, job, trials, run)
        crash_point("study.searched")
        found = tally(study.get_trials(deepcopy=False))
        best = best_of(study, found.finished)
        _must_be_enough(located, spec.search, found, best)
        assert best is not None
        gain = _gain(located, job, rows, best)
        pictures = _pictures(study, job)
        run.log_metrics({f"search_{job.metric}": float(best.value or 0.0), f"search_gain_{job.metric}": gain.difference})
        for title, picture in pictures.items():
            run.log_text(picture, f"search/{title.replace(' ', '_')}.svg")
    return _recorded(platform, located, states, wanted, job, study, found, best, gain, pictures)


def help_search(platform: Platform, located: Located[WorkflowSpec], step: int) -> None:
    """Run trials of a search as one of several steps (from 0), until its budget is used up; the first of them begins it and writes to MLflow.

    Raises:
        NotPublished: there is no training set.
        SpecError: a fold is empty or has one class only; with the file and the key.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    states = platform.lake.states()
    done = states.get(key_of("studies", located), {}).get(WHOLE)
    if done and done.fingerprint == expected(states, located):
        return
    search = located.spec.search
    assert search is not None
    job, trials = job_and_trials(platform, located, states, search_rows(platform, located, states), worker=step * search.workers)
    if step:
        _run(platform, job, trials)
        return
    first_trials(search, trials)
    with platform.tracking.run(platform, located.domain, located.spec.name) as run:
        _run(platform, job, trials, run)


def _run(platform: Platform, job: SearchJob, trials: Trials, run: RunHandle | None = None) -> None:
    """Run trials here and in the other processes of this step until none is missing, and write them to MLflow if there is a run."""
    from resources.search.pool import Pool
    from resources.search.trial_runs import TrialRuns

    settings, log = platform.settings, platform.log
    with (
        nullcontext() if run is None else TrialRuns(job, run, settings, log),
        Pool(job, trials.search.workers - 1, trials.worker + 1, settings, log),
    ):
        trials.run()
        trials.wait()


def _state(states: States, located: Located[WorkflowSpec]) -> PartitionState:
    key = key_of("studies", located)
    if WHOLE not in states.get(key, {}):
        raise NotPublished(f"{key} has no finished search; materialise {key} first")
    return states[key][WHOLE]


def _must_be_enough(located: Located[WorkflowSpec], said: Search, found: Tally, best: FrozenTrial | None) -> None:
    from collections import Counter

    from resources.search.study import reason_of

    if best is not None and not too_few(said, found):
        return
    reasons = Counter(reason_of(trial) for trial in found.failed).most_common(3)
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    needed = f"at least {max(1, math.ceil(said.least_finished * found.ended))} (search.least_finished {said.least_finished:g})"
    complete = "" if best is not None else ", none of them complete"
    raise located.definition.error(
        f"{len(found.finished)} of {found.ended} trials finished{complete}, wanted {needed}. "
        f"{f'The others failed: {told}. ' if told else ''}What failed is tried again by the next run",
        "search",
    )


def _gain(located: Located[WorkflowSpec], job: SearchJob, rows: SearchRows, best: FrozenTrial) -> Gain:
    """Compare with the model's own parameters on the rows that were set aside."""
    from lakeloop.search.gain import measure_gain
    from lakeloop.search.space import own_values
    from lakeloop.spec.search import Parameter
    from lakeloop.training.frames import feature_frame, feature_kinds
    from lakeloop.training.labels import label_numbers
    from platform_assets.stages.training.rows import clusters_of

    spec, names = located.spec, list(job.features)
    own = own_values(
        spec.model, spec.answer, {name: Parameter.model_validate(values) for name, values in job.space.items()}, located.folder
    )
    try:
        return measure_gain(
            spec.model,
            best.params,
            feature_kinds(rows.fit.schema, names),
            spec.answer,
            job.metric,
            (feature_frame(rows.fit, names), label_numbers(rows.fit[LABEL], spec.answer)),
            (feature_frame(rows.unseen, names), label_numbers(rows.unseen[LABEL], spec.answer)),
            folder=located.folder,
            where=rows.where,
            same=best.params == own,
            clusters=clusters_of(spec, rows.unseen, names),
        )
    except DataError as error:
        told = located.definition.error(f"what was found can't be scored on {rows.where}: {error.message}", "search")
        raise DataError(str(told), detail=error.detail) from error


def _pictures(study: Study, job: SearchJob) -> dict[str, str]:
    from lakeloop.report.search_plots import draw_study

    return draw_study(study, job.metric, int(job.search["seed"]))


def _recorded(
    platform: Platform,
    located: Located[WorkflowSpec],
    states: States,
    wanted: str,
    job: SearchJob,
    study: Study,
    found: Tally,
    best: FrozenTrial,
    gain: Gain,
    pictures: Mapping[str, str],
) -> StageResult:
    """List the study as the workflow's, with rows of what was tried and found."""
    from lakeloop.search.space import own_values
    from lakeloop.spec.search import Parameter

    spec, key = located.spec, key_of("studies", located)
    space = {name: Parameter.model_validate(values) for name, values in job.space.items()}
    complete = sum(trial.state.name == "COMPLETE" for trial in found.finished)
    value = {
        "study": job.study,
        "metric": job.metric,
        "best": dict(best.params),
        "own": own_values(spec.model, spec.answer, space, located.folder),
        "best_value": float(best.value or 0.0),
        "best_trial": best.number,
        "counts": {
            "complete": complete, "pruned": len(found.finished) - complete, "failed": len(found.failed),
            "lost with their worker and run again": len(found.lost),
        },
        "gain": gain.record(),
        "seconds": round(found.seconds, 1),
        "training_set": training_state(states, located).version,
    }  # fmt: skip
    now, done = datetime.now(UTC), states.get(key, {}).get(WHOLE)
    listed = trial_rows(located, job, found, run_id=platform.run_id, at=now)
    write_trials(
        platform.lake, job.study, listed, written=set(done.value["trials"]) if done and done.value["study"] == job.study else set()
    )
    write_study(platform.lake, located, wanted, value, run_id=platform.run_id, at=now)
    crash_point("study.reported")
    value["trials"] = [row["trial"] for row in listed]
    platform.lake.record(
        key, [PartitionState(WHOLE, wanted, -1, found.ended, value=value)], run_id=platform.run_id, after=states.get(key, {})
    )
    return StageResult(
        wanted,
        rows=found.ended,
        metadata={
            "study": job.study,
            "best_parameters": dg.MetadataValue.json(value["best"]),
            f"best_{job.metric}": value["best_value"],
            "gain": gain.sentence,
            "trials": dg.MetadataValue.md(markdown_table(_shown(listed, study.direction.name == "MAXIMIZE"))),
            **{f"trials_{what.split(' ')[0]}": count for what, count in value["counts"].items()},
            "seconds": value["seconds"],
            "plots": figures(pictures),
        },
    )


def _shown(listed: Sequence[Mapping[str, Any]], up: bool) -> list[dict[str, Any]]:
    """The best trials, then those without a value."""
    order = sorted(listed, key=lambda row: (row["value"] is None, (-1 if up else 1) * (row["value"] or 0.0), row["trial"]))
    names = ("trial", "state", "value", "params", "seconds", "reason")
    return [{name: row[name] for name in names} for row in order[:SHOWN_TRIALS]]


def _helpers(located: Located[WorkflowSpec]) -> list[Helper]:
    """The steps that run trials beside the step of the study, as many as the workflow says."""
    steps = located.spec.search.steps if located.spec.search is not None else 0
    return [lambda platform, number=number: help_search(platform, located, number) for number in range(steps if steps > 1 else 0)]  # type: ignore[misc]


STAGE = Stage(
    name="studies",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: search(platform, located),
    reads=lambda project, located: (key_of("training_sets", located),),
    expected=lambda world, located, _: expected(world.states, located),
    exists=lambda located: located.spec.search is not None,
    helpers=_helpers,
    describe=lambda _: (
        "The best parameters that Optuna found by time-ordered cross-validation within the training window, and what they gain."
    ),
    kinds=lambda _: ("optuna",),
)
