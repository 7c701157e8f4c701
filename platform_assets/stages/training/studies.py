"""studies: the hyperparameters of a workflow's model, searched by Optuna on the training window, and what that gained.

The study is named after all that decides its trials, so that a run that is repeated, or has a larger budget, goes on where the last one ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, SpecError
from lakeloop.fingerprint import Fingerprint, fingerprint, short_hash
from lakeloop.records.release import ReleaseState
from lakeloop.records.training import ModelState, SearchResult, StudyState, TrainingSetState
from lakeloop.report.search_plots import draw_study
from lakeloop.search.gain import Gain, measure_gain
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.frames import feature_frame, feature_kinds
from lakeloop.training.labels import label_numbers
from lakeloop.training.model_code import model_source
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.metadata import figures, markdown_table
from platform_assets.stages.publishing import record_whole
from platform_assets.stages.stage import Helper, Stage
from platform_assets.stages.training.rows import clusters_of
from platform_assets.stages.training.study_job import (
    CODE_VERSION,
    SearchRows,
    first_trials,
    job_and_trials,
    least_finished,
    own_params,
    search_of,
    search_rows,
    too_few,
    what_decides,
)
from platform_assets.stages.training.study_tables import trial_rows, write_study, write_trials
from platform_assets.stages.training.training_set import LABEL
from resources.host.crash_points import crash_point
from resources.lake.published import PartitionState, States
from resources.search.job import SearchJob, Trials
from resources.search.pool import Pool
from resources.search.study import Tally, best_of, reason_of, tally
from resources.search.trial_runs import TrialRuns

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from lakeloop.project.project import Located
    from resources.tracking.runs import RunHandle

SHOWN_TRIALS = 50
"""Of the trial table in Dagster, the best ones; all of them are in `reports/trials`."""


@dataclass(frozen=True)
class Outcome:
    """What a search came to.

    Attributes:
        job: what was searched.
        study: Optuna's.
        trials: of the study, by how they ended.
        best: the best of them.
        own: what the searched parameters are without the search.
        before: what they were before it: the champion's, or the model's own.
        gain: of the best parameters over those before.
        pictures: of the study, as SVG by title.
    """

    job: SearchJob
    study: Study
    trials: Tally
    best: FrozenTrial
    own: Mapping[str, Any]
    before: Mapping[str, Any]
    gain: Gain
    pictures: Mapping[str, str]

    @property
    def best_value(self) -> float:
        """The metric with the best parameters, in cross-validation."""
        return float(self.best.value or 0.0)


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a search: its training set, what is searched, and how long.

    Raises:
        NotPublished: there is no training set.
    """
    search, spec = search_of(located), located.spec
    whole = fingerprint(what_decides(states, located), search.trials, search.minutes, search.least_finished, spec.evaluation.cluster)
    return Fingerprint(
        whole,
        {
            **made_of.code(CODE_VERSION),
            **{
                f"definition.search.{name}": short_hash(what)
                for name, what in search.model_dump(mode="json", exclude_defaults=True).items()
            },
            **made_of.keys(spec, ("model", "task", "evaluation")),
            **made_of.file("the model's code", model_source(spec.model, located.folder)),
            **made_of.upstream(states, key_of(TrainingSetState.stage, located)),
        },
    )


def params_of(states: States, located: Located[WorkflowSpec]) -> dict[str, Any]:
    """The parameters that the search of a workflow came to; none where it doesn't search.

    Raises:
        NotPublished: it does, and hasn't yet.
    """
    result = found_by(states, located)
    return dict(result.taken) if result is not None else {}


def found_by(states: States, located: Located[WorkflowSpec]) -> SearchResult | None:
    """What the search of a workflow found, as its model and evaluation report it; None where it doesn't search.

    Raises:
        NotPublished: it does, and hasn't yet.
    """
    return _finished(states, located).value.result if located.spec.search is not None else None


def fingerprint_of(states: States, located: Located[WorkflowSpec]) -> list[str]:
    """What a model's fingerprint has of its search.

    Raises:
        NotPublished: it searches, and hasn't yet.
    """
    return [_finished(states, located).fingerprint] if located.spec.search is not None else []


def _finished(states: States, located: Located[WorkflowSpec]) -> PartitionState[StudyState]:
    return states.required(StudyState, located, "no finished search")


