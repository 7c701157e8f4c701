"""How far a model drifts down over 200 retrainings that the gate `champion` decides on; writes the table of docs/intervals.md.

Run `python -m benchmarks.truth drift` (two minutes). Every decision is the platform's own, on new rows each time, whose truth is known: so is the quality of
every version. Beside it, what the decisions would come to if a loss were counted from the champion alone, as in releases before 0.4.0.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.page import write_between
from benchmarks.truth.coverage import PAGE
from lakeloop.evaluation.decisions import Evidence, best_after, should_promote
from lakeloop.metrics.table import METRICS, paired_difference
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Gate

RELEASES, ROWS, MARGIN = 200, 2_000, 0.01
FIRST_NOISE, OWN_NOISE = 0.7, 0.15
"""The deviation of the errors that all versions have in common, and of those that each has of its own."""
ANSWER, METRIC = Answer("binary_classification"), "roc_auc"


@dataclass(frozen=True)
class World:
    """How a retrained version relates to the one that is released: `step` is what its ROC AUC loses, `chance` the deviation of that loss."""

    name: str
    step: float
    chance: float = 0.0


WORLDS = (
    World("as good as the champion", 0.0),
    World("a tenth of the margin worse than the champion", 0.1 * MARGIN),
    World("three tenths of the margin worse than the champion", 0.3 * MARGIN),
    World("as good on average, one margin better or worse by chance", 0.0, MARGIN),
)


@dataclass(frozen=True)
class Drift:
    """Where a chain of releases ended: true ROC AUC lost since the first one, the most that was ever lost, and the promotions."""

    lost: float
    most: float
    promoted: int


def quality(weight: float) -> float:
    """The true ROC AUC of a version by the weight of its noise, interpolated between those of a large sample."""
    weights, areas = _areas()
    return float(np.interp(weight, weights, areas))


@cache
def _areas() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    z, noise = rng.normal(size=60_000), rng.normal(size=60_000)
    y = (rng.random(60_000) < 1 / (1 + np.exp(1.2 - 1.2 * z))).astype(float)
    weights = np.linspace(0.3, 6.0, 39)
    return weights, np.array([METRICS[ANSWER.task][METRIC].value(y, z + weight * noise) for weight in weights])


def weight_of(area: float) -> float:
    """The weight of the noise that gives a version a true ROC AUC."""
    weights, areas = _areas()
    return float(np.interp(-area, -areas, weights))


def chain(world: World, seed: int, *, from_best: bool, releases: int = RELEASES) -> Drift:
    """Retrain and decide again and again."""
    rng = np.random.default_rng([11, seed])
    areas = {"0": quality(FIRST_NOISE)}
    champion, best, promoted, most = "0", "0", 0, 0.0
    gates = {"champion": Gate(max_drop=MARGIN)}
    for number in range(1, releases + 1):
        version = str(number)
        areas[version] = areas[champion] - world.step + world.chance * rng.normal()
        evidence = _evaluate(rng, areas, version, champion, best if from_best else champion)
        decision = should_promote(candidate=version, champion=champion, evidence=evidence, gates=gates)
        best = best_after(decision, evidence, best) or best
        if decision.action == "promote":
            champion, promoted = version, promoted + 1
        most = max(most, areas["0"] - areas[champion])
        areas = {kept: areas[kept] for kept in {"0", champion, best}}
    return Drift(areas["0"] - areas[champion], most, promoted)


def _evaluate(rng: np.random.Generator, areas: dict[str, float], version: str, champion: str, best: str) -> Evidence:
    """Score new rows by the version, the champion and the best release, whose errors they have largely in common."""
    z, shared = rng.normal(size=(2, ROWS))
    y = (rng.random(ROWS) < 1 / (1 + np.exp(1.2 - 1.2 * z))).astype(float)

    def scores(of: str) -> np.ndarray:
        alone = np.random.default_rng([int(of), int(z[0] * 1e9) % 2**31]).normal(size=ROWS)
        noise = (shared + OWN_NOISE * alone) / np.hypot(1, OWN_NOISE)
        return np.asarray(1 / (1 + np.exp(1.2 - 0.8 * (z + weight_of(areas[of]) * noise))))

    def difference(other: np.ndarray) -> dict[str, float]:
        return paired_difference(ANSWER, METRIC, y, own, other).record()

    own = scores(version)
    return Evidence(
        version=version,
        primary=METRIC,
        value=0.0,
        gates={},
        champion=champion,
        comparison=difference(scores(champion)),
        best=best if best != champion else None,
        best_comparison=difference(scores(best)) if best != champion else None,
        skill=difference(np.full(ROWS, 0.5)),
    )


def table(chains: int) -> Iterator[str]:
    """The table, line by line."""
    yield "| a retrained version is | loss is counted from | promoted of 200 | true ROC AUC lost after 200, mean (worst) | most ever lost, mean (worst) |"
    yield "|---|---|--:|--:|--:|"
    for world in WORLDS:
        for from_best, words in ((False, "the champion alone"), (True, "the best release, too")):
            ends = [chain(world, seed, from_best=from_best) for seed in range(chains)]
            lost, most = [end.lost for end in ends], [end.most for end in ends]
            yield (
                f"| {world.name} | {words} | {np.mean([end.promoted for end in ends]):.0f} | {np.mean(lost):+.4f} ({max(lost):+.4f}) | "
                f"{np.mean(most):.4f} ({max(most):.4f}) |"
            )


def main() -> None:
    """Simulate, print, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=10)
    parser.add_argument("--no-write", action="store_true")
    args = parser.parse_args()
    lines = [
        f"{args.chains} chains of {RELEASES} retrainings a row, {ROWS:,} new test rows each, `max_drop` {MARGIN:g}, `error_rate` 0.05.",
        "",
    ]
    for line in table(args.chains):
        lines.append(line)
        print(line, flush=True)
    if not args.no_write:
        write_between(PAGE, "drift", "\n".join(lines))
