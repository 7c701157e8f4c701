"""What a search costs beyond its trials, and what a second worker brings: `python -m benchmarks.search`, or a piece of `make bench`.

The yardstick tries the very parameters that the search tried, in a bare Optuna loop without a database: for each trial the same folds, each
fitted in one go and scored once. Every fit has one thread. The study is new each time.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.page import Tell, show

if TYPE_CHECKING:
    from platform_assets.stages.base import Platform

ROWS, TRIALS, FOLDS = 60_000, 40, 2
SPACE: dict[str, dict[str, Any]] = {
    "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
    "max_iter": {"low": 90, "high": 130},
    "max_leaf_nodes": {"low": 25, "high": 40},
    "min_samples_leaf": {"low": 20, "high": 200, "log": True},
    "l2_regularization": {"low": 0.001, "high": 100.0, "log": True},
}
"""Trials of about a second on one thread."""


def search(tell: Tell, environment: Mapping[str, str], rounds: int = 3) -> None:
    """Both figures, each the median of some rounds in turns.

    Args:
        tell: gets what was timings.
        environment: names an MLflow server.
        rounds: how often.
    """
    import statistics

    with tempfile.TemporaryDirectory() as folder, _environment({**environment, "LOKY_MAX_CPU_COUNT": "1"}):
        seconds: dict[str, list[float]] = {"one": [], "two": [], "bare": [], "step": []}
        for number in range(rounds):
            params: list[dict[str, Any]] = []
            for workers, name in ((1, "one"), (2, "two")):
                home = Path(folder) / f"{number}-{workers}"
                with _environment({"LAKELOOP_HOME": str(home), "LAKELOOP_ENV": f"bench{number}{workers}"}):
                    started = time.perf_counter()
                    took, tried = searched(home, workers)
                    seconds[name].append(took)
                    if workers == 1:
                        seconds["step"].append(time.perf_counter() - started)
                        params = tried
            seconds["bare"].append(bare(Path(folder) / "bare", params))
        middle = {name: statistics.median(timings) for name, timings in seconds.items()}
    what = f"{TRIALS} trials of {middle['bare'] / TRIALS:.1f} s, against a bare Optuna loop in memory"
    tell("search", middle["one"], middle["bare"], 1.10, what)
    tell(
        "search, whole step",
        middle["step"],
        middle["bare"],
        None,
        "with data, plots and the gain's two fits",
    )
    tell(
        "search, two workers",
        1.7 * middle["two"],
        middle["one"],
        1.0,
        f"1.7 x two workers' seconds against one's ({middle['one'] / middle['two']:.2f} x)",
    )


def searched(home: Path, workers: int) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of the trials of a new search with all that belongs to them, and what was tried."""
    from platform_assets.stages.training import studies

    platform, located = made(home, workers)
    took: list[float] = []
    run_trials = studies.run_trials

    def timed(*arguments: Any) -> None:
        started = time.perf_counter()
        run_trials(*arguments)
        took.append(time.perf_counter() - started)

    studies.run_trials = timed  # type: ignore[assignment]
    try:
        studies.search(platform, located)
    finally:
        studies.run_trials = run_trials  # type: ignore[assignment]
    import optuna

    from resources.search.storage import study_storage

    storage = study_storage(platform.settings)
    study = optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)
    others = [trial for trial in study.trials if trial.state.name != "COMPLETE"]
    assert not others and len(study.trials) == TRIALS, f"wanted {TRIALS} complete trials, found {len(study.trials)}, among them {others}"
    return took[0], [trial.params for trial in study.trials]


