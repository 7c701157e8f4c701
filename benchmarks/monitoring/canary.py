"""How often a canary that is no worse is rolled back, and how soon a worse one is; prints the rows of docs/rollouts.md.

Run `python -m benchmarks.monitoring canary --runs 10000` (some minutes). Every look is `lakeloop.rollouts.decisions.decide`, once an hour.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from lakeloop.rollouts.decisions import Plan, Progress, decide
from lakeloop.rollouts.guards import Phase
from lakeloop.rollouts.quality import DayLoss

START = datetime(2023, 1, 2, tzinfo=UTC)
RATES = {"errors": 0.01, "invalid": 0.002, "slow": 0.01, "null": 0.005}
"""The champion's rates of what the guards count."""
ROW_DEVIATION = 0.036
"""Of the difference of two models' squared errors on a row: 3,400 rows tell 0.0025 at four standard errors."""


PLAN = Plan(guards=dict.fromkeys(RATES, 1.0), margin=0.005)
LONG = replace(PLAN, deadline=timedelta(days=28), margin=0.0)


@dataclass(frozen=True)
class World:
    """What a canary does.

    Attributes:
        name: of the row.
        errors: its rate over the champion's.
        loss: its additional Brier score.
        day_loss: standard deviation of the difference that all rows of a day share.
        degrees: of Student's t that day effects have.
        a_day: requests on both legs, on average; days vary by a half, hours by four times.
        labelled: rows a day with a label.
        rate_spread: of the champion's rates over days, as the deviation of their logarithm.
        looks_a_day: how often it is decided.
        plan: how it goes.
    """

    name: str
    errors: float = 1.0
    loss: float = 0.0
    day_loss: float = 0.0005
    degrees: float = np.inf
    a_day: int = 20_000
    labelled: int = 1_000
    rate_spread: float = 0.5
    looks_a_day: int = 24
    plan: Plan = PLAN


WORLDS = (
    World("as good as the champion"),
    World("as good, day effects with t of 4 degrees", degrees=4.0, day_loss=0.002),
    World("as good, 28 days, no margin", plan=LONG),
    World("1% to 5% errors", errors=5.0, rate_spread=0.0, looks_a_day=288),
    World("Brier +0.0025, 28 days, no margin", loss=0.0025, plan=LONG),
    World("Brier +0.0025, deadline of 7 days, margin 0.001", loss=0.0025, plan=replace(LONG, deadline=timedelta(days=7), margin=0.001)),
)


@dataclass(frozen=True)
class Ending:
    """How a rollout ended: by what, after how many requests on both legs and days."""

    action: str
    requests: int
    days: float


def roll_out(world: World, seed: int) -> Ending:
    """Play one rollout, look by look."""
    rng = np.random.default_rng([31, seed])
    step, answered, total, days = world.plan.steps[0], 0, 0, []
    counts: dict[str, list[Phase]] = {name: [Phase(step / 100, 0, 0)] for name in RATES}
    look = 0
    while True:
        if look % world.looks_a_day == 0:
            load = world.a_day / world.looks_a_day * rng.lognormal(-0.125, 0.5)
            rates = {name: min(rate * rng.lognormal(-(world.rate_spread**2) / 2, world.rate_spread), 0.2) for name, rate in RATES.items()}
        requests = rng.poisson(load * (1 + 0.6 * np.sin(2 * np.pi * look / world.looks_a_day)))
        canary = rng.binomial(requests, step / 100)
        for name, phases in counts.items():
            worse = world.errors if name == "errors" else 1.0
            bad = rng.binomial(canary, min(rates[name] * worse, 1.0)), rng.binomial(requests - canary, rates[name])
            phases[-1] = Phase(step / 100, phases[-1].canary_bad + bad[0], phases[-1].champion_bad + bad[1])
        look, answered, total = look + 1, answered + canary, total + requests
        if look % world.looks_a_day == 0:
            effect = (
                rng.normal() if np.isinf(world.degrees) else rng.standard_t(world.degrees) / np.sqrt(world.degrees / (world.degrees - 2))
            )
            noise = rng.normal() * ROW_DEVIATION / np.sqrt(world.labelled)
            days.append(
                DayLoss(
                    np.datetime64("2023-01-01") + look // world.looks_a_day, world.loss + world.day_loss * effect + noise, world.labelled
                )
            )
        decision = decide(world.plan, Progress(START, step, answered, counts, days), START + timedelta(days=look / world.looks_a_day))
        if decision.action == "advance":
            step, answered = decision.step, 0
            for phases in counts.values():
                phases.append(Phase(step / 100, 0, 0))
        elif decision.action != "hold":
            return Ending(decision.action, total, look / world.looks_a_day)


def main() -> int:
    """Print a row per world."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--worlds", type=int, nargs="*", default=list(range(len(WORLDS))))
    args = parser.parse_args()
    print(
        "| canary | rolled back | promoted | no evidence | days (half, 80%, 95%) | requests (half, 80%, 95%) |\n|---|--:|--:|--:|--:|--:|"
    )
    for world in (WORLDS[place] for place in args.worlds):
        endings = [roll_out(world, seed) for seed in range(args.runs)]
        shares = Counter(ending.action for ending in endings)
        days, requests = (
            np.quantile(values, [0.5, 0.8, 0.95]) for values in zip(*[(ending.days, ending.requests) for ending in endings], strict=True)
        )
        cells = [f"{shares[action] / args.runs:.2%}" for action in ("roll_back", "promote", "no_evidence")]
        spread = [", ".join(f"{value:.1f}" for value in days), ", ".join(f"{value:,.0f}" for value in requests)]
        print(f"| {world.name} | {' | '.join([*cells, *spread])} |", flush=True)
    return 0