def search(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Run the trials that are missing, here, in processes of this step, and beside other steps; then measure what they gained.

    Raises:
        NotPublished: there is no training set.
        SpecError: a fold is empty or has one class only, or too few trials were left; with the file and the key.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    states = platform.lake.states()
    current = expected(states, located)
    before = states.whole(StudyState, located)
    if before is not None and before.fingerprint == current:
        return StageResult(current, fresh=True, rows=before.rows, metadata={"study": before.value.study})
    rows = search_rows(platform, located, states)
    job, trials = job_and_trials(platform, located, states, rows, worker=0)
    first_trials(search_of(located), trials)
    with platform.tracking.run(platform, located.domain, located.spec.name) as run:
        run_trials(platform, job, trials, run)
        crash_point("study.searched")
        outcome = _outcome(states, located, job, trials, rows)
        run.log_metrics({f"search_{job.metric}": outcome.best_value, f"search_gain_{job.metric}": outcome.gain.difference})
        for title, picture in outcome.pictures.items():
            run.log_text(picture, f"search/{title.replace(' ', '_')}.svg")
    return _record(platform, located, states, current, outcome)


def help_search(platform: Platform, located: Located[WorkflowSpec], step: int) -> None:
    """Run trials of a search as one of several steps (from 0), until its budget is used up; the first of them begins it and writes to MLflow.

    Raises:
        NotPublished: there is no training set.
        SpecError: a fold is empty or has one class only; with the file and the key.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    states = platform.lake.states()
    before = states.whole(StudyState, located)
    if before is not None and before.fingerprint == expected(states, located):
        return
    search = search_of(located)
    rows = search_rows(platform, located, states)
    job, trials = job_and_trials(platform, located, states, rows, worker=step * search.workers)
    if step:
        run_trials(platform, job, trials)
        return
    first_trials(search, trials)
    with platform.tracking.run(platform, located.domain, located.spec.name) as run:
        run_trials(platform, job, trials, run)


def run_trials(platform: Platform, job: SearchJob, trials: Trials, run: RunHandle | None = None) -> None:
    """Run trials here and in the other processes of this step until none is missing, and write them to MLflow if there is a run."""
    settings, log = platform.settings, platform.log
    with (
        nullcontext() if run is None else TrialRuns(job, run, settings, log),
        Pool(job, trials.search.workers - 1, trials.worker + 1, settings, log),
    ):
        trials.run()
        trials.wait()


def _outcome(states: States, located: Located[WorkflowSpec], job: SearchJob, trials: Trials, rows: SearchRows) -> Outcome:
    """Find the best trial and measure what it gained.

    Raises:
        SpecError: too few trials finished.
        DataError: a prediction is NaN or infinite.
    """
    study = trials.study
    ended = tally(study.get_trials(deepcopy=False))
    best = best_of(study, ended.finished)
    if best is None or too_few(trials.search, ended):
        raise _too_few_finished(located, ended, none_complete=best is None)
    own = own_params(trials)
    tuned = _champions_params(states, located, own)
    before, against = (own, "without it") if tuned is None else (tuned, "with the champion's parameters")
    gain = _measure_gain(located, job, rows, best.params, before, against)
    return Outcome(job, study, ended, best, own, before, gain, draw_study(study, job.metric, trials.search.seed))


def _champions_params(states: States, located: Located[WorkflowSpec], own: Mapping[str, Any]) -> dict[str, Any] | None:
    """The searched parameters that the champion was fitted with; None where there is none, or it is of another model or another space."""
    release, model = states.whole(ReleaseState, located), states.whole(ModelState, located)
    if release is None or release.value.champion is None:
        return None
    tuned = release.value.tuned
    if tuned is not None and tuned.model == fingerprint(located.spec.model):
        params = dict(tuned.params)
    elif tuned is None and model is not None and model.value.version == release.value.champion and model.value.search is not None:
        params = dict(model.value.search.taken)  # released before 0.4.0
    else:
        return None
    return params if params.keys() == own.keys() else None


def _too_few_finished(located: Located[WorkflowSpec], trials: Tally, *, none_complete: bool) -> SpecError:
    """The error of a search that was left with too few trials: how many, and why the others failed."""
    search = search_of(located)
    reasons = Counter(reason_of(trial) for trial in trials.failed).most_common(3)
    failures = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    return located.definition.error(
        f"{len(trials.finished)} of {trials.ended} trials finished{', none of them complete' if none_complete else ''}, "
        f"wanted at least {least_finished(search, trials)} (search.least_finished {search.least_finished:g}). "
        f"{f'The others failed: {failures}. ' if failures else ''}The next run tries the failed ones again",
        "search",
    )


def _measure_gain(
    located: Located[WorkflowSpec], job: SearchJob, rows: SearchRows, params: Mapping[str, Any], before: Mapping[str, Any], against: str
) -> Gain:
    """Compare with the parameters that the model had before, on the rows that were set aside."""
    spec, names = located.spec, list(job.features)
    try:
        return measure_gain(
            spec.model,
            params,
            feature_kinds(rows.fit.schema, names),
            spec.answer,
            job.metric,
            (feature_frame(rows.fit, names), label_numbers(rows.fit[LABEL], spec.answer)),
            (feature_frame(rows.unseen, names), label_numbers(rows.unseen[LABEL], spec.answer)),
            folder=located.folder,
            where=rows.where,
            before=before,
            against=against,
            clusters=clusters_of(spec, rows.unseen, names),
        )
    except DataError as error:
        located_error = located.definition.error(f"the parameters found can't be scored on {rows.where}: {error.message}", "search")
        raise DataError(str(located_error), detail=error.detail) from error


def _record(platform: Platform, located: Located[WorkflowSpec], states: States, current: str, outcome: Outcome) -> StageResult:
    """List the study as the workflow's, with rows of what was tried and found."""
    lake, job, now = platform.lake, outcome.job, datetime.now(UTC)
    trials = trial_rows(located, job, outcome.trials, run_id=platform.run_id, at=now)
    state = _state_of(outcome, states.required(TrainingSetState, located).version, [row["trial"] for row in trials])
    before = states.whole(StudyState, located)
    written = before.value.trials if before is not None and before.value.study == job.study else ()
    write_trials(lake, job.study, trials, written=set(written))
    write_study(lake, located, current, state, run_id=platform.run_id, at=now)
    crash_point("study.reported")
    record_whole(platform, states, located, state, current, rows=outcome.trials.ended)
    metadata = {
        "study": job.study,
        "best_parameters": dg.MetadataValue.json(dict(state.best)),
        "parameters_used": dg.MetadataValue.json(dict(state.taken)),
        f"best_{job.metric}": state.best_value,
        "gain": outcome.gain.sentence,
        "trials": dg.MetadataValue.md(markdown_table(_shown(trials, outcome.study.direction.name == "MAXIMIZE"))),
        **{f"trials_{what.split(' ')[0]}": count for what, count in state.counts.items()},
        "seconds": state.seconds,
        "plots": figures(outcome.pictures),
    }
    return StageResult(current, rows=outcome.trials.ended, metadata=metadata)


def _state_of(outcome: Outcome, training_set: int, trials: Sequence[int]) -> StudyState:
    """What is recorded of a search, on a version of the training set, with some trials in `reports/trials`."""
    ended = outcome.trials
    complete = sum(trial.state.name == "COMPLETE" for trial in ended.finished)
    return StudyState(
        study=outcome.job.study,
        metric=outcome.job.metric,
        best=dict(outcome.best.params),
        own=outcome.own,
        best_value=outcome.best_value,
        best_trial=outcome.best.number,
        counts={
            "complete": complete,
            "pruned": len(ended.finished) - complete,
            "failed": len(ended.failed),
            "lost with their worker and run again": len(ended.lost),
        },
        gain=outcome.gain.record(),
        used=dict(outcome.before if outcome.gain.kept else outcome.best.params),
        seconds=round(ended.seconds, 1),
        training_set=training_set,
        trials=tuple(trials),
    )


def _shown(trials: Sequence[Mapping[str, Any]], maximize: bool) -> list[dict[str, Any]]:
    """The best trials, then those without a value."""
    order = sorted(trials, key=lambda row: (row["value"] is None, (-1 if maximize else 1) * (row["value"] or 0.0), row["trial"]))
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
