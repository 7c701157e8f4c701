"""The picture of an anomaly detector: scores of real and of planted rows, and the threshold of the flag."""

from __future__ import annotations

import numpy as np

from lakeloop.report.plots import BLUE, GREY, ORANGE, Picture, canvas, styled


@styled
def plot_anomaly_scores(planted: np.ndarray, score: np.ndarray, threshold: float | None) -> Picture:
    """Distributions of the scores of real and of planted rows; the outermost 0.5% are drawn at the edges."""
    figure, ax = canvas(height=2.6)
    low, high = np.quantile(score, [0.005, 0.995])
    edges = np.linspace(low, max(high, low + 1e-9), 41)
    for value, colour, label in ((0, BLUE, "real rows"), (1, ORANGE, "planted rows")):
        if (planted == value).any():
            ax.hist(np.clip(score[planted == value], low, high), bins=edges, density=True, alpha=0.55, color=colour, label=label)
    if threshold is not None:
        ax.axvline(threshold, color=GREY, linewidth=1, linestyle="--", label="flagged above")
    ax.set(xlabel="score, higher is more anomalous", ylabel="density")
    ax.legend(frameon=False, fontsize=9)
    return Picture("Scores of real and of planted rows", figure)
