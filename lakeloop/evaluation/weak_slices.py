"""Search for weak slices: one half of the rows proposes, the other half confirms, so that chance alone finds none.

A search of many slices that evaluates them on the same rows always finds a bad one. Here the slices are chosen on one half, and their errors
are estimated and tested on the other (Holm 1979, over the few that are tested), so the choice doesn't bias the figures.
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
"""Slices that the first half may propose: each additional one makes the test on the second half harder to pass."""
LEAST_SHARE, LEAST_ROWS = 0.01, 50
MOST_CATEGORIES = 30
QUANTILES = 5
PAIRED = 8
"""Single conditions that are combined in pairs."""


@dataclass(frozen=True)
class WeakSlice:
    """A slice where the model errs more than on the other rows.

    Attributes:
        name: its conditions.
        columns: of its conditions.
        rows: of the slice, in the confirming half.
        share: of all rows.
        loss: mean loss in the slice, in the confirming half.
        rest: mean loss of the other rows.
        p: Holm-adjusted p-value of being no worse than the other rows.
        confirmed: p is at most the error rate.
        harder: of classes, what their shares in the slice would lose, over what those of the other rows would: of an outcome that is more frequent
            in the slice every model loses more. 1 for numbers.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    share: float
    loss: float
    rest: float
    p: float
    confirmed: bool
    harder: float = 1.0


def find_weak_slices(
    loss: Array,
    columns: Mapping[str, Sequence[Any]],
    *,
    clusters: Array | None = None,
    seed: int = 0,
    target: Array | None = None,
) -> list[WeakSlice]:
    """Search single conditions, and pairs of the worst, for slices with more loss than the rest.

    Args:
        loss: of each row.
        columns: values per column, numbers or strings; None and NaN are a value of their own. Columns whose values must not be shown
            must be left out.
        clusters: rows that may depend on each other; a cluster goes to one half as a whole.
        seed: of the halves.
        target: of classes, a column per class with 1 for the rows of it (one column for two), for `WeakSlice.harder`.

    Returns:
        The tested slices, the worst first.
    """
    n = len(loss)
    first = _first_half(n, clusters, seed)
    least = max(LEAST_ROWS, int(LEAST_SHARE * n / 2))
    single = [(((name,), label), mask) for name, values in columns.items() for label, mask in _conditions(name, values, first)]
    ranked = _rank(single, loss, first, clusters, least)
    worst = [candidate for _, candidate in ranked[:PAIRED]]
    pairs = [(((*a[0][0], *b[0][0]), f"{a[0][1]} and {b[0][1]}"), a[1] & b[1]) for a, b in combinations(worst, 2) if a[0][0] != b[0][0]]
    chosen: list[tuple[tuple[tuple[str, ...], str], Array]] = []
    for _, candidate in sorted([*ranked, *_rank(pairs, loss, first, clusters, least)], key=lambda item: -item[0]):
        if len(chosen) < TESTED and not any(_is_similar(candidate[1], other[1]) for other in chosen):
            chosen.append(candidate)
    return sorted(_confirm(chosen, loss, ~first, clusters, target), key=lambda item: (not item.confirmed, -(item.loss - item.rest)))


def _first_half(n: int, clusters: Array | None, seed: int) -> Array:
    """Which rows are in the half that proposes."""
    if not n:
        return np.zeros(0, bool)
    groups = np.arange(n) if clusters is None else clusters
    is_first: Array = (np.random.default_rng(seed).permutation(int(groups.max()) + 1) % 2 == 0)[groups]
    return is_first


