"""A forecasting workflow drafted from a table of series: views of the newest values, of the season and of the calendar; spine; workflow.

A row of the spine is a series, the time of the forecast (its origin), and the number of steps ahead. The platform does the rest: features are
joined as they were known at the origin, and the label is the value at the target time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.drafting.series_history import History, choose_stride, read_history
from lakeloop.drafting.sql import sql_name
from lakeloop.drafting.workflow import WorkflowDraft
from lakeloop.spec.clocks import to_local
from lakeloop.spec.steps import local_sql
from lakeloop.spec.tables import Column, TableSpec, render_duration
from lakeloop.yaml_text import column_fields, to_comment, to_line

if TYPE_CHECKING:
    import pyarrow as pa

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


def draft_forecast(
    table: TableSpec,
    rows: pa.Table,
    *,
    table_domain: str,
    name: str,
    label: str,
    horizon: int | None,
    time: str | None = None,
    series: Sequence[str] | None = None,
    season: int | None = None,
    every: str | None = None,
    origin_every: str | None = None,
    pipeline: str | None = None,
    timezone: str | None = None,
) -> WorkflowDraft:
    """Draft a workflow that forecasts series.

    Args:
        table: the table that holds a row per series and time.
        rows: its rows, in declared types.
        table_domain: domain of the table.
        name: of the workflow.
        label: the column to forecast.
        horizon: steps ahead at most; a season by default.
        time: the column of the time; the table's event time by default.
        series: the columns that identify a series; by default the table's keys without the time. Empty for a single series.
        season: the number of steps after which a series repeats, 1 for no season; by default it follows from the step.
        every: the step, such as 1d; by default the most frequent one in the data.
        origin_every: the interval between origins; by default every row is one.
        pipeline: instead of `forecasting`.
        timezone: in which days, weeks and months are counted; the table's by default.

    Raises:
        DataError: a column doesn't exist or doesn't fit, rows share series and time, the step isn't regular, or the history is too short.
    """
    history = read_history(table, rows, label, time, series, every, season, horizon, timezone)
    stride = choose_stride(history, origin_every)
    plan = _ForecastPlan(table, f"{table_domain}.{table.name}", name, label, history, stride, pipeline or PIPELINE)
    return WorkflowDraft(plan.files(), [plan.summary(), *history.notes])


class _ForecastPlan:
    """The decisions that the files of a workflow share, and their texts."""

    def __init__(self, table: TableSpec, source: str, name: str, label: str, history: History, stride: int, pipeline: str) -> None:
        self.table, self.source, self.name, self.label = table, source, name, label
        self.history, self.stride, self.pipeline = history, stride, pipeline
        self.delay = table.known_delay
        self.series = [sql_name(column) for column in history.series] or ["series"]
        # Without a season the averages still need some steps.
        self.window = history.season if history.season > 1 else 7
        self.time = f"{history.time}_at" if table.columns[history.time].type == "date" else history.time
        self.value = sql_name(label)

    def files(self) -> dict[str, str]:
        """The text of every file, by path below the domain's folder."""
        name = self.name
        return {
            f"{name}_recent/view.sql": self.recent_sql(),
            f"{name}_recent/defs.yaml": self.recent_yaml(),
            f"{name}_season/view.sql": self.season_sql(),
            f"{name}_season/defs.yaml": self.season_yaml(),
            f"{name}_calendar/view.sql": self.calendar_sql(),
            f"{name}_calendar/defs.yaml": self.calendar_yaml(),
            f"{name}_outcomes/view.sql": self.outcomes_sql(),
            f"{name}_outcomes/defs.yaml": self.outcomes_yaml(),
            f"{name}/spine.sql": self.spine_sql(),
            f"{name}/defs.yaml": self.workflow_yaml(),
        }

    # SQL

    def _moment(self) -> str:
        plain = sql_name(self.history.time)
        return f"CAST({plain} AS TIMESTAMP)" if self.table.columns[self.history.time].type == "date" else plain

    def _series_columns(self) -> list[str]:
        """The columns that identify a series; a constant for a single series."""
        return [sql_name(column) for column in self.history.series] or [f"'{self.table.name}' AS series"]

    def _steps(self, indent: str, *extra: str) -> list[str]:
        """The query of the rows with a value, with the number of their step."""
        moment = self._moment()
        selected = [
            *self._series_columns(),
            moment if moment == sql_name(self.time) else f"{moment} AS {sql_name(self.time)}",
            f"CAST({self.value} AS DOUBLE) AS value",
            f"{self.history.every.number_sql(moment)} AS step",
            *extra,
        ]
        inner = [f"{indent}    {text}{',' if index < len(selected) - 1 else ''}" for index, text in enumerate(selected)]
        return [
            f"{indent}SELECT",
            *inner,
            f"{indent}FROM {self.source}",
            f"{indent}WHERE {self.value} IS NOT NULL AND {sql_name(self.history.time)} IS NOT NULL",
        ]

    def recent_sql(self) -> str:
        short, long = self.window, self.window * SEASONS_BACK
        by = ", ".join(self.series)
        names = self._recent_columns()
        groups = [f"    {key} AS {name}," for key, name in self._groups()]
        return (
            "\n".join(
                [
                    "-- The newest values of a series. Windows count steps, so that a missing row shifts nothing: it is left out of the averages.",
                    "SELECT",
                    *[f"    {column}," for column in self.series],
                    f"    {sql_name(self.time)},",
                    *groups,
                    f"    value AS {names[0]},",
                    f"    max(value) OVER before AS {names[1]},",
                    f"    avg(value) OVER short AS {names[2]},",
                    f"    avg(value) OVER long AS {names[3]},",
                    f"    stddev_samp(value) OVER long AS {names[4]},",
                    f"    avg(value) OVER short - avg(value) OVER earlier AS {names[5]}",
                    "FROM (",
                    *self._steps("    "),
                    ")",
                    "WINDOW",
                    f"    before AS (PARTITION BY {by} ORDER BY step RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING),",
                    f"    short AS (PARTITION BY {by} ORDER BY step RANGE BETWEEN {short - 1} PRECEDING AND CURRENT ROW),",
                    f"    earlier AS (PARTITION BY {by} ORDER BY step RANGE BETWEEN {2 * short - 1} PRECEDING AND {short} PRECEDING),",
                    f"    long AS (PARTITION BY {by} ORDER BY step RANGE BETWEEN {long - 1} PRECEDING AND CURRENT ROW)",
                ]
            )
            + "\n"
        )

    def season_sql(self) -> str:
        by = ", ".join([*self.series, PHASE])
        every, moment = self.history.every, self._moment()
        # In a zone hours are counted apart for the season: by its clocks.
        by_clock = every.season_number_sql(moment) != every.number_sql(moment)
        clock = [f"{every.season_number_sql(moment)} AS clock_step"] if by_clock else []
        remarks = (
            [
                "-- The values of a series at the same place in the season, the newest and those before it. Looked up at the place of the time that is",
                "-- forecast, as known when it is asked, the newest is the seasonal naive forecast.",
            ]
            if self.history.season > 1
            else ["-- There is no season: the newest value is the naive forecast, and those before it say how much it moves."]
        )
        return (
            "\n".join(
                [
                    *remarks,
                    "SELECT",
                    *[f"    {column}," for column in self.series],
                    f"    {PHASE},",
                    f"    {sql_name(self.time)},",
                    f"    value AS {NAIVE},",
                    f"    avg(value) OVER seasons AS mean_of_{SEASONS_BACK}_seasons,",
                    "    max(value) OVER before AS value_two_seasons_ago",
                    "FROM (",
                    f"    SELECT *, {'clock_step' if by_clock else 'step'} % {self.history.season} AS {PHASE}",
                    "    FROM (",
                    *self._steps("        ", *clock),
                    "    )",
                    ")",
                    "WINDOW",
                    f"    seasons AS (PARTITION BY {by} ORDER BY step ROWS BETWEEN {SEASONS_BACK - 1} PRECEDING AND CURRENT ROW),",
                    f"    before AS (PARTITION BY {by} ORDER BY step ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)",
                ]
            )
            + "\n"
        )

    def _cross_horizons(self, indent: str) -> list[str]:
        return [f"{indent}CROSS JOIN (SELECT explode(sequence(1, {self.history.horizon})) AS {AHEAD})"]

    def calendar_sql(self) -> str:
        ahead = self.history.every.ahead_sql(self._moment(), AHEAD)
        columns = [f"{AHEAD} AS steps", *[f"{sql} AS {name}" for name, sql, _ in self._calendar()]]
        return (
            "\n".join(
                [
                    "-- What is known of a time beforehand: how far ahead it is, and the calendar. Holidays and plans belong here, too.",
                    "SELECT DISTINCT",
                    f"    {TARGET},",
                    f"    {AHEAD},",
                    *[f"    {text}{',' if index < len(columns) - 1 else ''}" for index, text in enumerate(columns)],
                    "FROM (",
                    f"    SELECT {ahead} AS {TARGET}, {AHEAD}",
                    f"    FROM {self.source}",
                    *self._cross_horizons("    "),
                    f"    WHERE {self.value} IS NOT NULL AND {sql_name(self.history.time)} IS NOT NULL",
                    ")",
                ]
            )
            + "\n"
        )

    def outcomes_sql(self) -> str:
        return (
            "\n".join(
                [
                    "SELECT",
                    *[f"    {text}," for text in self._series_columns()],
                    f"    {self._moment()} AS {TARGET},",
                    f"    CAST({self.value} AS DOUBLE) AS {self.value}",
                    f"FROM {self.source}",
                    f"WHERE {self.value} IS NOT NULL",
                ]
            )
            + "\n"
        )

    def spine_sql(self) -> str:
        moment, every = self._moment(), self.history.every
        seconds = int(self.delay.total_seconds())
        origin = f"{moment} + INTERVAL {seconds} SECOND" if seconds else moment
        number = every.number_sql(moment)
        when = f"at every row of {self.source}" if self.stride == 1 else f"every {self.stride} steps of {self.source}"
        remarks = [
            f"-- Who is asked about, and when: every series {when}"
            + (f", as soon as it is known ({render_duration(self.delay)} later)" if seconds else "")
            + f", for each of the next {self.history.horizon} steps.",
            "-- The newest rows ask about times that have no value yet: they are predicted.",
        ]
        where = [f"WHERE {self.value} IS NOT NULL AND {sql_name(self.history.time)} IS NOT NULL"]
        if self.stride > 1:
            newest = int(self.history.steps.max()) % self.stride
            where = [f"{where[0]} AND {_bracketed(number)} % {self.stride} = {newest}"]
        return (
            "\n".join(
                [
                    *remarks,
                    "SELECT",
                    *[f"    {text}," for text in self._series_columns()],
                    f"    {every.ahead_sql(moment, AHEAD)} AS {TARGET},",
                    f"    {AHEAD},",
                    f"    {self._phase_ahead(moment)} % {self.history.season} AS {PHASE},",
                    f"    {origin} AS {ORIGIN}",
                    f"FROM {self.source}",
                    *self._cross_horizons(""),
                    *where,
                ]
            )
            + "\n"
        )

    def _phase_ahead(self, moment: str) -> str:
        """The number by which the season's place of a time that is forecast is counted."""
        every = self.history.every
        if every.season_number_sql(moment) == every.number_sql(moment):
            return f"({every.number_sql(moment)} + {AHEAD})"
        return every.season_number_sql(every.ahead_sql(moment, AHEAD))

    # YAML

    def _recent_columns(self) -> list[str]:
        short, long = self.window, self.window * SEASONS_BACK
        return ["last_value", "value_before", f"mean_{short}", f"mean_{long}", f"deviation_{long}", f"change_{short}"]

    def _groups(self) -> list[tuple[str, str]]:
        """The names of series as inputs where there are few: (SQL, name)."""
        if not self.history.series or not 1 < int(self.history.codes.max()) + 1 <= MOST_GROUPS:
            return []
        return [
            (sql_name(c), f"{c}_name")
            for c in self.history.series
            if self.table.columns[c].type == "string" and not self.table.columns[c].personal
        ]

    def _double(self, text: str) -> dict[str, Any]:
        return column_fields(Column(type="double", unit=self.table.columns[self.label].unit, description=text).model_dump())

    def _view(self, name: str, description: str, keys: Sequence[str], lookback: int | None, columns: Sequence[str]) -> str:
        lines = [
            "type: platform_assets.components.FeatureView",
            "attributes:",
            to_line(1, "name", name),
            to_line(1, "description", description),
            to_line(1, "sql", "view.sql"),
            to_line(1, "keys", list(keys)),
        ]
        if lookback is not None:
            lines.append(to_line(1, "event_time", self.time if lookback else TARGET))
            why = (
                f"as declared in {self.table.name}"
                if self.delay
                else "a value is known at its own time; set the delay here if it comes later"
            )
            lines.append(to_line(1, "delay", render_duration(self.delay) if self.delay else "0d", why))
            if lookback:
                lines.append(to_line(1, "lookback", render_duration(self._whole_days(self.history.every.longest(lookback)))))
        return "\n".join([*lines, "  columns:", *columns]) + "\n"

    def recent_yaml(self) -> str:
        last, before, short, long, deviation, change = self._recent_columns()
        s, n = self.window, self.window * SEASONS_BACK
        descriptions = {
            last: f"{self.label} at the newest step that is known.",
            before: "One step before.",
            short: f"Mean of the newest {s} steps.",
            long: f"Mean of the newest {n} steps.",
            deviation: f"Standard deviation of the newest {n} steps.",
            change: f"Mean of the newest {s} steps less that of the {s} before.",
        }
        columns = [to_line(2, name, {"type": "string", "description": "Which series."}) for _, name in self._groups()]
        columns += [to_line(2, name, self._double(text)) for name, text in descriptions.items()]
        return self._view(f"{self.name}_recent", f"The newest values of {self.label}, for {self.name}.", self._keys(), 2 * n, columns)

    def season_yaml(self) -> str:
        period = f"{self.history.season} steps" if self.history.season > 1 else "one step"
        descriptions = {
            NAIVE: f"{self.label} at the newest step that is whole seasons ({period}) before the target: the naive forecast.",
            f"mean_of_{SEASONS_BACK}_seasons": f"Mean of the newest {SEASONS_BACK} of those.",
            "value_two_seasons_ago": "The one before the newest.",
        }
        columns = [to_line(2, name, self._double(text)) for name, text in descriptions.items()]
        return self._view(
            f"{self.name}_season",
            f"{self.label} at the same place in the season, for {self.name}.",
            [*self._keys(), PHASE],
            self.history.season * SEASONS_BACK,
            columns,
        )

    def calendar_yaml(self) -> str:
        columns = [to_line(2, "steps", {"type": "integer", "description": "How many steps ahead."})]
        columns += [to_line(2, name, {"type": "string", "description": text}) for name, _, text in self._calendar()]
        return self._view(
            f"{self.name}_calendar",
            f"What is known beforehand of a time that is forecast, for {self.name}.",
            [TARGET, AHEAD],
            None,
            columns,
        )

    def outcomes_yaml(self) -> str:
        text = self.table.columns[self.label].description or f"{self.label}."
        column = Column(type="double", unit=self.table.columns[self.label].unit, nullable=False, description=text)
        columns = [to_line(2, self.label, column_fields(column.model_dump()))]
        return self._view(
            f"{self.name}_outcomes", f"The label of {self.name}: {self.label} at a time.", [*self._keys(), TARGET], 0, columns
        )

    def workflow_yaml(self) -> str:
        history = self.history
        split, split_reason = self._choose_split()
        spread = float(np.std(history.values))
        max_drop = float(f"{0.01 * spread:.2g}") or 1e-9
        ahead = f"the next {history.every.describe(history.horizon)}"
        by = f", by {' and '.join(history.series)}" if history.series else ""
        model: dict[str, Any] = {"pipeline": self.pipeline}
        model_reason = ""
        if self.pipeline == PIPELINE and self._is_proportional():
            model["params"] = {"log": True}
            model_reason = "ratios, not differences: values are never negative, and higher ones vary more"
        lines = [
            to_comment(0, f"Drafted from {self.source}, label {self.label}: {self.summary()}."),
            "type: platform_assets.components.MLWorkflow",
            "attributes:",
            to_line(1, "name", self.name),
            to_line(1, "description", f"What will {' '.join(self.label.split('_'))} be in {ahead}{by}?"),
            to_line(1, "task", "forecasting"),
            to_line(1, "spine", "spine.sql"),
            to_line(1, "keys", [*self._keys(), TARGET, AHEAD, PHASE]),
            to_line(1, "label", {"view": f"{self.name}_outcomes", "column": self.label}),
            to_line(
                1,
                "forecast",
                {
                    "series": self._keys(),
                    "target": TARGET,
                    "ahead": AHEAD,
                    "horizon": history.horizon,
                    "every": str(history.every),
                    "naive": NAIVE,
                    **({"timezone": history.every.timezone} if history.every.timezone else {}),
                },
            ),
            "  features:",
            *[to_line(2, f"{self.name}_{view}", "*") for view in ("calendar", "recent", "season")],
            to_line(1, "model", model, model_reason),
            to_line(1, "split", split, split_reason),
            to_line(
                1, "evaluation", {"primary": "mae", "cluster": self._cluster()}, "forecasts of the same time share the events of that time"
            ),
            "  gates:",
            to_line(2, "mase", {"max": 1.0}, "the seasonal naive forecast has 1: lower it to the most that is acceptable"),
            to_line(2, "champion", {"max_drop": max_drop}, f"mean absolute error: 1% of the standard deviation of {spread:.3g}"),
            to_line(1, "batch", {}),
            to_line(1, "online", {}),
            to_line(1, "retrain", {"causes": ["data"], "cooldown": "1d"}),
        ]
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """Series, step, history, season and horizon, in a line."""
        count = int(self.history.codes.max()) + 1
        moments = to_local(self.history.moments, self.history.every.timezone)
        first, last = (str(moment)[:16].replace("T", " ") for moment in (moments.min(), moments.max()))
        season = f"season of {self.history.season} steps" if self.history.season > 1 else "no season"
        zone = f" in {self.history.every.timezone}" if self.history.every.timezone else ""
        return f"{count} series, a step of {self.history.every}{zone}, {first} to {last}, {season}, {self.history.horizon} steps ahead"

    def _cluster(self) -> str:
        """The cluster of rows that aren't independent: forecasts whose targets lie close together."""
        seconds = self.history.every.seconds
        return TARGET if seconds is None or seconds > 86_400 else "week" if self.history.horizon * seconds > 2 * 86_400 else "day"

    def _keys(self) -> list[str]:
        return list(self.history.series) or ["series"]

    def _calendar(self) -> list[tuple[str, str, str]]:
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

    def _is_proportional(self) -> bool:
        """Whether levels differ so much that ratios are better to learn than differences."""
        if self.history.values.min(initial=0.0) < 0:
            return False
        _, blocks = np.unique(np.stack([self.history.codes, self.history.steps // max(self.window, 7)]), axis=1, return_inverse=True)
        levels = np.bincount(blocks, self.history.values) / np.bincount(blocks)
        low, high = np.quantile(levels, [0.1, 0.9])
        return bool(high > PROPORTIONAL * low)

    def _choose_split(self) -> tuple[dict[str, str], str]:
        """Windows of origins: the newest fifth as the test, before it a gap of the horizon, all earlier ones for training."""
        steps = self.history.steps
        first, last = int(steps.min()), int(steps.max()) - 1
        span = last - first + 1
        test = max(math.ceil(span * TEST_SHARE), 1)
        usual = replace(self.history.every, timezone=None)
        gap = self.history.every.longest(self.history.horizon) + self.delay
        train = max(span - test - self.history.horizon, 1)
        split = {
            "train": render_duration(usual.longest(train + 1)),
            "test": render_duration(usual.longest(test)),
            "gap": render_duration(gap),
        }
        put_back = " with the clocks put back" if gap > usual.longest(self.history.horizon) + self.delay else ""
        covered = f"the horizon{put_back} and the delay" if self.delay else f"the horizon{put_back}"
        return split, f"windows of origins; the gap covers {covered}, so that training uses no value of the test window"

    def _whole_days(self, length: timedelta) -> timedelta:
        """A length of local days, which an hour may be added to, as whole days."""
        return length if self.history.every.is_exact else timedelta(days=math.ceil(length / timedelta(days=1)))


def _bracketed(expression: str) -> str:
    return expression if expression.startswith("(") and expression.endswith(")") else f"({expression})"
