"""Crash a run at every named point, in every way, run again, and compare with a run that nobody disturbed.

`make chaos` tries all of it and prints a table; `tests/test_chaos.py` runs a sample of the same.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.crash_points import POINTS
from resources.lake import Lake
from tests.shop import make_shop

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("kill", "term", "raise")
VOLATILE = {"ingested_at", "at", "run_id", "predicted_at", "value", "seconds", "trial", "best_trial", "lost"}
"""Columns that say when and in which run, and how often a trial of a search was begun; they may differ between two undisturbed runs as well."""


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

    def run(self, crash: str = "") -> int:
        """Materialise what is stale in a process of its own; its exit code, negative for a signal."""
        environment = {**self.environment, **({"LAKELOOP_CRASH_AT": crash} if crash else {})}
        command = [sys.executable, "-m", "tests.chaos_step", str(self.defs)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=300).returncode

    def log(self) -> str:
        """What its processes said."""
        return (self.folder / "log").read_text(errors="replace")


def tables(project: Project) -> dict[str, Counter[str]]:
    """The rows of every table of a lake, as a multiset, without what differs between any two runs."""
    lake, root, found = project.lake, Path(project.lake.url), {}
    for log in sorted(root.glob("*/**/_delta_log")):
        path = str(log.parent.relative_to(root))
        table = lake.open(path)
        assert table is not None
        rows = table.to_pyarrow_table()
        rows = rows.select([name for name in sorted(rows.column_names) if name not in VOLATILE])
        listed = rows.to_pylist()
        for row in listed:
            if row.get("stage") == "deployments":
                row.pop("fingerprint", None)  # it has the model's name in it
        # Models are named after their environment.
        found[path] = Counter(json.dumps(row, default=str, sort_keys=True).replace(project.name, "env") for row in listed)
    return found


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


def differences(project: Project, wanted: Mapping[str, Counter[str]], registered: Mapping[str, Any]) -> list[str]:
    """What a project that was disturbed and run again differs in from one that wasn't; nothing is what is hoped for."""
    found = tables(project)
    told = [f"{path}: {sum((wanted.get(path, Counter()) - found.get(path, Counter())).values())} rows lost, "
            f"{sum((found.get(path, Counter()) - wanted.get(path, Counter())).values())} too many"
            for path in sorted(wanted.keys() | found.keys()) if wanted.get(path) != found.get(path)]  # fmt: skip
    have = registry(project)
    return told + [f"{what}: wanted {registered[what]}, found {have[what]}" for what in registered if registered[what] != have[what]]


def trial(
    folder: Path, uri: str, point: str, how: str, passing: int, wanted: Mapping[str, Counter[str]], registered: Mapping[str, Any]
) -> list[str]:
    """Crash at a point, run again, compare; `["not reached"]` where the run never passes that point so often."""
    project = Project(folder, uri, "c" + folder.name.replace("-", "")).make()
    project.run(f"{point}:{how}:{passing}")
    if f"crash point {point}: {how}" not in project.log():
        return ["not reached"]
    code = project.run()
    return [f"the second run ended with {code}"] if code else differences(project, wanted, registered)


def undisturbed(folder: Path, uri: str) -> tuple[dict[str, Counter[str]], dict[str, Any]]:
    """What a run gives that nobody disturbs."""
    project = Project(folder, uri, "c" + folder.name.replace("-", "")).make()
    code = project.run()
    assert code == 0, project.log()[-4000:]
    return tables(project), registry(project)


def main() -> int:
    """Try every point in every way, at its first, its second and its fifth passing; 1 if anything differs."""
    import tempfile

    from resources import mlflow_server
    from tests.conftest import free_port

    bad = 0
    with tempfile.TemporaryDirectory() as name:
        root, port = Path(name), free_port()
        with (root / "mlflow.log").open("wb") as log:
            server = subprocess.Popen(
                mlflow_server.server_command(root / "mlflow", port), env=mlflow_server.server_environment(), stdout=log, stderr=log
            )
        try:
            uri = f"http://127.0.0.1:{port}"
            mlflow_server.wait_until_ready(uri, 90, server)
            wanted, registered = undisturbed(root / "calm", uri)
            print(f"| point | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
            for index, point in enumerate(POINTS):
                cells = []
                for how in WAYS:
                    outcomes = {n: trial(root / f"{index}-{how}-{n}", uri, point, how, n, wanted, registered) for n in (1, 2, 5)}
                    reached = {n: found for n, found in outcomes.items() if found != ["not reached"]}
                    wrong = {n: found for n, found in reached.items() if found}
                    bad += len(wrong) + (not reached)
                    cells.append(f"{len(reached)} tried, {'all equal' if reached and not wrong else wrong or 'never reached'}")
                print(f"| `{point}` | {' | '.join(cells)} |", flush=True)
        finally:
            server.terminate()
            server.wait(30)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