def _confirm(
    chosen: Sequence[tuple[tuple[tuple[str, ...], str], Array]], loss: Array, second: Array, clusters: Array | None, target: Array | None
) -> list[WeakSlice]:
    """Test the chosen slices on the other half, the p-values adjusted by Holm's method."""
    tested = []
    for (names, label), mask in chosen:
        inside = mask & second
        if inside.sum() < 2:
            continue
        difference, p = _excess(loss[second], mask[second], None if clusters is None else clusters[second])
        rest = float(loss[second & ~mask].mean())
        harder = 1.0 if target is None else _variance(target[inside]) / max(_variance(target[second & ~mask]), 1e-12)
        tested.append((p, names, label, int(inside.sum()), float(mask.mean()), rest + difference, rest, harder))
    slices, adjusted = [], 0.0
    for position, (p, names, label, rows, share, mean, rest, harder) in enumerate(sorted(tested, key=lambda item: item[0])):
        adjusted = min(max(adjusted, p * (len(tested) - position)), 1.0)
        slices.append(WeakSlice(label, names, rows, share, mean, rest, adjusted, adjusted <= ERROR_RATE, harder))
    return slices


def _conditions(name: str, values: Sequence[Any], first: Array) -> list[tuple[str, Array]]:
    """Conditions on one column: each frequent category, or fifths of the numbers; cut points come from the first half."""
    import pandas as pd

    column = pd.Series(values)
    missing = column.isna().to_numpy()
    conditions = [(f"{name} is missing", missing)] if missing.any() else []
    if column.dtype == object:
        frequent = column[first].value_counts().index[:MOST_CATEGORIES]
        return conditions + [(f"{name} = {value}", (column == value).to_numpy()) for value in frequent]
    numbers = column.to_numpy(dtype=float)
    first_numbers = numbers[first & ~missing]
    if not len(first_numbers):
        return conditions
    distinct = np.unique(first_numbers)
    if len(distinct) <= QUANTILES:
        return conditions + [(f"{name} = {value:g}", numbers == value) for value in distinct]
    cuts = np.unique(np.quantile(first_numbers, np.arange(1, QUANTILES) / QUANTILES))
    part = np.where(missing, -1, np.searchsorted(cuts, numbers, "right"))
    for index in range(len(cuts) + 1):
        low = f"{cuts[index - 1]:.4g} ≤ " if index else ""
        high = f" < {cuts[index]:.4g}" if index < len(cuts) else ""
        conditions.append((f"{low}{name}{high}", part == index))
    return conditions


def _rank(candidates: list[Any], loss: Array, first: Array, clusters: Array | None, least: int) -> list[tuple[float, Any]]:
    """Rank the candidates with enough rows inside and outside by the evidence of the first half."""
    ranked = []
    for candidate in candidates:
        mask = candidate[1][first]
        if least <= mask.sum() <= len(mask) - least:
            difference, p = _excess(loss[first], mask, None if clusters is None else clusters[first])
            if difference > 0:
                ranked.append((-np.log(max(p, 1e-300)), candidate))
    return sorted(ranked, key=lambda item: -item[0])


def _excess(loss: Array, mask: Array, clusters: Array | None) -> tuple[float, float]:
    """How much higher the mean loss is inside than outside, and the one-sided p-value of its not being higher."""
    inside, outside = int(mask.sum()), int((~mask).sum())
    if inside < 2 or outside < 2:
        return 0.0, 1.0
    a, b = loss[mask].mean(), loss[~mask].mean()
    n = len(loss)
    influence = np.where(mask, (loss - a) * n / inside, -(loss - b) * n / outside)
    error = spread(influence, clusters, float(inside - 1))
    return float(a - b), one_sided_p(float(a - b), error.error, error.degrees)


def _variance(target: Array) -> float:
    """What the shares of the classes in some rows lose by the Brier score."""
    return float(((target - target.mean(axis=0)) ** 2).reshape(len(target), -1).sum(axis=1).mean())


def _is_similar(a: Array, b: Array) -> bool:
    """Whether most rows of the smaller slice are in the other one, so that showing both would be redundant."""
    both = (a & b).sum()
    return bool(both > 0.6 * max(min(a.sum(), b.sum()), 1))
