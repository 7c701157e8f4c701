"""A small project whose runs are crashed at named points, run again, and compared with a run that nobody disturbed.

`tests/chaos/all.py` (`make chaos`) tries every point; `tests/chaos/test_chaos.py` a sample of the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from resources.lake.lake import Lake
from tests.chaos.step import code_of, start
from tests.worlds.places import ROOT
from tests.worlds.shop import make_shop

DATA_STAGES = ("raw", "validated", "features", "training_sets")
"""The stages that have nothing in MLflow."""
MODEL_FILES = "reports/model_files"
VOLATILE = {"ingested_at", "at", "run_id", "predicted_at", "value", "seconds", "trial", "best_trial", "lost"}
"""Columns that say when and in which run, and how often a trial of a search was begun; they may differ between two undisturbed runs as well."""
LANDED, AFTER_THE_DATA = {"known_at", "_landed_at"}, datetime(2025, 1, 1, tzinfo=UTC)
"""Columns that hold a landing's time where a row corrects an older one, and when those are."""


@dataclass
class Project:
    """A small shop with a lake, a home and an environment of its own."""

    folder: Path
    uri: str
    name: str

    @property
    def defs(self) -> Path:
        """Its definitions."""
        return self.folder / "project" / "platform_assets" / "defs"

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake(str(self.folder / "lake"))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to know to work on it."""
        places = {"LAKELOOP_HOME": str(self.folder / "home"), "LAKELOOP_LAKE": self.lake.url, "DAGSTER_HOME": str(self.folder / "dagster")}
        return {**os.environ, **places, "LAKELOOP_MLFLOW": self.uri, "LAKELOOP_ENV": self.name}

    def make(self) -> Project:
        """Write it."""
        make_shop(self.folder / "project", minimum=0.55)
        workflow = self.defs / "shop" / "returns" / "defs.yaml"
        workflow.write_text(workflow.read_text() + "  online: {}\n  search: {trials: 3, folds: 1}\n")
        (self.folder / "dagster").mkdir()
        shutil.copyfile(ROOT / "dagster.yaml", self.folder / "dagster" / "dagster.yaml")
        return self

    def start(
        self, crash: str = "", watch: Callable[[str], None] | None = None, log: Path | None = None, stages: Sequence[str] = ()
    ) -> ForkServerProcess:
        """Begin to materialise what is stale in a process of its own."""
        environment = {**self.environment, **({"LAKELOOP_CRASH_AT": crash} if crash else {})}
        return start(self.defs, environment, log or self.folder / "log", watch, stages)

    def run(self, crash: str = "", watch: Callable[[str], None] | None = None, log: Path | None = None, stages: Sequence[str] = ()) -> int:
        """Materialise what is stale in a process of its own; its exit code, negative for a signal."""
        return code_of(self.start(crash, watch, log, stages))

    def log(self) -> str:
        """What its processes said."""
        return (self.folder / "log").read_text(errors="replace")


def tables(project: Project) -> dict[str, Counter[str]]:
    """The rows of every table of a lake, as a multiset, without what differs between any two runs."""
    lake, root, contents = project.lake, Path(project.lake.url), {}
    for log in sorted(root.glob("*/**/_delta_log")):
        path = str(log.parent.relative_to(root))
        table = lake.open(path)
        if table is None:  # a commit of its first version has failed
            continue
        rows = table.to_pyarrow_table()
        rows = rows.select([name for name in sorted(rows.column_names) if name not in VOLATILE])
        listed = rows.to_pylist()
        for row in listed:
            # A correction is known from its landing on; the data's own times are years ago.
            row.update({name: "landed" for name in LANDED & row.keys() if row[name] and row[name] > AFTER_THE_DATA})
            if path == MODEL_FILES:
                row["files"] = sorted(json.loads(row["files"]))  # MLflow writes the time and its own ids into some
            if row.get("stage") == "deployments":
                row.pop("fingerprint", None)  # it has the model's name in it
        # Models are named after their environment.
        contents[path] = Counter(json.dumps(row, default=str, sort_keys=True).replace(project.name, "env") for row in listed)
    return contents


def registry(project: Project) -> dict[str, Any]:
    """Model versions and aliases, and how the MLflow runs ended."""
    import mlflow

    client, name = mlflow.MlflowClient(project.uri), f"{project.name}.shop.returns"
    versions = client.search_model_versions(f"name = '{name}'")
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    by_id = {run.info.run_id: run.info.status for run in runs}
    return {
        "versions": sorted(v.version for v in versions),
        "aliases": {k: str(v) for k, v in client.get_registered_model(name).aliases.items()} if versions else {},
        "run of the version": [by_id[v.run_id] for v in versions],
        "open": sum(status == "RUNNING" for status in by_id.values()),
    }


def differences(stored: Mapping[str, Counter[str]], have: Mapping[str, Any], calm: Calm) -> list[str]:
    """What the tables and the registry of a disturbed project differ in from one that wasn't; nothing is what is hoped for."""
    wanted = calm.tables
    told = [f"{path}: {sum((wanted.get(path, Counter()) - stored.get(path, Counter())).values())} rows lost, "
            f"{sum((stored.get(path, Counter()) - wanted.get(path, Counter())).values())} too many"
            for path in sorted(wanted.keys() | stored.keys()) if wanted.get(path) != stored.get(path)]  # fmt: skip
    return told + [f"{what}: wanted {calm.registry[what]}, found {have[what]}" for what in have if calm.registry[what] != have[what]]


