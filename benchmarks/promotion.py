"""How often the gate `champion` promotes what it should not, over evaluations whose truth is known; writes the table of docs/intervals.md.

Run `python -m benchmarks.promotion` (half an hour on two cores; `--repeats 200` for a look). Every draw goes through the platform's own
comparison and decision; where models are trained, by its own pipelines.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.page import write_between
from benchmarks.truth.coverage import PAGE, TRUTH_ROWS
from lakeloop.evaluation.decisions import ERROR_RATE, Evidence, should_promote
from lakeloop.metrics.table import METRICS, paired_difference
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Gate, Model
from lakeloop.training.baselines import constant_scores, guessed_scores
from lakeloop.training.fitting import fit_model

ROWS = (500, 2_000)
FIT_ROWS = 500
DAYS = 60
CHAMPION_NOISE = 0.7
ANSWERS: Mapping[Task, Answer] = {
    "binary_classification": Answer("binary_classification"),
    "multiclass_classification": Answer("multiclass_classification", classes=("a", "b", "c")),
    "regression": Answer("regression"),
    "quantile_regression": Answer("quantile_regression", quantiles=(0.1, 0.5, 0.9)),
}
JUDGED: Mapping[Task, tuple[str, ...]] = {
    "binary_classification": ("roc_auc", "average_precision", "log_loss"),
    "multiclass_classification": ("log_loss", "macro_f1"),
    "regression": ("rmse", "mae", "median_absolute_error"),
    "quantile_regression": ("pinball_loss",),
}
TRAINED: tuple[Task, ...] = ("binary_classification", "multiclass_classification", "regression")
"""Tasks for which models are trained; trees for each of several quantiles would take hours."""
FEATURES = [f"feature_{number}" for number in range(5)]
Pipelines = tuple[str, str | None]


@dataclass(frozen=True)
class Case:
    """What the challenger is, and what the gate allows: `max_drop`, or the true loss itself where the case lies on the edge.

    Attributes:
        name: as the table says it.
        noise: of the challenger's answers; the champion's is `CHAMPION_NOISE`.
        edge: the gate allows just what is lost.
        trained: pipelines of challenger and champion (None: there is no champion), trained on labels that were shuffled; nothing is
            trained without.
        knows: whether what is said has to do with the truth.
        alone: there is no champion.
        days: rows of one day share what no model knows.
    """

    name: str
    noise: float = CHAMPION_NOISE
    edge: bool = False
    trained: Pipelines | None = None
    knows: bool = True
    alone: bool = False
    days: bool = False


CASES = (
    Case("trained on shuffled labels, trees against trees", trained=("gradient_boosting", "gradient_boosting")),
    Case("trained on shuffled labels, linear against trees", trained=("linear", "gradient_boosting")),
    Case("trained on shuffled labels, trees against linear", trained=("gradient_boosting", "linear")),
    Case("trained on shuffled labels, trees, no champion", trained=("gradient_boosting", None)),
    Case("knows nothing, nor does the champion", knows=False),
    Case("knows nothing, by day", knows=False, days=True),
    Case("knows nothing, no champion", knows=False, alone=True),
    Case("as good as the champion"),
    Case("as good as the champion, by day", days=True),
    Case("worse by exactly what is allowed", noise=1.0, edge=True),
    Case("better, for comparison", noise=0.3),
)


@dataclass(frozen=True)
class Drawn:
    """Rows that both models answer: the truth, what each says (the champion if there is one), labels to fit on, and the cluster of each row."""

    y: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray | None
    fit_y: np.ndarray
    clusters: np.ndarray | None


def draw(rng: np.random.Generator, n: int, task: Task, case: Case) -> Drawn:
    """One evaluation of `n` rows."""
    if case.trained:
        return _trained(rng, n, task, case, case.trained)
    z = rng.normal(0, 1, (n, 3) if task == "multiclass_classification" else n)
    day = np.arange(n) * DAYS // n if case.days else None
    y = _labels(rng, z, task, day)
    seen = z if case.knows else rng.normal(0, 1, z.shape)
    challenger, champion = (_scores(seen + rng.normal(0, noise, z.shape), task) for noise in (case.noise, CHAMPION_NOISE))
    return Drawn(y, challenger, None if case.alone else champion, y, day)


def _labels(rng: np.random.Generator, z: np.ndarray, task: Task, day: np.ndarray | None) -> np.ndarray:
    n = len(z)
    shift = rng.normal(0, 0.4, DAYS)[day] if day is not None else np.zeros(n)
    if task == "binary_classification":
        return (rng.random(n) < 1 / (1 + np.exp(1.2 - 1.2 * z - shift))).astype(float)
    if task == "multiclass_classification":
        p = _softmax(1.2 * z + np.array([0.5, 0.0, -0.5]) + shift[:, None] * np.array([1.0, 0.0, -1.0]))
        return np.asarray((rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, 2).astype(float))
    return np.asarray(z + shift + rng.gamma(1.5, 0.8, n) - 1.2)


def _scores(signal: np.ndarray, task: Task) -> np.ndarray:
    if task == "binary_classification":
        return np.asarray(1 / (1 + np.exp(1.2 - 0.8 * signal)))
    if task == "multiclass_classification":
        return _softmax(0.8 * signal + np.array([0.5, 0.0, -0.5]))
    return np.asarray(0.67 * signal if task == "regression" else 0.67 * signal[:, None] + np.array([-1.5, -0.15, 1.7]))


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _trained(rng: np.random.Generator, n: int, task: Task, case: Case, pipelines: Pipelines) -> Drawn:
    """Two models that were trained on other rows each, whose labels have nothing to do with their features, as those of the test rows."""
    import pandas as pd

    answer, kinds = ANSWERS[task], dict.fromkeys(FEATURES, "double")

    def rows(count: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None]:
        z = rng.normal(0, 1, (count, 3) if task == "multiclass_classification" else count)
        day = np.arange(count) * DAYS // count if case.days else None
        y = _labels(rng, z, task, day)
        return pd.DataFrame(rng.normal(0, 1, (count, len(FEATURES))), columns=FEATURES), y, day

    test, y, day = rows(n)
    scores, labels = [], []
    for pipeline in filter(None, pipelines):
        frame, fit_y, _ = rows(FIT_ROWS)
        labels.append(fit_y)
        scores.append(scores_of(fit_model(Model(pipeline=pipeline), kinds, answer, frame, fit_y, folder=Path()), test, answer))  # type: ignore[arg-type]
    return Drawn(y, scores[0], scores[1] if len(scores) > 1 else None, labels[0], day)


def promoted(task: Task, metric: str, drawn: Drawn, max_drop: float) -> bool:
    """What the platform decides on these rows."""
    answer = ANSWERS[task]
    reference = constant_scores(drawn.fit_y, answer, len(drawn.y), metric)
    if METRICS[task][metric].guessed:
        reference = guessed_scores(reference)

    def difference(other: np.ndarray) -> Mapping[str, float]:
        return paired_difference(answer, metric, drawn.y, drawn.challenger, other, clusters=drawn.clusters).record()

    champion = None if drawn.champion is None else "1"
    evidence = Evidence(
        version="2", primary=metric, value=METRICS[task][metric].value(drawn.y, drawn.challenger), gates={}, champion=champion,
        comparison=None if drawn.champion is None else difference(drawn.champion), skill=difference(reference),
    )  # fmt: skip
    gates = {"champion": Gate(max_drop=max_drop)}
    return should_promote(candidate="2", champion=champion, evidence=evidence, gates=gates).action == "promote"


def true_loss(task: Task, metric: str, case: Case) -> float:
    """How much worse the challenger is, by so many rows that what is left to chance doesn't matter."""
    drawn = draw(np.random.default_rng(2**31), TRUTH_ROWS, task, case)
    value = METRICS[task][metric].value
    assert drawn.champion is not None
    return (value(drawn.y, drawn.champion) - value(drawn.y, drawn.challenger)) * (1 if METRICS[task][metric].greater_is_better else -1)


