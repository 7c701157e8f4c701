"""How often the gate `champion` promotes what it should not, over simulated evaluations whose truth is known; writes the table of docs/intervals.md.

Run `python -m benchmarks.promotion` (two minutes). Every draw goes through the platform's own comparison and decision.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.coverage import PAGE, TRUTH_ROWS
from benchmarks.page import write_between
from lakeloop.decisions import ERROR_RATE, Evidence, should_promote
from lakeloop.metrics import METRICS, paired_difference
from lakeloop.spec import Task
from lakeloop.workflow_spec import Gate

ROWS = (500, 2_000)
DAYS = 60
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]
"""Truth, the challenger's scores, the champion's, and the cluster of each row."""
CLASSES: Task = "binary_classification"
METRIC_NAMES: tuple[tuple[Task, str], ...] = (
    (CLASSES, "roc_auc"), (CLASSES, "average_precision"), (CLASSES, "log_loss"), ("regression", "rmse"), ("regression", "mae"),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What the challenger is, and what the gate allows: `max_drop`, or the true loss itself where the case lies on the edge."""

    name: str
    noise: float
    edge: bool = False
    shuffled: bool = False
    days: bool = False


CASES = (
    Case("labels shuffled", 0.7, shuffled=True),
    Case("labels shuffled, by day", 0.7, shuffled=True, days=True),
    Case("as good as the champion", 0.7),
    Case("as good as the champion, by day", 0.7, days=True),
    Case("worse by just what is allowed", 1.0, edge=True),
    Case("better, for comparison", 0.3),
)
CHAMPION_NOISE = 0.7


def draw(rng: np.random.Generator, n: int, task: Task, case: Case) -> Rows:
    """Rows that both models answer, each from the same signal and a noise of its own."""
    z = rng.normal(0, 1, n)
    day = np.arange(n) * DAYS // n if case.days else None
    shift = rng.normal(0, 0.4, DAYS)[day] if day is not None else np.zeros(n)
    challenger, champion = z + rng.normal(0, case.noise, n), z + rng.normal(0, CHAMPION_NOISE, n)
    if task == CLASSES:
        y = (rng.random(n) < 1 / (1 + np.exp(1.2 - 1.2 * z - shift))).astype(float)
        a, b = (1 / (1 + np.exp(1.2 - 0.8 * s)) for s in (challenger, champion))
    else:
        y = z + shift + rng.gamma(1.5, 0.8, n) - 1.2
        a, b = 0.67 * challenger, 0.67 * champion
    if case.shuffled:
        # Models of labels without meaning answer nearly the same everywhere; what is left says nothing of the truth.
        a, b = (y.mean() + 0.02 * (score - score.mean()) for score in (rng.normal(0, 1, n), rng.normal(0, 1, n)))
    return y, a, b, day


def promoted(task: Task, metric: str, rows: Rows, max_drop: float) -> bool:
    """What the platform decides on these rows."""
    y, a, b, clusters = rows
    constant = np.full(len(y), y.mean() if metric != "mae" else np.median(y))
    evidence = Evidence(
        version="2", primary=metric, value=METRICS[task][metric].value(y, a), gates={}, champion="1",
        comparison=paired_difference(task, metric, y, a, b, clusters=clusters).record(),
        skill=paired_difference(task, metric, y, a, constant, clusters=clusters).record(),
    )  # fmt: skip
    return should_promote(candidate="2", champion="1", evidence=evidence, gates={"champion": Gate(max_drop=max_drop)}).action == "promote"


def true_loss(task: Task, metric: str, case: Case) -> float:
    """How much worse the challenger is, by so many rows that what is left to chance doesn't matter."""
    y, a, b, _ = draw(np.random.default_rng(2**31), TRUTH_ROWS, task, case)
    value = METRICS[task][metric].value
    return (value(y, b) - value(y, a)) * (1 if METRICS[task][metric].greater_is_better else -1)


def rates(repeats: int, tell: Callable[[str], None] = print) -> Iterator[tuple[str, str, str, list[float]]]:
    """Case, metric, what was allowed, and the share promoted for each number of rows."""
    for case in CASES:
        for task, metric in METRIC_NAMES:
            max_drop = true_loss(task, metric, case) if case.edge else 0.0
            shares = []
            for n in ROWS:
                rng = np.random.default_rng([1, n])
                shares.append(sum(promoted(task, metric, draw(rng, n, task, case), max_drop) for _ in range(repeats)) / repeats)
            tell(f"{case.name:34} {metric:20} {' '.join(f'{share:.1%}' for share in shares)}")
            yield case.name, metric, f"{max_drop:.4f}", shares


def main() -> None:
    """Simulate, print, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2_000)
    args = parser.parse_args()
    chance = 1.96 * math.sqrt(ERROR_RATE * (1 - ERROR_RATE) / args.repeats)
    lines = [
        f"{args.repeats:,} draws a share, `error_rate` {ERROR_RATE:g}; chance alone moves a share of {ERROR_RATE:.0%} by {chance:.1%} either way.",
        "",
        f"| challenger | metric | `max_drop` | {' | '.join(f'promoted at {n:,} rows' for n in ROWS)} |",
        f"|---|---|--:|{'--:|' * len(ROWS)}",
    ]
    for name, metric, allowed, shares in rates(args.repeats):
        lines.append(f"| {name} | `{metric}` | {allowed} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    write_between(PAGE, "promotion", "\n".join(lines))


if __name__ == "__main__":
    main()
