"""The queries of a drafted forecasting workflow: its views, and the spine. What they agree on is decided by the plan."""

from __future__ import annotations

from lakeloop.drafting.forecasts.plan import AHEAD, NAIVE, ORIGIN, PHASE, SEASONS_BACK, TARGET, ForecastPlan
from lakeloop.drafting.sql import sql_name
from lakeloop.spec.tables import render_duration


def _steps(plan: ForecastPlan, indent: str, *extra: str) -> list[str]:
    """The query of the rows with a value, with the number of their step."""
    moment = plan.moment_sql()
    selected = [
        *plan.series_sql(),
        moment if moment == sql_name(plan.time) else f"{moment} AS {sql_name(plan.time)}",
        f"CAST({plan.value} AS DOUBLE) AS value",
        f"{plan.number_sql(moment)} AS step",
        *extra,
    ]
    inner = [f"{indent}    {text}{',' if index < len(selected) - 1 else ''}" for index, text in enumerate(selected)]
    return [
        f"{indent}SELECT",
        *inner,
        f"{indent}FROM {plan.source}",
        f"{indent}WHERE {plan.value} IS NOT NULL AND {sql_name(plan.history.time)} IS NOT NULL",
    ]


def recent_sql(plan: ForecastPlan) -> str:
    """The view of a series' newest values: by windows of steps."""
    short, long = plan.window, plan.window * SEASONS_BACK
    by = ", ".join(plan.series)
    names = plan.recent_columns()
    groups = [f"    {key} AS {name}," for key, name in plan.groups()]
    return (
        "\n".join(
            [
                "-- The newest values of a series. Windows count steps, so that a missing row shifts nothing: it is left out of the averages.",
                "SELECT",
                *[f"    {column}," for column in plan.series],
                f"    {sql_name(plan.time)},",
                *groups,
                f"    value AS {names[0]},",
                f"    max(value) OVER before AS {names[1]},",
                f"    avg(value) OVER short AS {names[2]},",
                f"    avg(value) OVER long AS {names[3]},",
                f"    stddev_samp(value) OVER long AS {names[4]},",
                f"    avg(value) OVER short - avg(value) OVER earlier AS {names[5]}",
                "FROM (",
                *_steps(plan, "    "),
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


def season_sql(plan: ForecastPlan) -> str:
    """The view of the values at the same place in the season."""
    by = ", ".join([*plan.series, PHASE])
    moment = plan.moment_sql()
    # In a zone hours are counted apart for the season: by its clocks.
    by_clock = plan.season_number_sql(moment) != plan.number_sql(moment)
    clock = [f"{plan.season_number_sql(moment)} AS clock_step"] if by_clock else []
    remarks = (
        [
            "-- The values of a series at the same place in the season, the newest and those before it. Looked up at the place of the time that is",
            "-- forecast, as known when it is asked, the newest is the seasonal naive forecast.",
        ]
        if plan.history.season > 1
        else ["-- There is no season: the newest value is the naive forecast, and those before it say how much it moves."]
    )
    return (
        "\n".join(
            [
                *remarks,
                "SELECT",
                *[f"    {column}," for column in plan.series],
                f"    {PHASE},",
                f"    {sql_name(plan.time)},",
                f"    value AS {NAIVE},",
                f"    avg(value) OVER seasons AS mean_of_{SEASONS_BACK}_seasons,",
                "    max(value) OVER before AS value_two_seasons_ago",
                "FROM (",
                f"    SELECT *, {plan.modulo_sql('clock_step' if by_clock else 'step', plan.history.season)} AS {PHASE}",
                "    FROM (",
                *_steps(plan, "        ", *clock),
                "    )",
                ")",
                "WINDOW",
                f"    seasons AS (PARTITION BY {by} ORDER BY step ROWS BETWEEN {SEASONS_BACK - 1} PRECEDING AND CURRENT ROW),",
                f"    before AS (PARTITION BY {by} ORDER BY step ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)",
            ]
        )
        + "\n"
    )


def _cross_horizons(plan: ForecastPlan, indent: str) -> list[str]:
    return [f"{indent}CROSS JOIN (SELECT explode(sequence(1, {plan.history.horizon})) AS {AHEAD})"]


def calendar_sql(plan: ForecastPlan) -> str:
    """The view of what is known of a time beforehand."""
    ahead = plan.history.every.ahead_sql(plan.moment_sql(), AHEAD)
    columns = [f"{AHEAD} AS steps", *[f"{sql} AS {name}" for name, sql, _ in plan.calendar()]]
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
                f"    FROM {plan.source}",
                *_cross_horizons(plan, "    "),
                f"    WHERE {plan.value} IS NOT NULL AND {sql_name(plan.history.time)} IS NOT NULL",
                ")",
            ]
        )
        + "\n"
    )


def outcomes_sql(plan: ForecastPlan) -> str:
    """The view of the label: the value at a time."""
    return (
        "\n".join(
            [
                "SELECT",
                *[f"    {text}," for text in plan.series_sql()],
                f"    {plan.moment_sql()} AS {TARGET},",
                f"    CAST({plan.value} AS DOUBLE) AS {plan.value}",
                f"FROM {plan.source}",
                f"WHERE {plan.value} IS NOT NULL",
            ]
        )
        + "\n"
    )


def spine_sql(plan: ForecastPlan) -> str:
    """The spine: a row per series, origin and steps ahead."""
    moment, every = plan.moment_sql(), plan.history.every
    seconds = int(plan.delay.total_seconds())
    origin = f"{moment} + INTERVAL {seconds} SECOND" if seconds else moment
    number = plan.number_sql(moment)
    when = f"at every row of {plan.source}" if plan.stride == 1 else f"every {plan.stride} steps of {plan.source}"
    remarks = [
        f"-- Who is asked about, and when: every series {when}"
        + (f", as soon as it is known ({render_duration(plan.delay)} later)" if seconds else "")
        + f", for each of the next {plan.history.horizon} steps.",
        "-- The newest rows ask about times that have no value yet: they are predicted.",
    ]
    where = [f"WHERE {plan.value} IS NOT NULL AND {sql_name(plan.history.time)} IS NOT NULL"]
    if plan.stride > 1:
        newest = int(plan.history.steps.max()) % plan.stride
        where = [f"{where[0]} AND {plan.modulo_sql(_bracketed(number), plan.stride)} = {newest}"]
    return (
        "\n".join(
            [
                *remarks,
                "SELECT",
                *[f"    {text}," for text in plan.series_sql()],
                f"    {every.ahead_sql(moment, AHEAD)} AS {TARGET},",
                f"    {AHEAD},",
                f"    {plan.modulo_sql(_phase_ahead(plan, moment), plan.history.season)} AS {PHASE},",
                f"    {origin} AS {ORIGIN}",
                f"FROM {plan.source}",
                *_cross_horizons(plan, ""),
                *where,
            ]
        )
        + "\n"
    )


def _phase_ahead(plan: ForecastPlan, moment: str) -> str:
    """The number by which the season's place of a time that is forecast is counted."""
    every = plan.history.every
    if plan.season_number_sql(moment) == plan.number_sql(moment):
        return f"({plan.number_sql(moment)} + {AHEAD})"
    return plan.season_number_sql(every.ahead_sql(moment, AHEAD))


def _bracketed(expression: str) -> str:
    return expression if expression.startswith("(") and expression.endswith(")") else f"({expression})"
