"""A forecasting workflow drafted from a table of series: views of the newest values, of the season and of the calendar; spine; workflow.

A row of the spine is a series, the time of the forecast (its origin), and the number of steps ahead. The platform does the rest: features are
joined as they were known at the origin, and the label is the value at the target time. Here are the files and their YAML; the queries are in
`lakeloop.drafting.forecasts.queries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.drafting.forecasts.history import choose_stride, read_history
from lakeloop.drafting.forecasts.plan import AHEAD, NAIVE, PHASE, PIPELINE, SEASONS_BACK, TARGET, ForecastPlan
from lakeloop.drafting.forecasts.queries import calendar_sql, outcomes_sql, recent_sql, season_sql, spine_sql
from lakeloop.drafting.forecasts.trial import choose_forecast
from lakeloop.drafting.workflow import WorkflowDraft
from lakeloop.evaluation.decisions import LEAK_GATE
from lakeloop.spec.tables import Column, TableSpec, render_duration
from lakeloop.yaml_text import column_fields, to_comment, to_line

if TYPE_CHECKING:
    import pyarrow as pa


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
        pipeline: instead of the simplest that none beats on the training window.
        timezone: in which days, weeks and months are counted; the table's by default.

    Raises:
        DataError: a column doesn't exist or doesn't fit, rows share series and time, the step isn't regular, or the history is too short.
    """
    history = read_history(table, rows, label, time, series, every, season, horizon, timezone)
    stride = choose_stride(history, origin_every)
    plan = ForecastPlan(table, f"{table_domain}.{table.name}", name, label, history, stride, pipeline or PIPELINE)
    model, why = _choose_model(plan, requested=pipeline is not None)
    return WorkflowDraft(_files(plan, model, why), [plan.summary(), *history.notes])


def _choose_model(plan: ForecastPlan, *, requested: bool) -> tuple[dict[str, Any], str]:
    """The model, and why: the simplest pipeline that none beats on the training window, or the one that was asked for."""
    model: dict[str, Any] = {"pipeline": plan.pipeline}
    why = ""
    if plan.pipeline == PIPELINE and plan.is_proportional():
        model["params"] = {"log": True}
        why = "ratios, not differences: values are never negative, and higher ones vary more"
    if requested:
        return model, why
    choice = choose_forecast(plan, [{"pipeline": "linear"}, model])
    if choice is None:
        return model, "; ".join(filter(None, (why, "too few rows of the training window, or too many series, to compare it with linear")))
    return dict(choice.model), "; ".join(filter(None, (choice.reason, why if choice.model == model else "")))


def _files(plan: ForecastPlan, model: dict[str, Any], why: str) -> dict[str, str]:
    """The text of every file, by path below the domain's folder."""
    name = plan.name
    return {
        f"{name}_recent/view.sql": recent_sql(plan),
        f"{name}_recent/defs.yaml": _recent_yaml(plan),
        f"{name}_season/view.sql": season_sql(plan),
        f"{name}_season/defs.yaml": _season_yaml(plan),
        f"{name}_calendar/view.sql": calendar_sql(plan),
        f"{name}_calendar/defs.yaml": _calendar_yaml(plan),
        f"{name}_outcomes/view.sql": outcomes_sql(plan),
        f"{name}_outcomes/defs.yaml": _outcomes_yaml(plan),
        f"{name}/spine.sql": spine_sql(plan),
        f"{name}/defs.yaml": _workflow_yaml(plan, model, why),
    }


def _double(plan: ForecastPlan, text: str) -> dict[str, Any]:
    return column_fields(Column(type="double", unit=plan.table.columns[plan.label].unit, description=text).model_dump())


def _view(plan: ForecastPlan, name: str, description: str, keys: Sequence[str], lookback: int | None, columns: Sequence[str]) -> str:
    lines = [
        "type: platform_assets.components.FeatureView",
        "attributes:",
        to_line(1, "name", name),
        to_line(1, "description", description),
        to_line(1, "sql", "view.sql"),
        to_line(1, "keys", list(keys)),
    ]
    if lookback is not None:
        lines.append(to_line(1, "event_time", plan.time if lookback else TARGET))
        why = (
            f"as declared in {plan.table.name}" if plan.delay else "a value is known at its own time; set the delay here if it comes later"
        )
        lines.append(to_line(1, "delay", render_duration(plan.delay) if plan.delay else "0d", why))
        if lookback:
            lines.append(to_line(1, "lookback", render_duration(plan.whole_days(plan.history.every.longest(lookback)))))
    return "\n".join([*lines, "  columns:", *columns]) + "\n"


