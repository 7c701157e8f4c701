"""How often drift is alarmed in months without any, and how soon 0.2 standard deviations are found; prints the rows of docs/monitoring.md.

Run `python -m benchmarks.monitoring drift --runs 200` (some minutes). 50 normal features with weekly and yearly seasons, a year of reference, another month.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from lakeloop.monitoring.counts import MOST_CELLS, DayCounts, Scale
from lakeloop.monitoring.drift import Monitor

FEATURES, SHIFT = 50, 0.2


@dataclass(frozen=True)
class World:
    """What features do: rows a day in the reference and in the month, and what days add to all rows of a feature, normal or with Student's t."""

    name: str
    reference_rows: int = 500
    rows: int = 500
    day_effect: float = 0.0
    day_dependence: float = 0.0
    degrees: float = np.inf


WORLDS = (
    World("seasons only"),
    World("fewer rows than the reference", reference_rows=5_000),
    World("more rows than the reference", rows=5_000),
    World("days vary by 0.1", day_effect=0.1),
    World("days vary by 0.3 and depend on the day before", day_effect=0.3, day_dependence=0.7),
    World("days vary by 0.2, t of 4 degrees", day_effect=0.2, degrees=4.0),
)


def draw(world: World, rng: np.random.Generator, shift: float, days: int) -> tuple[dict[str, DayCounts], dict[str, DayCounts]]:
    """The reference's year, and days after it in which the first feature is shifted from the last 30 on."""
    calendar = np.datetime64("2022-01-01") + np.arange(365 + days)
    yearly, weekly = rng.uniform(0, 1, (2, FEATURES))
    phase = rng.uniform(0, 2 * np.pi, FEATURES)
    weekday = rng.normal(size=(7, FEATURES)) * weekly
    number = np.arange(len(calendar))
    mean = yearly * np.sin(2 * np.pi * number[:, None] / 365.2425 + phase) + weekday[number % 7]
    noise = rng.normal(size=mean.shape) if np.isinf(world.degrees) else rng.standard_t(world.degrees, mean.shape) / np.sqrt(2)
    for place in range(1, len(noise)):
        noise[place] = world.day_dependence * noise[place - 1] + np.sqrt(1 - world.day_dependence**2) * noise[place]
    mean += world.day_effect * noise
    mean[-30:, 0] += shift
    rows = np.where(number < 365, world.reference_rows, world.rows)
    reference, current = {}, {}
    for feature in range(FEATURES):
        own = mean[:365, feature]
        cuts = np.quantile(own + rng.normal(size=(20, 365)), np.arange(1, MOST_CELLS) / MOST_CELLS)
        below = np.concatenate([np.zeros((len(mean), 1)), ndtr(cuts - mean[:, [feature]]), np.ones((len(mean), 1))], axis=1)
        counts = np.concatenate([np.zeros((len(mean), 1), np.int64), rng.multinomial(rows, np.diff(below))], axis=1)
        assert counts.shape[1] == Scale("number", cuts=tuple(cuts)).cells
        reference[f"f{feature}"] = DayCounts("number", calendar[:365], counts[:365])
        current[f"f{feature}"] = DayCounts("number", calendar[365:], counts[365:])
    return reference, current


def first_alarms(world: World, seed: int, shift: float) -> dict[str, int]:
    """The day of the month (1 to 30) of the first alarm of each feature that has one."""
    rng = np.random.default_rng([27, seed])
    reference, current = draw(world, rng, shift, 33)
    importance = {f"f{feature}": 0.2 if feature == 0 else 0.8 / (FEATURES - 1) for feature in range(FEATURES)}
    first: dict[str, int] = {}
    for finding in Monitor(reference, importance).judge(current):
        day = int((finding.day - current[finding.name].days[2]).astype(int))
        if finding.outcome == "drifted" and day > 0:
            first.setdefault(finding.name, day)
    return first


def main() -> int:
    """Print a row per world."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--worlds", type=int, nargs="*", default=list(range(len(WORLDS))))
    args = parser.parse_args()
    print("| world | months without drift that have an alarm | 0.2 sd found within 4 days | within 7 days |\n|---|--:|--:|--:|")
    for world in (WORLDS[place] for place in args.worlds):
        seeds = range(args.first, args.first + args.runs)
        null = np.mean([bool(first_alarms(world, seed, 0.0)) for seed in seeds])
        found = np.array([first_alarms(world, 10**6 + seed, SHIFT).get("f0", 99) for seed in seeds])
        print(f"| {world.name} | {null:.1%} | {np.mean(found <= 4):.1%} | {np.mean(found <= 7):.1%} |", flush=True)
    return 0
