"""Pictures of forecasts: the error by horizon, and forecasts beside the observed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lakeloop.metrics.table import MetricValue
from lakeloop.report.plots import BLUE, GREEN, GREY, INK, ORANGE, Picture, _dates, canvas, styled
from lakeloop.report.short_names import shorten

_COLOURS = {"candidate": ORANGE, "linear": BLUE, "seasonal_naive": GREY, "champion": GREEN}
_NAMES = {"candidate": "this model", "linear": "linear model", "seasonal_naive": "seasonal naive"}
MARKED_STEPS = 60
"""With more steps than this a line without markers is clearer."""


@dataclass(frozen=True)
class ForecastPath:
    """The observed values of one series, and its forecasts from some origins; times as `datetime64[us]`."""

    name: str
    times: np.ndarray
    values: np.ndarray
    forecasts: Sequence[tuple[np.ndarray, np.ndarray]]


@styled
def plot_by_horizon(steps: Sequence[int], values: Mapping[str, Sequence[MetricValue]], metric: str) -> Picture:
    """A metric by steps ahead, for the model with 95% intervals, and for others."""
    figure, ax = canvas(height=2.9)
    for who, by_step in values.items():
        value = np.array([v.value for v in by_step])
        few = len(steps) <= MARKED_STEPS
        if who == "candidate":
            low, high = np.array([v.low for v in by_step]), np.array([v.high for v in by_step])
            ax.fill_between(steps, low, high, color=_COLOURS[who], alpha=0.2, linewidth=0)
        style = {"marker": "o", "markersize": 4} if few else {}
        ax.plot(steps, value, color=_COLOURS.get(who, GREEN), label=_NAMES.get(who, who), linewidth=1.4, **style)
    ax.set(xlabel="steps ahead", ylabel=metric)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=9, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return Picture(f"{metric} by horizon", figure)


@styled
def plot_paths(paths: Sequence[ForecastPath], label: str) -> Picture:
    """Observed values and the forecasts from some origins, a row per series."""
    figure, subplots = canvas(height=0.5 + 1.6 * len(paths), rows=len(paths))
    axes = np.atleast_1d(subplots)
    for ax, path, name in zip(axes, paths, shorten([path.name for path in paths], 60), strict=True):
        ax.plot(path.times, path.values, color=INK, linewidth=1.1, label="observed")
        for index, (times, values) in enumerate(path.forecasts):
            ax.plot(times, values, color=ORANGE, linewidth=1.6, label="forecast from each origin" if not index else None)
        # Centred, since the left end holds the power of ten of the axis.
        ax.set_title(name if len(paths) > 1 else "", loc="center", fontsize=10)
        ax.set_ylabel(label if len(paths) == 1 else "")
        if ax is not axes[-1]:
            ax.sharex(axes[-1])
            ax.tick_params(labelbottom=False)
    axes[-1].xaxis.set_major_locator(_dates().AutoDateLocator(maxticks=8))
    axes[-1].xaxis.set_major_formatter(_dates().ConciseDateFormatter(axes[-1].xaxis.get_major_locator()))
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, frameon=False, fontsize=9, ncols=2, loc="outside upper left")
    return Picture("forecasts beside observed values", figure)
