"""Plots as PNG bytes: one function a picture, readable at 700 pixels, colour-blind safe (Okabe and Ito 2008)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lakeloop.metrics import MetricValue

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
WINDOW_COLOURS = {
    "train": BLUE,
    "validation": GREEN,
    "test": ORANGE,
    "gap": "#CCCCCC",
    "before": "#E5E5E5",
    "unlabelled": GREY,
    "after": "#F0E442",
}


def _figure(columns: int = 1, height: float = 3.4) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, linewidth=0.6)
    return figure, axes if columns > 1 else axes[0]


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def plot_rows_over_time(at: np.ndarray, split: np.ndarray) -> bytes:
    """Rows per week, stacked by the window that they belong to."""
    figure, ax = _figure(height=2.6)
    weeks = at.astype("datetime64[W]")
    axis = np.arange(weeks.min(), weeks.max() + np.timedelta64(1, "W"))
    bottom = np.zeros(len(axis))
    for name, colour in WINDOW_COLOURS.items():
        counted = np.bincount((weeks[split == name] - axis[0]).astype(int), minlength=len(axis))
        if counted.any():
            ax.bar(axis.astype("datetime64[D]"), counted, bottom=bottom, width=6.5, color=colour, label=name)
            bottom += counted
    ax.set(title="Rows per week", ylabel="rows")
    ax.legend(ncols=4, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return _png(figure)


def plot_metric_comparison(values: Mapping[str, Sequence[MetricValue]], metric: str) -> bytes:
    """One metric of the model, the champion and the baselines, with 95% intervals."""
    figure, ax = _figure(height=2.2)
    order = [who for who in ("constant", "linear", "champion", "candidate") if who in values]
    for y, who in enumerate(order):
        value = next(v for v in values[who] if v.name == metric)
        spread = [[max(value.value - value.low, 0)], [max(value.high - value.value, 0)]] if np.isfinite(value.low) else None
        ax.errorbar([value.value], [y], xerr=spread, fmt="o", capsize=4, color=ORANGE if who == "candidate" else BLUE)
        ax.annotate(f"{value.value:.4f}", (value.value, y), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8)
    ax.set_yticks(range(len(order)), ["this model" if who == "candidate" else who for who in order])
    ax.set_ylim(-0.5, len(order) - 0.3)
    ax.set(title=f"{metric} on the test window, 95% interval")
    return _png(figure)


def plot_roc_pr(y: np.ndarray, score: np.ndarray) -> bytes:
    """ROC curve and precision over recall."""
    figure, (left, right) = _figure(2)
    order = np.argsort(-score, kind="stable")
    hits, seen = np.cumsum(y[order]), np.arange(1, len(y) + 1)
    step = np.unique(np.linspace(0, len(y) - 1, 400).astype(int))
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    left.plot(((seen - hits) / max(len(y) - hits[-1], 1))[step], (hits / max(hits[-1], 1))[step], color=BLUE)
    left.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    right.axhline(float(np.mean(y)), color=GREY, linewidth=0.8, linestyle="--")
    right.plot((hits / max(hits[-1], 1))[step], (hits / seen)[step], color=BLUE)
    right.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    return _png(figure)


def plot_calibration(y: np.ndarray, score: np.ndarray, bins: int = 10) -> bytes:
    """Observed rate over mean score, in bins of equal mass."""
    figure, ax = _figure()
    parts = [part for part in np.array_split(np.argsort(score, kind="stable"), bins) if len(part)]
    mean = [float(score[part].mean()) for part in parts]
    rate = np.array([float(y[part].mean()) for part in parts])
    error = 1.96 * np.sqrt(rate * (1 - rate) / np.array([len(part) for part in parts]))
    top = max([*mean, *(rate + error)]) * 1.05
    ax.plot([0, top], [0, top], color=GREY, linewidth=0.8, linestyle="--", label="perfect")
    ax.errorbar(mean, rate, yerr=error, fmt="o-", color=BLUE, capsize=3, label="this model, 95% interval")
    ax.set(title="Calibration", xlabel="mean predicted probability", ylabel="observed rate")
    ax.legend(frameon=False, fontsize=8)
    return _png(figure)


def plot_score_histogram(y: np.ndarray, score: np.ndarray) -> bytes:
    """Distribution of scores by outcome."""
    figure, ax = _figure(height=2.6)
    edges = np.linspace(0, 1, 41)
    for value, colour, label in ((0, BLUE, "outcome 0"), (1, ORANGE, "outcome 1")):
        ax.hist(score[y == value], bins=edges, density=True, alpha=0.6, color=colour, label=label)
    ax.set(title="Predicted probability by outcome", xlabel="predicted probability", ylabel="density")
    ax.legend(frameon=False, fontsize=8)
    return _png(figure)


def plot_residuals(y: np.ndarray, score: np.ndarray) -> bytes:
    """Truth over prediction, and the distribution of errors."""
    figure, (left, right) = _figure(2)
    low, high = np.quantile(np.concatenate([y, score]), [0.005, 0.995])
    left.hexbin(score, y, gridsize=40, extent=(float(score.min()), float(score.max()), low, high), bins="log", cmap="Blues", mincnt=1)
    left.plot([low, high], [low, high], color=ORANGE, linewidth=0.8, linestyle="--")
    left.set(
        title="Truth over prediction",
        xlabel="predicted",
        ylabel="observed",
        xlim=(float(score.min()), float(score.max())),
        ylim=(low, high),
    )
    errors = score - y
    right.hist(np.clip(errors, *np.quantile(errors, [0.005, 0.995])), bins=60, color=BLUE)
    right.axvline(0, color=ORANGE, linewidth=0.8)
    right.set(title="Prediction less truth", xlabel="error", ylabel="rows")
    return _png(figure)


def plot_slices(rows: Sequence[Mapping[str, Any]], column: str, metric: str, most: int = 20) -> bytes:
    """A metric by slice with 95% intervals, largest slices first; small ones are grey."""
    shown = [row for row in rows if np.isfinite(row["value"])][:most][::-1]
    figure, ax = _figure(height=max(1.8, 0.24 * len(shown) + 1))
    for y, row in enumerate(shown):
        spread = [[max(row["value"] - row["low"], 0)], [max(row["high"] - row["value"], 0)]] if np.isfinite(row["low"]) else None
        ax.errorbar([row["value"]], [y], xerr=spread, fmt="o", capsize=3, color=GREY if row["small"] else BLUE)
    ax.set_yticks(range(len(shown)), [f"{row['slice']}  (n={row['n']:,})" for row in shown], fontsize=8)
    ax.set(title=f"{metric} by {column}, 95% interval")
    return _png(figure)
