"""The decisions that the files of a drafted forecasting workflow share: names, windows, inputs from the calendar, the split."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np

from lakeloop.drafting.forecasts.history import History
from lakeloop.drafting.sql import sql_name
from lakeloop.spec.clocks import to_local
from lakeloop.spec.steps import local_sql
from lakeloop.spec.tables import TableSpec, render_duration

PIPELINE = "forecasting"
TARGET, AHEAD, PHASE, ORIGIN = "target_at", "steps_ahead", "season_phase", "predict_at"
NAIVE = "value_a_season_ago"
TEST_SHARE = 0.2
SEASONS_BACK = 4
"""The number of seasons that the longer averages reach back."""
MOST_GROUPS = 50
"""The most series whose names are an input."""
PROPORTIONAL = 4.0
"""From this ratio of highest to lowest level on, values that are never negative are assumed to vary in proportion to their level."""


class ForecastPlan:
    """What is drafted, and what its files agree on.

    Args:
        table: the table that holds a row per series and time.
        source: its name in queries, `domain.table`.
        name: of the workflow.
        label: the column to forecast.
        history: what the table's rows show.
        stride: the number of steps between origins.
        pipeline: of the model.
    """

    def __init__(self, table: TableSpec, source: str, name: str, label: str, history: History, stride: int, pipeline: str) -> None:
        self.table, self.source, self.name, self.label = table, source, name, label
        self.history, self.stride, self.pipeline = history, stride, pipeline
        self.delay = table.known_delay
        self.series = [sql_name(column) for column in history.series] or ["series"]
        # Without a season the averages still need some steps.
        self.window = history.season if history.season > 1 else 7
        self.time = f"{history.time}_at" if table.columns[history.time].type == "date" else history.time
        self.value = sql_name(label)
        self.before_1970 = bool(history.moments.min() < np.datetime64(0, "us"))

    def moment_sql(self) -> str:
        """The time of a row of the table, as a timestamp."""
        plain = sql_name(self.history.time)
        return f"CAST({plain} AS TIMESTAMP)" if self.table.columns[self.history.time].type == "date" else plain

    def number_sql(self, moment: str) -> str:
        """The number of the step of a moment."""
        return self.history.every.number_sql(moment, before_1970=self.before_1970)

    def season_number_sql(self, moment: str) -> str:
        """The number by which the place of a moment in the season is counted."""
        return self.history.every.season_number_sql(moment, before_1970=self.before_1970)

    def modulo_sql(self, number: str, divisor: int) -> str:
        """What is left of the number of a step, from 0 on: `%` of one before 1970 is negative."""
        return f"pmod({number}, {divisor})" if self.before_1970 else f"{number} % {divisor}"

    def series_sql(self) -> list[str]:
        """The columns that identify a series; a constant for a single series."""
        return [sql_name(column) for column in self.history.series] or [f"'{self.table.name}' AS series"]

    def recent_columns(self) -> list[str]:
        """The names of the columns of the view of newest values, in their order."""
        short, long = self.window, self.window * SEASONS_BACK
        return ["last_value", "value_before", f"mean_{short}", f"mean_{long}", f"deviation_{long}", f"change_{short}"]

    def groups(self) -> list[tuple[str, str]]:
        """The names of series as inputs where there are few: (SQL, name)."""
        if not self.history.series or not 1 < int(self.history.codes.max()) + 1 <= MOST_GROUPS:
            return []
        return [
            (sql_name(c), f"{c}_name")
            for c in self.history.series
            if self.table.columns[c].type == "string" and not self.table.columns[c].personal
        ]

    def keys(self) -> list[str]:
        """The columns that identify a series; `series` for a single one."""
        return list(self.history.series) or ["series"]

    def calendar(self) -> list[tuple[str, str, str]]:
        """Inputs from the calendar, as strings because they are names rather than quantities: (name, SQL, description)."""
        seconds, zone = self.history.every.seconds, self.history.every.timezone
        local, where = local_sql(TARGET, zone), zone or "UTC"
        inputs = []
        if seconds is not None and seconds < 86_400:
            inputs.append(("hour_of_day", f"CAST(hour({local}) AS STRING)", f"Hour of the day, {where}."))
        if seconds is not None and seconds < 604_800 and seconds <= 86_400:
            weekday = "1 is Sunday, 7 is Saturday" + (f", in {zone}." if zone else ".")
            inputs.append(("weekday", f"CAST(dayofweek({local}) AS STRING)", weekday))
        if np.ptp(self.history.moments.astype(np.int64)) >= 540 * 86_400 * 10**6:
            inputs.append(("month_of_year", f"CAST(month({local}) AS STRING)", f"Month of the year{f', in {zone}' if zone else ''}."))
        return inputs

    def cluster(self) -> str:
        """The cluster of rows that aren't independent: forecasts whose targets lie close together."""
        seconds = self.history.every.seconds
        return TARGET if seconds is None or seconds > 86_400 else "week" if self.history.horizon * seconds > 2 * 86_400 else "day"

    def is_proportional(self) -> bool:
        """Whether levels differ so much that ratios are better to learn than differences."""
        if self.history.values.min(initial=0.0) < 0:
            return False
        _, blocks = np.unique(np.stack([self.history.codes, self.history.steps // max(self.window, 7)]), axis=1, return_inverse=True)
        levels = np.bincount(blocks, self.history.values) / np.bincount(blocks)
        low, high = np.quantile(levels, [0.1, 0.9])
        return bool(high > PROPORTIONAL * low)

    def choose_split(self) -> tuple[dict[str, str], str]:
        """Windows of origins: the newest fifth as the test, before it a gap of the horizon, all earlier ones for training."""
        train, test = self.train_steps(), self._test_steps()
        usual = replace(self.history.every, timezone=None)
        gap = self.history.every.longest(self.history.horizon) + self.delay
        split = {
            "train": render_duration(usual.longest(train + 1)),
            "test": render_duration(usual.longest(test)),
            "gap": render_duration(gap),
        }
        put_back = " with the clocks put back" if gap > usual.longest(self.history.horizon) + self.delay else ""
        covered = f"the horizon{put_back} and the delay" if self.delay else f"the horizon{put_back}"
        return split, f"windows of origins; the gap covers {covered}, so that training uses no value of the test window"

    def _test_steps(self) -> int:
        return max(math.ceil(int(np.ptp(self.history.steps)) * TEST_SHARE), 1)

    def train_steps(self) -> int:
        """How many steps after the first the last origin of the training window is."""
        return max(int(np.ptp(self.history.steps)) - self._test_steps() - self.history.horizon, 1)

    def whole_days(self, length: timedelta) -> timedelta:
        """A length of local days, which an hour may be added to, as whole days."""
        return length if self.history.every.is_exact else timedelta(days=math.ceil(length / timedelta(days=1)))

    def summary(self) -> str:
        """Series, step, history, season and horizon, in a line."""
        count = int(self.history.codes.max()) + 1
        moments = to_local(self.history.moments, self.history.every.timezone)
        first, last = (str(moment)[:16].replace("T", " ") for moment in (moments.min(), moments.max()))
        season = f"season of {self.history.season} steps" if self.history.season > 1 else "no season"
        zone = f" in {self.history.every.timezone}" if self.history.every.timezone else ""
        return f"{count} series, a step of {self.history.every}{zone}, {first} to {last}, {season}, {self.history.horizon} steps ahead"
