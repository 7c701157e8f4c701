"""The check that the times of a forecast keep to its declared step, as the rows that land do: what doesn't is no target of any row.

It is a warning, because what keeps to the step is as good as before. A winter's sample of local midnights that was drafted with steps of 24 hours in UTC
is told of by it in summer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.local_days import guess_of_days
from lakeloop.metrics.intervals import group_codes
from lakeloop.rows.series_grid import off_grid
from lakeloop.rows.verdicts import Outcome
from lakeloop.spec.steps import Step
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import StageResult
from platform_assets.stages.stage import Check

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE_STEPS = "times_are_whole_steps"


def steps_checks(spec: WorkflowSpec) -> list[Check]:
    """The check of a forecast; none of other tasks."""
    if spec.forecast is None:
        return []
    zone = spec.forecast.timezone or "UTC"
    return [Check(WHOLE_STEPS, False, f"the times of each series are whole steps of {spec.forecast.every} apart, in {zone}")]


def check_steps(rows: pa.Table, spec: WorkflowSpec, label: str) -> dict[str, tuple[Outcome, str]]:
    """The outcome of the check on the rows of a spine, by its name; empty for other tasks than forecasts.

    Args:
        rows: the keys of the spine (series, target time, steps ahead) and the label. Of each time that is asked from, the nearest target counts.
        spec: the workflow.
        label: the column of the label.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    forecast = spec.forecast
    if forecast is None:
        return {}
    nearest = rows.filter(pc.and_(pc.equal(rows[forecast.ahead], pc.min(rows[forecast.ahead])), pc.is_valid(rows[forecast.target])))
    keys = nearest.group_by([*forecast.series, forecast.target]).aggregate([])
    if not keys.num_rows:
        return {WHOLE_STEPS: ("passed", "no row has a target")}
    moments, observed = (
        part[forecast.target].cast(pa.timestamp("us", tz="UTC")).to_numpy().astype("datetime64[us]")
        for part in (keys, nearest.filter(pc.is_valid(nearest[label])))
    )
    series = keys.select(forecast.series).to_pandas().astype(str).agg("\x1f".join, axis=1).to_numpy(dtype=str)
    step = Step.parse(forecast.every, forecast.timezone).anchored(moments)
    is_off = off_grid(group_codes(series), moments, step)
    if not is_off.any():
        return {WHOLE_STEPS: ("passed", f"{len(moments):,} times")}
    examples = ", ".join(str(moment)[:19].replace("T", " ") for moment in np.sort(moments[is_off])[:3])
    return {
        WHOLE_STEPS: (
            "failed",
            f"{int(is_off.sum()):,} of {len(moments):,} times aren't whole steps of {forecast.every} in {forecast.timezone or 'UTC'} from the others of "
            f"their series, such as {examples} (UTC), and aren't reached by steps from those{_remedy(observed)}",
        )
    }


def _remedy(observed: np.ndarray) -> str:
    guess = guess_of_days(observed)
    if guess is None or not guess.is_certain:
        return ""
    return f". They are midnights of {guess.shown}: draft the forecast again with --timezone {guess.zones[0]}, or the one that is right"


def with_steps_check(result: StageResult, spec: WorkflowSpec) -> StageResult:
    """The result of a training set that stands, which may be of a release that didn't have the check."""
    if spec.forecast is None or WHOLE_STEPS in result.checks:
        return result
    return replace(result, checks={**result.checks, WHOLE_STEPS: ("not_applicable", "not looked at when this version was built")})
