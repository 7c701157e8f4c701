"""The executor of the runs: a process per step, as Dagster has it, and at the end of a run the verdict on each model that it decided on.

The verdicts stand in the run's log, and after a command of Dagster's that ran it in its own process (`dagster asset materialize`, `dg launch`) as
the last lines on the terminal.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import LakeloopError
from lakeloop.project.project import Project
from lakeloop.records.release import ReleaseState
from platform_assets.stages.registry import definition_of
from platform_assets.stages.release.verdict import verdict_line
from resources.lake.lake import Lake
from resources.lake.published import TableKey
from resources.settings import Settings

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.retries import RetryMode
    from dagster._core.execution.step_dependency_config import StepDependencyConfig

COMMANDS = ("dagster", "dg")
"""Programs whose commands run steps for the person at the terminal; `dagster api …` is what servers call."""
listeners: list[Callable[[dg.DagsterEvent], None]] = []
"""Are given each event of a run that this process orchestrates, as it comes."""
verdicts: list[str] = []
"""Of the runs that this process orchestrated, in order."""


class VerdictExecutor(dg.Executor):
    """An executor that tells, when a run is over, what was decided in it.

    Args:
        inner: runs the steps.
        project: whose workflows are decided on.
    """

    def __init__(self, inner: dg.Executor, project: Project) -> None:
        self._inner, self._project = inner, project

    @property
    def retries(self) -> RetryMode:
        """Those of the executor that runs the steps."""
        return self._inner.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        """That of the executor that runs the steps."""
        return self._inner.step_dependency_config

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
        """Run the steps, then log the verdicts."""
        decided: set[dg.AssetKey] = set()
        failed: list[str] = []
        for event in self._inner.execute(plan_context, execution_plan):
            if event.is_step_materialization and event.asset_key:
                decided.add(event.asset_key)
            if event.is_step_failure and event.step_key:
                failed.append(event.step_key.partition(".")[0].replace("__", "/"))
            for listen in listeners:
                listen(event)
            yield event
        planned = plan_context.job.get_definition().asset_layer.selected_asset_keys
        keys = sorted(TableKey(*key.path) for key in planned if key.path[0] == ReleaseState.stage)
        try:
            lines = verdicts_on(self._project, keys, {TableKey(*key.path) for key in decided}, failed) if keys else []
        except LakeloopError as error:
            # What ran has run: that its verdict can't be read now doesn't make the run a failure.
            lines = [f"the verdicts can't be read: {error}"]
        for line in lines:
            plan_context.log.info(line)
        if lines and not verdicts and _is_own_command(sys.argv):
            atexit.register(_print_verdicts)
        verdicts.extend(lines)


def verdicts_on(project: Project, releases: Sequence[TableKey], decided: set[TableKey], failed: Sequence[str]) -> list[str]:
    """A line for each release that a run asked for: what was decided, or why nothing was."""
    states = Lake(Settings.from_environment().lake_url).states()
    lines = []
    for key in releases:
        located = definition_of(project, key)
        line = verdict_line(located, states) if key in decided else None
        if line is None:
            before = states.whole(ReleaseState, located)
            champion = before.value.champion if before else None
            why = f"{', '.join(failed)} failed" if failed else "the run ended before its release"
            line = (
                f"{'.'.join(located.id)}: nothing was decided ({why}); {f'version {champion} stays' if champion else 'none is'} released."
            )
        lines.append(line)
    return lines


def build_executor(project: Project, config: Mapping[str, Any]) -> dg.ExecutorDefinition:
    """Dagster's executor with a process per step, configured, and with verdicts at the end."""
    steps = dg.multiprocess_executor
    create = steps.executor_creation_fn
    assert create is not None
    return dg.ExecutorDefinition(
        name=steps.name,
        config_schema=steps.config_schema,  # type: ignore[arg-type]  # what it has is what it takes
        requirements=dg.multiple_process_executor_requirements(),
        executor_creation_fn=lambda context: VerdictExecutor(create(context), project),
    ).configured(dict(config))


def _is_own_command(argv: Sequence[str]) -> bool:
    """Whether this process is a command of Dagster's that somebody waits for at a terminal."""
    program = Path(argv[0])
    name = program.parent.name if program.stem == "__main__" else program.stem
    return name in COMMANDS and argv[1:2] != ["api"]


def _print_verdicts() -> None:
    sys.stderr.flush()
    print("\n" + "\n".join(verdicts), flush=True)
