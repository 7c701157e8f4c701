"""How often guards and quality roll back a canary that is no worse, all rollouts at once; prints rows of docs/rollouts.md.

Run `python -m benchmarks.monitoring null_canary --runs 10000`. As in `canary`, but that the canary has 10% on the first day and 50% after it, whatever is decided.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import betaincc, betaln

from benchmarks.monitoring.canary import RATES, ROW_DEVIATION
from lakeloop.rollouts.decisions import QUALITY_ERROR_RATE, guard_error_rates
from lakeloop.rollouts.guards import LEAST_LOG, PRIOR_ROWS, WHOLE, Phase, evidence, tolerated_share
from lakeloop.rollouts.quality import bound

SHARES = (0.1, 0.5)


def log_evidence(share: float, canary: np.ndarray, champion: np.ndarray) -> np.ndarray:
    """`lakeloop.rollouts.guards.log_e_value` of many counts."""
    doubled = tolerated_share(share, 2.0)
    a, b = PRIOR_ROWS * doubled, PRIOR_ROWS * (1 - doubled)
    with np.errstate(divide="ignore"):
        tails = np.log(betaincc(a + canary, b + champion, share)) - np.log(betaincc(a, b, share))
    mixed = betaln(a + canary, b + champion) - betaln(a, b) + tails - canary * np.log(share) - champion * np.log1p(-share)
    return np.asarray(np.where(canary + champion > 0, np.maximum(mixed, LEAST_LOG), 0.0))


def by_guards(rng: np.random.Generator, runs: int, days: int) -> np.ndarray:
    """Which rollouts a guard ends, looking once an hour."""
    ended = np.zeros(runs, dtype=bool)
    limits = {name: -np.log(rate) for name, rate in guard_error_rates(RATES).items()}
    hours = days * 24
    load = 20_000 / 24 * np.repeat(rng.lognormal(-0.125, 0.5, (runs, days)), 24, axis=1)
    requests = rng.poisson(load * (1 + 0.6 * np.sin(2 * np.pi * np.arange(hours) / 24)))
    share = np.where(np.arange(hours) < 24, SHARES[0], SHARES[1])
    for name, limit in limits.items():
        rates = np.minimum(np.repeat(RATES[name] * rng.lognormal(-0.125, 0.5, (runs, days)), 24, axis=1), 0.2)
        bad = rng.binomial(requests, rates)
        canary = rng.binomial(bad, share)
        first, second = (np.cumsum(part, axis=1) for part in (canary[:, :24], canary[:, 24:]))
        first_all, second_all = (np.cumsum(part, axis=1) for part in (bad[:, :24], bad[:, 24:]))
        one = log_evidence(SHARES[0], first, first_all - first)
        two = log_evidence(SHARES[1], second, second_all - second)
        alone = np.logaddexp(np.log(WHOLE) + one, np.log(1 - WHOLE))
        left = (1 - WHOLE) / 2
        both = np.logaddexp(np.logaddexp(np.log(WHOLE) + one[:, -1:] + two, np.log(left) + two), np.log(left))
        own = [
            Phase(SHARES[0], int(first[0, -1]), int((first_all - first)[0, -1])),
            Phase(SHARES[1], int(second[0, -1]), int((second_all - second)[0, -1])),
        ]
        assert abs(evidence(own) - both[0, -1]) < 1e-6
        ended |= (np.concatenate([alone, both], axis=1) >= limit).any(axis=1)
    return ended


def by_quality(rng: np.random.Generator, runs: int, days: int, day_loss: float, degrees: float) -> np.ndarray:
    """Which rollouts a loss ends that isn't there."""
    effects = (
        rng.normal(size=(runs, days)) if np.isinf(degrees) else rng.standard_t(degrees, (runs, days)) / np.sqrt(degrees / (degrees - 2))
    )
    losses = day_loss * effects + rng.normal(size=(runs, days)) * ROW_DEVIATION / np.sqrt(1_000)
    ended = np.zeros(runs, dtype=bool)
    for n in range(2, days + 1):
        # The radius in standard errors depends on the number of days alone: that of a sample whose standard error is known.
        unit = np.arange(n, dtype=float)
        critical = bound(unit.tolist(), QUALITY_ERROR_RATE).radius / np.sqrt(unit.var(ddof=1) / n)
        ended |= losses[:, :n].mean(axis=1) > critical * np.sqrt(losses[:, :n].var(axis=1, ddof=1) / n)
    return ended


def main() -> int:
    """Print a row per number of days and kind of day effects."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    args = parser.parse_args()
    print("| a canary that is no worse | rolled back by guards | by quality | by either |\n|---|--:|--:|--:|")
    for days, day_loss, degrees in ((7, 0.0005, np.inf), (7, 0.002, 4.0), (28, 0.0005, np.inf), (28, 0.002, 4.0)):
        rng = np.random.default_rng([37, days, int(day_loss * 1e4)])
        guards = np.concatenate([by_guards(rng, args.runs // 20, days) for _ in range(20)])
        quality = by_quality(rng, len(guards), days, day_loss, degrees)
        effects = "normal days" if np.isinf(degrees) else f"days with t of {degrees:g} degrees, four times as strong"
        print(f"| {days} days, {effects} | {guards.mean():.2%} | {quality.mean():.2%} | {(guards | quality).mean():.2%} |", flush=True)
    return 0
