"""Pictures of a forecast: the error by how far ahead it is, and forecasts beside what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lakeloop.metrics import MetricValue
from lakeloop.plots import BLUE, GREEN, GREY, INK, ORANGE, Picture, _dates, canvas, styled

_COLOURS = {"candidate": ORANGE, "linear": BLUE, "seasonal_naive": GREY, "champion": GREEN}
_NAMES = {"candidate": "this model", "linear": "linear model", "seasonal_naive": "seasonal naive"}
MARKED_STEPS = 60
"""Beyond so many steps a line without marks is clearer."""


@dataclass(frozen=True)
class Path:
    """One series: what happened, and what was forecast from some origins on; times as `datetime64[us]`."""

    name: str
    times: np.ndarray
    values: np.ndarray
    forecasts: Sequence[tuple[np.ndarray, np.ndarray]]


@styled
def plot_by_horizon(steps: Sequence[int], values: Mapping[str, Sequence[MetricValue]], metric: str) -> Picture:
    """A metric by steps ahead, of the model with 95% intervals, and of others."""
    figure, ax = canvas(height=2.9)
    for who, listed in values.items():
        value = np.array([v.value for v in listed])
        few = len(steps) <= MARKED_STEPS
        if who == "candidate":
            low, high = np.array([v.low for v in listed]), np.array([v.high for v in listed])
            ax.fill_between(steps, low, high, color=_COLOURS[who], alpha=0.2, linewidth=0)
        style = {"marker": "o", "markersize": 4} if few else {}
        ax.plot(steps, value, color=_COLOURS.get(who, GREEN), label=_NAMES.get(who, who), linewidth=1.4, **style)
    ax.set(xlabel="steps ahead", ylabel=metric)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=9, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return Picture(f"{metric} by how far ahead", figure)


@styled
def plot_paths(paths: Sequence[Path], label: str) -> Picture:
    """What happened, and the forecasts that were made from some origins, a row per series."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(paths), 1, figsize=(8.0, 0.5 + 1.9 * len(paths)), sharex=True, squeeze=False, layout="constrained")
    for ax, path in zip(axes[:, 0], paths, strict=True):
        ax.plot(path.times, path.values, color=INK, linewidth=1.1, label="what happened")
        for index, (times, values) in enumerate(path.forecasts):
            ax.plot(times, values, color=ORANGE, linewidth=1.6, label="forecast, from each origin on" if not index else None)
        ax.set_title(path.name if len(paths) > 1 else "")
        ax.set_ylabel(label if len(paths) == 1 else "")
        ax.xaxis.set_major_locator(_dates().AutoDateLocator(maxticks=8))
        ax.xaxis.set_major_formatter(_dates().ConciseDateFormatter(ax.xaxis.get_major_locator()))
    axes[0, 0].legend(frameon=False, fontsize=9, ncols=2, loc="upper left", bbox_to_anchor=(0, 1.22 if len(paths) == 1 else 1.32))
    return Picture("forecasts beside what happened", figure)