@dataclass(frozen=True)
class Calm:
    """What a run gives that nobody disturbs.

    Attributes:
        tables: rows by table.
        registry: versions, aliases and runs.
        passings: how often each crash point is passed.
        halfway: a folder in which the stages without MLflow are done, to go on from in a trial that crashes later.
        before: how often each point is passed until then.
    """

    tables: Mapping[str, Counter[str]]
    registry: Mapping[str, Any]
    passings: Mapping[str, int]
    halfway: Path | None = None
    before: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Count:
    """Writes down every passing of a crash point."""

    file: Path

    def __call__(self, point: str) -> None:
        """Write one down."""
        with self.file.open("a") as stream:
            stream.write(point + "\n")


def project_of(folder: Path, uri: str) -> Project:
    """The project in a folder, its environment named after the folder so that models of two never meet."""
    return Project(folder, uri, "c" + folder.name.replace("-", ""))


def project_in(folder: Path, uri: str) -> Project:
    """A new one."""
    return project_of(folder, uri).make()


def undisturbed(folder: Path, uri: str) -> Calm:
    """What a run gives that nobody disturbs."""
    project, passed, halfway = project_in(folder, uri), folder / "passings", folder.with_name(f"{folder.name}-halfway")
    code = project.run(watch=Count(passed), stages=DATA_STAGES)
    assert code == 0, project.log()[-4000:]
    before = Counter(passed.read_text().split())
    shutil.copytree(folder, halfway)
    code = project.run(watch=Count(passed))
    assert code == 0, project.log()[-4000:]
    return Calm(tables(project), registry(project), Counter(passed.read_text().split()), halfway, before)


def project_before(folder: Path, uri: str, calm: Calm, point: str, passing: int = 1) -> Project:
    """A new one, with its data already where that passing of the point comes after them."""
    if calm.halfway is None or passing <= calm.before[point]:
        return project_in(folder, uri)
    shutil.copytree(calm.halfway, folder, dirs_exist_ok=True)
    return project_of(folder, uri)


def trial(folder: Path, uri: str, point: str, how: str, passing: int, calm: Calm) -> list[str]:
    """Crash at a passing of a point, run again, compare."""
    project = project_before(folder, uri, calm, point, passing)
    number = passing - calm.before[point] if calm.halfway and passing > calm.before[point] else passing
    project.run(f"{point}:{how}:{number}")
    if f"crash point {point}: {how}" not in project.log():
        return ["not reached"]
    return run_again(project, calm)


def run_again(project: Project, calm: Calm) -> list[str]:
    """Run what is stale after a disturbance, and compare."""
    code = project.run()
    return [f"the second run ended with {code}"] if code else differences(tables(project), registry(project), calm)
