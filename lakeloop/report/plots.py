"""Pictures of an evaluation and a training set: one function per picture, colour-blind safe (Okabe and Ito 2008).

A `Picture` is an SVG: a file for Dagster and MLflow, or an element of the report, where its colours follow the page's theme.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from lakeloop.metrics.wording import format_number, format_threshold
from lakeloop.report.short_names import shorten

if TYPE_CHECKING:
    from lakeloop.evaluation.importance import Importance
    from lakeloop.metrics.calibration import CalibrationBin
    from lakeloop.metrics.table import MetricValue
    from lakeloop.metrics.thresholds import ThresholdRow

P = ParamSpec("P")
BLUE, ORANGE, GREEN, GREY, INK, PAPER = "#0072b2", "#d55e00", "#009e73", "#7f7f7f", "#101010", "#fdfdfd"
THEMED = {
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    GREY: "var(--grey)",
    INK: "currentColor",
    PAPER: "var(--paper)",
}
"""The colours that the page's theme replaces."""
MOST_LINES = 20
"""Features and slices that a picture has room for."""
WINDOW_COLOURS = {
    "train": BLUE,
    "validation": GREEN,
    "test": ORANGE,
    "gap": "#CCCCCC",
    "before": "#E5E5E5",
    "unlabelled": GREY,
    "after": "#F0E442",
}
WIDTH = 6.4
"""The width of every picture, in inches."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # names and values are shown as they are
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True)
class Picture:
    """A figure, and a title that describes it to those who can't see it."""

    title: str
    figure: Any

    @cached_property
    def element(self) -> str:
        """The SVG element, without a background."""
        with _rc({**_STYLE, "svg.hashsalt": self.title}), warnings.catch_warnings():
            # Text stays text: the font is needed where it is shown, not here.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            # Laid out beforehand: `savefig` would draw everything twice to do so.
            self.figure.get_layout_engine().execute(self.figure)
            self.figure.set_layout_engine("none")
            text = as_svg(self.figure, dpi=150, transparent=True)
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        return re.sub(r'<g id="[A-Za-z][\w.]*_\d+">', "<g>", text)

    @property
    def file(self) -> str:
        """The SVG as a file, on white."""
        start, end, rest = self.element.partition(">")
        return f'{start}{end}<rect width="100%" height="100%" fill="white"/>{rest}'

    def svg(self, prefix: str) -> str:
        """The SVG as an element of a page; `prefix` makes its ids unique."""
        from markupsafe import escape

        text = re.sub(r'(id="|url\(#|xlink:href="#)(?=[\w.])', rf"\g<1>{prefix}-", self.element)
        for colour, themed in THEMED.items():
            text = text.replace(colour, themed)
        return re.sub(
            r'<svg[^>]*?viewBox="([^"]*)"[^>]*>',
            rf'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1" role="img" '
            rf'aria-label="{escape(self.title)}">',
            text,
            count=1,
        )


def as_svg(figure: Any, **options: Any) -> str:
    """The SVG element of a figure, the same each time it is drawn."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, **options)
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def styled(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Decorate a function that draws a picture, to draw in our style."""

    @wraps(draw)
    def draw_in_style(*args: P.args, **kwargs: P.kwargs) -> Picture:
        with _rc(_STYLE):
            return draw(*args, **kwargs)

    return draw_in_style


def _rc(settings: Mapping[Any, Any]) -> Any:
    import matplotlib

    return matplotlib.rc_context(dict(settings))


