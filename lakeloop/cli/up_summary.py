"""What `lakeloop up` says at the end: a line an asset, the score of each released model, a request that works."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lakeloop.cli.up_runs import Built, post
from lakeloop.project.personal import personal_columns
from lakeloop.records.base import CheckedState
from lakeloop.records.release import EvaluationState, ReleaseState
from lakeloop.rows.verdicts import GOOD_OUTCOMES
from platform_assets.graph import dependencies
from platform_assets.stages.features.lookup import feature_spec
from platform_assets.stages.registry import stage_names
from platform_assets.stages.release.verdict import score_sentence
from platform_assets.stages.tables.landings import SOURCE
from resources.lake.lake import Lake
from resources.lake.published import States, TableKey
from resources.serving.desired import read_desired, read_status

_AUTOMATION = """
query {
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes { sensors { name sensorState { status } } schedules { name scheduleState { status } } }
    }
  }
}"""
MOST_REASON = 400
_ONLY_WATCH = ("notify", "settle_", "moved_aliases")
"""Sensors that ask for no run."""


def print_summary(project: Any, settings: Any, built: Built) -> None:
    """One line an asset: rows, seconds, checks passed; then the score of each released model in a sentence."""
    from rich.console import Console
    from rich.table import Table

    states = _defined(project, Lake(settings.lake_url).states())
    order = {name: place for place, name in enumerate(stage_names())}
    table = Table("asset", box=None, pad_edge=False)
    for name in ("rows", "seconds", "checks passed"):
        table.add_column(name, justify="right")
    for key in sorted(states, key=lambda key: (order.get(key.stage, len(order)), key.name)):
        partitions = states[key]
        newest = max(partitions.values(), key=lambda state: (state.at is not None, state.at))
        checks = partitions.get(SOURCE, newest).typed(CheckedState).value.checks
        passed = sum(1 for outcome in checks.values() if outcome[0] in GOOD_OUTCOMES)
        rows = sum(state.rows for state in partitions.values())
        outcomes = f"{passed} of {len(checks)}" if checks else "-"
        table.add_row(key.path, f"{rows:,}" if rows else "-", _became(key.path, built), outcomes)
    published = {key.path for key in states}
    for path in [path for path in built.asked if path not in published]:
        table.add_row(path, "-", _became(path, built), "-")
    print(flush=True)
    Console(width=100).print(table)
    for workflow in project.workflows.values():
        release, evaluation = states.whole(ReleaseState, workflow), states.whole(EvaluationState, workflow)
        if release is not None and evaluation is not None:
            print(score_sentence(workflow, release.value, evaluation.value), flush=True)


def _defined(project: Any, states: States) -> States:
    """The states of what is defined: tables of a removed definition stay in the lake, and are none of the platform's any more."""
    keys = dependencies(project)
    return States({key: partitions for key, partitions in states.items() if key in keys})


def _became(path: str, built: Built) -> str:
    """What became of an asset: its seconds, or why it has none."""
    if path in built.seconds:
        return f"{built.seconds[path]:.1f}"
    return "FAILED" if path in built.failed else "not computed" if path in built.asked else "fresh"


def unserved(settings: Any) -> list[str]:
    """The models that should be served and aren't, each with the reason."""
    folder = settings.home / "serving"
    status = read_status(folder)
    models = status.models if status else {}
    problems = []
    for name, deployment in read_desired(folder).items():
        model = models.get(name, {})
        if model.get("version") != deployment.version or model.get("state") != "ready":
            reason = model.get("message") or "it isn't loaded yet"
            problems.append(f"{name} version {deployment.version} is not served: {reason}")
    return problems


def print_problems(problems: Sequence[str], built: Built) -> None:
    """Say at the end what isn't ready, why, and what to do; nothing where all is."""
    if not problems:
        return
    print(f"\nNot ready: {'; '.join(problems)}.", flush=True)
    for asset, reason in built.failed.items():
        first = " ".join(reason.split())[:MOST_REASON]
        print(f"  {asset}: {first}", flush=True)
    if built.run:
        print(
            f"What was published before stands. Mend the cause, and start `lakeloop up` again; all that the run said is at {built.run}",
            flush=True,
        )


def print_automation(ui: str) -> None:
    """Say what materialises by itself from now on, and where to stop it; as Dagster knows it, by name, if it was stopped there before."""
    answer = post(f"{ui}/graphql", {"query": _AUTOMATION})
    repositories = ((answer.get("data") or {}).get("repositoriesOrError") or {}).get("nodes") or []
    instigators = [each for repository in repositories for each in [*repository["sensors"], *repository["schedules"]]]
    acting = sorted(
        each["name"]
        for each in instigators
        if each.get("sensorState", each.get("scheduleState"))["status"] == "RUNNING" and not each["name"].startswith(_ONLY_WATCH)
    )
    sentence = (
        f"{', '.join(acting)}; stop them at {ui}/automation" if acting else f"nothing; start sensors and schedules at {ui}/automation"
    )
    print(f"materialises by itself when data change or time comes: {sentence}", flush=True)


def print_endpoint(project: Any, settings: Any) -> None:
    """Print a request that works, for the first model that is served."""
    status = read_status(settings.home / "serving")
    ready = sorted(name for name, m in (status.models if status else {}).items() if m["state"] == "ready")
    if status is None or not ready:
        print(" " * 19 + f"prediction  nothing is served yet at http://127.0.0.1:{settings.serving_port}", flush=True)
        return
    named = [f"{w.domain}.{w.spec.name}" for w in project.workflows.values() if w.spec.answer.kind.costs]
    name = next((n for n in named if n in ready), ready[0])
    print(" " * 19 + f"prediction  {status.address}/v1/models/{name}:predict", flush=True)
    example = _example_request(settings, project, name)
    if example is not None:
        print(f"try it: curl -s {status.address}/v1/models/{name}:predict -d @{os.path.relpath(example)}", flush=True)


def _example_request(settings: Any, project: Any, name: str) -> Path | None:
    """Write the newest row of a training set as a request, personal values left out; None for a workflow that was removed and is still served."""
    domain, _, workflow = name.partition(".")
    located = project.workflows.get((domain, workflow))
    if located is None:
        return None
    lake = Lake(settings.lake_url)
    outputs = feature_spec(project, located).names
    rows = lake.read(lake.current(TableKey("training_sets", domain, workflow)), columns=[*outputs, "split"])
    chosen = rows.filter([value == "test" for value in rows["split"].to_pylist()]).drop_columns(["split"])
    if not chosen.num_rows:
        return None
    target = Path(settings.home) / "requests" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    personal = personal_columns(project, "training_sets", located)
    (newest,) = chosen.slice(chosen.num_rows - 1).to_pylist()
    target.write_text(json.dumps({"instances": [{name: None if name in personal else value for name, value in newest.items()}]}))
    return target