@dataclass(frozen=True)
class Rate:
    """The share of draws that was promoted, for each number of rows."""

    case: str
    task: Task
    metric: str
    max_drop: float
    draws: int
    shares: tuple[float, ...]


def rates(case: Case, task: Task, repeats: int) -> list[Rate]:
    """Draw again and again, and count; every metric judges the same draws."""
    from threadpoolctl import threadpool_limits

    allowed = {metric: true_loss(task, metric, case) if case.edge else 0.0 for metric in JUDGED[task]}
    counts = {metric: [0] * len(ROWS) for metric in JUDGED[task]}
    with threadpool_limits(1):
        for place, n in enumerate(ROWS):
            rng = np.random.default_rng([1, n])
            for _ in range(repeats):
                drawn = draw(rng, n, task, case)
                for metric in JUDGED[task]:
                    counts[metric][place] += promoted(task, metric, drawn, allowed[metric])
    return [
        Rate(case.name, task, metric, allowed[metric], repeats, tuple(count / repeats for count in counted))
        for metric, counted in counts.items()
    ]


def all_rates(repeats: int, trained: int) -> Iterator[Rate]:
    """Every case, as soon as it is there and in order."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        cells = [(case, task) for case in CASES for task in (TRAINED if case.trained else JUDGED)]
        for future in [pool.submit(rates, case, task, trained if case.trained else repeats) for case, task in cells]:
            yield from future.result()


def main() -> None:
    """Simulate, print, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4_000)
    parser.add_argument("--trained", type=int, default=0, help="draws where models are trained; an eighth of the others if not given")
    args = parser.parse_args()
    trained = args.trained or args.repeats // 8
    chance = [1.96 * math.sqrt(ERROR_RATE * (1 - ERROR_RATE) / draws) for draws in (args.repeats, trained)]
    lines = [
        f"`error_rate` {ERROR_RATE:g}; chance alone moves a share of {ERROR_RATE:.0%} by {chance[0]:.1%} either way in {args.repeats:,} draws, by "
        f"{chance[1]:.1%} in {trained:,}.",
        "",
        f"| challenger | task | metric | `max_drop` | draws | {' | '.join(f'promoted at {n:,} rows' for n in ROWS)} |",
        f"|---|---|---|--:|--:|{'--:|' * len(ROWS)}",
    ]
    for rate in all_rates(args.repeats, trained):
        shares = " | ".join(f"{share:.1%}" for share in rate.shares)
        lines.append(f"| {rate.case} | {rate.task.replace('_', ' ')} | `{rate.metric}` | {rate.max_drop:.4f} | {rate.draws:,} | {shares} |")
        print(lines[-1], flush=True)
    write_between(PAGE, "promotion", "\n".join(lines))


if __name__ == "__main__":
    main()
