"""The report's section on forecasts: error by horizon beside the seasonal naive forecast's, and forecasts beside the observed values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lakeloop.evaluation.assessment import CANDIDATE, LINEAR, NAIVE, ForecastRows, Question
from lakeloop.metrics.table import MetricValue, measure, metrics_of
from lakeloop.metrics.wording import format_interval, format_number
from lakeloop.report.forecast_plots import ForecastPath, plot_by_horizon, plot_paths
from lakeloop.report.page import Figure, Paragraph, Section, Table

MOST_PATHS = 4
MOST_FORECASTS = 6
"""The most forecasts that a picture shows per series."""
FOLDED_STEPS = 14


def horizon_section(question: Question) -> Section:
    """How the error grows with the horizon, and examples of forecasts."""
    forecast = question.forecast
    assert forecast is not None
    steps, values = metric_by_horizon(question)
    primary = question.primary
    origins = np.unique(question.test.at)
    own, naive = values[CANDIDATE], values[NAIVE]
    first, last = own[0], own[-1]
    words = (
        f"Forecast from {len(origins):,} {'origins' if len(origins) > 1 else 'origin'} in the test window, {_day(origins[0])} to {_day(origins[-1])}, up "
        f"to {steps[-1]} steps ahead, each with what was known at its origin. {primary} is {format_number(first.value)} at {_steps(steps[0])}"
    )
    if len(steps) > 1:
        words += f" and {format_number(last.value)} at {_steps(steps[-1])}"
    better = sum(a.value < b.value for a, b in zip(own, naive, strict=True))
    if not metrics_of(question.answer)[primary].greater_is_better and primary != "bias":
        words += f"; it is lower than the seasonal naive forecast's at {better} of {len(steps)} horizons"
    columns = ["steps ahead", "rows", primary, "95% interval", "seasonal naive", "linear model"]
    linear = values.get(LINEAR, own)
    rows = [
        [str(step), f"{v.n:,}", format_number(v.value), format_interval(v.low, v.high), format_number(n.value), format_number(other.value)]
        for step, v, n, other in zip(steps, own, naive, linear, strict=True)
    ]
    return Section(
        "horizons",
        "By horizon, with examples",
        [
            Paragraph(f"{words}."),
            Figure(plot_by_horizon(steps, values, primary), "The band is this model's 95% interval."),
            Figure(
                plot_paths(forecast_paths(question, forecast), "value"),
                "Each line of forecasts begins one step after its origin. The newest origins are shown, far enough apart that lines don't overlap"
                + (f", for the {MOST_PATHS} series with the highest values." if len(set(forecast.series)) > MOST_PATHS else "."),
            ),
            Table(columns, rows, columns, folded=f"the {len(rows)} horizons" if len(rows) > FOLDED_STEPS else ""),
        ],
    )


def metric_by_horizon(question: Question) -> tuple[list[int], Mapping[str, list[MetricValue]]]:
    """The primary metric of each model at each number of steps ahead."""
    forecast, test = question.forecast, question.test
    assert forecast is not None
    metric = metrics_of(question.answer)[question.primary]
    steps = [int(step) for step in np.unique(forecast.ahead)]
    shown = {who: test.scores[who] for who in (CANDIDATE, LINEAR, NAIVE) if who in test.scores}
    values: dict[str, list[MetricValue]] = {who: [] for who in shown}
    for step in steps:
        mask = forecast.ahead == step
        clusters = None if question.clusters is None else question.clusters[mask]
        for who, scores in shown.items():
            values[who].append(measure(metric, test.y[mask], scores[mask], clusters=clusters))
    return steps, values


def forecast_paths(question: Question, forecast: ForecastRows) -> list[ForecastPath]:
    """The observed values of a few series, and the forecasts from some of the newest origins."""
    test = question.test
    score, series = test.scores[CANDIDATE], np.asarray(forecast.series, dtype=object)
    names, codes = np.unique(series.astype(str), return_inverse=True)
    largest = np.argsort(-(np.bincount(codes, np.abs(test.y)) / np.bincount(codes)), kind="stable")[:MOST_PATHS]
    paths = []
    for code in sorted(largest.tolist()):
        mask = codes == code
        times, first = np.unique(forecast.target[mask], return_index=True)
        values = test.y[mask][first]
        forecasts: list[tuple[np.ndarray, np.ndarray]] = []
        next_start = np.datetime64("9999-12-31", "us")
        for origin in np.unique(test.at[mask])[::-1]:
            chosen = np.flatnonzero(mask & (test.at == origin))
            chosen = chosen[np.argsort(forecast.ahead[chosen])]
            if forecast.ahead[chosen].max(initial=0) < forecast.ahead.max() or forecast.target[chosen].max() >= next_start:
                continue
            forecasts.append((forecast.target[chosen], score[chosen]))
            next_start = forecast.target[chosen].min()
            if len(forecasts) == MOST_FORECASTS:
                break
        if forecasts:
            start = min(t[0] for t, _ in forecasts)
            is_shown = times >= start - (times.max() - start) // 4
            times, values = times[is_shown], values[is_shown]
        paths.append(ForecastPath(str(names[code]), times, values, forecasts))
    return paths


def _steps(count: int) -> str:
    return "one step" if count == 1 else f"{count} steps"


def _day(moment: np.datetime64) -> str:
    return str(moment)[:10]