def _recent_yaml(plan: ForecastPlan) -> str:
    last, before, short, long, deviation, change = plan.recent_columns()
    s, n = plan.window, plan.window * SEASONS_BACK
    descriptions = {
        last: f"{plan.label} at the newest step that is known.",
        before: "One step before.",
        short: f"Mean of the newest {s} steps.",
        long: f"Mean of the newest {n} steps.",
        deviation: f"Standard deviation of the newest {n} steps.",
        change: f"Mean of the newest {s} steps less that of the {s} before.",
    }
    columns = [to_line(2, name, {"type": "string", "description": "Which series."}) for _, name in plan.groups()]
    columns += [to_line(2, name, _double(plan, text)) for name, text in descriptions.items()]
    return _view(plan, f"{plan.name}_recent", f"The newest values of {plan.label}, for {plan.name}.", plan.keys(), 2 * n, columns)


def _season_yaml(plan: ForecastPlan) -> str:
    period = f"{plan.history.season} steps" if plan.history.season > 1 else "one step"
    descriptions = {
        NAIVE: f"{plan.label} at the newest step that is whole seasons ({period}) before the target: the naive forecast.",
        f"mean_of_{SEASONS_BACK}_seasons": f"Mean of the newest {SEASONS_BACK} of those.",
        "value_two_seasons_ago": "The one before the newest.",
    }
    columns = [to_line(2, name, _double(plan, text)) for name, text in descriptions.items()]
    return _view(
        plan,
        f"{plan.name}_season",
        f"{plan.label} at the same place in the season, for {plan.name}.",
        [*plan.keys(), PHASE],
        plan.history.season * SEASONS_BACK,
        columns,
    )


def _calendar_yaml(plan: ForecastPlan) -> str:
    columns = [to_line(2, "steps", {"type": "integer", "description": "How many steps ahead."})]
    columns += [to_line(2, name, {"type": "string", "description": text}) for name, _, text in plan.calendar()]
    return _view(
        plan,
        f"{plan.name}_calendar",
        f"What is known beforehand of a time that is forecast, for {plan.name}.",
        [TARGET, AHEAD],
        None,
        columns,
    )


def _outcomes_yaml(plan: ForecastPlan) -> str:
    text = plan.table.columns[plan.label].description or f"{plan.label}."
    column = Column(type="double", unit=plan.table.columns[plan.label].unit, nullable=False, description=text)
    columns = [to_line(2, plan.label, column_fields(column.model_dump()))]
    return _view(plan, f"{plan.name}_outcomes", f"The label of {plan.name}: {plan.label} at a time.", [*plan.keys(), TARGET], 0, columns)


def _workflow_yaml(plan: ForecastPlan, model: dict[str, Any], model_reason: str) -> str:
    history = plan.history
    split, split_reason = plan.choose_split()
    spread = float(np.std(history.values))
    max_drop = float(f"{0.01 * spread:.2g}") or 1e-9
    ahead = f"the next {history.every.describe(history.horizon)}"
    by = f", by {' and '.join(history.series)}" if history.series else ""
    lines = [
        to_comment(0, f"Drafted from {plan.source}, label {plan.label}: {plan.summary()}."),
        "type: platform_assets.components.MLWorkflow",
        "attributes:",
        to_line(1, "name", plan.name),
        to_line(1, "description", f"What will {' '.join(plan.label.split('_'))} be in {ahead}{by}?"),
        to_line(1, "task", "forecasting"),
        to_line(1, "spine", "spine.sql"),
        to_line(1, "keys", [*plan.keys(), TARGET, AHEAD, PHASE]),
        to_line(1, "label", {"view": f"{plan.name}_outcomes", "column": plan.label}),
        to_line(
            1,
            "forecast",
            {
                "series": plan.keys(),
                "target": TARGET,
                "ahead": AHEAD,
                "horizon": history.horizon,
                "every": str(history.every),
                "naive": NAIVE,
                **({"timezone": history.every.timezone} if history.every.timezone else {}),
            },
        ),
        "  features:",
        *[to_line(2, f"{plan.name}_{view}", "*") for view in ("calendar", "recent", "season")],
        to_line(1, "model", model, model_reason),
        to_line(1, "split", split, split_reason),
        to_line(1, "evaluation", {"primary": "mae", "cluster": plan.cluster()}, "forecasts of the same time share the events of that time"),
        "  gates:",
        to_line(2, LEAK_GATE, {"max": 0}, "a score that rests on a leak is no reason to release"),
        to_line(2, "mase", {"max": 1.0}, "the seasonal naive forecast has 1: lower it to the most that is acceptable"),
        to_line(2, "champion", {"max_drop": max_drop}, f"mean absolute error: 1% of the standard deviation of {spread:.3g}"),
        to_line(1, "batch", {}),
        to_line(1, "online", {}),
        to_line(1, "retrain", {"causes": ["data"], "cooldown": "1d"}),
    ]
    return "\n".join(lines) + "\n"
