"""A job of steps without work, run in processes of their own (`multiprocess`) or in one (`in_process`); for `benchmarks.pieces`."""

from __future__ import annotations

import os
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
            else {"multiprocess": {"max_concurrent": 1, "start_method": {"forkserver": {"preload_modules": PRELOADED}}}}
        ),
        config_schema=dg.Permissive(),
    )
)
def job() -> None:
    """Steps one after the other."""
    after = None
    for number in range(int(os.environ.get("STEPS", "1"))):
        after = _step(number)() if after is None else _step(number)(after)


if __name__ == "__main__":
    # By its importable name, as Dagster loads the job again in the step's process.
    from benchmarks.steps import job as found

    with dg.DagsterInstance.get() as instance:
        done = dg.execute_job(dg.reconstructable(found), instance, run_config={"execution": {"config": {sys.argv[1]: {}}}})
        sys.exit(not done.success)
