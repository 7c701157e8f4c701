"""How often the 95% intervals hold the truth, over simulated data whose truth is known; writes the table of docs/intervals.md.

Run `python -m benchmarks.truth coverage` (some minutes); `--repeats 500` for a look.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.page import DOCS, write_between
from lakeloop.metrics.table import METRICS, measure, paired_difference
from lakeloop.metrics.thresholds import evaluate_threshold
from lakeloop.spec.tables import Task
from lakeloop.spec.workflow import Costs

PAGE = DOCS / "intervals.md"
TRUTH_ROWS = 4_000_000
THRESHOLD, COSTS = 0.3, Costs(false_positive=1, false_negative=3)
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class World:
    """A way to draw truth, score and clusters."""

    name: str
    task: Task
    sizes: tuple[int, ...]
    draw: Draw


def calibrated(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    """A quarter positive, scores that are the true probabilities."""
    p = 1 / (1 + np.exp(-rng.normal(-1.3, 1.0, n)))
    return (rng.random(n) < p).astype(float), p, None


def overconfident(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    """The same, with scores too far from one half."""
    z = rng.normal(-1.3, 1.0, n)
    return (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float), 1 / (1 + np.exp(-1.7 * z)), None


def rare(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    """One in twenty positive, scores a little too high."""
    z = rng.normal(-3.5, 1.0, n)
    return (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float), 1 / (1 + np.exp(-z - 0.4)), None


def by_day(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sixty days, each good or bad as a whole, which no score knows."""
    day = np.arange(n) * 60 // n
    z = rng.normal(-1.3, 1.0, n)
    y = rng.random(n) < 1 / (1 + np.exp(-(z + rng.normal(0, 0.5, 60)[day])))
    return y.astype(float), 1 / (1 + np.exp(-z)), day


