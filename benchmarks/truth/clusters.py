"""How often intervals hold the truth where clusters are of very unequal size, days depend on each other, or tails are long; writes docs/intervals.md.

Run `python -m benchmarks.truth clusters` (a quarter of an hour; `--repeats 300` for a look). The truth is that of so many clusters that chance doesn't matter;
effects don't depend on sizes, so it is the same for all of them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.page import write_between
from benchmarks.truth.coverage import PAGE
from lakeloop.metrics.table import METRICS, measure
from lakeloop.spec.tables import Task

FIRST_DAY = np.datetime64("2024-01-01", "D")
EFFECT = 0.7
"""The deviation of what the rows of a cluster have in common."""
Sizes = Callable[[np.random.Generator], np.ndarray]
Effects = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class World:
    """How large clusters are, how their effects follow each other, and how errors are drawn; `least` effective clusters are needed to count."""

    name: str
    sizes: Sizes
    following: float = 0.0
    tail: float = math.inf
    least: float = 20.0
    are_days: bool = False
    regression_only: bool = False


def pareto(shape: float) -> Sizes:
    """Eighty clusters of a Pareto distribution, none above 20,000 rows."""
    return lambda rng: np.minimum((rng.pareto(shape, 80) + 1) * 8, 20_000).astype(int)


def lognormal(rng: np.random.Generator) -> np.ndarray:
    """120 clusters, a sixth of them more than 2.7 times as large as the middle one."""
    return np.maximum(rng.lognormal(3, 1, 120), 1).astype(int)


def equal(count: int, rows: int) -> Sizes:
    """Clusters of one size."""
    return lambda rng: np.full(count, rows)


WORLDS = (
    World("Pareto 2, 80 clusters", pareto(2.0)),
    World("Pareto 1.5, 80 clusters", pareto(1.5)),
    World("Pareto 1.2, 80 clusters", pareto(1.2)),
    World("Pareto 1.2, 5 to 20 effective", pareto(1.2), least=5.0),
    World("lognormal, 120 clusters", lognormal),
    World("60 clusters of one size", equal(60, 30)),
    World("60 independent days", equal(60, 30), are_days=True),
    World("60 days, AR 0.3", equal(60, 30), following=0.3, are_days=True),
    World("60 days, AR 0.7", equal(60, 30), following=0.7, are_days=True),
    World("180 days, AR 0.7", equal(180, 15), following=0.7, are_days=True),
    World("errors of t with 3 degrees", equal(2000, 1), tail=3.0, regression_only=True),
    World("errors of t with 5 degrees", equal(2000, 1), tail=5.0, regression_only=True),
)


def draw(rng: np.random.Generator, world: World, sizes: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, score and cluster of each row."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    shift = 0.0 if math.isfinite(world.tail) else EFFECT * _effects(rng, len(sizes), world.following)[clusters]
    n = len(clusters)
    if task == "regression":
        score = rng.normal(0, 1, n)
        error = rng.standard_t(world.tail, n) if math.isfinite(world.tail) else rng.normal(0, 1, n)
        return score + shift + error, score, clusters
    z = rng.normal(-1.3, 1, n)
    return (rng.random(n) < 1 / (1 + np.exp(-(z + shift)))).astype(float), 1 / (1 + np.exp(-z)), clusters


def _effects(rng: np.random.Generator, count: int, following: float) -> np.ndarray:
    noise, effects = rng.normal(size=count), np.zeros(count)
    effects[0] = noise[0]
    for place in range(1, count):
        effects[place] = following * effects[place - 1] + math.sqrt(1 - following**2) * noise[place]
    return effects


def coverage(world: World, task: Task, repeats: int) -> Iterator[str]:
    """Rows of the table: how often the interval held the truth, how often there was none, how often it came with a warning."""
    rng = np.random.default_rng(2**31)
    y, score, _ = draw(rng, World("", equal(1, 1), tail=world.tail), np.full(200_000, 20 if math.isinf(world.tail) else 1), task)
    names = [name for name in METRICS[task] if name != "calibration_error"]
    truth = {name: METRICS[task][name].value(y, score) for name in names}
    if math.isfinite(world.tail):
        truth |= {
            "rmse": math.sqrt(world.tail / (world.tail - 2)),
            "r2": 1 - world.tail / (world.tail - 2) / (1 + world.tail / (world.tail - 2)),
        }
    rng, counted, effective = np.random.default_rng(5), 0, 0.0
    held, without, doubted = (dict.fromkeys(names, 0) for _ in range(3))
    while counted < repeats:
        sizes = world.sizes(rng)
        size = float(sizes.sum() ** 2 / (sizes.astype(float) ** 2).sum())
        if size < world.least or (world.least < 20 and size >= 20):
            continue
        counted, effective = counted + 1, effective + size / repeats
        y, score, codes = draw(rng, world, sizes, task)
        clusters = None if math.isfinite(world.tail) else FIRST_DAY + codes if world.are_days else codes
        for name in names:
            measured = measure(METRICS[task][name], y, score, clusters=clusters)
            held[name] += measured.low <= truth[name] <= measured.high
            without[name] += math.isnan(measured.low)
            doubted[name] += bool(measured.doubt)
    for name in names:
        among = max(repeats - without[name], 1)
        yield (
            f"| {world.name} | `{name}` | {effective:,.0f} | {held[name] / among:.1%} | {without[name] / repeats:.0%} | {doubted[name] / repeats:.0%} |"
        )


def main() -> None:
    """Simulate, print, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2_000)
    parser.add_argument("--no-write", action="store_true")
    args = parser.parse_args()
    chance = 1.96 * math.sqrt(0.95 * 0.05 / args.repeats)
    lines = [
        f"{args.repeats:,} draws a row; chance alone moves a share by {chance:.2%} either way.",
        "",
        "| clusters | metric | effective, mean | coverage | no interval | with a sentence of doubt |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for world in WORLDS:
        tasks: tuple[Task, ...] = ("regression",) if world.regression_only else ("regression", "binary_classification")
        for task in tasks:
            for line in coverage(world, task, args.repeats):
                lines.append(line)
                print(line, flush=True)
    if not args.no_write:
        write_between(PAGE, "clusters", "\n".join(lines))