def canvas(columns: int = 1, height: float = 3.2, rows: int = 1) -> tuple[Any, Any]:
    """A new figure and its axes: a single one, or a flat list."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color=GREY, alpha=0.25, linewidth=0.6)
        ax.set_axisbelow(True)
    return figure, axes if len(axes) > 1 else axes[0]


@styled
def plot_rows_over_time(at: np.ndarray, split: np.ndarray) -> Picture:
    """Rows per week, stacked by window."""
    figure, ax = canvas(height=2.6)
    weeks = at.astype("datetime64[W]")
    axis = np.arange(weeks.min(), weeks.max() + np.timedelta64(1, "W"))
    bottom = np.zeros(len(axis))
    for name, colour in WINDOW_COLOURS.items():
        counts = np.bincount((weeks[split == name] - axis[0]).astype(int), minlength=len(axis))
        if counts.any():
            ax.bar(axis.astype("datetime64[D]"), counts, bottom=bottom, width=6.5, color=colour, label=name)
            bottom += counts
    ax.set(title="Rows per week", ylabel="rows")
    ax.legend(ncols=4, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return Picture("Rows per week, by window", figure)


def _draw_intervals(ax: Any, rows: Sequence[tuple[float, float, float]], colours: Sequence[str], labels: Sequence[str]) -> None:
    """Draw values with intervals, one per line, the first on top."""
    positions = np.arange(len(rows))[::-1]
    for position, (value, low, high), colour in zip(positions, rows, colours, strict=True):
        spread = [[max(value - low, 0)], [max(high - value, 0)]] if np.isfinite(low) and np.isfinite(high) else None
        ax.errorbar([value], [position], xerr=spread, fmt="o", markersize=5, capsize=3, color=colour)
    ax.set_yticks(positions, labels)
    ax.set_ylim(-0.6, len(rows) - 0.4)


@styled
def plot_metric_comparison(values: Mapping[str, Sequence[MetricValue]], metric: str) -> Picture:
    """One metric of the model, the champion and the baselines, with 95% intervals."""
    order = [who for who in ("candidate", "champion", "linear", "seasonal_naive", "constant") if who in values]
    figure, ax = canvas(height=0.9 + 0.38 * len(order))
    shown = [next(v for v in values[who] if v.name == metric) for who in order]
    names = {"candidate": "this model", "linear": "linear model", "seasonal_naive": "seasonal naive"}
    _draw_intervals(
        ax,
        [(v.value, v.low, v.high) for v in shown],
        [ORANGE if who == "candidate" else BLUE for who in order],
        [f"{names.get(who, who)}  {format_number(v.value)}" for who, v in zip(order, shown, strict=True)],
    )
    ax.set_xlabel(f"{metric} on the test window, 95% interval")
    return Picture(f"{metric} of this model and others", figure)


@styled
def plot_roc_pr(y: np.ndarray, score: np.ndarray) -> Picture:
    """ROC curve, and precision over recall."""
    figure, (left, right) = canvas(2)
    order = np.argsort(-score, kind="stable")
    # Rows of equal score have no order: the curves go from one distinct score to the next.
    last = np.append(np.flatnonzero(np.diff(score[order])), len(y) - 1)
    hits, flagged = np.cumsum(y[order])[last], (last + 1)
    step = np.unique(np.linspace(0, len(last) - 1, 400).astype(int))
    false_positives, true_positives = (flagged - hits) / max(len(y) - hits[-1], 1), hits / max(hits[-1], 1)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    left.plot([0, *false_positives[step]], [0, *true_positives[step]], color=BLUE)
    left.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    right.axhline(float(np.mean(y)), color=GREY, linewidth=0.8, linestyle="--")
    right.plot(true_positives[step], (hits / flagged)[step], color=BLUE)
    right.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    return Picture("ROC curve, and precision over recall", figure)


@styled
def plot_calibration(bins: Sequence[CalibrationBin], what: str) -> Picture:
    """Mean outcome over mean prediction, in bins of equally many rows, with 95% intervals; perfect calibration lies on the line."""
    figure, ax = canvas(height=3.8)
    mean, rate = np.array([b.predicted for b in bins]), np.array([b.observed for b in bins])
    low, high = np.array([b.low for b in bins]), np.array([b.high for b in bins])
    ends = [float(np.nanmin([mean, rate])), float(np.nanmax([mean, rate]))]
    ax.plot(ends, ends, color=GREY, linewidth=0.8, linestyle="--", label="perfect")
    spread = np.nan_to_num(np.vstack([rate - low, high - rate]).clip(0))
    ax.errorbar(mean, rate, yerr=spread, fmt="o-", markersize=5, color=BLUE, capsize=3, label="this model, 95% interval")
    ax.set(xlabel=f"mean predicted {what}", ylabel=f"mean observed {what}")
    ax.legend(frameon=False, fontsize=9)
    return Picture("Observed over predicted, in ten bins", figure)


@styled
def plot_score_histogram(y: np.ndarray, score: np.ndarray) -> Picture:
    """Distribution of scores by outcome."""
    figure, ax = canvas(height=2.6)
    edges = np.linspace(0, 1, 41)
    for value, colour, label in ((0, BLUE, "outcome 0"), (1, ORANGE, "outcome 1")):
        if (y == value).any():
            ax.hist(score[y == value], bins=edges, density=True, alpha=0.55, color=colour, label=label)
    ax.set(xlabel="predicted probability", ylabel="density")
    ax.legend(frameon=False, fontsize=9)
    return Picture("Distribution of predicted probabilities by outcome", figure)


@styled
def plot_residuals(y: np.ndarray, score: np.ndarray) -> Picture:
    """Truth over prediction, and the distribution of errors."""
    figure, (left, right) = canvas(2)
    (left_end, right_end), (low, high) = _middle(score), _middle(y)
    left.hexbin(
        score, y, gridsize=40, extent=(left_end, right_end, low, high), bins="log", cmap=_opacity(), mincnt=1, linewidths=0, rasterized=True
    )  # fmt: skip
    left.axline((low, low), slope=1, color=ORANGE, linewidth=0.8, linestyle="--")
    left.set(title="Truth over prediction", xlabel="predicted", ylabel="observed", xlim=(left_end, right_end), ylim=(low, high))
    errors = score - y
    right.hist(errors, bins=60, range=_middle(errors), color=BLUE)
    right.axvline(0, color=ORANGE, linewidth=0.8)
    right.set(title="Prediction minus truth", xlabel="error", ylabel="rows")
    return Picture("Truth over prediction, and the distribution of errors", figure)


def _middle(values: np.ndarray) -> tuple[float, float]:
    """The range of all values except the outermost 0.5% at either end; never empty."""
    low, high = map(float, np.quantile(values, [0.005, 0.995]))
    return (low, high) if high > low else (low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2)


def _opacity() -> Any:
    """A colour map of one colour in varying opacity, so that many rows stand out on a light and on a dark page."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("strength", [(BLUE, 0.18), (BLUE, 1.0)])