def normal_errors(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Half the variance explained, errors normal."""
    score = rng.normal(0, 1, n)
    return score + rng.normal(0.1, 1, n), score, None


def skewed_errors(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Errors with a long tail to one side, larger where the prediction is (as delays and amounts have)."""
    score = rng.normal(0, 1, n)
    return score + (rng.gamma(1.5, 1.0, n) - 1.5) * np.exp(0.3 * score), score, None


def errors_by_day(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sixty days with an error in common."""
    day = np.arange(n) * 60 // n
    score = rng.normal(0, 1, n)
    return score + rng.normal(0, 1, n) + rng.normal(0, 0.4, 60)[day], score, day


def three_classes(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Three classes, one of them one in eight, and their true probabilities."""
    z = rng.normal(0, 1.2, (n, 3)) + np.array([0.5, 0.0, -1.5])
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, 2).astype(float), p, None


def too_narrow(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Quantiles 0.05, 0.5 and 0.95 of errors whose spread varies, four fifths as wide as they should be."""
    middle, scale = rng.normal(0, 2, n), rng.uniform(0.5, 2, n)
    return middle + scale * rng.normal(0, 1, n), middle[:, None] + 0.8 * 1.6449 * scale[:, None] * np.array([-1.0, 0, 1]), None


WORLDS = (
    World("calibrated", "binary_classification", (200, 1000, 5000), calibrated),
    World("overconfident", "binary_classification", (200, 1000, 5000), overconfident),
    World("rare positives", "binary_classification", (5000, 20000), rare),
    World("60 days", "binary_classification", (3000, 12000), by_day),
    World("normal errors", "regression", (200, 1000, 5000), normal_errors),
    World("skewed errors", "regression", (200, 1000, 5000), skewed_errors),
    World("60 days", "regression", (3000, 12000), errors_by_day),
    World("three classes", "multiclass_classification", (200, 1000, 5000), three_classes),
    World("too narrow", "quantile_regression", (200, 1000, 5000), too_narrow),
)


@dataclass(frozen=True)
class Coverage:
    """How often an interval held the truth."""

    world: str
    metric: str
    rows: int
    truth: float
    share: float
    width: float


def truths(world: World) -> dict[str, float]:
    """The metrics of so many rows that what is left to chance doesn't matter; days are drawn again and again."""
    rng, metrics = np.random.default_rng(2**31), METRICS[world.task]
    parts = [world.draw(rng, 12_000) for _ in range(TRUTH_ROWS // 12_000)]
    y, score = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
    values = {name: metric.value(y, score) for name, metric in metrics.items()}
    return values | {name: value for name, (value, _, _) in thresholds(world, y, score, None).items()}


def thresholds(world: World, y: np.ndarray, score: np.ndarray, clusters: np.ndarray | None) -> dict[str, tuple[float, float, float]]:
    """What a threshold does and costs, with the intervals; nothing where scores are no probabilities of two classes."""
    if world.task != "binary_classification":
        return {}
    row = evaluate_threshold(y, score, THRESHOLD, COSTS, clusters)
    values = {name: [getattr(row, f"{name}{end}") for end in ("", "_low", "_high")] for name in ("precision", "recall", "cost")}
    return {f"{name} at {THRESHOLD:g}": (value, low, high) for name, (value, low, high) in values.items()}


def coverage(world: World, repeats: int, seed: int = 0) -> Iterator[Coverage]:
    """Draw again and again, and count."""
    truth = truths(world)
    # Scores that are the true probabilities have no calibration error; a large sample shows a little.
    if world.draw in (calibrated, three_classes):
        truth["calibration_error"] = 0.0
    for n in world.sizes:
        rng = np.random.default_rng([seed, n])
        held = dict.fromkeys(truth, 0)
        width = dict.fromkeys(truth, 0.0)
        for _ in range(repeats):
            y, score, clusters = world.draw(rng, n)
            measured = {name: measure(metric, y, score, clusters=clusters) for name, metric in METRICS[world.task].items()}
            ends = {name: (value.low, value.high) for name, value in measured.items()}
            ends |= {name: (low, high) for name, (_, low, high) in thresholds(world, y, score, clusters).items()}
            for name, (low, high) in ends.items():
                held[name] += low <= truth[name] <= high
                width[name] += high - low if math.isfinite(high) else 0.0
        for name in truth:
            yield Coverage(world.name, name, n, truth[name], held[name] / repeats, width[name] / repeats)


def difference_coverage(repeats: int, seed: int = 0) -> Iterator[Coverage]:
    """The same for differences of two models on the same rows, one a little noisier."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y, p, _ = calibrated(rng, n)
        z = np.log(p / (1 - p))
        return y, p, 1 / (1 + np.exp(-(z + rng.normal(0, 0.5, n))))

    big = np.random.default_rng(2**31)
    y, a, b = draw(big, TRUTH_ROWS)
    for name in ("roc_auc", "log_loss", "brier"):
        metric = METRICS["binary_classification"][name]
        truth = (1 if metric.greater_is_better else -1) * (metric.value(y, a) - metric.value(y, b))
        for n in (200, 1000, 5000):
            rng, held, width = np.random.default_rng([seed, n]), 0, 0.0
            for _ in range(repeats):
                difference = paired_difference("binary_classification", name, *draw(rng, n))
                held += difference.low <= truth <= difference.high
                width += difference.high - difference.low
            yield Coverage("two models", f"{name}, difference", n, truth, held / repeats, width / repeats)


def _rows(rows: Callable[..., Iterator[Coverage]], *arguments: Any) -> list[Coverage]:
    return list(rows(*arguments))


def table(rows: list[Coverage]) -> str:
    """As Markdown."""
    lines = ["| data | metric | rows | truth | coverage | mean width |", "|---|---|--:|--:|--:|--:|"]
    lines += [
        f"| {r.world} | `{r.metric.split(',')[0]}`{', difference' if ',' in r.metric else ''} | {r.rows:,} | {r.truth:.4f} | {r.share:.1%} | {r.width:.4f} |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Simulate, print, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4_000)
    parser.add_argument("--no-write", action="store_true")
    args = parser.parse_args()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        worlds = [pool.submit(_rows, coverage, world, args.repeats) for world in WORLDS]
        differences = pool.submit(_rows, difference_coverage, args.repeats)
        rows = [row for running in [*worlds, differences] for row in running.result()]
    text = table(rows)
    print(text)
    print(f"\nwithin a point of 95%: {sum(abs(r.share - 0.95) <= 0.01 for r in rows)} of {len(rows)}")
    if not args.no_write:
        note = f"{args.repeats:,} draws a row; chance alone moves a share by {1.96 * math.sqrt(0.95 * 0.05 / args.repeats):.2%} either way."
        write_between(PAGE, "coverage", f"{note}\n\n{text}")
