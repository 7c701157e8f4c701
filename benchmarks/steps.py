"""A job of steps without work, run in processes of their own (`multiprocess`) or in one (`in_process`); for `benchmarks.pieces`."""

from __future__ import annotations

import itertools
import os
import statistics
import sys

import dagster as dg

from platform_assets.definitions import PRELOADED


def _step(number: int) -> dg.OpDefinition:
    @dg.op(name=f"step_{number}", ins={"after": dg.In(dg.Nothing)})
    def body() -> None:
        """Nothing."""

    return body


@dg.job(
    executor_def=dg.multi_or_in_process_executor.configured(
        lambda config: (
            {"in_process": {}}
            if "in_process" in config
            else {
                "multiprocess": {"max_concurrent": 1, "start_method": {"forkserver": {"preload_modules": [*PRELOADED, "benchmarks.steps"]}}}
            }
        ),
        config_schema=dg.Permissive(),  # type: ignore[no-untyped-call]
    )
)
def job() -> None:
    """Steps one after the other."""
    after = None
    for number in range(int(os.environ.get("STEPS", "1"))):
        after = _step(number)() if after is None else _step(number)(after)


def seconds_a_step(instance: dg.DagsterInstance, run_id: str) -> float:
    """Median seconds from the end of one step to the end of the next, by the event log; what comes before the first ends is left out."""
    ends = [
        record.timestamp
        for record in instance.all_logs(run_id)
        if record.dagster_event and record.dagster_event.event_type == dg.DagsterEventType.STEP_SUCCESS
    ]
    return statistics.median(after - before for before, after in itertools.pairwise(ends))


if __name__ == "__main__":
    # By its importable name, as Dagster loads the job again in the step's process.
    from benchmarks.steps import job as importable_job

    with dg.DagsterInstance.get() as instance:
        done = dg.execute_job(dg.reconstructable(importable_job), instance, run_config={"execution": {"config": {sys.argv[1]: {}}}})
        if not done.success:
            sys.exit(1)
        print(seconds_a_step(instance, done.run_id))
