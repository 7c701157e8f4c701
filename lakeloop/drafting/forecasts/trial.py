"""Rows that the ready-made pipelines are tried on before a forecast is drafted: the inputs that its views will have, computed from the history.

They are those of the drafted SQL at a sample of origins of the training window, but for seasons of hours where the clocks are changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.drafting.forecasts.plan import NAIVE, SEASONS_BACK, ForecastPlan
from lakeloop.drafting.models.pipeline_choice import MOST_ROWS, PipelineChoice, TrialRows, choose_pipeline
from lakeloop.spec.clocks import to_local
from lakeloop.spec.tasks import TASKS, Answer
from lakeloop.training.frames import feature_frame, feature_kinds

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CELLS = 20_000_000
"""Series times steps beyond which nothing is tried: a draft is something that people wait for."""
ROWS_LOOKED_AT = 8
"""Places of the season, from the newest on, among which values are looked for where some are missing."""


def choose_forecast(plan: ForecastPlan, candidates: list[dict[str, Any]]) -> PipelineChoice | None:
    """Try pipelines on the training window of a forecast; None where there are too few rows, or too many series."""
    rows = forecast_rows(plan)
    return None if rows is None else choose_pipeline(rows, Answer("forecasting"), TASKS["forecasting"].primary, candidates)


def forecast_rows(plan: ForecastPlan) -> TrialRows | None:
    """A sample of the training window's rows, in the order of their origins, with the inputs of the drafted views."""
    history = plan.history
    first, steps = int(history.steps.min()), history.steps - int(history.steps.min())
    length, count = int(steps.max()) + 1, int(history.codes.max()) + 1
    if length * count > MOST_CELLS:
        return None
    grid, moments = np.full((count, length), np.nan), np.full(length, np.datetime64("NaT"), history.moments.dtype)
    grid[history.codes, steps], moments[steps] = history.values, history.moments
    code, origin, ahead = _sample(plan, grid, first)
    if not len(code):
        return None
    target = origin + ahead
    last, before, short, long, deviation, change = plan.recent_columns()
    windows = _Windows(grid)
    w, n = plan.window, plan.window * SEASONS_BACK
    inputs: dict[str, Any] = {
        "steps": ahead.astype(float),
        last: grid[code, origin],
        before: np.where(origin > 0, grid[code, np.maximum(origin - 1, 0)], np.nan),
        short: windows.mean(code, origin, w),
        long: windows.mean(code, origin, n),
        deviation: windows.deviation(code, origin, n),
        change: windows.mean(code, origin, w) - windows.mean(code, origin - w, w),
        **_season(grid, code, origin, target, history.season),
        **_calendar(plan, moments[target]),
        **({"series_name": np.char.add("s", code.astype(str))} if plan.groups() else {}),
    }
    table = _table(inputs)
    names = table.column_names
    # Forecasts of times that are near each other share the events of these times.
    blocks = np.unique(target // plan.window, return_inverse=True)[1]
    return TrialRows(feature_frame(table, names), grid[code, target], feature_kinds(table.schema, names), True, blocks, origin, target)


def _table(inputs: dict[str, Any]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pa.array(values, from_pandas=values.dtype.kind == "f") for name, values in inputs.items()})


def _sample(plan: ForecastPlan, grid: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Series, origin and steps ahead of some rows whose origins are in the training window and whose label is known, by origin."""
    horizon, length = plan.history.horizon, grid.shape[1]
    until = plan.train_steps()
    codes, origins = np.nonzero(np.isfinite(grid[:, : min(until + 1, length)]))
    newest = int(plan.history.steps.max()) % plan.stride
    at_stride = (origins + first) % plan.stride == newest
    codes, origins = codes[at_stride], origins[at_stride]
    if not len(codes):
        return codes, origins, origins
    rng, total = np.random.default_rng(0), len(codes) * horizon
    picked = np.arange(total) if total <= 2 * MOST_ROWS else rng.choice(total, 2 * MOST_ROWS, replace=False)
    place, ahead = picked // horizon, picked % horizon + 1
    code, origin = codes[place], origins[place]
    is_inside = origin + ahead < length
    code, origin, ahead = code[is_inside], origin[is_inside], ahead[is_inside]
    is_known = np.isfinite(grid[code, origin + ahead])
    code, origin, ahead = code[is_known], origin[is_known], ahead[is_known]
    order = np.lexsort((ahead, code, origin))
    return code[order], origin[order], ahead[order]


class _Windows:
    """Means and deviations of windows of steps that end at some step; of what is missing nothing counts."""

    def __init__(self, grid: np.ndarray) -> None:
        centre = np.nan_to_num(np.nanmean(grid, axis=1, keepdims=True))
        filled, present = np.nan_to_num(grid - centre), np.isfinite(grid)
        self._centre = centre[:, 0]
        self._sums, self._squares, self._counts = (
            np.concatenate([np.zeros((len(grid), 1)), each.cumsum(axis=1)], axis=1) for each in (filled, filled**2, present.astype(float))
        )

    def _within(self, sums: np.ndarray, code: np.ndarray, end: np.ndarray, width: int) -> np.ndarray:
        return np.asarray(sums[code, np.maximum(end + 1, 0)] - sums[code, np.maximum(end + 1 - width, 0)])

    def mean(self, code: np.ndarray, end: np.ndarray, width: int) -> np.ndarray:
        """The mean of the `width` steps up to `end`; NaN where none has a value."""
        count = self._within(self._counts, code, end, width)
        total = self._within(self._sums, code, end, width)
        return np.where(count > 0, total / np.maximum(count, 1) + self._centre[code], np.nan)

    def deviation(self, code: np.ndarray, end: np.ndarray, width: int) -> np.ndarray:
        """Their standard deviation; NaN where fewer than two have a value."""
        count = self._within(self._counts, code, end, width)
        total, squares = self._within(self._sums, code, end, width), self._within(self._squares, code, end, width)
        variance = np.maximum(squares - total**2 / np.maximum(count, 1), 0) / np.maximum(count - 1, 1)
        return np.where(count > 1, np.sqrt(variance), np.nan)


def _season(grid: np.ndarray, code: np.ndarray, origin: np.ndarray, target: np.ndarray, season: int) -> dict[str, np.ndarray]:
    """The newest values at the target's place in the season that are known at the origin."""
    newest = target - season * np.ceil((target - origin) / season).astype(int)
    naive, before = np.full(len(code), np.nan), np.full(len(code), np.nan)
    total, count = np.zeros(len(code)), np.zeros(len(code))
    for back in range(ROWS_LOOKED_AT):
        place = newest - back * season
        value = np.where(place >= 0, grid[code, np.maximum(place, 0)], np.nan)
        is_there = np.isfinite(value)
        naive = np.where(is_there & (count == 0), value, naive)
        before = np.where(is_there & (count == 1), value, before)
        counts = is_there & (count < SEASONS_BACK)
        total, count = total + np.where(counts, value, 0), count + counts
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return {NAIVE: naive, f"mean_of_{SEASONS_BACK}_seasons": mean, "value_two_seasons_ago": before}


def _calendar(plan: ForecastPlan, moments: np.ndarray) -> dict[str, np.ndarray]:
    """The calendar's inputs of the times that are forecast, as texts."""
    local = to_local(moments, plan.history.every.timezone)
    values = {
        "hour_of_day": local.astype("datetime64[h]").astype(int) % 24,
        "weekday": (local.astype("datetime64[D]").astype(int) + 4) % 7 + 1,
        "month_of_year": local.astype("datetime64[M]").astype(int) % 12 + 1,
    }
    return {name: values[name].astype(str) for name, _, _ in plan.calendar()}
