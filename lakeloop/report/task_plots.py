"""Pictures that only some tasks have: confusion matrix, calibration per class, coverage and reliability of quantiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.report.plots import BLUE, GREEN, GREY, INK, ORANGE, PAPER, Picture, canvas, styled
from lakeloop.report.short_names import shorten

if TYPE_CHECKING:
    from lakeloop.evaluation.quantile_findings import CoverageBin
    from lakeloop.metrics.calibration import CalibrationBin

MOST_CLASSES = 20
"""More classes than this are unreadable; the most frequent are shown."""
MOST_PANELS = 9


@styled
def plot_confusion(counts: np.ndarray, classes: Sequence[str]) -> Picture:
    """Share of the rows of each class by predicted class; the most frequent classes, in the declared order."""
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_CLASSES])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    part, names = shares[np.ix_(shown, shown)], shorten([str(classes[position]) for position in shown], 18)
    figure, ax = canvas(height=min(1.6 + 0.36 * len(shown), 7.0))
    ax.grid(visible=False)
    # One colour in varying opacity, so that it suits a light and a dark page.
    for row in range(len(shown)):
        for column in range(len(shown)):
            share = float(part[row, column])
            colour = BLUE if row == column else ORANGE
            ax.add_patch(_rectangle(column - 0.5, row - 0.5, colour, share))
            if share >= 0.005 and len(shown) <= 12:
                ax.text(column, row, f"{share:.0%}", ha="center", va="center", color=PAPER if share > 0.55 else INK, fontsize=9)
    ax.set(xlim=(-0.5, len(shown) - 0.5), ylim=(len(shown) - 0.5, -0.5), xlabel="predicted", ylabel="actual")
    ax.set_xticks(
        range(len(shown)), names, rotation=45 if max(map(len, names)) > 4 else 0, ha="right" if max(map(len, names)) > 4 else "center"
    )
    ax.set_yticks(range(len(shown)), names)
    return Picture("Share of each class by predicted class", figure)


@styled
def plot_class_calibration(by_class: Mapping[str, Sequence[CalibrationBin]]) -> Picture:
    """Observed over predicted share, one panel per class; at most nine."""
    shown = list(zip(shorten(list(by_class), 20), by_class.values(), strict=True))[:MOST_PANELS]
    across = min(3, len(shown))
    figure, axes = canvas(across, height=2.3 * -(-len(shown) // across), rows=-(-len(shown) // across))
    for index, ax in enumerate(axes):
        if index >= len(shown):
            ax.set_visible(False)
            continue
        name, bins = shown[index]
        mean, rate = np.array([b.predicted for b in bins]), np.array([b.observed for b in bins])
        low, high = np.array([b.low for b in bins]), np.array([b.high for b in bins])
        end = float(max(np.nanmax(mean), np.nanmax(rate), 0.05))
        ax.plot([0, end], [0, end], color=GREY, linewidth=0.8, linestyle="--")
        ax.errorbar(
            mean, rate, yerr=np.nan_to_num(np.vstack([rate - low, high - rate]).clip(0)), fmt="o-", markersize=3, color=BLUE, capsize=2
        )
        ax.set_title(name, fontsize=9)
        ax.set_ylim(-0.03 * end, None)
    figure.supxlabel("mean predicted probability", fontsize=10)
    figure.supylabel("observed share", fontsize=10)
    return Picture("Observed over predicted share, by class", figure)


@styled
def plot_coverage(bins: Sequence[CoverageBin], nominal: float) -> Picture:
    """Coverage and width of the interval over the predicted median."""
    figure, (left, right) = canvas(2)
    at, share = np.array([b.predicted for b in bins]), np.array([b.coverage for b in bins])
    spread = np.array([[b.coverage - b.low, b.high - b.coverage] for b in bins]).T
    left.axhline(nominal, color=GREY, linewidth=0.8, linestyle="--", label=f"nominal {nominal:g}")
    left.errorbar(at, share, yerr=np.nan_to_num(spread.clip(0)), fmt="o-", markersize=5, capsize=3, color=BLUE)
    left.set(title="Share inside", xlabel="predicted median")
    left.legend(frameon=False, fontsize=9)
    right.plot(at, [b.width for b in bins], "o-", markersize=5, color=GREEN)
    right.set(title="Width", xlabel="predicted median", ylim=(0, 1.1 * max(b.width for b in bins) or 1))
    return Picture("Coverage and width of the interval, by predicted median", figure)


@styled
def plot_reliability(bins: Sequence[CalibrationBin]) -> Picture:
    """Share of values at or below each quantile, over its level."""
    figure, ax = canvas(height=3.4)
    level, share = np.array([b.predicted for b in bins]), np.array([b.observed for b in bins])
    spread = np.array([[b.observed - b.low, b.high - b.observed] for b in bins]).T
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", label="perfect")
    ax.errorbar(
        level, share, yerr=np.nan_to_num(spread.clip(0)), fmt="o", markersize=6, capsize=4, color=BLUE, label="this model, 95% interval"
    )
    ax.set(xlabel="quantile", ylabel="share of values below", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.legend(frameon=False, fontsize=9)
    return Picture("Share of values below each quantile", figure)


def _rectangle(x: float, y: float, colour: str, alpha: float) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, facecolor=colour, alpha=alpha, edgecolor="none")
