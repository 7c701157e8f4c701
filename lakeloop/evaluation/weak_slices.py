"""The worst slices, found automatically: half of the rows propose, the other half confirms, so that chance finds none.

Searching many slices on the same rows that judge them always finds a bad one. Here the slices are chosen on one half, and their errors are
estimated and tested on the other (Holm 1979, over the few that are tested), so the figures shown are free of the choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lakeloop.metrics.intervals import one_sided_p, spread

Array = np.ndarray
ERROR_RATE = 0.05
TESTED = 10
"""Slices that the first half may propose: each more makes the second half's test harder to pass."""
LEAST_SHARE, LEAST_ROWS = 0.01, 50
MOST_CATEGORIES = 30
QUANTILES = 5
PAIRED = 8
"""Single conditions that are tried in pairs."""


@dataclass(frozen=True)
class WeakSlice:
    """A slice where the model errs more than elsewhere.

    Attributes:
        name: its conditions.
        columns: that it is made of.
        rows: in it, of those that confirmed it.
        share: of all rows.
        loss: mean loss in it, on the rows that confirmed it.
        rest: mean loss elsewhere.
        p: Holm-adjusted p-value of being no worse than elsewhere.
        confirmed: p is at most the error rate.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    share: float
    loss: float
    rest: float
    p: float
    confirmed: bool


def find_weak_slices(loss: Array, columns: Mapping[str, Sequence[Any]], *, clusters: Array | None = None, seed: int = 0) -> list[WeakSlice]:
    """Search single conditions, and pairs of the worst, for slices with more loss than the rest.

    Args:
        loss: of each row.
        columns: values per column, numbers or strings; None and NaN are a value of their own. Leave out columns whose values must not be
            shown.
        clusters: rows that may depend on each other; a cluster goes to one half as a whole.
        seed: of the halves.

    Returns:
        What was tested, the worst first.
    """
    n = len(loss)
    rng = np.random.default_rng(seed)
    group = np.arange(n) if clusters is None else clusters
    first = (rng.permutation(int(group.max()) + 1 if n else 0) % 2 == 0)[group] if n else np.zeros(0, bool)
    least = max(LEAST_ROWS, int(LEAST_SHARE * n / 2))
    single = [(((name,), label), mask) for name, values in columns.items() for label, mask in _conditions(name, values, first)]
    ranked = _ranked(single, loss, first, clusters, least)
    worst = [candidate for _, candidate in ranked[:PAIRED]]
    pairs = [(((*a[0][0], *b[0][0]), f"{a[0][1]} and {b[0][1]}"), a[1] & b[1]) for a, b in combinations(worst, 2) if a[0][0] != b[0][0]]
    chosen: list[tuple[tuple[tuple[str, ...], str], Array]] = []
    for _, candidate in sorted([*ranked, *_ranked(pairs, loss, first, clusters, least)], key=lambda item: -item[0]):
        if len(chosen) < TESTED and not any(_alike(candidate[1], other[1]) for other in chosen):
            chosen.append(candidate)
    second = ~first
    tested = []
    for (names, label), mask in chosen:
        inside = mask & second
        if inside.sum() < 2:
            continue
        difference, p = _excess(loss[second], mask[second], None if clusters is None else clusters[second])
        rest = float(loss[second & ~mask].mean())
        tested.append((p, names, label, int(inside.sum()), float(mask.mean()), rest + difference, rest))
    found, running = [], 0.0
    for place, (p, names, label, rows, share, mean, rest) in enumerate(sorted(tested, key=lambda item: item[0])):
        running = min(max(running, p * (len(tested) - place)), 1.0)
        found.append(WeakSlice(label, names, rows, share, mean, rest, running, running <= ERROR_RATE))
    return sorted(found, key=lambda item: (not item.confirmed, -(item.loss - item.rest)))


def _conditions(name: str, values: Sequence[Any], first: Array) -> list[tuple[str, Array]]:
    """Conditions on one column: each frequent category, or fifths of the numbers; cut points come from the first half."""
    import pandas as pd

    column = pd.Series(values)
    missing = column.isna().to_numpy()
    found = [(f"{name} is missing", missing)] if missing.any() else []
    if column.dtype == object:
        frequent = column[first].value_counts().index[:MOST_CATEGORIES]
        return found + [(f"{name} = {value}", (column == value).to_numpy()) for value in frequent]
    numbers = column.to_numpy(dtype=float)
    known = numbers[first & ~missing]
    if not len(known):
        return found
    distinct = np.unique(known)
    if len(distinct) <= QUANTILES:
        return found + [(f"{name} = {value:g}", numbers == value) for value in distinct]
    cuts = np.unique(np.quantile(known, np.arange(1, QUANTILES) / QUANTILES))
    part = np.where(missing, -1, np.searchsorted(cuts, numbers, "right"))
    for index in range(len(cuts) + 1):
        low = f"{cuts[index - 1]:.4g} ≤ " if index else ""
        high = f" < {cuts[index]:.4g}" if index < len(cuts) else ""
        found.append((f"{low}{name}{high}", part == index))
    return found


def _ranked(candidates: list[Any], loss: Array, first: Array, clusters: Array | None, least: int) -> list[tuple[float, Any]]:
    """Candidates with enough rows inside and outside, by the evidence of the first half."""
    found = []
    for candidate in candidates:
        mask = candidate[1][first]
        if least <= mask.sum() <= len(mask) - least:
            difference, p = _excess(loss[first], mask, None if clusters is None else clusters[first])
            if difference > 0:
                found.append((-np.log(max(p, 1e-300)), candidate))
    return sorted(found, key=lambda item: -item[0])


def _excess(loss: Array, mask: Array, clusters: Array | None) -> tuple[float, float]:
    """How much more loss there is inside than outside, and the one-sided p-value of no more."""
    inside, outside = int(mask.sum()), int((~mask).sum())
    if inside < 2 or outside < 2:
        return 0.0, 1.0
    a, b = loss[mask].mean(), loss[~mask].mean()
    n = len(loss)
    influence = np.where(mask, (loss - a) * n / inside, -(loss - b) * n / outside)
    error = spread(influence, clusters, float(inside - 1))
    return float(a - b), one_sided_p(float(a - b), error.error, error.degrees)


def _alike(a: Array, b: Array) -> bool:
    """Most of the rows of either are rows of the other: to show both would say one thing twice."""
    both = (a & b).sum()
    return bool(both > 0.6 * max(min(a.sum(), b.sum()), 1))