def bare(home: Path, params: list[dict[str, Any]]) -> float:
    """Seconds of the same trials in a bare loop."""
    import optuna
    from threadpoolctl import threadpool_limits

    from lakeloop.metrics.binary import roc_auc
    from lakeloop.records.training import TrainingSetState
    from lakeloop.search.cross_validation import time_folds
    from lakeloop.spec.workflow import Model
    from lakeloop.training.frames import feature_frame, feature_kinds
    from lakeloop.training.pipelines import build_estimator
    from platform_assets.stages.training.study_job import search_rows

    platform, located = made(home, 1)
    states = platform.lake.states()
    rows = search_rows(platform, located, states).searched
    names = states.required(TrainingSetState, located).value.feature_spec.names
    frame, y, kinds = feature_frame(rows, names), rows["label"].to_numpy(), feature_kinds(rows.schema, names)
    folds = time_folds(rows[located.spec.predict_at].to_numpy(), FOLDS, located.spec.split.gap)

    def objective(trial: Any) -> float:
        drawn = {
            name: (trial.suggest_int if isinstance(r["low"], int) else trial.suggest_float)(
                name, r["low"], r["high"], log=bool(r.get("log"))
            )
            for name, r in SPACE.items()
        }
        scores = []
        for fold in folds:
            model = build_estimator(Model(pipeline="gradient_boosting", params=drawn), kinds, located.spec.answer)
            model.fit(frame.iloc[fold.fit], y[fold.fit])
            scores.append(roc_auc(y[fold.score], model.predict_proba(frame.iloc[fold.score])[:, 1]))
        return float(np.mean(scores))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    for tried in params:
        study.enqueue_trial(tried)
    started = time.perf_counter()
    with threadpool_limits(1):
        study.optimize(objective, n_trials=len(params))
    return time.perf_counter() - started


def made(home: Path, workers: int) -> tuple[Platform, Any]:
    """A platform with a made-up training set of the flights workflow, which searches."""
    import pyarrow as pa

    from lakeloop.project.project import feature_columns
    from lakeloop.records.training import TrainingSetState
    from lakeloop.spec.search import Search
    from lakeloop.spec.workflow import Model
    from platform_assets.loading import read_project
    from platform_assets.stages.base import Platform, key_of
    from platform_assets.stages.features.lookup import feature_spec
    from resources.lake.lake import Lake
    from resources.lake.published import WHOLE, PartitionState
    from resources.settings import Settings
    from resources.spark.sessions import SparkResource
    from resources.tracking.runs import Tracking

    project = read_project()
    located = project.workflows[("flights", "flight_delay")]
    said = Search.model_validate({"trials": TRIALS, "folds": FOLDS, "workers": workers, "pruner": "NopPruner", "space": SPACE})
    spec = located.spec.model_copy(update={"search": said, "model": Model(pipeline="gradient_boosting")})
    located = replace(located, spec=spec)
    project.workflows[("flights", "flight_delay")] = located
    rng = np.random.default_rng(0)
    start = np.datetime64("2024-01-01", "us")
    columns: dict[str, Any] = {name: pa.array(["x"] * ROWS) for name in spec.keys}
    columns[spec.predict_at] = pa.array(start + np.arange(ROWS) * np.timedelta64(5, "m")).cast(pa.timestamp("us", tz="UTC"))
    total = np.zeros(ROWS)
    for feature in feature_columns(project, located):
        values = rng.random(ROWS)
        total += values * rng.random()
        columns[feature.output] = (
            pa.array(np.char.add("c", (values * 20).astype(int).astype(str))) if feature.type == "string" else pa.array(values)
        )
    columns["label"] = pa.array((total + rng.normal(0, 1, ROWS) > np.median(total)).astype(float))
    columns["split"] = pa.array(["train"] * ROWS)
    table, key, lake = pa.table(columns), key_of("training_sets", located), Lake(str(home / "lake"))
    windows = {"train": (str(start), str(start)), "test": (str(start), str(start))}
    record = TrainingSetState(feature_spec=feature_spec(project, located), windows=windows)
    state = PartitionState(WHOLE, "bench", rows=ROWS, value=record)
    if lake.open(key) is None:
        lake.publish(key, table, [state])
    tracking = Tracking(tracking_uri=Settings.from_environment().tracking_uri)
    return Platform(Settings.from_environment(), project, lake, SparkResource(), tracking, run_id=f"bench-{home.name}"), located


@contextmanager
def _environment(values: Mapping[str, str]) -> Any:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def main() -> None:
    """Print both figures."""
    from benchmarks.run import mlflow_server

    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder) / "server") as environment:
        search(show, environment, int(os.environ.get("ROUNDS", "3")))


if __name__ == "__main__":
    main()