@styled
def plot_slices(rows: Sequence[Mapping[str, Any]], column: str, metric: str, overall: float) -> Picture:
    """A metric by slice with 95% intervals, largest slices first, with that of all rows; small ones are grey."""
    shown = [row for row in rows if np.isfinite(row["value"])][:MOST_LINES]
    figure, ax = canvas(height=max(1.8, 0.24 * len(shown) + 0.9))
    ax.axvline(overall, color=GREY, linewidth=0.8, linestyle="--")
    _draw_intervals(
        ax,
        [(row["value"], row["low"], row["high"]) for row in shown],
        [GREY if row["small"] else BLUE for row in shown],
        [f"{name}  ({row['n']:,})" for name, row in zip(shorten([str(row["slice"]) for row in shown], 34), shown, strict=True)],
    )
    ax.set_xlabel(f"{metric}, 95% interval")
    return Picture(f"{metric} by {column}", figure)


@styled
def plot_importance(importance: Sequence[Importance], metric: str) -> Picture:
    """How much worse the metric gets when a feature is shuffled, with 95% intervals."""
    shown = list(importance[:MOST_LINES])
    figure, ax = canvas(height=max(1.6, 0.26 * len(shown) + 0.8))
    ax.axvline(0, color=GREY, linewidth=0.8)
    _draw_intervals(
        ax,
        [(item.value, item.low, item.high) for item in shown],
        [BLUE if item.low > 0 else GREY for item in shown],
        shorten([item.feature for item in shown]),
    )
    # Long names leave little room beside them, so the label may extend below them.
    ax.set_xlabel(f"how much worse {metric} gets when shuffled, 95% interval", loc="right")
    return Picture("Permutation importance", figure)


@styled
def plot_over_time(rows: Sequence[Mapping[str, Any]], metric: str, overall: float) -> Picture:
    """A metric per period with 95% intervals, and over the whole window."""
    figure, ax = canvas(height=2.8)
    starts = np.array([np.datetime64(str(row["period"])) for row in rows])
    value = np.array([row["value"] for row in rows], float)
    spread = np.array([[row["value"] - row["low"], row["high"] - row["value"]] for row in rows], float).T
    ax.axhline(overall, color=GREY, linewidth=0.8, linestyle="--", label="whole window")
    ax.errorbar(starts, value, yerr=np.nan_to_num(spread.clip(0)), fmt="o-", markersize=5, capsize=3, color=BLUE)
    half = np.nanmedian(spread) if np.isfinite(spread).any() else 0.0
    if half:  # otherwise a period with hardly any rows would flatten the others
        bottom = np.nanmin(value) - 4 * half
        top, highest = np.nanmax(value) + 4 * half, np.nanmax(value + spread[1])
        ax.set_ylim(max(bottom, -0.02) if np.nanmin(value) >= 0 else bottom, min(top, 1.02) if highest <= 1 else top)
    ax.xaxis.set_major_locator(_dates().AutoDateLocator(maxticks=8))
    ax.xaxis.set_major_formatter(_dates().ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.set_ylabel(metric)
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return Picture(f"{metric} over time", figure)


@styled
def plot_thresholds(rows: Sequence[ThresholdRow], best: ThresholdRow | None) -> Picture:
    """Precision, recall and share flagged by threshold, and the cost where costs are declared."""
    has_costs = rows[0].cost is not None
    figure, axes = canvas(2 if has_costs else 1)
    left = axes[0] if has_costs else axes
    at = [row.threshold for row in rows]
    for name, colour in (("precision", BLUE), ("recall", ORANGE), ("flagged", GREEN)):
        left.plot(at, [getattr(row, name) for row in rows], color=colour, label=name)
        if name != "flagged":
            low, high = (np.array([getattr(row, f"{name}_{end}") for row in rows], float) for end in ("low", "high"))
            left.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    left.set(xlabel="threshold", ylabel="share", ylim=(0, 1.02))
    left.legend(
        frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(-0.05, 1), ncol=3, borderaxespad=0.2, handlelength=1, columnspacing=1
    )
    if has_costs:
        axes[1].plot(at, [row.cost for row in rows], color=BLUE)
        low, high = (np.array([getattr(row, f"cost_{end}") for row in rows], float) for end in ("low", "high"))
        axes[1].fill_between(at, low, high, color=BLUE, alpha=0.15, linewidth=0)
        if best is not None:
            axes[1].plot([best.threshold], [best.cost], "o", color=ORANGE, label=f"lowest at {format_threshold(best.threshold)}")
            axes[1].legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
        axes[1].set(xlabel="threshold", ylabel="cost per row", ylim=(0, None))
    return Picture(
        "Precision, recall, share flagged and cost by threshold" if has_costs else "Precision, recall and share flagged by threshold",
        figure,
    )


def _dates() -> Any:
    import matplotlib.dates

    return matplotlib.dates
